//! Recovery for writing after a crash or damage: restores the state with every acknowledged batch.
//! It combines manifests, the files of two checkpoints, and the log, as long as one intact way leads to that state.
//! Owns the choice among manifests and files; `recover_log` recovers the log.
//!
//! | damaged | used instead |
//! | --- | --- |
//! | `MANIFEST` | its copy, or the previous manifest with the log since |
//! | `MANIFEST`, older than its copy | the copy: the higher number is the newer one |
//! | a checkpoint file | the files of the previous checkpoint, with the log since |
//! | a derived file | those of the previous publish if they are of the same model; else the model, and the rest is computed |
//! | the log's engine, or its records | the records found in the bytes of its file, in a new engine |
//! | records that only mark nodes as dirty | all derived files are computed again |
//! | `LOG.END` | the end of the records found |

use crate::checkpoint::derived::{Derived, DerivedSets};
use crate::checkpoint::manifest::{COPY, CURRENT, Manifest, PREVIOUS};
use crate::checkpoint::published::{Published, PublishedSets};
use crate::checkpoint::write_checkpoint;
use crate::fs::disk::Disk;
use crate::fs::verified_files::OpenMode;
use crate::graph::graph_state::GraphState;
use crate::store::recover_log::Replayed;
use crate::types::damage::Damage;
use crate::types::error::Error;
use crate::wal::engine::Log;
use crate::wal::log_end::LogEnd;
use crate::wal::log_index::LogIndex;

pub(super) const REWRITTEN: &str = "it was written again";

/// A recovered store.
pub(crate) struct Recovered {
    /// The manifest whose files the state lies over.
    pub(crate) manifest: Manifest,
    pub(crate) state: GraphState,
    pub(crate) derived: DerivedSets,
    pub(crate) log: Log,
    pub(crate) log_end: LogEnd,
    pub(crate) log_index: LogIndex,
    /// The number of applied operations.
    pub(crate) ops: u64,
    /// The damage found; a checkpoint repairs it.
    pub(crate) damage: Vec<Damage>,
    /// All readable manifests of this store.
    pub(crate) manifests: Vec<Manifest>,
    /// True if a crash left the copy of the manifest behind.
    pub(crate) has_stale_copy: bool,
    /// True if records were given up, so that the old engine is kept.
    pub(crate) lost_records: bool,
}

/// The acknowledged data that may be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing that was acknowledged.
    None,
    /// Unreadable batches at the end of the log.
    UnreadableRecords,
}

pub(super) struct Recovery<'a> {
    pub(super) disk: &'a Disk,
    pub(super) mode: OpenMode<'a>,
    pub(super) damage: Vec<Damage>,
    pub(super) lost_records: bool,
}

/// The manifests of a store.
struct Manifests {
    /// The readable ones, that of the highest number first.
    intact: Vec<Manifest>,
    /// True if the copy must be written again, damage or not.
    has_stale_copy: bool,
}

/// Recovers a store.
///
/// # Errors
/// [`Error::Damaged`] for the first damage that cannot be repaired.
pub(crate) fn recover(disk: &Disk, mode: OpenMode<'_>, loss: Loss) -> Result<Recovered, Error> {
    let mut recovery = Recovery { disk, mode, damage: Vec::new(), lost_records: false };
    recovery.undo_half_rebuild()?;
    let Manifests { intact: mut manifests, has_stale_copy } = recovery.manifests()?;
    let (mut manifest, checkpointed) = recovery.checkpoint(&manifests)?;
    // A manifest of another store is nothing to go back to.
    manifests.retain(|other| other.store.may_be(manifest.store));
    let mut derived;
    (manifest.published, derived) = recovery.derived_sets(&manifests)?;
    let (log, replayed) = recovery.log(&manifest, checkpointed, loss)?;
    let Replayed { state, log_end, log_index, ops, has_all_changes } = replayed;
    derived.sets.values_mut().for_each(|derived| derived.is_complete &= has_all_changes);
    let Recovery { damage, lost_records, .. } = recovery;
    Ok(Recovered {
        manifest,
        state,
        derived,
        log,
        log_end,
        log_index,
        ops,
        damage,
        manifests,
        has_stale_copy,
        lost_records,
    })
}

impl Recovery<'_> {
    /// The readable manifests. A crash leaves a copy that is older than the current manifest; every other difference is
    /// damage.
    fn manifests(&mut self) -> Result<Manifests, Error> {
        let path = |name: &str| self.disk.folder().join(name);
        let read = |name: &str| Damage::from_result(Manifest::read(self.disk, name), REWRITTEN);
        let (current, copy, previous) = (read(CURRENT)?, read(COPY)?, read(PREVIOUS)?);
        // The current manifest exists always. The copy may be missing after a crash, the previous one until the second.
        let mut damage = Vec::new();
        let missing = Damage::new(&path(CURRENT), "file", "it is missing", REWRITTEN);
        let current =
            current.and_then(|found| found.ok_or(missing)).map_err(|broken| damage.push(broken)).ok();
        let copy = copy.map_err(|broken| damage.push(broken)).ok().flatten();
        let previous = previous.map_err(|broken| damage.push(broken)).ok().flatten();
        // The highest number counts, of equal ones the first.
        let mut intact: Vec<Manifest> = current.iter().chain(&copy).chain(&previous).cloned().collect();
        intact.sort_by_key(|manifest| std::cmp::Reverse(manifest.number));
        let Some(newest) = intact.first().cloned() else { return Err(damage.swap_remove(0).into_error()) };
        intact.dedup();
        let used = if copy.as_ref() == Some(&newest) {
            "its copy was used"
        } else {
            "the previous manifest was used, with the log since"
        };
        match &current {
            None => {
                let broken = damage.iter_mut().filter(|damage| damage.path == path(CURRENT));
                broken.for_each(|broken| used.clone_into(&mut broken.remedy));
            }
            Some(current) if current.number < newest.number => {
                let what =
                    format!("its number is {}, another manifest has {}", current.number, newest.number);
                damage.push(Damage::new(&path(CURRENT), "file", &what, used));
            }
            Some(current) => {
                for (name, other) in [(COPY, &copy), (PREVIOUS, &previous)] {
                    let problem = other.as_ref().and_then(|other| current.contradiction(name, other));
                    damage.extend(problem.map(|what| Damage::new(&path(name), "file", &what, REWRITTEN)));
                }
            }
        }
        self.damage.append(&mut damage);
        Ok(Manifests { has_stale_copy: copy.as_ref() != Some(&newest), intact })
    }

    /// The state of the newest checkpoint with intact files.
    fn checkpoint(&mut self, manifests: &[Manifest]) -> Result<(Manifest, GraphState), Error> {
        let mut first: Option<Damage> = None;
        for manifest in manifests {
            let checkpointed = write_checkpoint::open_checkpoint(self.disk, manifest, self.mode);
            match Damage::from_result(checkpointed, "the previous checkpoint was used, with the log since")? {
                Ok(state) => {
                    self.damage.extend(first);
                    return Ok((manifest.clone(), state));
                }
                Err(damage) => {
                    first.get_or_insert(damage);
                }
            }
        }
        Err(first.expect("there is a manifest").into_error())
    }

    /// The derived sets of the newest manifest.
    fn derived_sets(&mut self, manifests: &[Manifest]) -> Result<(PublishedSets, DerivedSets), Error> {
        let (newest, older) = manifests.split_first().expect("there is a manifest");
        let mut sets = newest.published.clone();
        let mut opened = DerivedSets { default: sets.default.clone(), ..DerivedSets::default() };
        for published in sets.iter_mut() {
            let derived;
            (*published, derived) = self.derived(published, older)?;
            opened.sets.insert(published.set.clone(), derived);
        }
        Ok((sets, opened))
    }

    /// The derived files of a set, or those of the previous publish if these are complete and of the same model.
    fn derived(&mut self, published: &Published, older: &[Manifest]) -> Result<(Published, Derived), Error> {
        let derived = Derived::open_some(self.disk, published, self.mode)?;
        if derived.is_complete {
            return Ok((published.clone(), derived));
        }
        let older = older.iter().filter_map(|manifest| manifest.published.get(&published.set));
        for other in older.filter(|other| other.generation == published.generation) {
            let before = Derived::open_some(self.disk, other, self.mode)?;
            if before.is_complete {
                let remedy = "the files of the previous publish were used; a refresh brings them up to date";
                self.damage.extend(
                    derived.damage().map(|damage| Damage { remedy: remedy.to_owned(), ..damage.clone() }),
                );
                return Ok((other.clone(), before));
            }
        }
        self.damage.extend(derived.damage().cloned());
        Ok((published.clone(), derived))
    }
}
