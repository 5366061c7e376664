//! The file `LOG.END`: the end of the log after the last acknowledged commit. Of records it knows only numbers and
//! checksums.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::fs::disk::{Disk, DiskFile};
use crate::types::error::Error;

const NAME: &str = "LOG.END";
const BYTES: usize = 24;

/// The end of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The number after the last record.
    pub(crate) next: u64,
    /// The checksum of the last record. Where there never was a record, the one that the first record will name as that of
    /// the record before it.
    pub(crate) checksum: u64,
}

/// The open file, overwritten after each commit and synced only when it is opened. After a power cut it may be behind
/// the log, never ahead. With it the next open detects records that the engine lost silently, as it does when its file
/// was cut short.
#[derive(Debug)]
pub(crate) struct LogEndFile {
    file: DiskFile,
    path: PathBuf,
}

pub(crate) fn path(store: &Path) -> PathBuf {
    store.join(NAME)
}

impl LogEnd {
    fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&self.next.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = xxh3_64(&bytes[..16]);
        bytes[16..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let (next, checksum, check) = (number(0)?, number(8)?, number(16)?);
        (bytes.len() == BYTES && check == xxh3_64(&bytes[..16])).then_some(Self { next, checksum })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the file is missing or its checksum does not match.
    pub(crate) fn read(disk: &Disk) -> Result<Self, Error> {
        let path = path(disk.folder());
        let mut bytes = Vec::new();
        let read = disk.read(&path).and_then(|f| f.take(BYTES as u64 + 1).read_to_end(&mut bytes));
        match read {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::damaged(&path, "file", "it is missing"))
            }
            Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => {
                Err(Error::damaged(&path, "file", e.to_string()))
            }
            Err(e) => Err(Error::io(&path, "read", e)),
            Ok(_) => Self::decode(&bytes)
                .ok_or_else(|| Error::damaged(&path, "file", "its checksum does not match")),
        }
    }
}

impl LogEndFile {
    /// Opens or creates the file and writes the end of the log; durable on return.
    pub(crate) fn open(disk: &Disk, log_end: LogEnd) -> Result<Self, Error> {
        let path = path(disk.folder());
        let file = disk.open(&path, true).map_err(|e| Error::io(&path, "open", e))?;
        let mut end_file = Self { file, path };
        end_file.write(log_end)?;
        let cut = end_file.file.set_len(BYTES as u64);
        cut.map_err(|e| Error::io(&end_file.path, "write", e))?;
        end_file.file.sync_all().map_err(|e| Error::io(&end_file.path, "sync", e))?;
        Ok(end_file)
    }

    pub(crate) fn write(&mut self, log_end: LogEnd) -> Result<(), Error> {
        let write = |file: &mut DiskFile| {
            file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&log_end.encode()))
        };
        write(&mut self.file).map_err(|e| Error::io(&self.path, "write", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_other_length_is_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::of(folder.path());
        assert!(matches!(LogEnd::read(&disk), Err(Error::Damaged { .. })));
        let log_end = LogEnd { next: 300, checksum: 7 };
        drop(LogEndFile::open(&disk, log_end).expect("made"));
        assert_eq!(LogEnd::read(&disk).ok(), Some(log_end));
        let intact = log_end.encode();
        for bit in 0..BYTES * 8 {
            let mut torn = intact;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(LogEnd::decode(&torn), None, "bit {bit}");
        }
        assert!((0..BYTES).all(|len| LogEnd::decode(&intact[..len]).is_none()));
        assert_eq!(LogEnd::decode(&[&intact[..], &[0]].concat()), None);
    }
}
