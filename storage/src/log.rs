//! The log: what was committed since the checkpoint, as records with contiguous sequence numbers.
//! The only module that names sled, and the keeper of the three rules under which it is durable: after a flush our own
//! fsync of its file, no value over 24 KiB, no flushing by itself. Knows records, not what their operations mean.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::codec::{self, Decode, Encode};
use crate::op::Op;
use crate::{Epoch, Error};

/// What is larger than a quarter of a segment goes to blob files that sled never syncs: of 4 power cuts none kept them.
/// Since sled writes a leaf whole, that counts for leaves too, and one has up to 17 values, or 20 after a merge: with 32 KiB
/// and segments of 512 KiB, sled's default, nearly every commit wrote blobs. 20 of these fit a quarter of a segment, and the
/// largest operation, 4096 tokens, fits one of these.
pub(crate) const MAX_VALUE: usize = 24 << 10;
/// Fixed for ever: sled refuses a store that was made with another size.
const SEGMENT_BYTES: usize = 2 << 20;
const _: () =
    assert!(20 * (MAX_VALUE + 64) < SEGMENT_BYTES / 4 - 64, "a leaf of full records stays out of blob files");
/// A checksum, and a head whose four numbers have at most 9, 5, 5 and 5 bytes.
const MAX_BODY: usize = MAX_VALUE - 8 - 24;
const CACHE_BYTES: u64 = 64 << 20;
const TABLE: u8 = b'L';
const END_FILE: &str = "LOG.END";

/// What a record says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Head {
    pub(crate) epoch: u64,
    /// Which record of its batch it is, from 0, and how many there are: a batch is there whole or is damage.
    part: u32,
    parts: u32,
    ops: u32,
}

/// The open log; reading needs no lock.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    db: sled::Db,
}

/// The one who may add records.
#[derive(Debug)]
pub(crate) struct Appender {
    /// Our own handle of the file that sled writes, for the fsync that sled never does.
    file: File,
    end: File,
    end_path: PathBuf,
    next: u64,
}

fn key(seq: u64) -> [u8; 9] {
    let mut key = [TABLE; 9];
    key[1..].copy_from_slice(&seq.to_be_bytes());
    key
}

fn checksum(key: &[u8], payload: &[u8]) -> [u8; 8] {
    let mut hash = Xxh3::new();
    hash.update(key);
    hash.update(payload);
    hash.digest().to_le_bytes()
}

/// Divides the operations of a batch into bodies that fit a record each, with their counts.
fn pack(ops: &[Op]) -> Vec<(u32, Vec<u8>)> {
    let mut bodies: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut one = Vec::new();
    for op in ops {
        one.clear();
        codec::encode_into(&mut one, op);
        assert!(one.len() <= MAX_BODY, "a batch refuses names and features that would not fit a record");
        match bodies.last_mut() {
            Some((count, body)) if body.len() + one.len() <= MAX_BODY => {
                body.extend_from_slice(&one);
                *count += 1;
            }
            _ => bodies.push((1, one.clone())),
        }
    }
    bodies
}

impl Log {
    /// Opens the engine, or creates it where the folder is new; what it does on damage, panics included, becomes an error.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
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
                Ok(Err(e)) => return Err(refused(folder, "open", e)),
                Err(_) => return Err(Error::damaged(folder, "engine", "its files cannot be read")),
            }
        }
    }

    /// Runs something in the engine, which may panic where its files are damaged.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(Error::damaged(&self.folder, "engine", "its files cannot be read")))
    }

    fn damaged(&self, seq: u64, what: &str) -> Error {
        Error::damaged(&self.folder, format!("record {seq}"), what)
    }

    /// The number after the last record's; none when there is no record.
    pub(crate) fn end(&self) -> Result<Option<u64>, Error> {
        self.guarded(|| match self.db.last() {
            Ok(None) => Ok(None),
            Ok(Some((key, _))) => {
                let seq = <[u8; 9]>::try_from(&*key).ok().filter(|key| key[0] == TABLE);
                let seq = seq.map(|key| u64::from_be_bytes(key[1..].try_into().expect("eight bytes")));
                let end = seq.and_then(|seq| seq.checked_add(1));
                end.map(Some).ok_or_else(|| Error::damaged(&self.folder, "last record", "a foreign key"))
            }
            Err(e) => Err(refused(&self.folder, "read", e)),
        })
    }

    /// Calls `visit` with sequence number, head and body of every record in the range, and checks that each is there
    /// and intact, that batches are whole and that their epochs follow one another.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the number of the first record that is not as it should be; those of `visit`.
    pub(crate) fn scan(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(u64, &Head, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.guarded(|| {
            let mut expected = range.start;
            let mut before: Option<Head> = None;
            for item in self.db.range(key(range.start)..key(range.end)) {
                let (found, value) = item.map_err(|e| refused(&self.folder, "read", e))?;
                if *found != key(expected) {
                    return Err(self.damaged(expected, "it is missing"));
                }
                let (sum, mut body) = value.split_at_checked(8).unwrap_or_default();
                if sum != checksum(&found, body) {
                    return Err(self.damaged(expected, "its checksum does not fit"));
                }
                let head: Head = codec::decode_next(&mut body)
                    .map_err(|_| self.damaged(expected, "its head is unreadable"))?;
                let whole = match before {
                    Some(last) if last.part + 1 < last.parts => {
                        (head.epoch, head.part, head.parts) == (last.epoch, last.part + 1, last.parts)
                    }
                    Some(last) => head.part == 0 && head.epoch == last.epoch + 1,
                    None => head.part == 0,
                };
                if !whole || head.parts == 0 {
                    return Err(self.damaged(expected, "it does not continue the one before"));
                }
                visit(expected, &head, body)?;
                before = Some(head);
                expected += 1;
            }
            if expected != range.end || before.is_some_and(|last| last.part + 1 < last.parts) {
                return Err(self.damaged(expected, "it is missing"));
            }
            Ok(())
        })
    }

    /// The operations in a record's body.
    pub(crate) fn ops(&self, seq: u64, head: &Head, mut body: &[u8]) -> Result<Vec<Op>, Error> {
        let unreadable = || self.damaged(seq, "its operations are unreadable");
        let mut ops = Vec::new();
        for _ in 0..head.ops {
            ops.push(codec::decode_next(&mut body).map_err(|_| unreadable())?);
        }
        if body.is_empty() { Ok(ops) } else { Err(unreadable()) }
    }

    /// Where damage was found that only the meaning of the operations shows.
    pub(crate) fn contradiction(&self, seq: u64, what: &str) -> Error {
        self.damaged(seq, what)
    }

    /// Adds the operations of a batch, durable on return: one sled batch, a flush, and our fsync.
    ///
    /// Returns the number of the first record.
    ///
    /// # Errors
    /// Any error leaves open whether the batch is there; the caller must not append again.
    ///
    /// # Cost
    /// One fsync; 18 bytes an edge.
    pub(crate) fn append(&self, appender: &mut Appender, epoch: Epoch, ops: &[Op]) -> Result<u64, Error> {
        let bodies = pack(ops);
        let parts = bodies.len() as u32;
        let first = appender.next;
        let mut batch = sled::Batch::default();
        for ((seq, part), (count, body)) in (first..).zip(0..).zip(bodies) {
            let mut value = vec![0; 8];
            codec::encode_into(&mut value, &Head { epoch: epoch.get(), part, parts, ops: count });
            value.extend_from_slice(&body);
            let sum = checksum(&key(seq), &value[8..]);
            value[..8].copy_from_slice(&sum);
            batch.insert(&key(seq), value);
        }
        self.guarded(|| {
            self.db.apply_batch(batch).map_err(|e| refused(&self.folder, "write", e))?;
            self.db.flush().map_err(|e| refused(&self.folder, "write", e))?;
            Ok(())
        })?;
        appender.file.sync_data().map_err(|e| Error::io(&self.folder, "sync", e))?;
        appender.next += u64::from(parts);
        appender.mark()?;
        Ok(first)
    }

    /// Removes records below `seq`, which no manifest needs any more; how far it comes does not matter.
    pub(crate) fn trim(&self, below: u64) -> Result<(), Error> {
        self.guarded(|| {
            loop {
                let mut batch = sled::Batch::default();
                let mut any = false;
                for item in self.db.range(key(0)..key(below)).keys().take(4096) {
                    batch.remove(item.map_err(|e| refused(&self.folder, "read", e))?);
                    any = true;
                }
                if !any {
                    return Ok(());
                }
                self.db.apply_batch(batch).map_err(|e| refused(&self.folder, "write", e))?;
            }
        })
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.guarded(|| self.db.size_on_disk().map_err(|e| refused(&self.folder, "read", e))).unwrap_or(0)
    }

    /// Takes the right to append from number `next` on.
    ///
    /// `LOG.END` beside the folder holds the number after the last acknowledged record. It is written over in place
    /// after each commit, and synced only here: after a power cut it may be behind, never ahead. So records that the engine
    /// has lost without a word, as it does where its file was cut short, are seen at the next open.
    ///
    /// # Errors
    /// [`Error::Damaged`] when acknowledged records are missing at the end.
    pub(crate) fn appender(&self, next: u64, create: bool) -> Result<Appender, Error> {
        let open = |path: &Path, create: bool| {
            let mut options = File::options();
            options.read(true).write(true).create(create);
            options.open(path).map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => Error::damaged(path, "file", "it is missing"),
                _ => Error::io(path, "open", e),
            })
        };
        let file = open(&self.folder.join("db"), false)?;
        let end_path = self.folder.with_file_name(END_FILE);
        let end = open(&end_path, create)?;
        let mut appender = Appender { file, end, end_path, next };
        if create {
            // The engine never syncs these; a store is created once.
            let conf = open(&self.folder.join("conf"), false)?;
            conf.sync_all().map_err(|e| Error::io(&self.folder, "sync", e))?;
            appender.file.sync_all().map_err(|e| Error::io(&self.folder, "sync", e))?;
            sync_folder(&self.folder)?;
        } else {
            let marked = appender.marked()?;
            if marked > next {
                return Err(self.damaged(next, "it was acknowledged and is missing"));
            }
        }
        appender.mark()?;
        appender.end.sync_all().map_err(|e| Error::io(&appender.end_path, "sync", e))?;
        Ok(appender)
    }
}

impl Head {
    /// Whether the record is the first of its batch.
    pub(crate) fn is_first(&self) -> bool {
        self.part == 0
    }
}

impl Appender {
    /// The number that the next record gets.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Makes the next fsync fail: a device without one refuses.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn break_sync(&mut self) {
        self.file = File::open("/dev/null").expect("there is always one");
    }

    fn mark(&mut self) -> Result<(), Error> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next.to_le_bytes());
        let sum = xxh3_64(&bytes[..8]);
        bytes[8..].copy_from_slice(&sum.to_le_bytes());
        let write = |end: &mut File| end.seek(SeekFrom::Start(0)).and_then(|_| end.write_all(&bytes));
        write(&mut self.end).map_err(|e| Error::io(&self.end_path, "write", e))
    }

    fn marked(&mut self) -> Result<u64, Error> {
        let mut bytes = Vec::new();
        (&self.end).take(17).read_to_end(&mut bytes).map_err(|e| Error::io(&self.end_path, "read", e))?;
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        match (number(0), number(8)) {
            (Some(next), Some(sum)) if bytes.len() == 16 && sum == xxh3_64(&bytes[..8]) => Ok(next),
            _ => Err(Error::damaged(&self.end_path, "file", "its checksum does not fit")),
        }
    }
}

/// Makes new and removed names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io(folder, "sync", e))?;
    }
    Ok(())
}

/// Our words for the engine's errors.
fn refused(folder: &Path, action: &'static str, error: sled::Error) -> Error {
    match error {
        sled::Error::Io(source) => Error::io(folder, action, source),
        sled::Error::Corruption { .. } => Error::damaged(folder, "engine", "its own checksums do not fit"),
        sled::Error::CollectionNotFound(_) | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) => {
            Error::damaged(folder, "engine", "its files are not as it left them")
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

    fn values(log: &Log) -> Vec<Vec<u8>> {
        log.db.iter().values().map(|value| value.expect("readable").to_vec()).collect()
    }

    #[test]
    fn no_value_is_over_the_limit_and_a_batch_is_put_together_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::open(&folder.path().join("log")).expect("created");
        let mut appender = log.appender(0, true).expect("first");
        let mut ops = edges(20_000);
        let key = "k".repeat(512);
        ops.extend((0..500).map(|_| Op::Node { node: 0, kind: 0, key: key.clone() }));
        ops.push(Op::Dense { node: 1, block: "b".repeat(64), values: vec![0.5; 4096] });
        let tokens = (0..4096).map(|n| format!("{n:04}")).collect();
        ops.push(Op::Tokens { node: u32::MAX, tokens });
        log.append(&mut appender, Epoch::new(1), &ops).expect("appended");
        log.append(&mut appender, Epoch::new(2), &edges(1)).expect("appended");
        assert!(values(&log).len() > 3);
        assert!(values(&log).iter().all(|value| value.len() <= MAX_VALUE));
        assert!(std::fs::read_dir(folder.path().join("log/blobs")).expect("there").next().is_none());
        let mut read = Vec::new();
        log.scan(0..appender.next(), |seq, head, body| {
            if head.epoch == 1 {
                read.extend(log.ops(seq, head, body)?);
            }
            Ok(())
        })
        .expect("intact");
        assert_eq!(read, ops);
    }

    /// A power cut lost what sled had put into blob files, though no value was over 32 KiB: leaves of 17 of them were. So the
    /// fullest records are written here, trimmed and written again, and the folder of blobs stays empty.
    #[test]
    fn nothing_ever_goes_to_blob_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::open(&folder.path().join("log")).expect("created");
        let mut appender = log.appender(0, true).expect("first");
        for epoch in 1..60 {
            log.append(&mut appender, Epoch::new(epoch), &edges(40_000)).expect("appended");
            if epoch % 7 == 0 {
                log.trim(appender.next().saturating_sub(50 + 3 * (epoch % 5))).expect("trimmed");
            }
            let blobs = std::fs::read_dir(folder.path().join("log/blobs")).expect("there").count();
            assert_eq!(blobs, 0, "epoch {epoch}");
        }
    }

    #[test]
    fn a_flipped_bit_a_missing_record_and_a_torn_batch_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::open(&folder.path().join("log")).expect("created");
        let mut appender = log.appender(0, true).expect("first");
        log.append(&mut appender, Epoch::new(1), &edges(3)).expect("appended");
        log.append(&mut appender, Epoch::new(2), &edges(9000)).expect("appended");
        log.append(&mut appender, Epoch::new(3), &edges(3)).expect("appended");
        let end = appender.next();
        let place = |log: &Log| match log.scan(0..end, |_, _, _| Ok(())) {
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
        // Without its last part the second batch is torn, even where the log seems to end there.
        assert!(log.scan(0..end - 2, |_, _, _| Ok(())).is_err());
        assert!(log.scan(0..end, |_, _, _| Ok(())).is_ok());
        // What was acknowledged and is gone from the end is missed as well.
        drop(appender);
        assert!(matches!(log.appender(end - 1, false), Err(Error::Damaged { .. })));
        assert!(log.appender(end, false).is_ok());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_commit_fsyncs_the_file_of_the_engine_by_our_own_handle() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::open(&folder.path().join("log")).expect("created");
        let mut appender = log.appender(0, true).expect("first");
        let file = std::fs::metadata(folder.path().join("log/db")).expect("there");
        assert_eq!(appender.file.metadata().expect("readable").ino(), file.ino());
        log.append(&mut appender, Epoch::new(1), &edges(3)).expect("appended");
        appender.break_sync();
        assert!(matches!(
            log.append(&mut appender, Epoch::new(2), &edges(3)),
            Err(Error::Io { action: "sync", .. })
        ));
    }

    #[test]
    fn trimming_leaves_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::open(&folder.path().join("log")).expect("created");
        let mut appender = log.appender(7, true).expect("first");
        for epoch in 1..6 {
            log.append(&mut appender, Epoch::new(epoch), &edges(3)).expect("appended");
        }
        log.trim(10).expect("trimmed");
        assert_eq!(values(&log).len(), 2);
        assert_eq!(log.end().expect("readable"), Some(12));
        assert!(log.scan(10..12, |_, _, _| Ok(())).is_ok());
    }
}
