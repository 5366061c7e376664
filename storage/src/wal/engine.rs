//! The log: the batches since the checkpoint, as records with contiguous sequence numbers.
//! Owns the three rules that make sled durable: after a flush our own fsync of its file, no value over 24 KiB, no
//! automatic flushes.
//! Knows records, not the meaning of their operations.

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fs::disk::{Disk, DiskFile};
use crate::fs::folder::require_plain;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::types::ops::Op;

use crate::wal::appender::{Appender, UnsyncedRecords};
use crate::wal::journal::Journal;
use crate::wal::log_end::{LogEnd, LogEndFile};
use crate::wal::record;
use crate::wal::record::Head;
pub(crate) use crate::wal::record_scan::{rebuild, remove_folder};

/// The longest value. A larger one than a quarter of a segment goes to blob files that sled never syncs: of 4 power
/// cuts none kept them. sled writes a leaf in one piece, so the limit holds for leaves too, and a leaf has up to 17
/// values, or 20 after a merge. With 32 KiB and segments of 512 KiB, sled's default, nearly every commit wrote blobs.
/// 20 of these values fit a quarter of a segment, and the largest operation, 4096 tokens, fits one value.
pub(crate) const MAX_VALUE: usize = 24 << 10;
/// Must never change: sled refuses a store that was made with another segment size.
const SEGMENT_BYTES: usize = 2 << 20;
const _: () =
    assert!(20 * (MAX_VALUE + 64) < SEGMENT_BYTES / 4 - 64, "a leaf of full records stays out of blob files");
pub(crate) const MAX_BODY: usize = MAX_VALUE - record::HEAD;
const CACHE_BYTES: u64 = 64 << 20;
const TABLE: u8 = b'L';
/// The engine's folder within the store's.
pub(crate) const FOLDER: &str = "log";
/// The engine's other files are at most as long as this or as the one with records.
const MAX_OTHER_FILE: u64 = 1 << 20;
/// The engine's only file with records.
pub(crate) const FILE: &str = "db";

/// The open log; reading needs no lock.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    pub(super) db: sled::Db,
}

/// Makes records durable.
#[derive(Debug)]
pub(crate) struct Syncer {
    /// Our own handle of the file that sled writes, for the fsync that sled never does.
    file: DiskFile,
    journal: Journal,
    log_end: LogEndFile,
}

pub(super) fn key(seq: u64) -> [u8; 9] {
    let mut key = [TABLE; 9];
    key[1..].copy_from_slice(&seq.to_be_bytes());
    key
}

impl Log {
    /// Opens the engine, or creates it in a new folder. Failures of the engine on damage, panics included, become
    /// errors.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        check_files(folder)?;
        let config = sled::Config::new()
            .path(folder)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        let mut patience = 100;
        loop {
            let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
            match opened {
                Ok(Ok(db)) => return Ok(Self { folder: folder.to_path_buf(), db }),
                // A handle that was just dropped in this process may hold the engine's own lock a little longer.
                Ok(Err(sled::Error::Io(e))) if e.kind() == io::ErrorKind::Other && patience > 0 => {
                    patience -= 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(Err(e)) => return Err(engine_error(folder, "open", e)),
                Err(_) => return Err(Error::damaged(folder, "engine", "its files cannot be read")),
            }
        }
    }

    /// Runs work in the engine, which may panic where its files are damaged.
    pub(super) fn catch_panics<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(Error::damaged(&self.folder, "engine", "its files cannot be read")))
    }

    fn damaged(&self, seq: u64, what: &str) -> Error {
        Error::damaged(&self.folder, format!("record {seq}"), what)
    }

    /// The number after the last record; `None` when there is no record.
    pub(crate) fn end(&self) -> Result<Option<u64>, Error> {
        self.catch_panics(|| match self.db.last() {
            Ok(None) => Ok(None),
            Ok(Some((key, _))) => {
                let seq = <[u8; 9]>::try_from(&*key).ok().filter(|key| key[0] == TABLE);
                let seq = seq.map(|key| u64::from_be_bytes(key[1..].try_into().expect("eight bytes")));
                let end = seq.and_then(|seq| seq.checked_add(1));
                end.map(Some).ok_or_else(|| {
                    Error::damaged(&self.folder, "last record", "its key is not a record number")
                })
            }
            Err(e) => Err(engine_error(&self.folder, "read", e)),
        })
    }

    /// Calls `visit` with the head and body of every record in the range. Checks that each record is there and intact,
    /// that it follows the one before, and that batches are complete.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the number of the first bad record; errors of `visit`.
    pub(crate) fn scan(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(&Head, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.catch_panics(|| {
            let mut expected = range.start;
            let mut before: Option<Head> = None;
            for item in self.db.range(key(range.start)..key(range.end)) {
                let (found, value) = item.map_err(|e| engine_error(&self.folder, "read", e))?;
                if *found != key(expected) {
                    return Err(self.damaged(expected, "it is missing"));
                }
                let (head, body) =
                    record::decode(&value, MAX_BODY).map_err(|what| self.damaged(expected, what))?;
                if head.seq != expected || value.len() != record::HEAD + body.len() {
                    return Err(self.damaged(expected, "its number or length differs from its head"));
                }
                if before.map_or(!head.is_first(), |last| !head.follows(&last)) {
                    return Err(self.damaged(expected, "it does not follow the record before"));
                }
                visit(&head, body)?;
                before = Some(head);
                expected += 1;
            }
            if expected != range.end || before.is_some_and(|last| !last.is_last()) {
                return Err(self.damaged(expected, "it is missing"));
            }
            Ok(())
        })
    }

    /// Decodes the operations in a record's body.
    pub(crate) fn ops(&self, head: &Head, body: &[u8]) -> Result<Vec<Op>, Error> {
        record::ops(head, body).map_err(|what| self.damaged(head.seq, what))
    }

    /// The checksum of the record before a number, from that record or the one after it; `None` where the log has
    /// neither.
    pub(crate) fn checksum_before(&self, seq: u64) -> Result<Option<u64>, Error> {
        let head = |seq: u64| {
            let value = self.db.get(key(seq)).map_err(|e| engine_error(&self.folder, "read", e))?;
            let head = value.map(|value| record::decode(&value, MAX_BODY).map(|(head, _)| head));
            head.transpose().map_err(|what| self.damaged(seq, what))
        };
        self.catch_panics(|| {
            if let Some(next) = head(seq)? {
                return Ok(Some(next.before));
            }
            seq.checked_sub(1).map_or(Ok(None), |before| Ok(head(before)?.map(|head| head.sum)))
        })
    }

    /// The error for a record whose operations contradict the state.
    pub(crate) fn record_error(&self, seq: u64, what: &str) -> Error {
        self.damaged(seq, what)
    }

    /// Adds the operations of a batch to the engine's memory as one atomic batch; durable after the next
    /// [`Self::sync`].
    ///
    /// Returns the number of the first record.
    ///
    /// # Errors
    /// After any error it is unknown whether the batch is in the log; the caller must not append again.
    ///
    /// # Cost
    /// 52 bytes a record, and some 18 an edge.
    pub(crate) fn append(&self, appender: &mut Appender, epoch: Epoch, ops: &[Op]) -> Result<u64, Error> {
        // The records of the batch, each with its number and the checksum of the one before.
        let bodies = record::pack(ops, MAX_BODY);
        let parts = bodies.len() as u32;
        let mut log_end = appender.log_end;
        let first = log_end.next;
        let mut records = Vec::with_capacity(bodies.len());
        for (part, (ops, body)) in (0..).zip(bodies) {
            let (seq, before) = (log_end.next, log_end.checksum);
            let mut head = Head { seq, before, epoch: epoch.get(), part, parts, ops, sum: 0 };
            records.push((key(seq), record::encode(&mut head, &body)));
            log_end = LogEnd { next: seq + 1, checksum: head.sum };
        }
        // The journal gets a copy, and the engine all records at once.
        appender.buffer(&records);
        let failed = |e| engine_error(&self.folder, "write", e);
        self.catch_panics(|| {
            // A single record is inserted directly: a batch of one makes the engine write twice and wait, a third of a
            // small commit.
            if let [(key, record)] = records.as_mut_slice() {
                return self.db.insert(*key, std::mem::take(record)).map(drop).map_err(failed);
            }
            let mut batch = sled::Batch::default();
            records.drain(..).for_each(|(key, record)| batch.insert(&key, record));
            self.db.apply_batch(batch).map_err(failed)
        })?;
        appender.log_end = log_end;
        Ok(first)
    }

    /// Makes every appended record durable: through the journal, or through a flush of the engine and our fsync when
    /// the journal is full.
    ///
    /// # Errors
    /// After any error the content of the disk is unknown; the caller must not append or sync again.
    ///
    /// # Cost
    /// One fsync for any number of records; two for a megabyte of records.
    pub(crate) fn sync(&self, syncer: &mut Syncer, unsynced: &UnsyncedRecords) -> Result<(), Error> {
        match &unsynced.records {
            Some(records) if syncer.journal.has_room(records.len()) => syncer.journal.add(records)?,
            _ => {
                self.catch_panics(|| self.db.flush().map_err(|e| engine_error(&self.folder, "write", e)))?;
                syncer.file.sync_data().map_err(|e| Error::io(&self.folder, "sync", e))?;
                syncer.journal.restart();
            }
        }
        syncer.log_end.write(unsynced.log_end)
    }

    /// Adds records that the journal has and the engine lacks; durable on return.
    pub(crate) fn append_missing<'a>(
        &self,
        disk: &Disk,
        records: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> Result<(), Error> {
        for (seq, record) in records {
            self.catch_panics(|| {
                self.db.insert(key(seq), record).map(drop).map_err(|e| engine_error(&self.folder, "write", e))
            })?;
        }
        self.sync_all(disk)
    }

    /// Removes records below `seq`, which no manifest needs. An interruption is harmless.
    pub(crate) fn trim(&self, below: u64) -> Result<(), Error> {
        self.catch_panics(|| {
            loop {
                let mut batch = sled::Batch::default();
                let mut any = false;
                for item in self.db.range(key(0)..key(below)).keys().take(4096) {
                    batch.remove(item.map_err(|e| engine_error(&self.folder, "read", e))?);
                    any = true;
                }
                if !any {
                    return Ok(());
                }
                self.db.apply_batch(batch).map_err(|e| engine_error(&self.folder, "write", e))?;
            }
        })
    }

    /// The size on disk, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.catch_panics(|| self.db.size_on_disk().map_err(|e| engine_error(&self.folder, "read", e)))
            .unwrap_or(0)
    }

    /// Takes the right to make records durable, in a log that ends at `log_end`. The engine is synced first, because
    /// the journal starts over and the writes of a killed process may be only in the system's memory.
    pub(crate) fn syncer(&self, disk: &Disk, log_end: LogEnd) -> Result<Syncer, Error> {
        self.sync_all(disk)?;
        let path = self.folder.join(FILE);
        let file = disk.open(&path, false).map_err(|e| Error::io(&path, "open", e))?;
        Ok(Syncer { file, journal: Journal::open(disk)?, log_end: LogEndFile::open(disk, log_end)? })
    }

    /// Flushes the engine and syncs the files that it never syncs.
    pub(crate) fn sync_all(&self, disk: &Disk) -> Result<(), Error> {
        self.catch_panics(|| self.db.flush().map_err(|e| engine_error(&self.folder, "write", e)))?;
        for name in ["conf", FILE] {
            let path = self.folder.join(name);
            let synced = disk.open(&path, false).and_then(|file| file.sync_all());
            synced.map_err(|e| Error::io(&path, "sync", e))?;
        }
        disk.sync_folder(&self.folder).map_err(|e| Error::io(&self.folder, "sync", e))
    }
}

/// Refuses a folder that the engine could not read in bounds: it would wait for the other end of a pipe, and it reads
/// all its files but the first in full. A snapshot of its pages is shorter than the pages.
fn check_files(folder: &Path) -> Result<(), Error> {
    let bytes_of_pages = folder.join(FILE).metadata().map_or(0, |found| found.len());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let found = path.metadata().map_err(|e| Error::io(&path, "open", e))?;
        if found.is_dir() {
            continue;
        }
        require_plain(found.file_type()).map_err(|e| Error::damaged(&path, "file", e.to_string()))?;
        if !path.ends_with(FILE) && found.len() > MAX_OTHER_FILE.max(bytes_of_pages) {
            let what = format!("it has {} bytes, more than the engine ever writes to it", found.len());
            return Err(Error::damaged(&path, "file", what));
        }
    }
    Ok(())
}

impl Syncer {
    /// Makes the next fsync fail, by a device that does not support it.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn break_sync(&mut self) {
        self.file = Disk::failing_file();
        self.journal.break_sync();
    }
}

/// True for a panic of the engine below the log, which panics on damage. The store catches it and reports the damage,
/// so a host's panic hook need not print it.
pub fn is_engine_panic(panic: &std::panic::PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|place| place.file().contains("sled-0."))
}

/// Converts the engine's errors to ours.
pub(super) fn engine_error(folder: &Path, action: &'static str, error: sled::Error) -> Error {
    match error {
        sled::Error::Io(source) => Error::io(folder, action, source),
        sled::Error::Corruption { .. } => Error::damaged(folder, "engine", "its own checksums do not match"),
        sled::Error::CollectionNotFound(_) | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) => {
            Error::damaged(folder, "engine", "its files are inconsistent")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(count: u32) -> Vec<Op> {
        let edge = |a| Op::Edge { relation: 0, a, b: a + 1, old: None, new: None };
        (0..count).map(edge).collect()
    }

    fn opened(folder: &Path) -> (Log, Appender, Syncer) {
        let log = Log::open(&folder.join(FOLDER)).expect("created");
        let syncer = log.syncer(&Disk::of(folder), LogEnd::default()).expect("first");
        (log, Appender::new(LogEnd::default()), syncer)
    }

    fn commit(log: &Log, (appender, syncer): (&mut Appender, &mut Syncer), epoch: u64, ops: &[Op]) {
        log.append(appender, Epoch::new(epoch), ops).expect("staged");
        log.sync(syncer, &appender.take()).expect("synced");
    }

    fn values(log: &Log) -> Vec<Vec<u8>> {
        log.db.iter().values().map(|value| value.expect("readable").to_vec()).collect()
    }

    #[test]
    fn no_value_is_over_the_limit_and_a_batch_is_put_together_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, mut appender, mut syncer) = opened(folder.path());
        let mut ops = edges(20_000);
        let key = "k".repeat(512);
        ops.extend((0..500).map(|_| Op::Node { node: 0, kind: 0, key: key.clone() }));
        ops.push(Op::Dense { node: 1, block: "b".repeat(64), values: vec![0.5; 4096] });
        let tokens = (0..4096).map(|n| format!("{n:04}")).collect();
        ops.push(Op::Tokens { node: u32::MAX, tokens });
        commit(&log, (&mut appender, &mut syncer), 1, &ops);
        commit(&log, (&mut appender, &mut syncer), 2, &edges(1));
        assert!(values(&log).len() > 3);
        assert!(values(&log).iter().all(|value| value.len() <= MAX_VALUE));
        assert!(std::fs::read_dir(folder.path().join("log/blobs")).expect("there").next().is_none());
        let mut read = Vec::new();
        log.scan(0..appender.log_end().next, |head, body| {
            if head.epoch == 1 {
                read.extend(log.ops(head, body)?);
            }
            Ok(())
        })
        .expect("intact");
        assert_eq!(read, ops);
    }

    /// A power cut lost values in sled's blob files, though no value was over 32 KiB: leaves of 17 of them were. This
    /// test writes the largest records, trims them and writes again, and the folder of blobs stays empty.
    #[test]
    fn nothing_ever_goes_to_blob_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, mut appender, mut syncer) = opened(folder.path());
        for epoch in 1..60 {
            commit(&log, (&mut appender, &mut syncer), epoch, &edges(40_000));
            if epoch % 7 == 0 {
                log.trim(appender.log_end().next.saturating_sub(50 + 3 * (epoch % 5))).expect("trimmed");
            }
            let blobs = std::fs::read_dir(folder.path().join("log/blobs")).expect("there").count();
            assert_eq!(blobs, 0, "epoch {epoch}");
        }
    }

    #[test]
    fn a_flipped_bit_a_missing_record_and_a_torn_batch_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, mut appender, mut syncer) = opened(folder.path());
        for (epoch, count) in [(1, 3), (2, 9000), (3, 3)] {
            commit(&log, (&mut appender, &mut syncer), epoch, &edges(count));
        }
        let end = appender.log_end().next;
        let place = |log: &Log| match log.scan(0..end, |_, _| Ok(())) {
            Err(Error::Damaged { place, .. }) => place,
            other => format!("{other:?}"),
        };
        for seq in 0..end {
            let intact = log.db.get(key(seq)).expect("readable").expect("there");
            for bit in (0..intact.len() * 8).step_by(intact.len().div_ceil(40)) {
                let mut torn = intact.to_vec();
                torn[bit / 8] ^= 1 << (bit % 8);
                log.db.insert(key(seq), torn).expect("written");
                assert_eq!(place(&log), format!("record {seq}"), "bit {bit}");
            }
            log.db.remove(key(seq)).expect("removed");
            assert_eq!(place(&log), format!("record {seq}"));
            log.db.insert(key(seq), intact).expect("written");
        }
        // Without its last part the second batch is incomplete, even where the log seems to end there.
        assert!(log.scan(0..end - 2, |_, _| Ok(())).is_err());
        assert!(log.scan(0..end, |_, _| Ok(())).is_ok());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_commit_fsyncs_the_file_of_the_engine_by_our_own_handle() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().expect("a folder");
        let (log, mut appender, mut syncer) = opened(folder.path());
        let file = std::fs::metadata(folder.path().join("log/db")).expect("there");
        assert_eq!(syncer.file.as_file().metadata().expect("readable").ino(), file.ino());
        commit(&log, (&mut appender, &mut syncer), 1, &edges(3));
        syncer.break_sync();
        log.append(&mut appender, Epoch::new(2), &edges(3)).expect("staged");
        let pending = UnsyncedRecords { records: None, log_end: appender.log_end() };
        assert!(matches!(log.sync(&mut syncer, &pending), Err(Error::Io { action: "sync", .. })));
    }

    /// The rule, broken: a value over the limit goes to a blob file, which no sync of the engine's file makes durable.
    #[test]
    fn a_value_over_the_limit_is_gone_with_a_file_that_is_never_synced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let log = Log::open(&path).expect("created");
        log.db.insert(key(0), vec![1; SEGMENT_BYTES / 4 + 1]).expect("written");
        log.db.flush().expect("flushed");
        drop(log);
        let blobs: Vec<_> = std::fs::read_dir(path.join("blobs")).expect("there").flatten().collect();
        assert_eq!(blobs.len(), 1);
        std::fs::remove_file(blobs[0].path()).expect("removed");
        let lost = match Log::open(&path) {
            Ok(log) => log.catch_panics(|| Ok(log.db.get(key(0)).is_ok_and(|value| value.is_some()))),
            Err(error) => Err(error),
        };
        assert!(!matches!(lost, Ok(true)));
    }

    /// The rule, broken: with its own timer the engine writes data before a commit; without the timer it does not.
    #[test]
    fn only_the_timer_of_the_engine_writes_what_was_not_flushed() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = |path: &Path| std::fs::read(path.join(FILE)).expect("readable");
        let config =
            |name: &str| sled::Config::new().path(folder.path().join(name)).segment_size(SEGMENT_BYTES);
        let timed = config("timed").flush_every_ms(Some(1)).open().expect("created");
        timed.flush().expect("flushed");
        let log = Log::open(&folder.path().join("log")).expect("created");
        log.db.flush().expect("flushed");
        let before = [bytes(&folder.path().join("timed")), bytes(&log.folder)];
        timed.insert(key(0), vec![1; 100]).expect("written");
        log.db.insert(key(0), vec![1; 100]).expect("written");
        while bytes(&folder.path().join("timed")) == before[0] {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(bytes(&log.folder), before[1]);
    }

    #[test]
    fn trimming_leaves_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, mut appender, mut syncer) = opened(folder.path());
        for epoch in 1..6 {
            commit(&log, (&mut appender, &mut syncer), epoch, &edges(3));
        }
        log.trim(3).expect("trimmed");
        assert_eq!(values(&log).len(), 2);
        assert_eq!(log.end().expect("readable"), Some(5));
        assert!(log.scan(3..5, |_, _| Ok(())).is_ok());
    }
}
