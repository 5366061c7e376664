//! The speed of matrix products, compared with the processor's limit and with other implementations.
//!
//! `cargo bench -p hedgerow-model --bench matrix`; with `--features rivals` also the crate faer. All run on one
//! thread and take turns. Each figure is the best of several rounds, since other programs can only slow a round down.
#![expect(dead_code, unused_imports, reason = "the modules are the library's own, taken in whole")]
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

#[path = "../src/linalg/mod.rs"]
mod linalg;

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use linalg::buffer_pool::BufferPool;
use linalg::simd::{Kernel, Lanes};
use ndarray::{Array2, ArrayView2};

/// Rounds; every implementation runs in each.
const ROUNDS: usize = 12;
/// Operations per round and implementation, at least, so that the resolution of the clock does not matter.
const WORK: f64 = 4e8;

/// Rows, inner dimension and columns of the measured products.
const SHAPES: [(usize, usize, usize); 9] = [
    (64, 128, 256),
    (300, 128, 256),
    (2048, 128, 256),
    (20_480, 128, 256),
    (2048, 384, 128),
    (20_480, 384, 128),
    (20_480, 128, 128),
    (2048, 512, 512),
    (20_480, 64, 64),
];

type Job<'a> = (&'static str, Box<dyn FnMut() + 'a>);

fn main() -> Result<(), Box<dyn Error>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    Ok(pool.install(|| -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let peak = (0..ROUNDS).map(|_| peak()).fold(0.0, f64::max);
        writeln!(out, "GFLOP/s on one thread; multiply-adds in registers: {peak:.0}")?;
        for (rows, inner, outer) in SHAPES {
            let (a, b) = (numbers(rows, inner), numbers(inner, outer));
            let b_transposed = b.t().as_standard_layout().to_owned();
            let dy = numbers(rows, outer);
            let work = 2.0 * (rows * inner * outer) as f64;
            let shape = format!("{rows} x {inner} x {outer}");
            report(&mut out, &format!("A B    {shape}"), peak, work, forward(&a, &b))?;
            report(&mut out, &format!("A B^T  {shape}"), peak, work, transposed(&a, &b_transposed))?;
            report(&mut out, &format!("A^T B  {inner} x {rows} x {outer}"), peak, work, gradient(&a, &dy))?;
        }
        Ok(())
    })?)
}

fn forward<'a>(a: &'a Array2<f32>, b: &'a Array2<f32>) -> Vec<Job<'a>> {
    let (a, b) = (a.view(), b.view());
    with_rivals(&a, &b, move || linalg::matrix::product(&a, &b, None, &mut BufferPool::default()))
}

fn transposed<'a>(a: &'a Array2<f32>, b: &'a Array2<f32>) -> Vec<Job<'a>> {
    let (a, b) = (a.view(), b.view());
    with_rivals(&a, &b.reversed_axes(), move || {
        linalg::matrix::product_by_transposed(&a, &b, &mut BufferPool::default())
    })
}

fn gradient<'a>(a: &'a Array2<f32>, b: &'a Array2<f32>) -> Vec<Job<'a>> {
    let (a, b) = (a.view(), b.view());
    with_rivals(&a.reversed_axes(), &b, move || {
        let mut sum = Array2::zeros((a.ncols(), b.ncols()));
        linalg::matrix::add_transposed_product(&mut sum.view_mut(), &a, &b);
        sum
    })
}

fn with_rivals<'a>(
    a: &ArrayView2<'a, f32>,
    b: &ArrayView2<'a, f32>,
    ours: impl Fn() -> Array2<f32> + 'a,
) -> Vec<Job<'a>> {
    let is_near = |(ours, theirs): (&f32, &f32)| (ours - theirs).abs() <= 1e-4 * theirs.abs().max(1.0);
    assert!(ours().iter().zip(&a.dot(b)).all(is_near), "both are the product, but for rounding");
    let (a, b) = (*a, *b);
    #[cfg_attr(not(feature = "rivals"), expect(unused_mut, reason = "a rival is added to it"))]
    let mut jobs: Vec<Job<'a>> = vec![
        ("ours", Box::new(move || drop(black_box(ours())))),
        ("ndarray", Box::new(move || drop(black_box(a.dot(&b))))),
    ];
    #[cfg(feature = "rivals")]
    jobs.extend(rivals::jobs(&a, &b));
    jobs
}

fn report(
    out: &mut impl Write,
    name: &str,
    peak: f64,
    work: f64,
    mut jobs: Vec<Job<'_>>,
) -> std::io::Result<()> {
    let turns = (WORK / work).ceil() as usize;
    let mut log_rates = vec![0.0f64; jobs.len()];
    for _ in 0..ROUNDS {
        for (rate, (_, job)) in log_rates.iter_mut().zip(&mut jobs) {
            let since = Instant::now();
            (0..turns).for_each(|_| job());
            *rate = rate.max(work * turns as f64 / since.elapsed().as_secs_f64() / 1e9);
        }
    }
    let best = log_rates.iter().copied().fold(0.0, f64::max);
    write!(out, "{name:26}")?;
    for (rate, (name, _)) in log_rates.iter().zip(&jobs) {
        write!(out, "  {name} {rate:.0}")?;
    }
    writeln!(out, "  ours/best {:.2}  ours/registers {:.2}", log_rates[0] / best, log_rates[0] / peak)
}

/// GFLOP/s of multiply-adds that touch no memory.
fn peak() -> f64 {
    let since = Instant::now();
    let chains = linalg::simd::run(Registers);
    (Registers::STEPS * chains * 2) as f64 / since.elapsed().as_secs_f64() / 1e9
}

struct Registers;

impl Registers {
    const STEPS: usize = 1 << 20;

    #[inline(always)]
    fn chains<L: Lanes, const R: usize>(lanes: L) -> usize {
        let (factor, mut sums) = (lanes.splat(black_box(0.5)), [lanes.splat(0.25); R]);
        for _ in 0..Self::STEPS {
            for sum in &mut sums {
                *sum = lanes.mul_add(factor, factor, *sum);
            }
        }
        let mut numbers = vec![0.0; R * L::WIDTH];
        for (sum, numbers) in sums.iter().zip(numbers.chunks_exact_mut(L::WIDTH)) {
            lanes.store(*sum, numbers);
        }
        black_box(numbers).len()
    }
}

impl Kernel for Registers {
    /// The number of chains.
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> usize {
        if L::REGISTERS == 32 { Self::chains::<L, 24>(lanes) } else { Self::chains::<L, 12>(lanes) }
    }
}

fn numbers(rows: usize, columns: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(r, c)| ((r * 7919 + c * 104_729) % 1009) as f32 / 1009.0 - 0.5)
}

#[cfg(feature = "rivals")]
mod rivals {
    use std::hint::black_box;

    use ndarray::{Array2, ArrayView2};

    use super::Job;

    pub(super) fn jobs<'a>(a: &ArrayView2<'a, f32>, b: &ArrayView2<'a, f32>) -> [Job<'a>; 1] {
        let (a, b) = (*a, *b);
        [("faer", Box::new(move || drop(black_box(with_faer(&a, &b)))))]
    }

    fn with_faer(a: &ArrayView2<'_, f32>, b: &ArrayView2<'_, f32>) -> Array2<f32> {
        let mut out = Array2::zeros((a.nrows(), b.ncols()));
        let slice = out.as_slice_mut().expect("a fresh matrix is contiguous");
        let into = faer::MatMut::from_row_major_slice_mut(slice, a.nrows(), b.ncols());
        faer::linalg::matmul::matmul(into, faer::Accum::Replace, of(a), of(b), 1.0, faer::Par::Seq);
        out
    }

    fn of<'a>(a: &'a ArrayView2<'_, f32>) -> faer::MatRef<'a, f32> {
        let (rows, columns) = a.dim();
        if let Some(slice) = a.as_slice() {
            return faer::MatRef::from_row_major_slice(slice, rows, columns);
        }
        let slice = a.as_slice_memory_order().expect("a matrix or its transpose");
        faer::MatRef::from_column_major_slice(slice, rows, columns)
    }
}
