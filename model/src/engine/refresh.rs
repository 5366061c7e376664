//! Refreshes: the embeddings of the store's present epoch, by the changes or by a rebuild.
//! `state` computes the rows that changes affect.

use std::time::Instant;

use hedgerow_storage::{CancelToken, Changes, Error as StoreError, NodeIx, NodeRef, Snapshot};

use crate::config::error::Error;
use crate::config::report::RefreshReport;
use crate::engine::handle::{Engine, ReaderCopy, UnmadeCopy};
use crate::engine::refresh_history::RefreshRecord;
use crate::engine::working_state::{Consistency, WorkingState, damage_of};
use crate::state::incremental::{ChangedRows, SearchLimit, StateUpdate, touched_nodes};
use crate::state::refresh_explanation::{RefreshExplanation, RefreshReason, explain_refresh};

/// Rows for each changed list below which a refresh rebuilds. With 100,000 pins a refresh of 2,000 changed lists is 2.5 times as
/// fast as a rebuild. One of 20,000 is slower: nearly all walks are made again, and tracing them back was in vain.
const ROWS_PER_LIST: usize = 12;
/// Changed lists that are traced back in any graph: in a small one both ways are short.
const FEWEST_LISTS: usize = 64;

/// The result of bringing the working state to a snapshot.
pub(super) struct RefreshOutcome {
    update: StateUpdate,
    /// The explanation of the requested node.
    explanation: RefreshExplanation,
}

impl Engine {
    /// Brings every embedding to the store's present epoch. With `full` it recomputes everything.
    ///
    /// Both ways give the same bytes, which [`Engine::verify`] proves. Without `full` it recomputes the rows that the changes since
    /// the last refresh affect, or rebuilds if there are so many that a rebuild is cheaper.
    ///
    /// # Visibility
    /// Readers see all refreshed embeddings at once when the call returns. They are in memory only until [`Engine::persist`]: a
    /// crash before it loses no edge, and the next refresh computes the same bytes again.
    /// # Errors
    /// [`Error::NotTrained`]; [`Error::NotFinite`] with the node of a row that is not finite; a cancellation. After the last two
    /// readers still see the old embeddings, and the next refresh is a rebuild.
    /// # Cost
    /// The rows that the changes affect; readers wait while changed rows are copied. It runs on the caller's rayon pool. Call it from
    /// a thread outside that pool: a task of the pool that waits for its parts runs other tasks, and one that refreshes too would
    /// wait for itself.
    pub fn refresh(&self, full: bool, cancel: &CancelToken) -> Result<RefreshReport, Error> {
        Ok(self.refresh_and_explain(full, None, cancel)?.0)
    }

    /// Refreshes as [`Engine::refresh`] does without `full`, and explains why the embedding of a node changed or was recomputed.
    ///
    /// # Errors
    /// As for [`Engine::refresh`]; an unknown node, or one whose kind is not embedded, before anything is done.
    /// # Cost
    /// That of the refresh, and the walks of a few nodes.
    pub fn refresh_explained<'n>(
        &self,
        node: impl Into<NodeRef<'n>>,
        cancel: &CancelToken,
    ) -> Result<(RefreshReport, RefreshExplanation), Error> {
        self.refresh_and_explain(false, Some(node.into()), cancel)
    }

    fn refresh_and_explain(
        &self,
        full: bool,
        node: Option<NodeRef<'_>>,
        cancel: &CancelToken,
    ) -> Result<(RefreshReport, RefreshExplanation), Error> {
        let since = Instant::now();
        if node.is_some() {
            self.make_reader_copy()?;
        }
        let mut guard = self.working_state();
        let working = guard.as_mut().ok_or(Error::NotTrained)?;
        let snapshot = self.store.snapshot();
        let node = match (node, self.reader_copy().made()) {
            (Some(name), Some(embeddings)) => Some(embeddings.require_node(name, &snapshot)?),
            _ => None,
        };
        let RefreshOutcome { update, explanation } =
            self.refresh_to(working, &snapshot, full, node, cancel)?;
        Ok((RefreshReport { seconds: since.elapsed().as_secs_f64(), ..update.report }, explanation))
    }

    /// Brings the working state to a snapshot, and publishes it to readers.
    pub(super) fn refresh_to(
        &self,
        working: &mut WorkingState,
        snapshot: &Snapshot,
        full: bool,
        node: Option<NodeIx>,
        cancel: &CancelToken,
    ) -> Result<RefreshOutcome, Error> {
        let since = Instant::now();
        let outcome = self.advance_to(working, snapshot, full, node, cancel)?;
        self.show(working, snapshot, &outcome.update, since)?;
        Ok(outcome)
    }

    /// Publishes to readers the rows that an update of the working state changed, and records the refresh.
    ///
    /// # Errors
    /// Damage of the factors of a mapped file.
    pub(super) fn show(
        &self,
        working: &mut WorkingState,
        snapshot: &Snapshot,
        update: &StateUpdate,
        since: Instant,
    ) -> Result<(), Error> {
        // After a rebuild, readers' rows are made before readers are locked out, and the old ones are freed after that.
        let changed_rows = update.changed_rows.as_ref().map(ChangedRows::for_readers);
        let is_unmade = matches!(*self.reader_copy(), ReaderCopy::Unmade(_));
        let mut new = match &changed_rows {
            _ if is_unmade => Some(ReaderCopy::Unmade(UnmadeCopy::of(working))),
            None => Some(ReaderCopy::Made(self.copy_for_readers(working, snapshot)?)),
            Some(_) => None,
        };
        self.change_reader_copy(|copy| {
            match (&mut new, &changed_rows, &mut *copy) {
                (None, Some(changed_rows), ReaderCopy::Made(embeddings)) => {
                    embeddings.release_vectors();
                    working.state.vectors.apply_changes();
                    embeddings.copy_changed(&working.state, snapshot, changed_rows.rows());
                }
                (Some(new), ..) => std::mem::swap(copy, new),
                (None, ..) => {}
            }
            // Readers are still locked out, so the epoch and the dirty nodes of an answer belong together.
            self.set().mark_refreshed(snapshot.epoch());
        });

        if update.report.dirty_nodes > 0 {
            let seconds = since.elapsed().as_secs_f64();
            let report = RefreshReport { seconds, ..update.report.clone() };
            self.history().push(RefreshRecord { generation: working.generation, report });
        }
        Ok(())
    }

    /// Brings the working state to a snapshot: by the changes since its epoch, or by a rebuild if they are too many, unknown, or
    /// `full` is set.
    pub(super) fn advance_to(
        &self,
        working: &mut WorkingState,
        snapshot: &Snapshot,
        full: bool,
        node: Option<NodeIx>,
        cancel: &CancelToken,
    ) -> Result<RefreshOutcome, Error> {
        // The changes are not read if they are clearly too many.
        let dirty_nodes = self.dirty_nodes();
        let must_rebuild =
            full || working.consistency != Consistency::Exact || dirty_nodes > working.state.rows() as u64;
        let changes = if must_rebuild {
            None
        } else {
            match self.store.changes(working.state.epoch, snapshot, cancel) {
                // The log starts after the epoch of the embeddings.
                Err(StoreError::Invalid { .. }) => None,
                other => Some(other?),
            }
        };

        let most_lists = (working.state.rows() / ROWS_PER_LIST).max(FEWEST_LISTS);
        let counted = working.state.config.counted(snapshot);
        let are_few = |changes: &&Changes| {
            changes.lists.keys().filter(|(relation, _)| counted.counts(*relation)).count() <= most_lists
        };
        let mut damage = None;
        if let Some(changes) = changes.as_ref().filter(are_few)
            && let Some(update) = match working.follow(snapshot, changes, SearchLimit::Rebuild, cancel) {
                // A row that it reads.
                Err(Error::Store(error)) => {
                    damage = Some(damage_of(error)?);
                    None
                }
                other => other?,
            }
        {
            let explanation = match (node, &update.changed_rows) {
                (Some(node), Some(changed_rows)) => {
                    explain_refresh(&working.state, snapshot, changes, changed_rows, node)?
                }
                _ => RefreshExplanation::default(),
            };
            return Ok(RefreshOutcome { update, explanation });
        }
        // All rows, from the model and the snapshot alone.
        let (state, mut report) = working.build(snapshot, cancel)?;
        if !full {
            report.dirty_nodes = changes.map_or(dirty_nodes, |changes| touched_nodes(&changes));
        }
        working.replace(state, self.store.is_mapped());
        if let Some(damage) = damage {
            self.note_damage(damage);
        }
        let explanation = RefreshExplanation { changed: true, reasons: vec![RefreshReason::Rebuild] };
        Ok(RefreshOutcome { update: StateUpdate { report, changed_rows: None }, explanation })
    }
}
