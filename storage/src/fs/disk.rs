//! The file layer: every change to a file or a file name passes through it. A test can make a change fail, cut it
//! short, or record it and replay it in another order. Knows nothing of the content, and nothing of the engine's own
//! files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(crate) use watch::{Event, Verdict, Watch};

/// A store's folder and the operations that change its files.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
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

#[cfg_attr(not(test), expect(clippy::unused_self, reason = "only tests watch"))]
impl Disk {
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            #[cfg(test)]
            watch: None,
        }
    }

    /// The same folder, with a watch that is asked before every change.
    #[cfg(test)]
    pub(crate) fn watched(folder: &Path, watch: std::sync::Arc<dyn Watch>) -> Self {
        Self { folder: folder.to_path_buf(), watch: Some(watch) }
    }

    /// The store's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The destination of a new file.
    pub(crate) fn target<'a>(&'a self, path: &'a Path) -> Target<'a> {
        Target { disk: self, path }
    }

    /// Creates an empty file; an existing one is replaced.
    pub(crate) fn create(&self, path: &Path) -> io::Result<DiskFile> {
        notify!(self, Event::Create(path));
        self.file(path, File::options().read(true).write(true).create(true).truncate(true))
    }

    /// Opens a file that is overwritten in place; creates it if `create` is set.
    pub(crate) fn open(&self, path: &Path, create: bool) -> io::Result<DiskFile> {
        notify!(self, Event::Open(path));
        self.file(path, File::options().read(true).write(true).create(create).truncate(false))
    }

    fn file(&self, path: &Path, options: &mut OpenOptions) -> io::Result<DiskFile> {
        Ok(DiskFile { file: options.open(path)?, path: path.to_path_buf(), disk: self.clone() })
    }

    /// Replaces a file by another, atomically.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        notify!(self, Event::Rename(from, to));
        fs::rename(from, to)
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        notify!(self, Event::Remove(path));
        fs::remove_file(path)
    }

    /// Makes new and removed names in a folder durable.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        notify!(self, Event::SyncFolder);
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
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
