//! The negatives that the examples of a minibatch share. Knows nothing of examples.

use hedgerow_storage::{NodeIx, Snapshot};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::index;

use crate::config::degree;
use crate::network::minibatch::Negatives;
use crate::state::layer_rows::State;

/// Attempts to draw each missing negative. If few nodes have nearly all the weight, fewer negatives are returned.
const DRAWS: usize = 8;

/// The distribution of negatives. Size: four bytes a row, and twelve more if degrees count.
pub(crate) struct NegativeSource {
    /// Rows in the order of their nodes' stable ids, so that equal graphs give equal draws.
    rows: Vec<u32>,
    /// Cumulative weights, and the logarithm of each weight over the mean; empty if all rows have equal weight.
    sums: Vec<f64>,
    log_rates: Vec<f32>,
}

impl NegativeSource {
    /// The distribution over all rows of existing nodes, proportional to the degree raised to `power`.
    pub(crate) fn new(power: f32, snapshot: &Snapshot, state: &State) -> Self {
        let mut rows: Vec<u32> = state.alive_rows().collect();
        rows.sort_by_key(|&row| snapshot.stable_id(state.nodes[row as usize]));
        let (mut sums, mut log_rates) = (Vec::new(), Vec::new());
        if power > 0.0 {
            let log_weight = |row: &u32| power * degree::log_degree(state.levels[*row as usize]);
            let mut sum = 0.0;
            sums.extend(rows.iter().map(|row| {
                sum += f64::from(log_weight(row)).exp();
                sum
            }));
            let log_mean = (sum / rows.len().max(1) as f64).ln() as f32;
            log_rates.extend(rows.iter().map(|row| log_weight(row) - log_mean));
        }
        Self { rows, sums, log_rates }
    }

    /// A row, drawn uniformly.
    pub(crate) fn any(&self, rng: &mut StdRng) -> u32 {
        self.rows[rng.random_range(0..self.rows.len())]
    }

    /// Draws `count` different rows, or all rows if there are fewer.
    pub(crate) fn draw(&self, count: usize, rng: &mut StdRng) -> Negatives {
        let count = count.min(self.rows.len());
        let Some(&sum) = self.sums.last() else {
            let rows: Vec<u32> =
                index::sample(rng, self.rows.len(), count).into_iter().map(|at| self.rows[at]).collect();
            return Negatives { log_rates: vec![0.0; rows.len()], rows };
        };
        let mut indices: Vec<usize> = Vec::with_capacity(count);
        for _ in 0..DRAWS {
            for _ in indices.len()..count {
                let at = rng.random_range(0.0..sum);
                indices.push(self.sums.partition_point(|&up_to| up_to <= at).min(self.rows.len() - 1));
            }
            indices.sort_unstable();
            indices.dedup();
        }
        Negatives {
            rows: indices.iter().map(|&at| self.rows[at]).collect(),
            log_rates: indices.iter().map(|&at| self.log_rates[at]).collect(),
        }
    }
}

/// A set of nodes: a bit for each node of the graph.
pub(crate) struct NodeSet(Vec<u64>);

impl NodeSet {
    /// The nodes of some rows.
    pub(crate) fn of_rows(rows: &[u32], state: &State) -> Self {
        let mut bits = vec![0; state.row_of.len().div_ceil(64)];
        for node in rows.iter().map(|&row| state.nodes[row as usize].index()) {
            bits[node / 64] |= 1 << (node % 64);
        }
        Self(bits)
    }

    pub(crate) fn contains(&self, node: NodeIx) -> bool {
        self.0.get(node.index() / 64).is_some_and(|word| word >> (node.index() % 64) & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::NegativeSource;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    /// A distribution in which row n has the weight n + 1.
    fn weighted(rows: u32) -> NegativeSource {
        let mut sum = 0.0;
        let sums = (1..=rows).map(|weight| {
            sum += f64::from(weight);
            sum
        });
        let sums: Vec<f64> = sums.collect();
        let mean = (sum / f64::from(rows)) as f32;
        let log_rates = (1..=rows).map(|weight| (weight as f32 / mean).ln()).collect();
        NegativeSource { rows: (0..rows).collect(), sums, log_rates }
    }

    #[test]
    fn no_row_is_drawn_twice_and_all_are_where_that_is_asked() {
        let mut rng = StdRng::seed_from_u64(1);
        let alike = NegativeSource { rows: (0..50).collect(), sums: Vec::new(), log_rates: Vec::new() };
        for source in [&alike, &weighted(50)] {
            for count in [1, 20, 50, 80] {
                let mut rows = source.draw(count, &mut rng).rows;
                let drawn = rows.len();
                rows.sort_unstable();
                rows.dedup();
                assert_eq!(rows.len(), drawn);
                // The rarest rows may not be drawn.
                assert!(drawn <= count && drawn * 10 >= count.min(50) * 7, "{drawn} of {count}");
            }
        }
        assert_eq!(alike.draw(80, &mut rng).rows.len(), 50);
    }

    #[test]
    fn rows_are_drawn_by_their_weights_and_the_rates_say_so() {
        let (source, mut rng, mut drawn) = (weighted(10), StdRng::seed_from_u64(2), [0u32; 10]);
        for _ in 0..20_000 {
            let negatives = source.draw(1, &mut rng);
            drawn[negatives.rows[0] as usize] += 1;
            let expected = f64::from(negatives.rows[0] + 1) / 5.5;
            assert!((f64::from(negatives.log_rates[0]).exp() - expected).abs() < 1e-4);
        }
        for (row, &count) in drawn.iter().enumerate() {
            let expected = 20_000.0 * (row + 1) as f64 / 55.0;
            assert!((f64::from(count) - expected).abs() < 6.0 * expected.sqrt(), "row {row}: {count}");
        }
    }
}
