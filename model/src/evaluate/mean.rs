//! A mean over queries and how far it can be off: owns what an interval is, not what is averaged.

use std::collections::HashMap;

use hedgerow_storage::NodeIx;

/// The quantile of the normal distribution below which 97.5 % of it lie.
const NORMAL: f64 = 1.959_963_984_540_054;
/// The same of Student's distribution with 1 to 10 degrees of freedom.
const STUDENT: [f64; 10] = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281];

/// A mean over queries, and its 95 % interval: `mean - margin` to `mean + margin`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    /// The sum over the queries, in their order, divided by their number; 0 of none.
    pub mean: f64,
    /// Half of the interval's width: Student's quantile times the standard error. None from fewer than two askers.
    ///
    /// What one asker asks hangs together, as the pairs of one query or a user that is listed twice do, so deviations are summed by
    /// asker before they are squared. Where each asks once this is the usual standard error, `s / sqrt(n)`.
    ///
    /// Source: Liang and Zeger, "Longitudinal data analysis using generalized linear models" (Biometrika 73, 1986), of a mean.
    pub margin: Option<f64>,
}

/// Who asked each query.
pub(super) struct Askers {
    of: Vec<usize>,
    count: usize,
}

impl Askers {
    /// By the node that asks, for each query.
    pub(super) fn new(nodes: impl Iterator<Item = NodeIx>) -> Self {
        let mut numbers: HashMap<NodeIx, usize> = HashMap::new();
        let number = |node| {
            let next = numbers.len();
            *numbers.entry(node).or_insert(next)
        };
        let of = nodes.map(number).collect();
        Self { of, count: numbers.len() }
    }
}

impl Mean {
    pub(super) fn of(values: &[f64], askers: &Askers) -> Self {
        let count = values.len().max(1) as f64;
        // Of none it is 0, not the -0 that sums begin with.
        let mean = values.iter().fold(0.0, |sum, value| sum + value) / count;
        let mut deviations = vec![0.0; askers.count];
        for (value, &asker) in values.iter().zip(&askers.of) {
            deviations[asker] += value - mean;
        }
        let margin = (askers.count > 1).then(|| {
            let askers = askers.count as f64;
            let squares: f64 = deviations.iter().map(|deviation| deviation * deviation).sum();
            student(askers - 1.0) * (squares * askers / (askers - 1.0)).sqrt() / count
        });
        Self { mean, margin }
    }

    /// Whether the interval lies above 0 or below it.
    pub(super) fn is_off_zero(&self) -> bool {
        self.margin.is_some_and(|margin| self.mean.abs() > margin)
    }
}

/// The quantile of Student's distribution with so many degrees of freedom, to four digits.
///
/// Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5, its first three terms.
fn student(freedom: f64) -> f64 {
    if let Some(quantile) = STUDENT.get(freedom as usize - 1) {
        return *quantile;
    }
    let z = NORMAL;
    let (cube, fifth, seventh) = (z.powi(3), z.powi(5), z.powi(7));
    z + (cube + z) / (4.0 * freedom)
        + (5.0 * fifth + 16.0 * cube + 3.0 * z) / (96.0 * freedom.powi(2))
        + (3.0 * seventh + 19.0 * fifth + 17.0 * cube - 15.0 * z) / (384.0 * freedom.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64], askers: &[u32]) -> Mean {
        Mean::of(values, &Askers::new(askers.iter().copied().map(NodeIx::new)))
    }

    /// Of 1, 2, 3, 4: mean 2.5, s^2 = 5/3, standard error sqrt(5/12), t(3) = 3.1824.
    #[test]
    fn an_interval_is_student_s_where_each_asks_once() {
        let found = mean(&[1.0, 2.0, 3.0, 4.0], &[7, 3, 9, 1]);
        assert_eq!(found.mean, 2.5);
        assert!((found.margin.expect("four askers") - 3.1824 * (5.0f64 / 12.0).sqrt()).abs() < 1e-12);
        assert!(found.is_off_zero());
        assert!(!mean(&[-1.0, 1.0], &[1, 2]).is_off_zero());
    }

    /// Two askers with the values 1, 1 and 0, 0: two independent values, so t(1) and standard error 1/2, not that of four.
    #[test]
    fn what_one_asker_asks_counts_as_one_observation() {
        let found = mean(&[1.0, 1.0, 0.0, 0.0], &[1, 1, 2, 2]);
        assert!((found.margin.expect("two askers") - 12.7062 * 0.5).abs() < 1e-12);
        assert_eq!(found.margin, mean(&[1.0, 0.0], &[1, 2]).margin);
    }

    #[test]
    fn one_asker_and_none_have_no_interval() {
        assert_eq!(mean(&[1.0, 0.5], &[4, 4]), Mean { mean: 0.75, margin: None });
        assert_eq!(mean(&[], &[]), Mean { mean: 0.0, margin: None });
        assert!(!mean(&[1.0], &[4]).is_off_zero());
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, quantile) in
            [(1.0, 12.7062), (10.0, 2.2281), (11.0, 2.2010), (30.0, 2.0423), (1e9, 1.9600)]
        {
            assert!((student(freedom) - quantile).abs() < 2e-4, "{freedom}");
        }
    }
}
