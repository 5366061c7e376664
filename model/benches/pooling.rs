//! The speed at which sparse products read rows from random places of a large memory, compared with a plain copy.
//!
//! `cargo bench -p hedgerow-model --bench pooling -- 100000` has as many rows of 256 numbers; each row of the result
//! sums ten of them. One thread; the best of several rounds.
#![expect(dead_code, unused_imports, reason = "the modules are the library's own, taken in whole")]

#[path = "../src/linalg/mod.rs"]
mod linalg;

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use linalg::buffer_pool::BufferPool;
use linalg::sparse::Sparse;
use ndarray::Array2;

const ROUNDS: usize = 3;
const WIDTH: usize = 256;
const NEIGHBORS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let rows: usize = words.find_map(|word| word.parse().ok()).unwrap_or(100_000);
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let mut sparse = Sparse::with_capacity(rows, rows, rows * NEIGHBORS);
    for row in 0..rows {
        let column = |at: usize| mixed((row * NEIGHBORS + at) as u64) % rows as u64;
        sparse.push_row((0..NEIGHBORS).map(|at| (column(at) as u32, 0.1)));
    }
    let mut dense = Array2::from_elem((rows, WIDTH), 1.0f32);
    let bytes = (dense.len() * size_of::<f32>()) as f64;
    let (mut pooled, mut copied) = (0.0f64, 0.0f64);
    for _ in 0..ROUNDS {
        let since = Instant::now();
        let product = sparse.multiply(&dense.view(), &mut BufferPool::default());
        pooled = pooled.max(bytes * NEIGHBORS as f64 / since.elapsed().as_secs_f64() / 1e9);
        let since = Instant::now();
        dense.assign(black_box(&product));
        copied = copied.max(bytes / since.elapsed().as_secs_f64() / 1e9);
    }
    let share = pooled / copied;
    writeln!(
        std::io::stdout(),
        "pooling {rows} rows of {WIDTH}: {pooled:.1} GB/s read, a copy {copied:.1}, ratio {share:.2}"
    )?;
    Ok(())
}

fn mixed(at: u64) -> u64 {
    let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}
