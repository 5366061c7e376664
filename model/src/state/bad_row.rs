//! The first row that is not finite among rows that threads compute. Knows nothing of how rows are computed.

use std::sync::atomic::{AtomicU32, Ordering};

use hedgerow_storage::Snapshot;

use crate::config::error::Error;
use crate::linalg::rows::is_finite;
use crate::state::layer_rows::{ABSENT, State};

/// The smallest row that a check refused. It does not depend on the order of threads.
pub(super) struct FirstBadRow(AtomicU32);

impl Default for FirstBadRow {
    fn default() -> Self {
        Self(AtomicU32::new(ABSENT))
    }
}

impl FirstBadRow {
    /// Checks computed rows; `values` holds them row by row.
    pub(super) fn check(&self, rows: &[u32], values: &[f32]) {
        if is_finite(values) {
            return;
        }
        let width = values.len() / rows.len();
        let bad = rows.iter().zip(values.chunks_exact(width)).find(|(_, values)| !is_finite(values));
        if let Some((&row, _)) = bad {
            self.0.fetch_min(row, Ordering::Relaxed);
        }
    }

    /// # Errors
    /// [`Error::NotFinite`] with the node of the smallest refused row.
    pub(super) fn found(&self, state: &State, snapshot: &Snapshot) -> Result<(), Error> {
        match self.0.load(Ordering::Relaxed) {
            ABSENT => Ok(()),
            row => Err(Error::not_finite_embedding(&snapshot.name(state.nodes[row as usize]))),
        }
    }
}
