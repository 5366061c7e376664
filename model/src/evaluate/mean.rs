//! A mean over queries and its confidence interval. Must not know the figures that are averaged.

use std::collections::HashMap;
use std::fmt;

use hedgerow_storage::NodeIx;

/// The 97.5 % quantile of the normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;
/// The 97.5 % quantiles of Student's distribution with 1 to 10 degrees of freedom.
const STUDENT: [f64; 10] = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281];

/// A mean over queries, and its 95 % interval: `mean - margin` to `mean + margin`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Mean {
    /// The sum over the queries, in their order, divided by their number; 0 without queries.
    pub mean: f64,
    /// Half of the width of the interval: Student's quantile times the standard error. `None` with fewer than two query nodes.
    ///
    /// Queries of one node depend on each other, so their deviations are summed before they are squared. If each node has one
    /// query, this is the usual standard error, `s / sqrt(n)`.
    ///
    /// Source: Liang and Zeger, "Longitudinal data analysis using generalized linear models" (Biometrika 73, 1986), of a mean.
    pub margin: Option<f64>,
}

/// Groups of queries that depend on each other, because they have the same query node.
pub(super) struct QueryGroups {
    /// The group of each query.
    of: Vec<usize>,
    count: usize,
}

impl QueryGroups {
    /// The groups by query node. `nodes` has the node of each query.
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

impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4}", self.mean)?;
        self.margin.map_or(Ok(()), |margin| write!(f, " +- {margin:.4}"))
    }
}

impl Mean {
    pub(super) fn of(values: &[f64], groups: &QueryGroups) -> Self {
        let count = values.len().max(1) as f64;
        // The fold starts at 0; `sum` starts at -0 and would return that without queries.
        let mean = values.iter().fold(0.0, |sum, value| sum + value) / count;
        let mut deviations = vec![0.0; groups.count];
        for (value, &group) in values.iter().zip(&groups.of) {
            deviations[group] += value - mean;
        }
        let margin = (groups.count > 1).then(|| {
            let count_of_groups = groups.count as f64;
            let squares: f64 = deviations.iter().map(|deviation| deviation * deviation).sum();
            student(count_of_groups - 1.0) * (squares * count_of_groups / (count_of_groups - 1.0)).sqrt()
                / count
        });
        Self { mean, margin }
    }

    /// True if the interval is above 0 or below 0.
    pub(super) fn is_off_zero(&self) -> bool {
        self.margin.is_some_and(|margin| self.mean.abs() > margin)
    }
}

/// The 97.5 % quantile of Student's distribution with this number of degrees of freedom, to four digits.
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

    fn mean(values: &[f64], nodes: &[u32]) -> Mean {
        Mean::of(values, &QueryGroups::new(nodes.iter().copied().map(NodeIx::new)))
    }

    /// The values 1, 2, 3, 4: mean 2.5, s^2 = 5/3, standard error sqrt(5/12), t(3) = 3.1824.
    #[test]
    fn an_interval_is_student_s_if_each_node_has_one_query() {
        let found = mean(&[1.0, 2.0, 3.0, 4.0], &[7, 3, 9, 1]);
        assert_eq!(found.mean, 2.5);
        assert!((found.margin.expect("four nodes") - 3.1824 * (5.0f64 / 12.0).sqrt()).abs() < 1e-12);
        assert!(found.is_off_zero());
        assert!(!mean(&[-1.0, 1.0], &[1, 2]).is_off_zero());
    }

    /// Two nodes with the values 1, 1 and 0, 0 are two independent values: t(1) and standard error 1/2, not that of four values.
    #[test]
    fn the_queries_of_one_node_count_as_one_observation() {
        let found = mean(&[1.0, 1.0, 0.0, 0.0], &[1, 1, 2, 2]);
        assert!((found.margin.expect("two nodes") - 12.7062 * 0.5).abs() < 1e-12);
        assert_eq!(found.margin, mean(&[1.0, 0.0], &[1, 2]).margin);
    }

    #[test]
    fn one_query_node_and_none_have_no_interval() {
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
