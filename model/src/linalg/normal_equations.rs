//! Least squares of one row: its normal equations, and their solution by Cholesky's method.
//! Must not know what rows are fitted to.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use rayon::prelude::*;

use crate::linalg::simd;
use crate::linalg::simd::{Kernel, Lanes};

/// The number of unknowns. A constant, so that no loop has a remainder; 64 numbers reach what 128 reach within a tenth of a percent.
pub(crate) const RANK: usize = 64;

/// Rows whose squares are summed together.
const ROWS_PER_SUM: usize = 1024;

/// A row of factors.
pub(crate) type Factor = [f32; RANK];

/// The equations of one row x, given the rows z that it has an edge to:
///
/// ```text
/// (weight * gram + diagonal * I + sum of c z z') x  =  right + sum of c * target * z
/// ```
///
/// with the confidences c.
pub(crate) struct RowEquations<'a> {
    /// Shape: (RANK, RANK), symmetric.
    pub(crate) gram: &'a [f32],
    pub(crate) weight: f32,
    pub(crate) diagonal: f32,
    pub(crate) right: Factor,
    /// All rows, and the numbers of those that count.
    pub(crate) factors: &'a [Factor],
    pub(crate) rows: &'a [u32],
    /// For each row that counts.
    pub(crate) targets: &'a [f32],
    /// For each row that counts, above 0. Empty if all are 1.
    pub(crate) confidences: &'a [f32],
}

impl RowEquations<'_> {
    /// Solves by a method that knows no confidences.
    pub(crate) fn with_confidences<T>(&self, solve: impl FnOnce(&RowEquations<'_>) -> T) -> T {
        if self.confidences.is_empty() {
            return solve(self);
        }
        let roots: Vec<f32> = self.confidences.iter().map(|confidence| confidence.sqrt()).collect();
        // Rows and targets times the roots of their confidences.
        let rows = self.rows.iter().zip(&roots);
        let factors: Vec<Factor> =
            rows.map(|(&row, root)| self.factors[row as usize].map(|value| root * value)).collect();
        let targets: Vec<f32> = self.targets.iter().zip(&roots).map(|(target, root)| root * target).collect();
        let rows: Vec<u32> = (0..self.rows.len() as u32).collect();
        let (factors, rows, targets) = (&factors[..], &rows[..], &targets[..]);
        solve(&RowEquations { factors, rows, targets, confidences: &[], ..*self })
    }

    /// The solution. `memory` can hold anything.
    ///
    /// # Panics
    /// If there are not as many targets as rows.
    pub(crate) fn solve(&self, memory: &mut NormalEquations) -> Factor {
        self.with_confidences(|equations| {
            memory.start(equations.gram, equations.weight, equations.diagonal, equations.right);
            memory.add(equations.factors, equations.rows, equations.targets);
            memory.solve()
        })
    }
}

/// The equations `A x = b` with a symmetric, positive definite A. Only A's upper triangle is used; numbers left of it are undefined.
///
/// Determinism: each number is a chain of fused multiply-adds in a fixed order, so the width of vectors does not matter.
pub(crate) struct NormalEquations {
    /// Shape: (RANK, RANK), row by row.
    matrix: Vec<f32>,
    right: Factor,
}

impl NormalEquations {
    pub(crate) fn new() -> Self {
        Self { matrix: vec![0.0; RANK * RANK], right: [0.0; RANK] }
    }

    /// Starts with `A = weight * gram + diagonal * I` and `b = right`.
    fn start(&mut self, gram: &[f32], weight: f32, diagonal: f32, right: Factor) {
        for (to, &from) in self.matrix.iter_mut().zip(gram) {
            *to = weight * from;
        }
        for at in 0..RANK {
            self.matrix[at * RANK + at] += diagonal;
        }
        self.right = right;
    }

    /// Adds `z z'` to A for each listed row z of `factors`, and `target * z` to b.
    ///
    /// # Panics
    /// If there are not as many targets as rows.
    fn add(&mut self, factors: &[Factor], rows: &[u32], targets: &[f32]) {
        assert_eq!(rows.len(), targets.len(), "each row has a target");
        simd::run(Add { equations: self, factors, rows, targets });
    }

    /// Solves the equations. What is stored of them is undefined afterwards.
    fn solve(&mut self) -> Factor {
        simd::run(Solve { matrix: &mut self.matrix, x: &mut self.right });
        self.right
    }
}

/// Products of rows with themselves, summed. Shape: (RANK, RANK), symmetric.
pub(crate) fn gram(factors: &[Factor]) -> Vec<f32> {
    let sums = factors.par_chunks(ROWS_PER_SUM).map(|some| {
        let rows: Vec<u32> = (0..some.len() as u32).collect();
        let mut equations = NormalEquations::new();
        equations.start(&[0.0; RANK * RANK], 0.0, 0.0, [0.0; RANK]);
        equations.add(some, &rows, &vec![0.0; some.len()]);
        equations.matrix
    });
    let mut gram = vec![0.0; RANK * RANK];
    for sum in sums.collect::<Vec<_>>() {
        gram.iter_mut().zip(sum).for_each(|(to, from)| *to += from);
    }
    gram
}

/// Adds products of rows with themselves to the matrix, and rows times targets to the right side.
struct Add<'a> {
    equations: &'a mut NormalEquations,
    factors: &'a [Factor],
    rows: &'a [u32],
    targets: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        // Sums of four rows of A fit into the registers of AVX-512, those of one into the others'.
        if L::WIDTH == 16 { self.by_vectors::<L, 4, 4>(lanes) } else { self.by_vectors::<L, 8, 1>(lanes) }
    }
}

impl Add<'_> {
    /// `V` vectors hold a row, and `K` rows of A are summed together, so that a row z is read once for them.
    #[inline(always)]
    fn by_vectors<L: Lanes, const V: usize, const K: usize>(self, lanes: L) {
        let Self { equations, factors, rows, targets } = self;
        let mut right = [lanes.splat(0.0); V];
        for (at, sum) in right.iter_mut().enumerate() {
            *sum = lanes.load(&equations.right[at * L::WIDTH..]);
        }
        for (&row, &target) in rows.iter().zip(targets) {
            let (z, by) = (&factors[row as usize], lanes.splat(target));
            for (at, sum) in right.iter_mut().enumerate() {
                *sum = lanes.mul_add(by, lanes.load(&z[at * L::WIDTH..]), *sum);
            }
        }
        for (at, sum) in right.into_iter().enumerate() {
            lanes.store(sum, &mut equations.right[at * L::WIDTH..]);
        }
        for k in (0..RANK).step_by(K) {
            let to = &mut equations.matrix[k * RANK..][..K * RANK];
            let mut sums = [[lanes.splat(0.0); V]; K];
            for (row, sums) in sums.iter_mut().enumerate() {
                for (at, sum) in sums.iter_mut().enumerate() {
                    *sum = lanes.load(&to[row * RANK + at * L::WIDTH..]);
                }
            }
            for &row in rows {
                let z = &factors[row as usize];
                let mut values = [lanes.splat(0.0); V];
                for (at, value) in values.iter_mut().enumerate() {
                    *value = lanes.load(&z[at * L::WIDTH..]);
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let by = lanes.splat(z[k + row]);
                    for (value, sum) in values.iter().zip(sums) {
                        *sum = lanes.mul_add(by, *value, *sum);
                    }
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (at, sum) in sums.into_iter().enumerate() {
                    lanes.store(sum, &mut to[row * RANK + at * L::WIDTH..]);
                }
            }
        }
    }
}

/// Replaces A by U with `U' U = A`, row by row, and solves `U' U x = b`. All of it is one kernel: outside of one, each fused
/// multiply-add would be a call.
struct Solve<'a> {
    matrix: &'a mut [f32],
    x: &'a mut Factor,
}

impl Kernel for Solve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        if L::WIDTH == 16 { self.by_vectors::<L, 4>(lanes) } else { self.by_vectors::<L, 8>(lanes) }
    }
}

impl Solve<'_> {
    #[inline(always)]
    fn by_vectors<L: Lanes, const V: usize>(mut self, lanes: L) {
        self.factorize::<L, V>(lanes);
        let (matrix, x) = (&*self.matrix, self.x);
        // U' y = b. Numbers left of the diagonal are undefined, so known parts of y are kept apart.
        let mut y = [0.0; RANK];
        for k in 0..RANK {
            let row = &matrix[k * RANK..][..RANK];
            y[k] = x[k] / row[k];
            let by = lanes.splat(-y[k]);
            for at in k / L::WIDTH..V {
                let to = &mut x[at * L::WIDTH..];
                lanes.store(lanes.mul_add(by, lanes.load(&row[at * L::WIDTH..]), lanes.load(to)), to);
            }
        }
        // U x = y, column by column.
        for k in (0..RANK).rev() {
            let known = y[k] / matrix[k * RANK + k];
            x[k] = known;
            for i in 0..k {
                y[i] = (-known).mul_add(matrix[i * RANK + k], y[i]);
            }
        }
    }

    #[inline(always)]
    fn factorize<L: Lanes, const V: usize>(&mut self, lanes: L) {
        for k in 0..RANK {
            let (above, below) = self.matrix.split_at_mut((k + 1) * RANK);
            let row = &mut above[k * RANK..];
            // Rounding can bring a tiny pivot to zero or below it.
            let pivot = row[k].max(f32::MIN_POSITIVE).sqrt();
            row[k] = pivot;
            for value in &mut row[k + 1..] {
                *value /= pivot;
            }
            let mut vectors = [lanes.splat(0.0); V];
            for (at, vector) in vectors.iter_mut().enumerate() {
                *vector = lanes.load(&row[at * L::WIDTH..]);
            }
            let below = below.as_chunks_mut::<RANK>().0;
            for i in k + 1..RANK {
                let (by, to) = (lanes.splat(-row[i]), &mut below[i - k - 1]);
                for at in i / L::WIDTH..V {
                    let to = &mut to[at * L::WIDTH..];
                    lanes.store(lanes.mul_add(by, vectors[at], lanes.load(to)), to);
                }
            }
        }
    }
}

#[cfg(test)]
pub(in crate::linalg) mod tests {
    use super::{Factor, NormalEquations, RANK, RowEquations, gram};
    use crate::linalg::simd::Width;
    use crate::linalg::simd::limit;

    fn number(at: usize) -> f32 {
        ((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn factors(count: usize) -> Vec<Factor> {
        (0..count).map(|row| std::array::from_fn(|at| number(row * RANK + at))).collect()
    }

    /// Some equations, and their solution by a method.
    pub(in crate::linalg) fn with_equations(
        count: usize,
        solve: impl Fn(&RowEquations<'_>) -> Factor,
    ) -> Factor {
        let factors = factors(count);
        let rows: Vec<u32> = (0..count as u32).rev().collect();
        let targets: Vec<f32> = (0..count).map(|at| number(at + 7)).collect();
        solve(&RowEquations {
            gram: &gram(&factors),
            weight: 0.1,
            diagonal: 0.5,
            right: std::array::from_fn(|at| number(at + 99)),
            factors: &factors,
            rows: &rows,
            targets: &targets,
            confidences: &[],
        })
    }

    fn solved(count: usize) -> Factor {
        with_equations(count, |equations| equations.solve(&mut NormalEquations::new()))
    }

    /// The solution by elimination in double precision.
    fn eliminated(count: usize) -> Vec<f64> {
        let factors = factors(count);
        let mut a = vec![vec![0.0f64; RANK + 1]; RANK];
        for (i, row) in a.iter_mut().enumerate() {
            row[i] = 0.5;
            row[RANK] = f64::from(number(i + 99));
            for (at, z) in factors.iter().rev().enumerate() {
                for j in 0..RANK {
                    row[j] += (1.0 + f64::from(0.1f32)) * f64::from(z[i]) * f64::from(z[j]);
                }
                row[RANK] += f64::from(number(at + 7)) * f64::from(z[i]);
            }
        }
        for k in 0..RANK {
            let pivot = a[k].clone();
            for (i, row) in a.iter_mut().enumerate().filter(|(i, _)| *i != k) {
                let by = row[k] / pivot[k];
                assert!(i < RANK);
                row.iter_mut().zip(&pivot).for_each(|(to, from)| *to -= by * from);
            }
        }
        (0..RANK).map(|k| a[k][RANK] / a[k][k]).collect()
    }

    #[test]
    fn the_solution_is_that_of_elimination_in_double_precision() {
        for count in [0, 1, 5, 40, 200] {
            for (found, expected) in solved(count).iter().zip(eliminated(count)) {
                assert!((f64::from(*found) - expected).abs() < 1e-3, "{count} rows: {found} and {expected}");
            }
        }
    }

    /// A row with confidence 2 is a row that is there twice.
    #[test]
    fn a_confidence_counts_a_row_as_often() {
        let factors = factors(5);
        let equations = |rows, targets, confidences| RowEquations {
            gram: &[0.0; RANK * RANK],
            weight: 0.0,
            diagonal: 0.5,
            right: [0.0; RANK],
            factors: &factors,
            rows,
            targets,
            confidences,
        };
        let solve = |equations: RowEquations<'_>| equations.solve(&mut NormalEquations::new());
        let twice = solve(equations(&[3, 1, 1], &[0.5, 0.7, 0.7], &[]));
        let counted = solve(equations(&[3, 1], &[0.5, 0.7], &[1.0, 2.0]));
        assert!(twice.iter().zip(&counted).all(|(a, b)| (a - b).abs() < 1e-5), "{twice:?} {counted:?}");
    }

    #[test]
    fn the_solution_has_the_same_bits_with_any_width_of_vectors() {
        let bits = |solution: Factor| solution.map(f32::to_bits);
        let widest = bits(solved(30));
        for width in [Width::Portable, Width::Eight] {
            limit::within(width, || assert_eq!(bits(solved(30)), widest, "{width:?}"));
        }
    }
}
