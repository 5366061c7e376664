//! Rebuilds that are compared with the rows before them: the proof that refreshes give the bytes of a rebuild.

use std::fmt;
use std::time::Instant;

use hedgerow_storage::{CancelToken, Changes, Error as StoreError, Snapshot};

use crate::config::error::Error;
use crate::config::report::RefreshReport;
use crate::engine::handle::Engine;
use crate::engine::working_state::{Consistency, WorkingState};
use crate::state::incremental::{SearchLimit, StateUpdate};
use crate::state::layer_rows::State;
use crate::state::row_comparison::RowComparison;

/// A rebuild of all rows, and its comparison with the rows before it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RebuildReport {
    /// The report of the rebuild.
    pub refresh: RefreshReport,
    /// The comparison.
    pub comparison: RowComparison,
}

impl fmt::Display for RebuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.refresh, self.comparison)
    }
}

impl Engine {
    /// Recomputes all rows from the graph and the model, as [`Engine::refresh`] does with `full`, and compares them with the rows
    /// before.
    ///
    /// The changes since the last refresh are applied to the rows before the comparison, as a refresh applies them. So a difference
    /// is not explained by them. Everything that is stored for a node is compared, bit by bit: degree level, neighborhood, the rows of
    /// all layers, messages, vector and bias.
    ///
    /// # Visibility
    /// Readers see the refreshed embeddings, then those of the rebuild. They are in memory only until [`Engine::persist`].
    /// # Errors
    /// As for [`Engine::refresh`]. Rows that differ are no error.
    /// # Cost
    /// A refresh, a rebuild, and a read of all rows. The rows before and after are in memory together: another
    /// [`Engine::memory`].
    pub fn rebuild(&self, cancel: &CancelToken) -> Result<RebuildReport, Error> {
        self.rebuild_and_compare(true, cancel)
    }

    /// Compares all rows with those that a rebuild gives, as [`Engine::rebuild`] does, and drops the rebuild.
    ///
    /// It proves for the rows at hand that refreshes gave the bytes of a rebuild: for the stored ones after [`Engine::open`], and
    /// with them for the changes since the last refresh.
    ///
    /// # Visibility
    /// Readers see the refreshed embeddings. Nothing is stored.
    /// # Errors
    /// As for [`Engine::refresh`]. Rows that differ are no error.
    /// # Cost
    /// As for [`Engine::rebuild`].
    pub fn verify(&self, cancel: &CancelToken) -> Result<RebuildReport, Error> {
        self.rebuild_and_compare(false, cancel)
    }

    fn rebuild_and_compare(&self, keep: bool, cancel: &CancelToken) -> Result<RebuildReport, Error> {
        let since = Instant::now();
        let mut guard = self.working_state();
        let working = guard.as_mut().ok_or(Error::NotTrained)?;
        let snapshot = self.store.snapshot();
        self.require_intact(working, WorkingState::verify, cancel)?;
        let obstacle = self.follow_changes(working, &snapshot, cancel)?;
        let (rebuilt, report) = working.build(&snapshot, cancel)?;
        let comparison = match obstacle {
            None => compare(&working.state, &rebuilt, &snapshot, cancel)?,
            Some(reason) => RowComparison::NotCompared { reason },
        };
        let mut update = StateUpdate { report, changed_rows: None };
        if keep {
            working.replace(rebuilt, self.store.is_mapped());
            self.show(working, &snapshot, &update, since)?;
        }
        update.report.seconds = since.elapsed().as_secs_f64();
        Ok(RebuildReport { refresh: update.report, comparison })
    }

    /// Brings the rows to a snapshot by the changes since their epoch, however many. Returns the reason where that is impossible.
    fn follow_changes(
        &self,
        working: &mut WorkingState,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<Option<String>, Error> {
        let (since, epoch) = (Instant::now(), working.state.epoch);
        match working.consistency {
            Consistency::Interrupted => return Ok(Some("the last refresh was interrupted".to_owned())),
            Consistency::Exact | Consistency::EarlierVersion if epoch == snapshot.epoch() => return Ok(None),
            Consistency::EarlierVersion => {
                let reason = "an earlier version computed the rows, and the graph has changed since";
                return Ok(Some(reason.to_owned()));
            }
            Consistency::Exact => {}
        }
        let changes = match self.store.changes(epoch, snapshot, cancel) {
            Err(StoreError::Invalid { .. }) => {
                return Ok(Some(format!("the log begins after epoch {epoch} of the rows")));
            }
            Err(StoreError::ReadOnly { .. }) => {
                return Ok(Some(format!("a read-only store does not have the changes after epoch {epoch}")));
            }
            other => other?,
        };
        if lacks_rows(&working.state, snapshot, &changes) {
            // The rows are not those of the graph, so the comparison finds the nodes.
            return Ok(None);
        }
        match working.follow(snapshot, &changes, SearchLimit::Unlimited, cancel)? {
            Some(update) => {
                self.show(working, snapshot, &update, since)?;
                Ok(None)
            }
            None => Ok(Some("the rows are not those of the graph".to_owned())),
        }
    }
}

/// True if a node of an embedded kind that did not change has no row.
fn lacks_rows(state: &State, snapshot: &Snapshot, changes: &Changes) -> bool {
    let kinds = state.config.targets().filter_map(|kind| snapshot.kind_ix(kind));
    let mut nodes = kinds.flat_map(|kind| snapshot.nodes_of(kind));
    nodes.any(|node| state.row(node).is_none() && !changes.nodes.contains(&node))
}

fn compare(
    rows: &State,
    rebuilt: &State,
    snapshot: &Snapshot,
    cancel: &CancelToken,
) -> Result<RowComparison, Error> {
    let different = rows.different_nodes(rebuilt, cancel)?;
    let first = different.iter().min_by_key(|(node, _)| snapshot.stable_id(*node));
    Ok(match first {
        None => RowComparison::Equal { nodes: rebuilt.alive_rows().count() as u64 },
        Some(&(first, part)) => {
            RowComparison::Different { nodes: different.len() as u64, first: snapshot.name(first), part }
        }
    })
}
