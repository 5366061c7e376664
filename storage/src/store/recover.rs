//! Recovery for writing after a crash or damage: restores the state with every acknowledged batch.
//! It combines manifests, the files of two checkpoints, and the log, as long as one intact way leads to that state.
//! Owns the choice among manifests and files; `recover_log` recovers the log.
//!
//! | damaged | used instead |
//! | --- | --- |
//! | `MANIFEST` | its copy, or the previous manifest with the log since |
//! | a checkpoint file | the files of the previous checkpoint, with the log since |
//! | a derived file | those of the previous publish if they are of the same model; else the model, and the rest is computed |
//! | the log's engine, or its records | the records found in the bytes of its file, in a new engine |
//! | records that only mark nodes as dirty | all derived files are computed again |
//! | `LOG.END` | the end of the records found |

use crate::checkpoint::derived::Derived;
use crate::checkpoint::manifest::{COPY, CURRENT, Manifest, PREVIOUS, Published};
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
    pub(crate) derived: Option<Derived>,
    pub(crate) log: Log,
    pub(crate) log_end: LogEnd,
    pub(crate) log_index: LogIndex,
    /// The number of applied operations.
    pub(crate) ops: u64,
    /// The damage found; a checkpoint repairs it.
    pub(crate) damage: Vec<Damage>,
    /// All readable manifests.
    pub(crate) manifests: Vec<Manifest>,
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

/// Recovers a store.
///
/// # Errors
/// [`Error::Damaged`] for the first damage that cannot be repaired.
pub(crate) fn recover(disk: &Disk, mode: OpenMode<'_>, loss: Loss) -> Result<Recovered, Error> {
    let mut recovery = Recovery { disk, mode, damage: Vec::new(), lost_records: false };
    recovery.undo_half_rebuild()?;
    let manifests = recovery.manifests()?;
    let (mut manifest, checkpointed) = recovery.checkpoint(&manifests)?;
    let (published, mut derived) = recovery.derived(&manifests)?.unzip();
    manifest.published = published;
    let (log, replayed) = recovery.log(&manifest, checkpointed, loss)?;
    let Replayed { state, log_end, log_index, ops, has_all_changes } = replayed;
    if let Some(derived) = &mut derived {
        derived.is_complete &= has_all_changes;
    }
    let Recovery { damage, lost_records, .. } = recovery;
    Ok(Recovered { manifest, state, derived, log, log_end, log_index, ops, damage, manifests, lost_records })
}

impl Recovery<'_> {
    /// The readable manifests, the current one first.
    fn manifests(&mut self) -> Result<Vec<Manifest>, Error> {
        let path = |name: &str| self.disk.folder().join(name);
        let read = |name: &str| Damage::from_result(Manifest::read(self.disk.folder(), name), REWRITTEN);
        let (current, copy, previous) = (read(CURRENT)?, read(COPY)?, read(PREVIOUS)?);
        let mut damage = Vec::new();
        let mut intact = Vec::new();
        let missing = |name: &str| Damage::new(&path(name), "file", "it is missing", REWRITTEN);
        // The previous manifest exists from the second manifest on, the copy from the first.
        let from_copy = copy.as_ref().ok().and_then(Clone::clone);
        if let Ok(Some(manifest)) = current {
            // A crash between the two swaps leaves an old copy behind.
            damage.extend(copy.err());
            intact.push(manifest);
        } else {
            let broken = current.err().unwrap_or_else(|| missing(CURRENT));
            let remedy = match &from_copy {
                Some(_) => "its copy was used",
                None => "the previous manifest was used, with the log since",
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

    /// The state of the newest checkpoint with intact files.
    fn checkpoint(&mut self, manifests: &[Manifest]) -> Result<(Manifest, GraphState), Error> {
        let mut first: Option<Damage> = None;
        for manifest in manifests {
            let checkpointed = write_checkpoint::open_checkpoint(self.disk.folder(), manifest, self.mode);
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

    /// The derived files of the newest publish, or of the previous one if those are complete and of the same model.
    fn derived(&mut self, manifests: &[Manifest]) -> Result<Option<(Published, Derived)>, Error> {
        let mut all = manifests.iter().map(|manifest| manifest.published.as_ref());
        let Some(published) = all.next().flatten() else { return Ok(None) };
        let derived = Derived::open_some(self.disk.folder(), published, self.mode)?;
        if derived.is_complete {
            return Ok(Some((published.clone(), derived)));
        }
        for other in all.flatten().filter(|other| other.generation == published.generation) {
            let before = Derived::open_some(self.disk.folder(), other, self.mode)?;
            if before.is_complete {
                let remedy = "the files of the previous publish were used; a refresh brings them up to date";
                self.damage.extend(
                    derived.damage().map(|damage| Damage { remedy: remedy.to_owned(), ..damage.clone() }),
                );
                return Ok(Some((other.clone(), before)));
            }
        }
        self.damage.extend(derived.damage().cloned());
        Ok(Some((published.clone(), derived)))
    }
}
