//! Records found in the bytes of an engine that lost them or does not open, and a new engine made from them.
//! Knows the order of records; knows neither their operations nor the layout of the engine's file.
//!
//! A flipped bit makes the engine panic or lose records, though most of their bytes are still complete and in order.
//! Each record has its number, its checksum and that of the one before. So one chain ends at the last acknowledged
//! commit, and it is found among all records ever written.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;

use crate::fs::disk::Disk;
use crate::types::error::Error;

use crate::wal::engine::{FILE, FOLDER, Log, MAX_BODY, MAX_VALUE, key};
use crate::wal::journal;
use crate::wal::log_end::LogEnd;
use crate::wal::record;
use crate::wal::record::Head;

/// The folder of a new engine under construction, and the folders that keep the old engine meanwhile: a damaged one, or
/// one whose file is too large.
pub(crate) const NEW_LOG: &str = "log.new";
pub(crate) const DAMAGED_LOG: &str = "log.damaged";
pub(crate) const OLD_LOG: &str = "log.old";
/// Bytes of records that are added to a new engine at once.
const BATCH_BYTES: usize = 1 << 20;

/// Bytes of a file that are searched at once.
const WINDOW: usize = if cfg!(test) { 4 * MAX_VALUE } else { 8 << 20 };

/// The place in the log from which a manifest needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogStart {
    /// The first record that is read.
    pub(crate) first: u64,
    /// The first record that the files do not cover.
    pub(crate) replay_from: u64,
    /// The checksum of the record before that one, where the manifest knows it.
    pub(crate) replay_after: Option<u64>,
}

impl LogStart {
    /// True for a record that may belong to this log: late enough, and not the continuation of another one.
    pub(crate) fn admits(self, head: &Head) -> bool {
        head.seq >= self.first && !self.is_foreign(head)
    }

    /// The end of a log without records.
    pub(crate) fn end(self) -> LogEnd {
        let checksum = self.replay_after.filter(|_| self.first == self.replay_from).unwrap_or(0);
        LogEnd { next: self.first, checksum }
    }

    /// True if a log that ends before the first record after the files ends with another record than the manifest
    /// names.
    pub(crate) fn end_is_foreign(self, end: LogEnd) -> bool {
        end.next == self.replay_from && self.replay_after.is_some_and(|before| before != end.checksum)
    }

    /// True for the last record that the files cover if it is not the one that the manifest names, and for the one after
    /// it if it continues another one.
    pub(crate) fn is_foreign(self, head: &Head) -> bool {
        let Some(before) = self.replay_after else { return false };
        head.seq == self.replay_from && before != head.before
            || head.seq + 1 == self.replay_from && before != head.sum
    }
}

/// The intact records from a number on, copied from the engine's file and the journal. The engine overwrites unreadable
/// parts with zeros as soon as it is opened, so they are read before each opening.
pub(crate) struct ScannedRecords {
    bytes: Vec<u8>,
    /// By number; several where an unacknowledged record was replaced by another with its number.
    records: BTreeMap<u64, Vec<(Head, Range<usize>)>>,
}

impl ScannedRecords {
    /// Reads the engine's file and the journal of a store; missing files have no records.
    ///
    /// # Cost
    /// A pass over the files, and memory for the records: less than applying them takes. The length of the files costs
    /// no memory.
    pub(crate) fn read(disk: &Disk, start: LogStart) -> Result<Self, Error> {
        let mut found = Self { bytes: Vec::new(), records: BTreeMap::new() };
        let store = disk.folder();
        for (path, limit) in
            [(store.join(FOLDER).join(FILE), u64::MAX), (journal::path(store), journal::BYTES as u64)]
        {
            let file = match disk.read(&path) {
                // The engine and the journal name the damage when they open the file.
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => continue,
                other => other.map_err(|e| Error::io(&path, "open", e))?,
            };
            found.add_file(&mut file.take(limit), start).map_err(|e| Error::io(&path, "read", e))?;
        }
        Ok(found)
    }

    /// Adds the records of a file, window by window. Windows overlap by the longest record, so each is whole in one.
    fn add_file(&mut self, file: &mut impl Read, start: LogStart) -> std::io::Result<()> {
        let mut window = Vec::new();
        loop {
            let kept = window.len().min(MAX_VALUE);
            window.drain(..window.len() - kept);
            if file.by_ref().take((WINDOW - kept) as u64).read_to_end(&mut window)? == 0 {
                return Ok(());
            }
            for (head, range) in record::find(&window, MAX_BODY).filter(|(head, _)| start.admits(head)) {
                let candidates = self.records.entry(head.seq).or_default();
                if candidates.iter().all(|(other, _)| *other != head) {
                    let start = self.bytes.len();
                    self.bytes.extend_from_slice(&window[range]);
                    candidates.push((head, start..self.bytes.len()));
                }
            }
        }
    }

    fn with_seq(&self, seq: u64) -> &[(Head, Range<usize>)] {
        self.records.get(&seq).map_or(&[], Vec::as_slice)
    }

    /// The chain of records from number `from` on through `log_end`, and the complete batches after it; without
    /// `log_end` the longest chain.
    ///
    /// # Errors
    /// The number of the last missing record of the chain.
    pub(crate) fn chain(
        &self,
        from: u64,
        log_end: Option<LogEnd>,
    ) -> Result<Vec<&(Head, Range<usize>)>, u64> {
        // The chain back from the last acknowledged record, or from the last record that has one.
        let mut chain = match log_end {
            Some(log_end) if log_end.next <= from => Vec::new(),
            Some(log_end) => {
                let last =
                    self.with_seq(log_end.next - 1).iter().find(|(head, _)| head.sum == log_end.checksum);
                self.chain_back(from, last.ok_or(log_end.next - 1)?)?
            }
            None => {
                let ends = self.records.range(from..).rev().flat_map(|(_, candidates)| candidates);
                let mut chains = ends.map(|last| self.chain_back(from, last));
                match chains.next() {
                    None => Vec::new(),
                    Some(Ok(chain)) => chain,
                    Some(Err(missing)) => chains.find_map(Result::ok).ok_or(missing)?,
                }
            }
        };
        // The batches after it.
        let (next, sum) = match (chain.last(), log_end) {
            (Some((head, _)), _) => (head.seq + 1, Some(head.sum)),
            (None, Some(log_end)) if log_end.next == from => (from, Some(log_end.checksum)),
            (None, _) => (from, None),
        };
        self.extend_chain(&mut chain, next, sum);
        Ok(chain)
    }

    /// Adds the complete batches from number `next` on; `sum` is the checksum of the record before, if known.
    fn extend_chain<'a>(
        &'a self,
        chain: &mut Vec<&'a (Head, Range<usize>)>,
        mut next: u64,
        mut sum: Option<u64>,
    ) {
        while let Some(found) =
            self.with_seq(next).iter().find(|(head, _)| sum.is_none_or(|sum| head.before == sum))
        {
            (next, sum) = (next + 1, Some(found.0.sum));
            chain.push(found);
        }
        drop_partial_batch(chain);
    }

    /// True if a complete batch follows the apparent end of the log.
    pub(crate) fn continues_after(&self, log_end: LogEnd) -> bool {
        let mut chain = Vec::new();
        // Where no record was read, the checksum of the last record may be unknown.
        self.extend_chain(
            &mut chain,
            log_end.next,
            (log_end.checksum != 0 || log_end.next == 0).then_some(log_end.checksum),
        );
        chain.first().is_some_and(|(head, _)| head.is_first())
    }

    /// The longest run of consecutive records from `from` on, acknowledged or not.
    pub(crate) fn prefix(&self, from: u64) -> Vec<&(Head, Range<usize>)> {
        let mut best = Vec::new();
        for first in self.with_seq(from) {
            let mut chain = vec![first];
            while let Some(next) = chain
                .last()
                .and_then(|(last, _)| self.with_seq(last.seq + 1).iter().find(|(head, _)| head.follows(last)))
            {
                chain.push(next);
            }
            drop_partial_batch(&mut chain);
            if chain.len() > best.len() {
                best = chain;
            }
        }
        best
    }

    fn chain_back<'a>(
        &'a self,
        from: u64,
        last: &'a (Head, Range<usize>),
    ) -> Result<Vec<&'a (Head, Range<usize>)>, u64> {
        let mut chain = vec![last];
        while let Some((head, _)) = chain.last().filter(|(head, _)| head.seq > from) {
            let before = self.with_seq(head.seq - 1).iter().find(|(other, _)| head.follows(other));
            chain.push(before.ok_or(head.seq - 1)?);
        }
        chain.reverse();
        Ok(chain)
    }

    /// The number of bytes of all records.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The bytes of a record.
    pub(crate) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }
}

/// Removes an incomplete last batch.
fn drop_partial_batch(chain: &mut Vec<&(Head, Range<usize>)>) {
    while chain.last().is_some_and(|(head, _)| !head.is_last()) {
        chain.pop();
    }
}

/// Makes a new engine with these records in place of the current one, which is kept under another name.
///
/// # Visibility
/// At every moment the old engine or the new one is complete under its name, or the old one is found under the other
/// name.
pub(crate) fn rebuild<'a>(
    disk: &Disk,
    old: &str,
    records: impl Iterator<Item = (u64, &'a [u8])>,
) -> Result<(), Error> {
    let (new, old, log) = (disk.folder().join(NEW_LOG), disk.folder().join(old), disk.folder().join(FOLDER));
    remove_folder(&new)?;
    fill(disk, &new, records)?;
    if log.is_dir() {
        remove_folder(&old)?;
        disk.rename(&log, &old).map_err(|e| Error::io(&log, "move", e))?;
    }
    disk.rename(&new, &log).map_err(|e| Error::io(&log, "replace", e))?;
    disk.sync_folder(disk.folder()).map_err(|e| Error::io(disk.folder(), "sync", e))
}

/// Makes an engine with these records in a new folder; durable on return.
pub(crate) fn fill<'a>(
    disk: &Disk,
    folder: &Path,
    records: impl Iterator<Item = (u64, &'a [u8])>,
) -> Result<(), Error> {
    let log = Log::open(folder)?;
    let mut batch = sled::Batch::default();
    let mut gathered = 0;
    let apply = |batch: &mut sled::Batch| {
        let batch = std::mem::take(batch);
        log.catch_panics(|| {
            log.db.apply_batch(batch).map_err(|e| crate::wal::engine::engine_error(folder, "write", e))
        })
    };
    for (seq, bytes) in records {
        batch.insert(&key(seq), bytes);
        gathered += bytes.len();
        if gathered >= BATCH_BYTES {
            apply(&mut batch)?;
            gathered = 0;
        }
    }
    apply(&mut batch)?;
    log.sync_all(disk)
}

pub(crate) fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, "remove", e)),
        _ => Ok(()),
    }
}
