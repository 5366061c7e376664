//! Weights that fade: an edge of weight w and time t counts as `w * 2^(t / h)` in a relation with the half-life h.
//! Kept as logarithms, because the numbers themselves grow without bound. Owns the arithmetic; lists own the encoding.

use std::f64::consts::{LN_2, SQRT_2};

use crate::types::weights::relation_options::HalfLife;

/// A logarithm with base 2: an integer, and a rest that is small.
///
/// Determinism: made of sums, products and quotients only, so every machine computes the same bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LogWeight {
    whole: i64,
    /// Above -1, and below 2 plus the largest logarithm of a weight.
    rest: f64,
}

impl LogWeight {
    /// The logarithm of a weight, without the time of the edge. The weight is finite and above 0.
    pub(crate) fn of(weight: f32) -> Self {
        // A `f64` holds every weight as a normal number.
        let bits = f64::from(weight).to_bits();
        let exponent = (bits >> 52) as i64 - 1023;
        let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
        Self { whole: exponent, rest: log2(mantissa) }
    }

    /// The logarithm of a weight that fades. Of an edge without a time, as a damaged file may have, it is very small.
    pub(crate) fn faded(weight: f32, time: Option<i64>, half_life: HalfLife) -> Self {
        let (Self { whole, rest }, time) = (Self::of(weight), time.unwrap_or(i64::MIN));
        let half_life = half_life.microseconds() as i64;
        let part = time.rem_euclid(half_life) as f64 / half_life as f64;
        Self { whole: whole + time.div_euclid(half_life), rest: rest + part }
    }

    /// The logarithm as one number, rounded.
    pub(crate) fn approximate(self) -> f64 {
        self.whole as f64 + self.rest
    }

    /// The smallest integer that is not below it.
    pub(crate) fn ceil(self) -> i64 {
        self.whole + self.rest.ceil() as i64
    }

    /// Its number over `2^exponent`: 0 or infinity if it is too far from 1.
    pub(crate) fn over(self, exponent: i64) -> f64 {
        // The nearest integer first, so that the series below is short.
        let nearest = self.rest.round();
        let whole = self.whole.saturating_sub(exponent).saturating_add(nearest as i64);
        exp2(self.rest - nearest) * power_of_two(whole)
    }
}

/// The weight that an edge of time `from` has at `to`. Positive, since no weight is 0.
pub(crate) fn weight_at(weight: f32, from: Option<i64>, to: i64, half_life: HalfLife) -> f32 {
    let age = from.map(|time| time.saturating_sub(to));
    if age == Some(0) {
        return weight;
    }
    let weight = LogWeight::faded(weight, age, half_life).over(0) as f32;
    weight.clamp(f32::MIN_POSITIVE, f32::MAX)
}

/// The weight class of an edge: the smallest e with a faded weight of at most `2^e`. It fits, because the times of such edges are bounded.
pub(crate) fn weight_class(weight: f32, time: Option<i64>, half_life: HalfLife) -> i32 {
    let exponent = LogWeight::faded(weight, time, half_life).ceil();
    exponent.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// `2^whole`, rounded to 0 or infinity where `f64` ends; numbers below the normal ones are 0.
pub(crate) fn power_of_two(whole: i64) -> f64 {
    match whole {
        ..-1022 => 0.0,
        1024.. => f64::INFINITY,
        _ => f64::from_bits(((whole + 1023) as u64) << 52),
    }
}

const RECIPROCALS_OF_ODD: [f64; 8] =
    [1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0];
const RECIPROCAL_FACTORIALS: [f64; 11] = [
    1.0,
    1.0,
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
];

/// The logarithm of a number from 1 to 2, by the series of the inverse hyperbolic tangent. The error is below 2^-45.
fn log2(mantissa: f64) -> f64 {
    if mantissa == 1.0 {
        return 0.0;
    }
    let (mantissa, whole) = if mantissa > SQRT_2 { (mantissa / 2.0, 1.0) } else { (mantissa, 0.0) };
    // At most 0.172.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = RECIPROCALS_OF_ODD.iter().rev().fold(0.0, |sum, coefficient| sum * square + coefficient);
    whole + 2.0 * s * series / LN_2
}

/// `2^x` for x from -1/2 to 1/2, by the series of the exponential function. The error is below 2^-41.
fn exp2(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * LN_2;
    RECIPROCAL_FACTORIALS.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hedgerow_test_support::Random;

    use super::*;

    fn half_life(seconds: u64) -> HalfLife {
        HalfLife::from_microseconds(Duration::from_secs(seconds).as_micros() as u64).expect("in range")
    }

    #[test]
    fn a_weight_over_its_power_of_two_is_that_of_the_system() {
        let mut random = Random::new(3);
        for _ in 0..20_000 {
            let weight = f32::from_bits(random.next() as u32 & 0x7f7f_ffff).max(f32::from_bits(1));
            let log = LogWeight::of(weight);
            let exact = f64::from(weight).log2();
            assert!((log.over(0) / f64::from(weight) - 1.0).abs() < 1e-11, "{weight}");
            assert!(
                (log.ceil() as f64) >= exact - 1e-9 && (log.ceil() as f64) < exact + 1.0 + 1e-9,
                "{weight}"
            );
            let above = log.over(log.ceil());
            assert!(above <= 1.0 + 1e-11 && above > 0.5 - 1e-11, "{weight}: {above}");
        }
    }

    /// A half-life later an edge counts twice as much, whatever the time is.
    #[test]
    fn a_weight_halves_with_each_half_life_of_age() {
        let mut random = Random::new(5);
        for _ in 0..5_000 {
            let seconds = 60 + random.next() % 100_000_000;
            let half = half_life(seconds);
            let time = (random.next() % (1 << 56)) as i64 - (1 << 55);
            let weight = 0.25 + (random.next() % 1000) as f32 / 100.0;
            let log = LogWeight::faded(weight, Some(time), half);
            let exponent = log.ceil();
            let later = LogWeight::faded(weight, Some(time + half.microseconds() as i64), half);
            assert_eq!(later.over(exponent).to_bits(), (2.0 * log.over(exponent)).to_bits());
            assert_eq!(later.ceil(), exponent + 1);
            // A third of a half-life, by the system's function.
            let third = (half.microseconds() / 3) as i64;
            let between = LogWeight::faded(weight, Some(time + third), half).over(exponent);
            let expected = log.over(exponent) * (third as f64 / half.microseconds() as f64).exp2();
            assert!((between / expected - 1.0).abs() < 1e-11, "{between} {expected}");
        }
    }

    #[test]
    fn numbers_far_from_one_are_zero_or_infinite() {
        let day = half_life(86_400);
        let log = LogWeight::faded(1.0, Some(0), day);
        assert_eq!(
            [log.over(2000), log.over(-2000), log.over(i64::MAX), log.over(i64::MIN)],
            [0.0, f64::INFINITY, 0.0, f64::INFINITY]
        );
        assert_eq!(LogWeight::faded(1.0, None, day).over(0), 0.0);
    }
}
