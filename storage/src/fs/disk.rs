//! The file layer: every change to a file or a file name passes through it. A test can make a change fail, cut it
//! short, or record it and replay it in another order. Knows nothing of the content, and nothing of the engine's own
//! files.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::fs::folder::{Access, Folder};
use crate::types::ids::StoreId;

#[cfg(test)]
pub(crate) use watch::{Event, Verdict, Watch};

/// A store's folder and the operations that change its files.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    folder: Folder,
    /// The identity that new files get.
    store: StoreId,
    #[cfg(test)]
    watch: Option<std::sync::Arc<dyn Watch>>,
}

/// The destination of a new file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) path: &'a Path,
}

/// A file open for writing.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    #[cfg_attr(not(test), expect(dead_code, reason = "only who watches asks which file it is"))]
    path: PathBuf,
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests watch"))]
    disk: Disk,
}

/// Calls the watch in tests; expands to nothing otherwise.
macro_rules! notify {
    ($disk:expr, $event:expr) => {
        #[cfg(test)]
        $disk.notify($event)?;
    };
}

impl Disk {
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            folder: Folder::of(folder),
            store: StoreId::NONE,
            #[cfg(test)]
            watch: None,
        }
    }

    /// The same folder, with a watch that is asked before every change.
    #[cfg(test)]
    pub(crate) fn watched(folder: &Path, watch: std::sync::Arc<dyn Watch>) -> Self {
        Self { watch: Some(watch), ..Self::of(folder) }
    }

    /// The same folder, held open: every name is looked up in the folder that is at the path now, wherever it is moved.
    pub(crate) fn hold(mut self) -> io::Result<Self> {
        self.folder.hold()?;
        Ok(self)
    }

    /// The same folder, where new files get this identity.
    pub(crate) fn with_store(self, store: StoreId) -> Self {
        Self { store, ..self }
    }

    /// The identity that new files get.
    pub(crate) fn store(&self) -> StoreId {
        self.store
    }

    /// The path of the store's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The names in the folder; empty where it cannot be read.
    pub(crate) fn names(&self) -> Vec<String> {
        self.folder.names()
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// Errors of the system, and an error for anything but a plain file, without waiting.
    pub(crate) fn read(&self, path: &Path) -> io::Result<File> {
        self.folder.open(path, Access::Read)
    }

    /// The destination of a new file.
    pub(crate) fn target<'a>(&'a self, path: &'a Path) -> Target<'a> {
        Target { disk: self, path }
    }

    /// Creates an empty file; an existing one is replaced.
    pub(crate) fn create(&self, path: &Path) -> io::Result<DiskFile> {
        notify!(self, Event::Create(path));
        self.file(path, Access::Replace)
    }

    /// Opens a file that is overwritten in place; creates it if `create` is set.
    pub(crate) fn open(&self, path: &Path, create: bool) -> io::Result<DiskFile> {
        notify!(self, Event::Open(path));
        self.file(path, Access::Write { create })
    }

    fn file(&self, path: &Path, access: Access) -> io::Result<DiskFile> {
        let file = self.folder.open(path, access)?;
        Ok(DiskFile { file, path: path.to_path_buf(), disk: self.clone() })
    }

    /// A device in place of a file, whose sync fails.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn failing_file() -> DiskFile {
        let path = Path::new("/dev/null");
        let file = File::options().write(true).open(path).expect("there is always one");
        DiskFile { file, path: path.to_path_buf(), disk: Self::of(path) }
    }

    /// Replaces a file by another, atomically.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        notify!(self, Event::Rename(from, to));
        self.folder.rename(from, to)
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        notify!(self, Event::Remove(path));
        self.folder.remove(path)
    }

    /// Makes new and removed names in a folder durable.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        notify!(self, Event::SyncFolder);
        self.folder.sync(folder)
    }
}

impl DiskFile {
    /// The file handle, for reading and locking.
    pub(crate) fn as_file(&self) -> &File {
        &self.file
    }

    /// Makes the written bytes durable, and the length with them.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        notify!(self.disk, Event::Sync(&self.path));
        self.file.sync_data()
    }

    pub(crate) fn sync_all(&self) -> io::Result<()> {
        notify!(self.disk, Event::Sync(&self.path));
        self.file.sync_all()
    }

    /// Sets the length of the file.
    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        notify!(self.disk, Event::Cut(&self.path, len));
        self.file.set_len(len)
    }
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        let bytes = &bytes[..self.disk.allowed_bytes(&self.path, self.file.stream_position()?, bytes)?];
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for DiskFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod watch {
    use std::fmt::Debug;
    use std::io;
    use std::path::Path;

    use super::Disk;

    /// A change that is about to be made.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Event<'a> {
        Create(&'a Path),
        Open(&'a Path),
        Write(&'a Path, u64, &'a [u8]),
        Sync(&'a Path),
        Cut(&'a Path, u64),
        Rename(&'a Path, &'a Path),
        Remove(&'a Path),
        SyncFolder,
    }

    /// The watch's decision on a change.
    #[derive(Debug)]
    pub(crate) enum Verdict {
        Proceed,
        /// Only this many bytes are written; the caller sees the short count.
        Short(usize),
        Fail(io::Error),
    }

    /// An observer that is asked before every change.
    pub(crate) trait Watch: Debug + Send + Sync {
        fn before(&self, event: Event<'_>) -> Verdict;
    }

    impl Disk {
        pub(super) fn notify(&self, event: Event<'_>) -> io::Result<()> {
            match self.watch.as_ref().map_or(Verdict::Proceed, |watch| watch.before(event)) {
                Verdict::Proceed | Verdict::Short(_) => Ok(()),
                Verdict::Fail(error) => Err(error),
            }
        }

        /// The number of bytes that are written.
        pub(super) fn allowed_bytes(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<usize> {
            let event = Event::Write(path, at, bytes);
            match self.watch.as_ref().map_or(Verdict::Proceed, |watch| watch.before(event)) {
                Verdict::Proceed => Ok(bytes.len()),
                Verdict::Short(some) => Ok(some.min(bytes.len())),
                Verdict::Fail(error) => Err(error),
            }
        }
    }
}
