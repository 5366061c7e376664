//! A store's folder and the names in it. A folder that is held open keeps its names, wherever it is moved, and whatever
//! takes its place. Only plain files are opened. Knows nothing of what files hold.

use std::fs::{File, FileType};
use std::io::{self, Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder, found by its path or held open.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
    held: Option<Arc<File>>,
}

/// The way in which a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Read and write; a missing file is created if `create` is set.
    Write {
        create: bool,
    },
    /// Read and write; an existing file is replaced by an empty one.
    Replace,
}

impl Folder {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_path_buf(), held: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Holds the folder that is at the path now.
    pub(super) fn hold(&mut self) -> io::Result<()> {
        if cfg!(all(unix, not(miri))) {
            self.held = Some(Arc::new(File::open(&self.path)?));
        }
        Ok(())
    }

    /// Opens a plain file. Anything else is refused without waiting: opening a pipe could wait forever.
    pub(super) fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        let file = self.open_any(path, access)?;
        require_plain(file.metadata()?.file_type())?;
        Ok(file)
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync(&self, path: &Path) -> io::Result<()> {
        if !cfg!(unix) {
            return Ok(());
        }
        match self.held.as_ref().filter(|_| path == self.path) {
            Some(held) => held.sync_all(),
            None => File::open(path)?.sync_all(),
        }
    }
}

/// Refuses everything but a plain file.
///
/// # Errors
/// An error of kind `InvalidInput` that says what was found.
pub(crate) fn require_plain(kind: FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    #[cfg(unix)]
    let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo(&kind);
    #[cfg(not(unix))]
    let is_pipe = false;
    let found = match (kind.is_dir(), is_pipe) {
        (true, _) => "a folder",
        (false, true) => "a named pipe",
        (false, false) => "a socket or a device",
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("it is {found}, expected a plain file")))
}

// Miri has no `openat`.
#[cfg(all(unix, not(miri)))]
mod names {
    use std::os::fd::{AsFd, BorrowedFd};

    use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};

    use super::{Access, File, Folder, Path, io};

    impl Folder {
        /// A path as a name in the held folder; as it is where the folder is not held or the path leads elsewhere.
        fn name<'a>(&'a self, path: &'a Path) -> (BorrowedFd<'a>, &'a Path) {
            let within = self.held.as_ref().zip(path.strip_prefix(&self.path).ok());
            within.map_or((CWD, path), |(held, name)| (held.as_fd(), name))
        }

        pub(super) fn open_any(&self, path: &Path, access: Access) -> io::Result<File> {
            let flags = match access {
                Access::Read => OFlags::RDONLY,
                Access::Write { create: false } => OFlags::RDWR,
                Access::Write { create: true } => OFlags::RDWR | OFlags::CREATE,
                Access::Replace => OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
            };
            let (folder, name) = self.name(path);
            let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
            Ok(File::from(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o666))?))
        }

        /// Replaces a name by another, atomically.
        pub(in crate::fs) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            let ((from_folder, from), (to_folder, to)) = (self.name(from), self.name(to));
            Ok(rustix::fs::renameat(from_folder, from, to_folder, to)?)
        }

        pub(in crate::fs) fn remove(&self, path: &Path) -> io::Result<()> {
            let (folder, name) = self.name(path);
            Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
        }

        /// The names in the folder that are text; empty where it cannot be read.
        pub(in crate::fs) fn names(&self) -> Vec<String> {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
            let opened = match &self.held {
                Some(held) => rustix::fs::openat(held, ".", flags, Mode::empty()),
                None => rustix::fs::openat(CWD, &self.path, flags, Mode::empty()),
            };
            let entries = opened.and_then(Dir::new).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| Some(entry.file_name().to_str().ok()?.to_owned()));
            names.filter(|name| name != "." && name != "..").collect()
        }
    }
}

#[cfg(any(miri, not(unix)))]
mod names {
    use std::fs;

    use super::{Access, File, Folder, Path, io};

    impl Folder {
        pub(super) fn open_any(&self, path: &Path, access: Access) -> io::Result<File> {
            match access {
                Access::Read => File::open(path),
                Access::Write { create } => File::options().read(true).write(true).create(create).open(path),
                Access::Replace => {
                    File::options().read(true).write(true).create(true).truncate(true).open(path)
                }
            }
        }

        pub(in crate::fs) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            fs::rename(from, to)
        }

        pub(in crate::fs) fn remove(&self, path: &Path) -> io::Result<()> {
            fs::remove_file(path)
        }

        pub(in crate::fs) fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
        }
    }
}
