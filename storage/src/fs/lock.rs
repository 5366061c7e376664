//! The file `LOCK`: one process at a time writes a store. Knows nothing of the store's content.

use std::fs::{self, Metadata, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::fs::disk::{Disk, DiskFile};
use crate::types::error::Error;

const NAME: &str = "LOCK";

/// The exclusive right to write, until dropped. The system releases it when the process ends, in any way.
#[derive(Debug)]
pub(crate) struct Lock {
    file: DiskFile,
    /// The absolute path, since the process may change its working folder.
    path: PathBuf,
    number: (u64, u64),
}

/// Closing the file alone does not release the lock at once: a child process that a host is starting holds a copy for a
/// moment.
impl Drop for Lock {
    fn drop(&mut self) {
        // Where unlocking fails, closing the file follows immediately.
        let _ = self.file.as_file().unlock();
    }
}

impl Lock {
    /// Takes the lock and writes the owner into the file: the process id and the time in seconds, as text.
    ///
    /// # Errors
    /// [`Error::Locked`] with the owner read from the file.
    #[expect(clippy::disallowed_methods, reason = "the time is only shown")]
    pub(crate) fn take(disk: &Disk) -> Result<Self, Error> {
        let path = &disk.folder().join(NAME);
        let mut file = disk.open(path, true).map_err(|e| Error::io(path, "open", e))?;
        match file.as_file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(e)) => return Err(Error::io(path, "lock", e)),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The owner only improves the message, so an unreadable one counts as unknown.
                let _ = file.as_file().take(64).read_to_string(&mut text);
                let mut words = text.split_ascii_whitespace();
                let pid = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                let since = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                return Err(Error::Locked { path: disk.folder().to_path_buf(), pid, since });
            }
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let text = format!("{} {since}\n", std::process::id());
        let write = |file: &mut DiskFile| {
            file.write_all(text.as_bytes())?;
            file.set_len(text.len() as u64)
        };
        write(&mut file).map_err(|e| Error::io(path, "write", e))?;
        let found = file.as_file().metadata().map_err(|e| Error::io(path, "read", e))?;
        let path = std::path::absolute(path).map_err(|e| Error::io(path, "open", e))?;
        Ok(Self { file, path, number: file_number(&found) })
    }

    /// Fails if another file is at the path of the lock by now: the folder was moved, and maybe another one put in its
    /// place.
    ///
    /// # Errors
    /// [`Error::Replaced`].
    pub(crate) fn check_place(&self, folder: &Path) -> Result<(), Error> {
        match fs::metadata(&self.path).map(|found| file_number(&found)) {
            Ok(found) if found == self.number => Ok(()),
            // A process that gave up its rights after opening cannot tell.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(()),
            _ => Err(Error::Replaced { path: folder.to_path_buf() }),
        }
    }
}

/// Device and number of a file, by which the system knows it.
#[cfg(unix)]
fn file_number(found: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (found.dev(), found.ino())
}

/// Elsewhere the system does not let an open folder be moved.
#[cfg(not(unix))]
fn file_number(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_told_who_and_since_when() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::of(folder.path());
        let held = Lock::take(&disk).expect("free");
        match Lock::take(&disk) {
            Err(Error::Locked { pid, since, .. }) => {
                assert_eq!(pid, std::process::id());
                assert!(since > 1_700_000_000);
            }
            other => panic!("expected a lock, found {other:?}"),
        }
        let copy = held.file.as_file().try_clone().expect("a copy, as a process has that is being started");
        drop(held);
        assert!(Lock::take(&disk).is_ok());
        drop(copy);
    }
}
