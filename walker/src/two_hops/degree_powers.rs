//! Powers of degrees. A filter reads several for each list, so those of most degrees are in a table.

/// Degrees below this are in the table.
const TABLE: usize = 4096;

/// Degrees to a negative power, `d^-x`. Degree 0 counts as 1.
///
/// Determinism: computed in double precision by the system and rounded to single, so that another system gives the same numbers
/// unless its error is thousands of times as large as usual.
#[derive(Clone, Debug)]
pub struct DegreePowers {
    exponent: f32,
    table: Vec<f32>,
}

impl DegreePowers {
    /// Powers with the exponent `-exponent`.
    pub fn new(exponent: f32) -> Self {
        Self { exponent, table: (0..TABLE).map(|degree| power(degree, exponent)).collect() }
    }

    /// The power of a degree.
    #[inline]
    pub fn of(&self, degree: usize) -> f32 {
        self.table.get(degree).copied().unwrap_or_else(|| power(degree, self.exponent))
    }
}

fn power(degree: usize, exponent: f32) -> f32 {
    (degree.max(1) as f64).powf(-f64::from(exponent)) as f32
}

#[cfg(test)]
mod tests {
    use super::{DegreePowers, TABLE};

    #[test]
    fn powers_are_the_same_inside_and_outside_the_table() {
        let powers = DegreePowers::new(0.5);
        assert_eq!([powers.of(0), powers.of(1), powers.of(4), powers.of(10_000)], [1.0, 1.0, 0.5, 0.01]);
        assert_eq!(powers.of(TABLE), 1.0 / (TABLE as f32).sqrt());
        assert_eq!(DegreePowers::new(-1.0).of(7), 7.0);
    }
}
