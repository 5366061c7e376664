//! The file `JOURNAL`: a copy of the records that the engine has not synced yet, in a file of fixed size that is cheap
//! to sync.
//! Owns the position of the next records; `record_scan` finds them again.
//!
//! The engine's flush passes its buffer to another thread and waits for the write, and its file grows. With our fsync
//! of it, a commit of one edge took 2.1 times as long as an fsync alone. The journal needs one write over existing
//! bytes and one fsync. When it is full, the engine is flushed and synced, and the journal starts over.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::fs::disk::{Disk, DiskFile};
use crate::types::error::Error;

const NAME: &str = "JOURNAL";
/// Small in tests, so that they fill it.
pub(crate) const BYTES: usize = if cfg!(test) { 512 } else { 1 << 20 };

/// The open file.
#[derive(Debug)]
pub(crate) struct Journal {
    file: DiskFile,
    path: PathBuf,
    /// The position of the next records.
    end: usize,
}

pub(crate) fn path(store: &Path) -> PathBuf {
    store.join(NAME)
}

impl Journal {
    /// Opens or creates the file and starts over; the engine has all earlier records, durably.
    pub(crate) fn open(disk: &Disk) -> Result<Self, Error> {
        let path = path(disk.folder());
        let file = disk.open(&path, true).map_err(|e| Error::io(&path, "open", e))?;
        let bytes = file.as_file().metadata().map_err(|e| Error::io(&path, "read", e))?.len();
        let mut journal = Self { file, path, end: 0 };
        if bytes != BYTES as u64 {
            // The bytes are written, not only allocated: otherwise each sync would also write the location of new
            // blocks.
            let fill = |file: &mut DiskFile| {
                file.set_len(BYTES as u64)?;
                file.write_all(&vec![0; BYTES])?;
                file.sync_all()
            };
            fill(&mut journal.file).map_err(|e| Error::io(&journal.path, "write", e))?;
        }
        Ok(journal)
    }

    /// True if this many bytes fit.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        bytes <= BYTES - self.end
    }

    /// Adds records; durable on return.
    pub(crate) fn add(&mut self, records: &[u8]) -> Result<(), Error> {
        let at = SeekFrom::Start(self.end as u64);
        let write = self.file.seek(at).and_then(|_| self.file.write_all(records));
        write.map_err(|e| Error::io(&self.path, "write", e))?;
        self.file.sync_data().map_err(|e| Error::io(&self.path, "sync", e))?;
        self.end += records.len();
        Ok(())
    }

    /// Starts over; the engine has all records, durably.
    pub(crate) fn restart(&mut self) {
        self.end = 0;
    }

    /// Makes the next fsync fail, by a device that does not support it.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn break_sync(&mut self) {
        self.file = Disk::failing_file();
    }
}
