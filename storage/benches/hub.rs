//! The cost of changing one edge at a node with many neighbors, compared with a node with few.
//!
//! `cargo bench -p hedgerow-storage --bench hub -- 1000000 weighted`; with `TMPDIR` in memory, the time of fsync is
//! left out.
//! Half of the changes add an edge and half remove one, alternating, at random pins. So a degree that is a power of two
//! changes the size of the table each time.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use hedgerow_storage::{Batch, BulkLoad, CancelToken, Edge, NodeIx, NodeName, Snapshot, Store};

const CHANGES: usize = 5000;
/// Snapshots that are held at the end, to measure the memory of one.
const HELD: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let degree: u32 = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let weighted = words.iter().any(|word| word == "weighted");
    let folder = tempfile::tempdir()?;
    let store = Store::options().create(true).open(folder.path().join("store"))?;
    let mut load = BulkLoad::new();
    let pins = load.nodes("pin", (0..degree + CHANGES as u32).map(|key| key.to_string()))?;
    let boards = load.nodes("board", ["hub", "leaf"])?;
    let edges = pins.take(degree as usize).map(|pin| (NodeIx::new(pin), NodeIx::new(boards.start))).collect();
    let weights = weighted.then(|| (0..degree).map(|at| 1.0 + (at % 7) as f32).collect());
    load.edges(None, edges, weights)?;
    store.load(load, &CancelToken::new())?;

    let mut out = std::io::stdout().lock();
    for board in ["leaf", "hub"] {
        let mut times = Vec::with_capacity(CHANGES);
        let mut held = Held::default();
        // The first change finds the list as the load wrote it, and divides it into chunks.
        let mut first = Duration::ZERO;
        for step in 0..CHANGES {
            if step == CHANGES - HELD {
                held.begin();
            }
            // Steps of a prime visit each pin once.
            let nth = (step / 2) * 7919 % (CHANGES / 2);
            let is_removal = step % 2 == 1;
            let pin = if is_removal && board == "hub" { nth } else { degree as usize + nth };
            let edge = Edge { weight: if weighted { 2.5 } else { 1.0 }, ..Edge::default() };
            times.push(change(&store, pin, board, (!is_removal).then_some(edge))?);
            if step == 0 {
                first = times[0];
            }
            held.add(&store, step >= CHANGES - HELD);
        }
        times.sort_unstable();
        let at = |share: f64| times[((CHANGES - 1) as f64 * share) as usize];
        writeln!(
            out,
            "{board}: first {first:?}, median {:?}, 99 of 100 {:?}, longest {:?}; a state that is held {} KB",
            at(0.5),
            at(0.99),
            at(1.0),
            held.kilobytes(),
        )?;
    }
    Ok(())
}

fn change(
    store: &Store,
    pin: usize,
    board: &str,
    edge: Option<Edge<'_>>,
) -> Result<Duration, Box<dyn Error>> {
    let (pin, board) = (NodeName::new("pin", pin.to_string())?, NodeName::new("board", board)?);
    let mut batch = Batch::new();
    match edge {
        Some(edge) => batch.link(&pin, &board, edge)?,
        None => batch.unlink(&pin, &board, None)?,
    }
    let start = Instant::now();
    let commit = store.commit(&batch)?;
    let took = start.elapsed();
    assert_eq!(commit.edges_added + commit.edges_removed, 1, "each commit changes one edge");
    Ok(took)
}

/// Held snapshots, and the memory in use before them.
#[derive(Default)]
struct Held {
    before: u64,
    states: Vec<Snapshot>,
}

impl Held {
    fn begin(&mut self) {
        self.before = resident();
    }

    fn add(&mut self, store: &Store, wanted: bool) {
        if wanted {
            self.states.push(store.snapshot());
        }
    }

    fn kilobytes(&self) -> u64 {
        (resident().saturating_sub(self.before)) / self.states.len().max(1) as u64
    }
}

/// The resident memory of this process in kilobytes; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
