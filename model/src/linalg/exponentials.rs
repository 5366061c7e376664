//! Exponentials of many numbers at once, and their sum. Knows nothing of losses.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use crate::linalg::simd;
use crate::linalg::simd::{Kernel, Lanes};

/// Partial sums and partial maxima. They are joined in a fixed order, which gives the same bits on every processor.
const PARTS: usize = 16;

/// Below this the exponential is 0. It is the logarithm of the smallest normal number.
const LOWEST: f32 = -87.336_54;
/// Added to a small number, it rounds it to an integer, which then stands in the last bits.
const ROUNDER: f32 = 12_582_912.0;
/// The logarithm of 2 in two parts. The product of the first with a small integer is exact.
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
/// The coefficients of a polynomial for the exponential of numbers within half the logarithm of 2, the highest power first.
const POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5];

/// The largest of the numbers that are not NaN; minus infinity if there is none.
pub(crate) fn largest(numbers: &[f32]) -> f32 {
    simd::run(Largest { numbers })
}

/// Replaces each number `x` by `exp((x - origin) * scale)`, and returns their sum. The scaled differences must not be above 0. The
/// exponential of NaN is NaN.
///
/// The relative error of an exponential is below 2^-22. Determinism: the same bits on every processor.
pub(crate) fn exponentials(numbers: &mut [f32], origin: f32, scale: f32) -> f32 {
    simd::run(Exponentials { numbers, origin, scale })
}

struct Largest<'a> {
    numbers: &'a [f32],
}

impl Kernel for Largest<'_> {
    type Output = f32;

    /// The lanes of this loop are arrays, from which the compiler makes vectors.
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> f32 {
        let larger = |a: f32, b: f32| if b > a { b } else { a };
        let (parts, rest) = self.numbers.as_chunks::<PARTS>();
        let mut most = [f32::NEG_INFINITY; PARTS];
        for part in parts {
            for (most, number) in most.iter_mut().zip(part) {
                *most = larger(*most, *number);
            }
        }
        most.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger)
    }
}

struct Exponentials<'a> {
    numbers: &'a mut [f32],
    origin: f32,
    scale: f32,
}

impl Kernel for Exponentials<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> f32 {
        let Self { numbers, origin, scale } = self;
        let mut sums = [0.0; PARTS];
        let (parts, rest) = numbers.as_chunks_mut::<PARTS>();
        for part in parts {
            for (number, sum) in part.iter_mut().zip(&mut sums) {
                *number = exponential((*number - origin) * scale);
                *sum += *number;
            }
        }
        for (number, sum) in rest.iter_mut().zip(&mut sums) {
            *number = exponential((*number - origin) * scale);
            *sum += *number;
        }
        sums.into_iter().sum()
    }
}

/// `exp(x) = 2^n exp(r)` with `r = x - n ln 2`, and a polynomial for `exp(r)` (Cephes, `expf`).
#[inline(always)]
fn exponential(x: f32) -> f32 {
    let is_zero = x < LOWEST;
    let x = if is_zero { LOWEST } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = n.mul_add(-LN_2.1, n.mul_add(-LN_2.0, x));
    let powers = POLYNOMIAL.into_iter().fold(0.0, |sum: f32, coefficient| sum.mul_add(r, coefficient));
    let result = powers.mul_add(r * r, r) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if is_zero { 0.0 } else { result * power }
}

#[cfg(test)]
mod tests {
    use super::{Exponentials, LOWEST, Largest, exponentials, largest};
    use crate::linalg::simd;
    use crate::linalg::simd::Width;

    /// Numbers from 0 down to below the lowest, at irregular distances.
    fn numbers() -> Vec<f32> {
        (0..200_003u32).map(|at| -(at as f32) / 2000.0 - (at % 7) as f32 * 1e-5).collect()
    }

    #[test]
    fn exponentials_are_those_of_the_standard_library_to_the_last_bits() {
        for scale in [1.0f32, 0.1, 10.0] {
            let (before, mut after) = (numbers(), numbers());
            let sum = exponentials(&mut after, 0.25, scale);
            for (x, found) in before.iter().zip(&after) {
                let x = (x - 0.25) * scale;
                let expected = f64::from(x).exp();
                if x < LOWEST {
                    assert_eq!(*found, 0.0, "{x}");
                } else {
                    assert!((f64::from(*found) / expected - 1.0).abs() < 2f64.powi(-22), "{x} {found}");
                }
            }
            let expected: f64 = after.iter().map(|value| f64::from(*value)).sum();
            assert!((f64::from(sum) / expected - 1.0).abs() < 1e-5, "{sum} {expected}");
        }
    }

    #[test]
    fn zero_is_exact_and_numbers_that_are_not_finite_stay_so_or_become_zero() {
        let mut numbers = [3.0, f32::NEG_INFINITY, f32::NAN];
        assert!(exponentials(&mut numbers, 3.0, 5.0).is_nan());
        assert_eq!(numbers[..2], [1.0, 0.0]);
        assert!(numbers[2].is_nan());
        assert_eq!(exponentials(&mut [], 0.0, 1.0), 0.0);
        assert_eq!(largest(&[]), f32::NEG_INFINITY);
        assert_eq!(largest(&[f32::NAN, -2.0, f32::NEG_INFINITY]), -2.0);
    }

    #[test]
    fn every_vector_width_gives_the_same_bits() {
        for len in [0, 1, 15, 16, 17, 100, 4000] {
            let before: Vec<f32> = numbers().into_iter().step_by(41).take(len).collect();
            let of = |width| {
                let mut numbers = before.clone();
                let most = simd::run_within(width, Largest { numbers: &numbers });
                let kernel = Exponentials { numbers: &mut numbers, origin: 0.5, scale: 1.5 };
                let sum = simd::run_within(width, kernel);
                (most.to_bits(), sum.to_bits(), numbers)
            };
            let expected = of(Width::Portable);
            assert_eq!(of(Width::Eight), expected);
            assert_eq!(of(Width::Sixteen), expected);
            assert_eq!(expected.0, before.iter().copied().fold(f32::NEG_INFINITY, f32::max).to_bits());
        }
    }
}
