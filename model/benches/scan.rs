//! The speed of a nearest-row scan over rows in eight bits, compared with reading memory and with a plain loop over numbers in full.
//!
//! `cargo bench -p hedgerow-model --bench scan -- 200000` has as many rows of 128 numbers in 500 topics. One thread;
//! all take turns, and the best round counts. `reading` is the sum of all numbers of all rows in full: the time of the memory
//! alone. The recall is that of the answers by the rows in full.
#![expect(dead_code, unused_imports, reason = "the modules are the library's own, taken in whole")]

#[path = "../src/query"]
mod query {
    pub(crate) mod scan;
}
#[path = "../src/linalg/mod.rs"]
mod linalg;

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use hedgerow_storage::CancelToken;
use linalg::huge_matrix::HugeMatrix;
use linalg::rounded_rows::RoundedRows;
use linalg::simd::{Kernel, Lanes};
use query::scan::{BLOCK, Hit, Scan, ScanRequest};

const ROUNDS: usize = 5;
const QUERIES: usize = 40;
const DIM: usize = 128;
const TOPICS: usize = 500;
const K: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let rows: usize = words.find_map(|word| word.parse().ok()).unwrap_or(200_000);
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    // The rows, the requests and the queries.
    let full = topics(rows);
    let scan = Scan::new(RoundedRows::of(full.values(), DIM));
    let bias: Vec<f32> = (0..rows).map(|row| 0.1 * number(row)).collect();
    let order = |row: u32| u64::from(row);
    let (all, few) =
        (|_: usize| !0u64, |first: usize| u64::from(first % 100 < BLOCK) << (first / BLOCK % 64));
    let request = ScanRequest { bias: Some(&bias), ..ScanRequest::new(K, &all, &order) };
    let filtered = ScanRequest { mask: &few, ..request };
    let queries: Vec<&[f32]> = (0..QUERIES).map(|at| full.row(at * 7919 % rows)).collect();
    let cancel = CancelToken::new();
    let one = |request: &ScanRequest<'_>| {
        let nearest = |query: &&[f32]| scan.nearest(query, request, &cancel).expect("nobody cancels");
        queries.iter().map(nearest).collect::<Vec<_>>()
    };
    // The scan and its baselines take turns; the best round of each counts.
    let mut jobs: Vec<(&str, Job<'_>)> = vec![
        (
            "reading",
            Box::new(|| {
                for _ in 0..QUERIES {
                    black_box(linalg::simd::run(Sum(full.values())));
                }
                Vec::new()
            }),
        ),
        (
            "a loop over iterators, then a sort",
            Box::new(|| queries.iter().map(|query| plain(&full, query, &bias)).collect()),
        ),
        ("one query", Box::new(|| one(&request))),
        ("one query, one row in 100 wanted", Box::new(|| one(&filtered))),
        (
            "40 queries at once",
            Box::new(|| {
                let each = scan.nearest_each(&queries, &request, &|_, _| false, &cancel);
                each.expect("nobody cancels")
            }),
        ),
    ];
    let mut best = vec![f64::INFINITY; jobs.len()];
    let mut found = vec![Vec::new(); jobs.len()];
    for _ in 0..ROUNDS {
        for (at, (_, job)) in jobs.iter_mut().enumerate() {
            let since = Instant::now();
            found[at] = job();
            best[at] = best[at].min(since.elapsed().as_secs_f64() * 1e3 / QUERIES as f64);
        }
    }
    // The report.
    let mut out = std::io::stdout().lock();
    let bytes = (rows * DIM * size_of::<f32>()) as f64;
    writeln!(out, "{rows} rows of {DIM}, {K} nearest; reading {:.1} GB/s", bytes / best[0] / 1e6)?;
    writeln!(out, "{:<42} {:>10} {:>9} {:>10}", "", "ms/query", "reading=1", "recall@10")?;
    for (at, (name, _)) in jobs.iter().enumerate() {
        let recall = if found[at].is_empty() || name.ends_with("wanted") {
            String::new()
        } else {
            format!("{:.4}", recall(&found[at], &found[1]))
        };
        writeln!(out, "{name:<42} {:>10.3} {:>9.2} {recall:>10}", best[at], best[at] / best[0])?;
    }
    Ok(())
}

/// Runs all queries, and returns the answers to each.
type Job<'a> = Box<dyn FnMut() -> Vec<Vec<Hit>> + 'a>;

/// Unit vectors around topic centers.
fn topics(rows: usize) -> HugeMatrix {
    let mut all = HugeMatrix::zeros(rows, DIM);
    for row in 0..rows {
        let topic = (number(row).to_bits() as usize) % TOPICS;
        let values = all.row_mut(row);
        for (column, value) in values.iter_mut().enumerate() {
            *value = number(topic * DIM + column) + number(1 << 30 | (row * DIM + column));
        }
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        for value in values.iter_mut() {
            *value /= length;
        }
    }
    all
}

fn plain(full: &HugeMatrix, query: &[f32], bias: &[f32]) -> Vec<Hit> {
    let score = |row: usize| full.row(row).iter().zip(query).map(|(a, b)| a * b).sum::<f32>() + bias[row];
    let mut hits: Vec<Hit> = (0..full.rows()).map(|row| (row as u32, score(row))).collect();
    hits.sort_by(|a, b| b.1.total_cmp(&a.1));
    hits.truncate(K);
    hits
}

/// The share of exact answers that were found.
fn recall(found: &[Vec<Hit>], exact: &[Vec<Hit>]) -> f64 {
    let pairs = found.iter().zip(exact);
    let hits =
        pairs.map(|(some, all)| some.iter().filter(|hit| all.iter().any(|other| other.0 == hit.0)).count());
    hits.sum::<usize>() as f64 / exact.iter().map(Vec::len).sum::<usize>() as f64
}

/// The sum of all numbers of a slice.
struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]
    fn run<L: Lanes>(self, lanes: L) -> f32 {
        let mut sums = [lanes.splat(0.0); 8];
        let one = lanes.splat(1.0);
        for some in self.0.chunks_exact(8 * L::WIDTH) {
            for (sum, values) in sums.iter_mut().zip(some.chunks_exact(L::WIDTH)) {
                *sum = lanes.mul_add(one, lanes.load(values), *sum);
            }
        }
        let mut numbers = vec![0.0; 8 * L::WIDTH];
        sums.iter().zip(numbers.chunks_exact_mut(L::WIDTH)).for_each(|(sum, to)| lanes.store(*sum, to));
        numbers.iter().sum()
    }
}

/// A pseudo-random number in [-1, 1).
fn number(at: usize) -> f32 {
    let mixed = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 23) as f32 - 1.0
}
