//! Pixie with its default options, from the items of a history.

use hedgerow_storage::NodeIx;
use hedgerow_walker::options::MAX_WALKS;
use hedgerow_walker::{PixieOptions, Policy, pixie};

use crate::config::error::Error;
use crate::evaluate::candidates::Candidates;

/// The items that walks from a history visit, with Pixie's scores. A history of more items than the default budget has walks gets a
/// walk for each item, up to the most walks that are possible.
pub(super) fn scores(
    candidates: &Candidates<'_>,
    policy: &Policy,
    history: &[NodeIx],
) -> Result<Vec<(NodeIx, f64)>, Error> {
    let items = history.iter().filter(|&&node| candidates.snapshot.kind(node) == candidates.kind);
    let queries: Vec<(NodeIx, f32)> = items.take(MAX_WALKS as usize).map(|&item| (item, 1.0)).collect();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let default = PixieOptions::default();
    let options = PixieOptions { budget: default.budget.max(queries.len() as u32), ..default };
    let answer = pixie(candidates.snapshot, policy, &queries, usize::MAX, &options)?;
    Ok(answer.items.into_iter().map(|item| (item.node, f64::from(item.score))).collect())
}
