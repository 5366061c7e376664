//! Opening for writing what a crash, or damage, has left: from the manifests, the files of two checkpoints and the log,
//! the state with every acknowledged batch is put together again, as long as one intact way leads to it.
//! Owns which way is taken; what the files hold, and how the log is replayed, are others' to know.
//!
//! | damaged | taken instead |
//! | --- | --- |
//! | `MANIFEST` | its copy, else the one before with the log since |
//! | a file of the checkpoint | the files of the checkpoint before, with the log since |
//! | a derived file | those of the publish before where they are of the same model; else the model, and the rest is computed |
//! | the log's engine, or what it holds | the records found in the bytes of its file, in a new engine |
//! | records that only say what is dirty | everything derived is computed again |
//! | `LOG.END` | where the records found end |

use crate::checkpoint::derived::Derived;
use crate::checkpoint::manifest::{COPY, CURRENT, Learned, Manifest, PREVIOUS};
use crate::checkpoint::write_checkpoint;
use crate::fs::disk::Disk;
use crate::fs::mmap::Residence;
use crate::fs::verified_files::Opening;
use crate::graph::apply::Applier;
use crate::graph::graph_state::GraphState;
use crate::types::damage::Damage;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::types::ops::Op;
use crate::wal::engine;
use crate::wal::engine::{FILE, FOLDER, Log};
use crate::wal::log_end::LogEnd;
use crate::wal::log_index::LogIndex;
use crate::wal::record_scan::{DAMAGED, Found, NEW, ROOMY};

/// An engine's file of fewer bytes, or with less than so many for each byte of records, is left as it is.
const ROOM: u64 = if cfg!(test) { 3 << 20 } else { 32 << 20 };
const ROOM_FOR_ONE: u64 = 8;
const WRITTEN_ANEW: &str = "it was written anew";

/// A store as it was put together.
pub(crate) struct Recovered {
    /// The one whose files the state lies over.
    pub(crate) manifest: Manifest,
    pub(crate) view: GraphState,
    pub(crate) derived: Option<Derived>,
    pub(crate) log: Log,
    pub(crate) mark: LogEnd,
    pub(crate) tail: LogIndex,
    /// Operations that were applied.
    pub(crate) ops: u64,
    /// What was damaged; a checkpoint makes it good.
    pub(crate) damage: Vec<Damage>,
    /// All that could be read.
    pub(crate) manifests: Vec<Manifest>,
    /// Records were given up, so the engine that held them is kept.
    pub(crate) gave_up: bool,
}

/// What of a store may be given up to get the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing that was acknowledged.
    None,
    /// Batches at the end of the log that cannot be read.
    LogIndex,
}

struct Recovery<'a> {
    disk: &'a Disk,
    opening: Opening<'a>,
    damage: Vec<Damage>,
    gave_up: bool,
}

/// Puts a store together.
///
/// # Errors
/// [`Error::Damaged`] for the first damage that there is no way around.
pub(crate) fn recover(disk: &Disk, opening: Opening<'_>, loss: Loss) -> Result<Recovered, Error> {
    let mut recovery = Recovery { disk, opening, damage: Vec::new(), gave_up: false };
    recovery.undo_half_rebuild()?;
    let manifests = recovery.manifests()?;
    let (mut manifest, settled) = recovery.base(&manifests)?;
    let (learned, mut derived) = recovery.derived(&manifests)?.unzip();
    manifest.learned = learned;
    let (log, replayed) = recovery.log(&manifest, settled, loss)?;
    let Replayed { view, mark, tail, ops, reflects } = replayed;
    if let Some(derived) = &mut derived {
        derived.is_whole &= reflects;
    }
    let Recovery { damage, gave_up, .. } = recovery;
    Ok(Recovered { manifest, view, derived, log, mark, tail, ops, damage, manifests, gave_up })
}

/// What replaying the log gave.
struct Replayed {
    view: GraphState,
    mark: LogEnd,
    tail: LogIndex,
    ops: u64,
    /// Whether all is known that changed since the derived files were made.
    reflects: bool,
}

impl Recovery<'_> {
    /// A rebuilding of the log that was cut short left the old engine under another name.
    fn undo_half_rebuild(&self) -> Result<(), Error> {
        let [log, damaged, roomy, new] =
            [FOLDER, DAMAGED, ROOMY, NEW].map(|name| self.disk.folder().join(name));
        for kept in [&roomy, &damaged] {
            if !log.exists() && kept.join(FILE).is_file() {
                self.disk.rename(kept, &log).map_err(|e| Error::io(kept, "move back", e))?;
            }
        }
        engine::remove_folder(&roomy)?;
        engine::remove_folder(&new)
    }

    /// Gives back what room the engine does not need any more, which it never does by itself.
    fn give_back(&self, found: &Found, from: u64, known: Option<LogEnd>) -> Result<(), Error> {
        let file = self.disk.folder().join(FOLDER).join(FILE);
        let bytes = file.metadata().map_or(0, |found| found.len());
        if bytes < ROOM || bytes / ROOM_FOR_ONE < found.len() {
            return Ok(());
        }
        let Ok(chain) = found.chain(from, known) else { return Ok(()) };
        let records = chain.iter().map(|(head, range)| (head.seq, found.bytes(range)));
        engine::rebuild(self.disk, ROOMY, records)?;
        engine::remove_folder(&self.disk.folder().join(ROOMY))
    }

    /// The manifests that can be read, the current one first.
    fn manifests(&mut self) -> Result<Vec<Manifest>, Error> {
        let path = |name: &str| self.disk.folder().join(name);
        let read = |name: &str| Damage::of(Manifest::read(self.disk.folder(), name), WRITTEN_ANEW);
        let (current, copy, previous) = (read(CURRENT)?, read(COPY)?, read(PREVIOUS)?);
        let mut damage = Vec::new();
        let mut intact = Vec::new();
        let missing = |name: &str| Damage::new(&path(name), "file", "it is missing", WRITTEN_ANEW);
        // The one before is there from the second manifest on, the copy once the first was ever entered.
        let from_copy = copy.as_ref().ok().and_then(Clone::clone);
        if let Ok(Some(manifest)) = current {
            // A crash between the two swaps leaves the copy behind.
            damage.extend(copy.err());
            intact.push(manifest);
        } else {
            let broken = current.err().unwrap_or_else(|| missing(CURRENT));
            let remedy = match &from_copy {
                Some(_) => "its copy was taken",
                None => "the one before was taken, and the log since",
            };
            damage.push(Damage { remedy: remedy.to_owned(), ..broken });
            intact.extend(from_copy);
        }
        match previous {
            Ok(previous) => intact.extend(previous),
            Err(broken) => damage.push(broken),
        }
        if intact.is_empty() {
            return Err(damage.swap_remove(0).into_error());
        }
        self.damage.append(&mut damage);
        Ok(intact)
    }

    /// The state of the newest checkpoint whose files are intact.
    fn base(&mut self, manifests: &[Manifest]) -> Result<(Manifest, GraphState), Error> {
        let mut first: Option<Damage> = None;
        for manifest in manifests {
            let settled = write_checkpoint::settled(self.disk.folder(), manifest, self.opening);
            match Damage::of(settled, "the checkpoint before was taken, and the log since")? {
                Ok(view) => {
                    self.damage.extend(first);
                    return Ok((manifest.clone(), view));
                }
                Err(damage) => {
                    first.get_or_insert(damage);
                }
            }
        }
        Err(first.expect("there is a manifest").into_error())
    }

    /// The derived files of the newest publish, or of the one before where those are whole and of the same model.
    fn derived(&mut self, manifests: &[Manifest]) -> Result<Option<(Learned, Derived)>, Error> {
        let mut all = manifests.iter().map(|manifest| manifest.learned.as_ref());
        let Some(learned) = all.next().flatten() else { return Ok(None) };
        let derived = Derived::open_some(self.disk.folder(), learned, self.opening)?;
        if derived.is_whole {
            return Ok(Some((learned.clone(), derived)));
        }
        for other in all.flatten().filter(|other| other.generation == learned.generation) {
            let before = Derived::open_some(self.disk.folder(), other, self.opening)?;
            if before.is_whole {
                let remedy = "those of the refresh before were taken, and the rest is to be refreshed";
                self.damage.extend(
                    derived.damage().map(|damage| Damage { remedy: remedy.to_owned(), ..damage.clone() }),
                );
                return Ok(Some((other.clone(), before)));
            }
        }
        self.damage.extend(derived.damage().cloned());
        Ok(Some((learned.clone(), derived)))
    }

    /// Replays the log over a checkpoint; on damage, after finding its records in the bytes of its file.
    fn log(
        &mut self,
        manifest: &Manifest,
        settled: GraphState,
        loss: Loss,
    ) -> Result<(Log, Replayed), Error> {
        let folder = self.disk.folder().join(FOLDER);
        let mark = Damage::of(LogEnd::read(self.disk.folder()), WRITTEN_ANEW)?;
        let known = mark.as_ref().ok().copied();
        let found = Found::read(self.disk.folder(), manifest.log_start, Residence::Mapped)?;
        if known.is_some() {
            self.give_back(&found, manifest.log_start, known)?;
        }
        let opened = if folder.join(FILE).is_file() {
            Log::open(&folder)
        } else {
            Err(Error::damaged(&folder, FILE, "it is missing"))
        };
        let replayed = opened.and_then(|log| {
            self.take_in(&log, &found, manifest, known)?;
            let replayed = self.replay(&log, manifest, settled.clone(), manifest.floor(), known)?;
            Ok((log, replayed))
        });
        let damage = match Damage::of(replayed, "")? {
            Err(damage) => damage,
            // What the bytes have and the engine does not was acknowledged, perhaps.
            Ok((_, replayed)) if found.goes_on(replayed.mark) => {
                Damage::new(&folder, &format!("record {}", replayed.mark.next), "it is missing", "")
            }
            Ok((log, replayed)) => {
                self.damage.extend(mark.err());
                return Ok((log, replayed));
            }
        };
        self.damage.extend(mark.err());
        self.salvage(&found, damage, manifest, settled, known, loss)
    }

    /// Gives the engine the records that only the journal has: those since it was synced last.
    fn take_in(
        &self,
        log: &Log,
        found: &Found,
        manifest: &Manifest,
        known: Option<LogEnd>,
    ) -> Result<(), Error> {
        let chain = found.chain(manifest.log_start, known).or_else(|_| found.chain(manifest.floor(), known));
        // Where records are missing, whoever replays the log will see it.
        let Ok(chain) = chain else { return Ok(()) };
        let end = log.end()?.unwrap_or(0);
        let new = chain.iter().filter(|(head, _)| head.seq >= end);
        let mut new = new.map(|(head, range)| (head.seq, found.bytes(range))).peekable();
        if new.peek().is_none() { Ok(()) } else { log.take_in(self.disk, new) }
    }

    /// Makes a new engine of the records that were found, and replays it.
    fn salvage(
        &mut self,
        found: &Found,
        damage: Damage,
        manifest: &Manifest,
        settled: GraphState,
        known: Option<LogEnd>,
        loss: Loss,
    ) -> Result<(Log, Replayed), Error> {
        let folder = self.disk.folder().join(FOLDER);
        let covered = manifest.covered;
        let mut from = manifest.floor();
        let mut chain = found.chain(from, known);
        let mut remedy =
            "its records were found in its file and the journal, and given to a new one".to_owned();
        if chain.is_err() && from < covered {
            // The graph does not need them; without them it is not known what is dirty.
            (from, chain) = (covered, found.chain(covered, known));
            remedy.push_str(
                ", but for some that only say what is dirty: all embeddings are to be computed again",
            );
        }
        let chain = match (chain, loss) {
            (Ok(chain), _) => chain,
            (Err(missing), Loss::None) => {
                let what = format!("{}, and nothing else holds it", damage.what);
                return Err(Error::damaged(&folder, format!("record {missing}"), what));
            }
            (Err(_), Loss::LogIndex) => {
                self.gave_up = true;
                let chain = found.prefix(from);
                let end = chain.last().map_or(from, |(head, _)| head.seq + 1);
                let lost = known.map_or_else(String::new, |mark| {
                    format!(" of {} acknowledged", mark.next.saturating_sub(end))
                });
                remedy = format!(
                    "records from {end} on were given up{lost}; the engine that held them is kept as {DAMAGED}"
                );
                chain
            }
        };
        let records = chain.iter().map(|(head, range)| (head.seq, found.bytes(range)));
        engine::rebuild(self.disk, DAMAGED, records)?;
        self.damage.push(Damage { remedy, ..damage });
        let end = chain.last().map(|(head, _)| LogEnd { next: head.seq + 1, sum: head.sum });
        let end = end.or(known.filter(|mark| mark.next == from));
        let log = Log::open(&folder)?;
        let replayed =
            self.replay(&log, manifest, settled, from, end.or(Some(LogEnd { next: from, sum: 0 })))?;
        Ok((log, replayed))
    }

    /// Reads the log from a record on: what the files do not cover is applied, what nothing derived reflects is marked.
    fn replay(
        &self,
        log: &Log,
        manifest: &Manifest,
        settled: GraphState,
        from: u64,
        known: Option<LogEnd>,
    ) -> Result<Replayed, Error> {
        let end = log.end()?.unwrap_or_else(|| known.map_or(from, |mark| mark.next)).max(from);
        let acknowledged = known.map_or(from, |mark| mark.next);
        if end < acknowledged {
            return Err(log.contradiction(end, "it was acknowledged and is missing"));
        }
        let reflects = from <= manifest.floor();
        let refreshed = manifest.learned.as_ref().map(Learned::refreshed);
        // Where it is not known what is dirty, everything derived is computed again from the checkpoint on.
        let refreshed = refreshed.map(|epoch| if reflects { epoch } else { manifest.epoch().max(epoch) });
        let mut tail = LogIndex::new(Epoch::new(manifest.epoch + 1), from, refreshed);
        let mut applier = Applier::new(settled);
        let mut ops = 0;
        let mut mark = known.filter(|mark| mark.next == from).unwrap_or(LogEnd { next: from, sum: 0 });
        let stage = self.opening.cancel.stage("log", end - from);
        log.scan(from..end, |head, body| {
            stage.advance(1)?;
            if head.seq == from && known.is_some_and(|known| known.next == from && known.sum != head.before)
                || known.is_some_and(|known| known.next == head.seq + 1 && known.sum != head.sum)
            {
                return Err(log.contradiction(head.seq, "it is not the one that was acknowledged"));
            }
            mark = LogEnd { next: head.seq + 1, sum: head.sum };
            let epoch = Epoch::new(head.epoch);
            if head.is_first() {
                tail.begin(epoch, head.seq);
            }
            let is_covered = head.seq < manifest.covered;
            let is_dirty = refreshed.is_some_and(|refreshed| epoch > refreshed);
            if is_covered && !is_dirty {
                return Ok(());
            }
            let changes = log.ops(head, body)?;
            tail.touch(epoch, changes.iter().flat_map(Op::nodes).flatten());
            if is_covered {
                return Ok(());
            }
            let expected = applier.epoch().get() + u64::from(head.is_first());
            if head.epoch != expected {
                let what = "it belongs to another epoch than the one that comes next";
                return Err(log.contradiction(head.seq, what));
            }
            applier.advance(epoch);
            for op in changes {
                ops += 1;
                applier.apply(op).map_err(|what| log.contradiction(head.seq, what))?;
            }
            Ok(())
        })?;
        stage.end();
        tail.set_end(end);
        Ok(Replayed { view: applier.finish(), mark, tail, ops, reflects })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::handle::Store;
    use crate::types::batch::{Batch, Edge};
    use crate::types::cancel::CancelToken;
    use crate::types::names::NodeRef;

    fn link(batch: &mut Batch, pin: u32, board: u32) {
        let (pin, board) = (pin.to_string(), board.to_string());
        let (pin, board) = (NodeRef { kind: "pin", key: &pin }, NodeRef { kind: "board", key: &board });
        batch.link(pin, board, Edge::default()).expect("valid");
    }

    /// The engine never gives room back, and a rebuilding that was cut short leaves it under another name.
    #[test]
    fn room_is_given_back_at_open_and_a_rebuilding_that_was_cut_short_is_undone() {
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
        assert!(before > ROOM, "only {before} bytes");
        let open = || {
            let store = Store::options().open(path).expect("opens");
            assert_eq!((store.snapshot().epoch(), store.damage()), (epoch, &[][..]));
        };
        open();
        assert!(bytes() < before / 2, "{} of {before} bytes", bytes());
        for kept in [ROOMY, DAMAGED] {
            std::fs::rename(path.join(FOLDER), path.join(kept)).expect("renamed");
            std::fs::create_dir(path.join(NEW)).expect("made");
            open();
            assert!(!path.join(kept).exists() && !path.join(NEW).exists());
        }
    }
}
