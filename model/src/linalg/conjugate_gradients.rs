//! A few steps of conjugate gradients towards the solution of a row's equations: cheaper than the solution, and near it from a good
//! start. Must not know what rows are fitted to.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use crate::linalg::normal_equations::{Factor, RANK, RowEquations};
use crate::linalg::simd;
use crate::linalg::simd::{Kernel, Lanes};

/// The most numbers in a vector.
const WIDEST: usize = 16;
/// Of the first residual's square; steps end below it.
const PRECISION: f32 = 1e-10;

/// The row after some steps from `start`.
///
/// Determinism: each number has a fixed order of operations, so the width of vectors does not matter.
/// Cost: `RANK^2` operations a step, and twice `RANK` for each row of factors.
/// Source: Takacs et al., "Applications of the conjugate gradient method for implicit feedback collaborative filtering" (`RecSys` 2011).
pub(crate) fn improved(equations: &RowEquations<'_>, start: &Factor, steps: usize) -> Factor {
    equations.with_confidences(|equations| simd::run(Improve { equations, start, steps }))
}

struct Improve<'a> {
    equations: &'a RowEquations<'a>,
    start: &'a Factor,
    steps: usize,
}

impl Kernel for Improve<'_> {
    type Output = Factor;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Factor {
        if L::WIDTH == WIDEST {
            self.by_vectors::<L, { RANK / 16 }>(lanes)
        } else {
            self.by_vectors::<L, { RANK / 8 }>(lanes)
        }
    }
}

impl Improve<'_> {
    /// `V` vectors hold a row.
    #[inline(always)]
    fn by_vectors<L: Lanes, const V: usize>(self, lanes: L) -> Factor {
        let Self { equations, start, steps } = self;
        let mut x = *start;
        // r = b - A x, and the first direction is r.
        let mut r = [0.0; RANK];
        add_rows::<L, V>(lanes, equations, equations.targets, &mut r);
        let product = times::<L, V>(lanes, equations, &x);
        for at in 0..RANK {
            r[at] = r[at] + equations.right[at] - product[at];
        }
        let mut direction = r;
        let mut square = dot::<L, V>(lanes, &r, &r);
        let least = PRECISION * square;
        for _ in 0..steps {
            let product = times::<L, V>(lanes, equations, &direction);
            let curvature = dot::<L, V>(lanes, &direction, &product);
            // A square that is too small for a number would make the next ones infinite.
            if square <= least || curvature < f32::MIN_POSITIVE {
                break;
            }
            let length = square / curvature;
            for at in 0..RANK {
                x[at] += length * direction[at];
                r[at] -= length * product[at];
            }
            let next = dot::<L, V>(lanes, &r, &r);
            let turn = next / square;
            for at in 0..RANK {
                direction[at] = r[at] + turn * direction[at];
            }
            square = next;
        }
        x
    }
}

/// `A x`.
#[inline(always)]
fn times<L: Lanes, const V: usize>(lanes: L, equations: &RowEquations<'_>, x: &Factor) -> Factor {
    let mut sums = [lanes.splat(0.0); V];
    for (row, value) in equations.gram.as_chunks::<RANK>().0.iter().zip(x) {
        let by = lanes.splat(equations.weight * value);
        for (at, sum) in sums.iter_mut().enumerate() {
            *sum = lanes.mul_add(by, lanes.load(&row[at * L::WIDTH..]), *sum);
        }
    }
    let diagonal = lanes.splat(equations.diagonal);
    let mut product = [0.0; RANK];
    for (at, sum) in sums.into_iter().enumerate() {
        let sum = lanes.mul_add(diagonal, lanes.load(&x[at * L::WIDTH..]), sum);
        lanes.store(sum, &mut product[at * L::WIDTH..]);
    }
    // Rows times x, some at a time, and the rows times these products.
    for rows in equations.rows.chunks(WIDEST) {
        let products = dots::<L, V>(lanes, equations.factors, rows, x);
        let some = RowEquations { rows, ..*equations };
        add_rows::<L, V>(lanes, &some, &products[..rows.len()], &mut product);
    }
    product
}

/// Adds the rows times some numbers.
#[inline(always)]
fn add_rows<L: Lanes, const V: usize>(lanes: L, equations: &RowEquations<'_>, by: &[f32], to: &mut Factor) {
    let mut sums = [lanes.splat(0.0); V];
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum = lanes.load(&to[at * L::WIDTH..]);
    }
    for (&row, &by) in equations.rows.iter().zip(by) {
        let (z, by) = (&equations.factors[row as usize], lanes.splat(by));
        for (at, sum) in sums.iter_mut().enumerate() {
            *sum = lanes.mul_add(by, lanes.load(&z[at * L::WIDTH..]), *sum);
        }
    }
    for (at, sum) in sums.into_iter().enumerate() {
        lanes.store(sum, &mut to[at * L::WIDTH..]);
    }
}

/// The dot products of at most [`WIDEST`] rows with x. Those of vectors of eight are summed as those of sixteen are.
#[inline(always)]
fn dots<L: Lanes, const V: usize>(lanes: L, factors: &[Factor], rows: &[u32], x: &Factor) -> [f32; WIDEST] {
    let mut dots = [0.0; WIDEST];
    for (rows, dots) in rows.chunks(L::WIDTH).zip(dots.chunks_mut(L::WIDTH)) {
        let mut vectors = [lanes.splat(0.0); WIDEST];
        for (&row, vector) in rows.iter().zip(&mut vectors) {
            *vector = halves::<L, V>(lanes, &factors[row as usize], x);
        }
        lanes.store(lanes.sums(&vectors[..L::WIDTH]), dots);
    }
    dots
}

#[inline(always)]
fn dot<L: Lanes, const V: usize>(lanes: L, a: &Factor, b: &Factor) -> f32 {
    let mut vectors = [lanes.splat(0.0); WIDEST];
    vectors[0] = halves::<L, V>(lanes, a, b);
    let mut sums = [0.0; WIDEST];
    lanes.store(lanes.sums(&vectors[..L::WIDTH]), &mut sums);
    sums[0]
}

/// A vector whose lanes sum to the dot product of two rows: a chain of multiply-adds for each of sixteen lanes, and with vectors of
/// eight their first sum.
#[inline(always)]
fn halves<L: Lanes, const V: usize>(lanes: L, a: &Factor, b: &Factor) -> L::Vector {
    let vectors = WIDEST / L::WIDTH;
    let mut sums = [lanes.splat(0.0); 2];
    for at in 0..V {
        let sum = &mut sums[at % vectors];
        *sum = lanes.mul_add(lanes.load(&a[at * L::WIDTH..]), lanes.load(&b[at * L::WIDTH..]), *sum);
    }
    if vectors == 1 { sums[0] } else { lanes.add(sums[0], sums[1]) }
}

#[cfg(test)]
mod tests {
    use super::improved;
    use crate::linalg::normal_equations::tests::with_equations;
    use crate::linalg::normal_equations::{Factor, NormalEquations, RANK, RowEquations};
    use crate::linalg::simd::{Width, limit};

    fn distance(a: &Factor, b: &Factor) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
    }

    #[test]
    fn each_step_comes_nearer_and_many_reach_the_solution() {
        for count in [0, 1, 5, 16, 17, 40, 200] {
            let after = |steps| with_equations(count, |equations| improved(equations, &[0.0; RANK], steps));
            let solution = with_equations(count, |equations| equations.solve(&mut NormalEquations::new()));
            let mut before = distance(&[0.0; RANK], &solution);
            for steps in 1..4 {
                let now = distance(&after(steps), &solution);
                assert!(now < before || now < 1e-4, "{count} rows, {steps} steps: {now} after {before}");
                before = now;
            }
            assert!(distance(&after(200), &solution) < 1e-3, "{count} rows");
            let from_it = with_equations(count, |equations| improved(equations, &solution, 3));
            assert!(distance(&from_it, &solution) < 1e-3, "{count} rows");
        }
    }

    #[test]
    fn steps_towards_nothing_and_towards_the_smallest_numbers_are_finite() {
        for scale in [0.0, 1e-45, 1e-30, 1e-20] {
            let equations = RowEquations {
                gram: &[0.0; RANK * RANK],
                weight: 0.1,
                diagonal: 0.01,
                right: [scale; RANK],
                factors: &[],
                rows: &[],
                targets: &[],
                confidences: &[],
            };
            for start in [0.0, scale] {
                let found = improved(&equations, &[start; RANK], 3);
                assert!(found.iter().all(|value| value.is_finite()), "{scale} from {start}: {found:?}");
            }
        }
    }

    #[test]
    fn steps_have_the_same_bits_with_any_width_of_vectors() {
        for count in [1, 30] {
            let found =
                || with_equations(count, |equations| improved(equations, &[0.5; RANK], 3)).map(f32::to_bits);
            let widest = found();
            for width in [Width::Portable, Width::Eight] {
                limit::within(width, || assert_eq!(found(), widest, "{width:?}"));
            }
        }
    }
}
