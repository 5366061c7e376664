//! How many nodes a second a rebuild embeds, and how fast its sparse products read, beside a plain copy.
//!
//! `cargo bench -p hedgerow-model --bench embed -- 100000`: pins with ten boards' neighbours each, two PinSage layers of
//! 128 numbers with messages of 256, ten neighbours a neighbourhood. One thread; the best of some rebuilds.
#![expect(dead_code, unused_imports, reason = "the modules are the library's own, taken in whole")]

#[path = "../src/simd.rs"]
mod simd;
#[path = "../src/sparse.rs"]
mod sparse;

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use hedgerow_model::{Conv, Engine, TrainOptions};
use hedgerow_storage::{CancelToken, Load, NodeIx, Store};
use ndarray::Array2;
use sparse::Sparse;

const ROUNDS: usize = 3;
const DIM: usize = 128;
const NEIGHBORS: usize = 10;
const EDGES_PER_PIN: u32 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let pins = words.find_map(|word| word.parse().ok()).unwrap_or(100_000);
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let mut out = std::io::stdout().lock();

    let (pooled, copied) = pooling(pins as usize);
    let share = pooled / copied;
    writeln!(out, "pooling {pins} rows of 256: {pooled:.1} GB/s read, a copy {copied:.1}, ratio {share:.2}")?;

    let folder = tempfile::tempdir()?;
    let engine = Engine::open(Arc::new(world(folder.path(), pins)?))?;
    let options = options();
    let cancel = CancelToken::new();
    engine.train(&options, None, &mut |_| {}, &cancel)?;
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        best = best.min(engine.refresh(true, &cancel)?.ms.layers / 1e3);
    }
    let operations = 2 * 2 * (DIM * 2 * DIM + 3 * DIM * DIM) + 2 * 2 * DIM * DIM;
    writeln!(
        out,
        "embedding {pins} nodes: {:.0} nodes/s, {:.0} GFLOP/s of products",
        f64::from(pins) / best,
        f64::from(pins) * operations as f64 / best / 1e9
    )?;
    Ok(())
}

/// Bytes a second of a sparse product's random rows and of a copy, in GB.
fn pooling(rows: usize) -> (f64, f64) {
    let mut sparse = Sparse::with_capacity(rows, rows, rows * NEIGHBORS);
    for row in 0..rows {
        let column = |at: usize| mixed((row * NEIGHBORS + at) as u64) % rows as u64;
        sparse.push_row((0..NEIGHBORS).map(|at| (column(at) as u32, 0.1)));
    }
    let mut dense = Array2::from_elem((rows, 2 * DIM), 1.0f32);
    let bytes = (dense.len() * 4) as f64;
    let (mut pooled, mut copied) = (0.0f64, 0.0f64);
    for _ in 0..ROUNDS {
        let since = Instant::now();
        let product = sparse.multiply(&dense.view());
        pooled = pooled.max(bytes * NEIGHBORS as f64 / since.elapsed().as_secs_f64() / 1e9);
        let since = Instant::now();
        dense.assign(black_box(&product));
        copied = copied.max(bytes / since.elapsed().as_secs_f64() / 1e9);
    }
    (pooled, copied)
}

fn world(folder: &std::path::Path, pins: u32) -> Result<Store, Box<dyn Error>> {
    let store = Store::options().create(true).open(folder.join("store"))?;
    let boards = pins / 2;
    let mut load = Load::new();
    let of_pins = load.nodes("pin", (0..pins).map(|key| key.to_string()))?;
    let of_boards = load.nodes("board", (0..boards).map(|key| key.to_string()))?;
    let mut edges: Vec<(NodeIx, NodeIx)> = (0..pins * EDGES_PER_PIN)
        .map(|at| {
            let board = (mixed(u64::from(at)) % u64::from(boards)) as u32;
            (NodeIx::new(of_pins.start + at / EDGES_PER_PIN), NodeIx::new(of_boards.start + board))
        })
        .collect();
    edges.sort_unstable();
    edges.dedup();
    load.edges(None, edges, None)?;
    store.load(load, &CancelToken::new())?;
    Ok(store)
}

fn options() -> TrainOptions {
    let mut options = TrainOptions {
        targets: vec!["pin".to_owned()],
        dim: DIM,
        conv: Conv::PinSage,
        epochs: 0,
        threads: 1,
        ..TrainOptions::default()
    };
    options.walks.top = NEIGHBORS as u32;
    options.walks.min_visits = 1;
    options
}

fn mixed(at: u64) -> u64 {
    let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}
