//! Recovery of the log: replays it, completes it from the journal, or makes a new engine from the records found.
//! Owns the choice among engine, journal and found records; knows nothing of manifests but their log positions.

use crate::checkpoint::manifest::Manifest;
use crate::graph::apply::Applier;
use crate::graph::graph_state::GraphState;
use crate::store::recover::{Loss, REWRITTEN, Recovery};
use crate::types::damage::Damage;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::types::ops::touched_nodes;
use crate::wal::dirty_nodes::DirtyNodes;
use crate::wal::engine;
use crate::wal::engine::{FILE, FOLDER, Log};
use crate::wal::log_end;
use crate::wal::log_end::LogEnd;
use crate::wal::log_index::LogIndex;
use crate::wal::record_scan::{DAMAGED_LOG, NEW_LOG, OLD_LOG, ScannedRecords};

/// The engine's file is left as it is below this size, or below this many bytes for each byte of records.
const SHRINK_BYTES: u64 = if cfg!(test) { 3 << 20 } else { 32 << 20 };
const SHRINK_RATIO: u64 = 8;
const FOREIGN: &str = "it does not follow the files of this store: it is of another store or another time";

/// The result of replaying the log.
pub(super) struct Replayed {
    pub(super) state: GraphState,
    pub(super) log_end: LogEnd,
    pub(super) log_index: LogIndex,
    pub(super) ops: u64,
    /// True if all changes since the derived files of every set were made are known.
    pub(super) has_all_changes: bool,
}

impl Recovery<'_> {
    /// Restores the old engine after an interrupted rebuild of the log.
    pub(super) fn undo_half_rebuild(&self) -> Result<(), Error> {
        let [log, damaged, oversized, new] =
            [FOLDER, DAMAGED_LOG, OLD_LOG, NEW_LOG].map(|name| self.disk.folder().join(name));
        for old in [&oversized, &damaged] {
            if !log.exists() && old.join(FILE).is_file() {
                self.disk.rename(old, &log).map_err(|e| Error::io(old, "move back", e))?;
            }
        }
        engine::remove_folder(&oversized)?;
        engine::remove_folder(&new)
    }

    /// Rebuilds the log where its file is much larger than its records; the engine never shrinks its file.
    fn shrink_log(&self, scanned: &ScannedRecords, from: u64, known: Option<LogEnd>) -> Result<(), Error> {
        let file = self.disk.folder().join(FOLDER).join(FILE);
        let bytes = file.metadata().map_or(0, |found| found.len());
        if bytes < SHRINK_BYTES || bytes / SHRINK_RATIO < scanned.len() {
            return Ok(());
        }
        let Ok(chain) = scanned.chain(from, known) else { return Ok(()) };
        let records = chain.iter().map(|(head, range)| (head.seq, scanned.bytes(range)));
        engine::rebuild(self.disk, OLD_LOG, records)?;
        engine::remove_folder(&self.disk.folder().join(OLD_LOG))
    }

    /// Replays the log over a checkpoint; on damage, rebuilds the log from the records found in the bytes of its file.
    pub(super) fn log(
        &mut self,
        manifest: &Manifest,
        checkpointed: GraphState,
        loss: Loss,
    ) -> Result<(Log, Replayed), Error> {
        let folder = self.disk.folder().join(FOLDER);
        // The records in the files, which are read before the engine opens them.
        let log_end = Damage::from_result(LogEnd::read(self.disk), REWRITTEN)?;
        let mut known = log_end.as_ref().ok().copied();
        if let Some(end) = known.filter(|&end| manifest.log_start(0).end_is_foreign(end)) {
            let path = log_end::path(self.disk.folder());
            if loss == Loss::None {
                return Err(Error::damaged(&path, format!("record {}", end.next), FOREIGN));
            }
            self.damage.push(Damage::new(&path, "file", FOREIGN, REWRITTEN));
            known = None;
        }
        let scanned = ScannedRecords::read(self.disk, manifest.log_start(manifest.log_start))?;
        if known.is_some() {
            self.shrink_log(&scanned, manifest.log_start, known)?;
        }
        // The engine is opened, completed from the journal, and replayed.
        let opened = if folder.join(FILE).is_file() {
            Log::open(&folder)
        } else {
            Err(Error::damaged(&folder, FILE, "it is missing"))
        };
        let replayed = opened.and_then(|log| {
            self.append_from_journal(&log, &scanned, manifest, known)?;
            let replayed =
                self.replay(&log, manifest, checkpointed.clone(), manifest.first_needed(), known)?;
            Ok((log, replayed))
        });
        let damage = match Damage::from_result(replayed, "")? {
            Err(damage) => damage,
            // Records that the files have and the engine lacks may have been acknowledged.
            Ok((_, replayed)) if scanned.continues_after(replayed.log_end) => {
                Damage::new(&folder, &format!("record {}", replayed.log_end.next), "it is missing", "")
            }
            Ok((log, replayed)) => {
                self.damage.extend(log_end.err());
                return Ok((log, replayed));
            }
        };
        self.damage.extend(log_end.err());
        self.rebuild_log(&scanned, damage, manifest, checkpointed, known, loss)
    }

    /// Adds the records that only the journal has, those since the last sync of the engine, to the engine.
    fn append_from_journal(
        &self,
        log: &Log,
        scanned: &ScannedRecords,
        manifest: &Manifest,
        known: Option<LogEnd>,
    ) -> Result<(), Error> {
        let chain = scanned
            .chain(manifest.log_start, known)
            .or_else(|_| scanned.chain(manifest.first_needed(), known));
        // The replay reports missing records.
        let Ok(chain) = chain else { return Ok(()) };
        let end = log.end()?.unwrap_or(0);
        let new = chain.iter().filter(|(head, _)| head.seq >= end);
        let mut new = new.map(|(head, range)| (head.seq, scanned.bytes(range))).peekable();
        if new.peek().is_none() { Ok(()) } else { log.append_missing(self.disk, new) }
    }

    /// Makes a new engine from the records that were found, and replays it.
    fn rebuild_log(
        &mut self,
        scanned: &ScannedRecords,
        damage: Damage,
        manifest: &Manifest,
        checkpointed: GraphState,
        known: Option<LogEnd>,
        loss: Loss,
    ) -> Result<(Log, Replayed), Error> {
        // The chain of records that the manifest needs.
        let folder = self.disk.folder().join(FOLDER);
        let replay_from = manifest.replay_from;
        let mut from = manifest.first_needed();
        let mut chain = scanned.chain(from, known);
        let mut remedy =
            "its records were found in its file and the journal, and a new engine was made from them"
                .to_owned();
        let reached = chain.as_ref().map_or(0, |chain| chain.last().map_or(from, |(head, _)| head.seq + 1));
        if from < replay_from && reached < replay_from {
            // The graph does not need these records; without them the dirty nodes are unknown.
            (from, chain) = (replay_from, scanned.chain(replay_from, known));
            remedy.push_str(", except some that only mark nodes as dirty: all embeddings are computed again");
        }
        // Without a complete chain, recovery fails, or gives up the end of the log if that is allowed.
        let chain = match (chain, loss) {
            (Ok(chain), _) => chain,
            (Err(missing), Loss::None) => {
                let what = format!("{}, and there is no other copy", damage.what);
                return Err(Error::damaged(&folder, format!("record {missing}"), what));
            }
            (Err(_), Loss::UnreadableRecords) => {
                self.lost_records = true;
                let chain = scanned.prefix(from);
                let end = chain.last().map_or(from, |(head, _)| head.seq + 1);
                let lost = known.map_or_else(String::new, |log_end| {
                    format!(" of {} acknowledged", log_end.next.saturating_sub(end))
                });
                remedy = format!(
                    "records from {end} on were given up{lost}; the old engine is kept as {DAMAGED_LOG}"
                );
                chain
            }
        };
        // The new engine, and its replay.
        let records = chain.iter().map(|(head, range)| (head.seq, scanned.bytes(range)));
        engine::rebuild(self.disk, DAMAGED_LOG, records)?;
        self.damage.push(Damage { remedy, ..damage });
        let end = chain.last().map(|(head, _)| LogEnd { next: head.seq + 1, checksum: head.sum });
        let end = end.or(known.filter(|log_end| log_end.next == from));
        let log = Log::open(&folder)?;
        let replayed =
            self.replay(&log, manifest, checkpointed, from, end.or(Some(manifest.log_start(from).end())))?;
        Ok((log, replayed))
    }

    /// Replays the log from a record on: applies operations that the files lack, and marks nodes as dirty that derived
    /// files do not reflect.
    fn replay(
        &self,
        log: &Log,
        manifest: &Manifest,
        checkpointed: GraphState,
        from: u64,
        known: Option<LogEnd>,
    ) -> Result<Replayed, Error> {
        // The log must reach the last acknowledged record, and the first one that the files lack. A record that is added
        // before that would be taken for one that the files have.
        let end = log.end()?.unwrap_or_else(|| known.map_or(from, |log_end| log_end.next)).max(from);
        let acknowledged = known.map_or(from, |log_end| log_end.next).max(manifest.replay_from);
        if end < acknowledged {
            return Err(log.record_error(end, "it was acknowledged, and it is missing"));
        }
        let has_all_changes = from <= manifest.first_needed();
        // If the dirty nodes are unknown, all derived files are computed again from the checkpoint on.
        let least = if has_all_changes { Epoch::new(0) } else { manifest.epoch() };
        let sets = manifest.published.iter().map(|set| (set.set.clone(), set.refreshed().max(least)));
        let mut log_index = LogIndex::new(Epoch::new(manifest.epoch + 1), from, DirtyNodes::new(sets));
        let mut applier = Applier::new(checkpointed);
        let mut ops = 0;
        let start = manifest.log_start(from);
        let mut log_end = known.filter(|log_end| log_end.next == from).unwrap_or(start.end());
        let stage = self.mode.cancel.stage("log", end - from);
        // Each record is checked against the acknowledged end, indexed, and applied where the files lack it.
        log.scan(from..end, |head, body| {
            stage.advance(1)?;
            if head.seq == from
                && known.is_some_and(|known| known.next == from && known.checksum != head.before)
                || known.is_some_and(|known| known.next == head.seq + 1 && known.checksum != head.sum)
            {
                return Err(log.record_error(head.seq, "it differs from the acknowledged record"));
            }
            if start.is_foreign(head) {
                return Err(log.record_error(head.seq, FOREIGN));
            }
            log_end = LogEnd { next: head.seq + 1, checksum: head.sum };
            let epoch = Epoch::new(head.epoch);
            if head.is_first() {
                log_index.push_batch(epoch, head.seq);
            }
            let is_covered = head.seq < manifest.replay_from;
            if is_covered && !log_index.dirty.takes(epoch) {
                return Ok(());
            }
            let changes = log.ops(head, body)?;
            log_index.dirty.touch(epoch, &touched_nodes(&changes));
            if is_covered {
                return Ok(());
            }
            let expected = applier.epoch().get() + u64::from(head.is_first());
            if head.epoch != expected {
                let what = "its epoch does not follow the previous one";
                return Err(log.record_error(head.seq, what));
            }
            applier.advance(epoch);
            for op in changes {
                ops += 1;
                applier.apply(op).map_err(|what| log.record_error(head.seq, what))?;
            }
            Ok(())
        })?;
        stage.end();
        log_index.set_end(end);
        Ok(Replayed { state: applier.finish(), log_end, log_index, ops, has_all_changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::handle::Store;
    use crate::types::batch::{Batch, Edge};
    use crate::types::cancel::CancelToken;
    use crate::types::names::NodeRef;
    use crate::types::ops::Op;

    fn link(batch: &mut Batch, pin: u32, board: u32) {
        let (pin, board) = (pin.to_string(), board.to_string());
        let (pin, board) = (NodeRef { kind: "pin", key: &pin }, NodeRef { kind: "board", key: &board });
        batch.link(pin, board, Edge::default()).expect("valid");
    }

    /// Records follow one another by their own epochs; the first one must follow the files.
    #[test]
    fn a_first_record_whose_epoch_does_not_follow_the_files_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path()).expect("created");
        let writer = store.writer().expect("a writer");
        let mut syncing = writer.syncing().expect("sound");
        let mut appending = writer.appending().expect("sound");
        let ops = [Op::Kind { name: "user".to_owned() }];
        writer.log.append(&mut appending.appender, Epoch::new(3), &ops).expect("appended");
        let appended = appending.take();
        store.sync(writer, &mut syncing, appended).expect("synced");
        drop((syncing, appending));
        drop(store);
        match Store::options().open(folder.path()) {
            Err(Error::Damaged { place, what, .. }) => {
                assert_eq!((&*place, &*what), ("record 0", "its epoch does not follow the previous one"));
            }
            other => panic!("{other:?}"),
        }
    }

    /// The engine never shrinks its file, and an interrupted rebuild leaves the old engine under another name.
    #[test]
    fn the_log_shrinks_at_open_and_an_interrupted_rebuild_is_undone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let store = Store::options().create(true).open(path).expect("created");
        for round in 0..14 {
            let mut batch = Batch::new();
            (0..20_000).for_each(|at| link(&mut batch, at % 500, round * 40 + at / 500));
            store.commit(&batch).expect("committed");
        }
        for pin in 0..3 {
            store.checkpoint(&CancelToken::new()).expect("written");
            let mut batch = Batch::new();
            link(&mut batch, pin, 9999);
            store.commit(&batch).expect("committed");
        }
        let epoch = store.snapshot().epoch();
        drop(store);
        let bytes = || path.join("log/db").metadata().expect("there").len();
        let before = bytes();
        assert!(before > SHRINK_BYTES, "only {before} bytes");
        let open = || {
            let store = Store::options().open(path).expect("opens");
            assert_eq!((store.snapshot().epoch(), store.damage()), (epoch, &[][..]));
        };
        open();
        assert!(bytes() < before / 2, "{} of {before} bytes", bytes());
        for old in [OLD_LOG, DAMAGED_LOG] {
            std::fs::rename(path.join(FOLDER), path.join(old)).expect("renamed");
            std::fs::create_dir(path.join(NEW_LOG)).expect("made");
            open();
            assert!(!path.join(old).exists() && !path.join(NEW_LOG).exists());
        }
    }
}
