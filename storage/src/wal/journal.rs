//! The file `JOURNAL`: a copy of the records that the engine has not synced yet, in a file of fixed size that is cheap to sync.
//! Owns where in it the next records go; that they are found again is `salvage`'s to see to.
//!
//! The engine's flush hands its buffer to another thread, waits for the system to write it, and leaves a file that has grown: with
//! our fsync a commit of one edge took 2.1 times as long as an fsync alone. Here it is one write over bytes that are there,
//! and one fsync. The engine is flushed and synced when the journal is full, before it begins anew.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::fs::disk::{Disk, DiskFile};
use crate::types::error::Error;

const NAME: &str = "JOURNAL";
/// Small in tests, so that they see it full.
pub(crate) const BYTES: usize = if cfg!(test) { 512 } else { 1 << 20 };

/// The open file.
#[derive(Debug)]
pub(crate) struct Journal {
    file: DiskFile,
    path: PathBuf,
    /// Where the next records go.
    end: usize,
}

pub(crate) fn path(store: &Path) -> PathBuf {
    store.join(NAME)
}

impl Journal {
    /// Opens the file, or makes it, and begins it anew: the engine has what is in it, durably.
    pub(crate) fn open(disk: &Disk) -> Result<Self, Error> {
        let path = path(disk.folder());
        let file = disk.open(&path, true).map_err(|e| Error::io(&path, "open", e))?;
        let bytes = file.as_file().metadata().map_err(|e| Error::io(&path, "read", e))?.len();
        let mut journal = Self { file, path, end: 0 };
        if bytes != BYTES as u64 {
            // Written, not just made so long: a sync would have to note where the system puts each piece.
            let fill = |file: &mut DiskFile| {
                file.set_len(BYTES as u64)?;
                file.write_all(&vec![0; BYTES])?;
                file.sync_all()
            };
            fill(&mut journal.file).map_err(|e| Error::io(&journal.path, "write", e))?;
        }
        Ok(journal)
    }

    /// Whether so many bytes can be added.
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

    /// Begins anew; the engine has everything, durably.
    pub(crate) fn restart(&mut self) {
        self.end = 0;
    }

    /// Makes the next fsync fail: a device without one refuses.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn break_sync(&mut self) {
        let null = Path::new("/dev/null");
        self.file = Disk::of(null).open(null, false).expect("there is always one");
    }
}
