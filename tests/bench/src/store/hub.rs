//! Commits of one edge at a node with very many neighbors.

use std::path::Path;
use std::time::Instant;

use hedgerow::{Batch, Edge, NodeIx, NodeRef, Store};
use tempfile::TempDir;

use crate::measure::{Failure, quantile};
use crate::store::{Bench, load};

/// A folder in memory, where syncing costs nothing.
const MEMORY: &str = "/dev/shm";
/// Neighbors of the node that the hub is compared with.
const FEW: u32 = 10;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let in_memory =
        Path::new(MEMORY).is_dir().then(|| TempDir::with_prefix_in("hedgerow-bench-", MEMORY).ok());
    let in_memory = in_memory.flatten();
    let path = in_memory.as_ref().map_or_else(|| bench.path("hub"), |folder| folder.path().join("hub"));
    let place =
        if in_memory.is_some() { "in /dev/shm, so without fsync" } else { "fsync included: no /dev/shm" };
    let (hub, changes) = (bench.setup.hub, bench.setup.changes);
    // Board 0 has all of the first pins, board 1 the few that are left.
    let edges = (0..hub + FEW).map(|pin| (NodeIx::new(pin), NodeIx::new(hub + FEW + u32::from(pin >= hub))));
    let (store, _) = load(&path, (hub + FEW, 2), edges.collect(), &bench.cancel)?;
    let mut few = Vec::new();
    let mut many = Vec::new();
    for change in 0..changes {
        bench.cancel.check()?;
        // Each edge is added by one change and removed by the next.
        few.push(timed(&store, "1", (change / 2) as u64, change % 2 == 0)?);
        many.push(timed(&store, "0", u64::from(hub) + change as u64 / 2 % u64::from(FEW), change % 2 == 0)?);
    }
    for (case, share) in [("hub p50", 0.5), ("hub p99", 0.99)] {
        let (value, other) = (quantile(&mut many, share), quantile(&mut few, share));
        let against = Some(("at a node of 10 neighbors, time", value / other));
        let options =
            format!("a commit that adds or removes one of {hub} neighbors, {changes} of them; {place}");
        bench.record(case, value * 1e3, "ms", against, 1, &options)?;
    }
    Ok(())
}

/// The seconds of one commit.
fn timed(store: &Store, board: &str, pin: u64, add: bool) -> Result<f64, Failure> {
    let key = pin.to_string();
    let (pin, board) = (NodeRef::new("pin", &key)?, NodeRef::new("board", board)?);
    let mut batch = Batch::new();
    if add {
        batch.link(pin, board, Edge::default())?;
    } else {
        batch.unlink(pin, board, None)?;
    }
    let since = Instant::now();
    store.commit(&batch)?;
    Ok(since.elapsed().as_secs_f64())
}
