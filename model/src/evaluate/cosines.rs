//! How similar random pairs of embeddings are: the paper's figure, and the kurtosis by which it compares embeddings.

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::query::embeddings::Embeddings;

/// Nodes that stand for all of them.
const SAMPLED: usize = 4_000;
/// Partners of each node at most.
const PARTNERS: usize = 25;
/// Bins from -1 to 1.
const BINS: usize = 100;

/// The distribution of the cosines of random pairs. Embeddings that tell nodes apart spread theirs widely.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomCosines {
    /// How many.
    pub pairs: u64,
    /// Their mean; 0 of none.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// The fourth moment over the square of the second, less the 3 of a normal distribution; none where all are the same.
    pub kurtosis: Option<f64>,
    /// How many lie in each of 100 equal bins from -1 to 1.
    pub bins: Vec<u64>,
}

impl Engine {
    /// The cosines of random pairs of embeddings, of one kind or of all together: of the 4,000 nodes with the smallest stable ids, each
    /// with 25 others. What has neither edges nor features has an embedding without a direction, and is left out.
    ///
    /// # Errors
    /// [`Error::NotTrained`]; a kind that is not embedded.
    /// # Determinism
    /// A function of the embeddings and the nodes' names.
    /// # Cost
    /// A look at every row, and 100,000 products of two; readers do not wait.
    /// # Source
    /// `PinSage`, section 4.4 and figure 4.
    pub fn random_cosines(&self, kind: Option<&str>) -> Result<RandomCosines, Error> {
        self.with_embeddings(|embeddings, snapshot| {
            let kind = kind.map(|kind| embeddings.target_kind(kind, snapshot)).transpose()?;
            let is_asked = |row: &u32| {
                embeddings.is_alive(*row)
                    && kind.is_none_or(|kind| embeddings.kind(*row) == kind)
                    && embeddings.vector(*row).iter().any(|value| *value != 0.0)
            };
            let mut rows: Vec<u32> = (0..embeddings.rows() as u32).filter(is_asked).collect();
            rows.sort_unstable_by_key(|&row| embeddings.ids[row as usize]);
            rows.truncate(SAMPLED);
            Ok(RandomCosines::of(&random_pairs(embeddings, &rows)))
        })
    }
}

/// The ids that order a sample are hashes, so its neighbors in it are random partners.
fn random_pairs(embeddings: &Embeddings, sample: &[u32]) -> Vec<f64> {
    let count = sample.len();
    let steps = 1..=PARTNERS.min(count.saturating_sub(1) / 2);
    let pairs = steps.flat_map(|step| (0..count).map(move |at| (at, (at + step) % count)));
    let cosine = |(a, b): (usize, usize)| -> f64 {
        let (a, b) = (embeddings.vector(sample[a]), embeddings.vector(sample[b]));
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    pairs.map(cosine).collect()
}

impl RandomCosines {
    fn of(cosines: &[f64]) -> Self {
        let count = cosines.len().max(1) as f64;
        let mean = cosines.iter().sum::<f64>() / count;
        let moment =
            |power: i32| cosines.iter().map(|cosine| (cosine - mean).powi(power)).sum::<f64>() / count;
        let (variance, fourth) = (moment(2), moment(4));
        let mut bins = vec![0; BINS];
        for cosine in cosines {
            bins[(((cosine + 1.0) / 2.0 * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
        let kurtosis = (variance > 1e-12).then(|| fourth / (variance * variance) - 3.0);
        Self { pairs: cosines.len() as u64, mean, deviation: variance.sqrt(), kurtosis, bins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two values alike often have the smallest kurtosis there is, -2.
    #[test]
    fn kurtosis_is_the_excess_over_a_normal_distribution() {
        let found = RandomCosines::of(&[-0.5, 0.5, -0.5, 0.5]);
        assert_eq!((found.mean, found.deviation, found.kurtosis), (0.0, 0.5, Some(-2.0)));
        assert_eq!((found.bins[25], found.bins[75]), (2, 2));
        let rare = RandomCosines::of(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert!(rare.kurtosis > Some(2.0), "{rare:?}");
        assert_eq!(RandomCosines::of(&[1.0, 1.0]).kurtosis, None);
        assert_eq!(RandomCosines::of(&[]).pairs, 0);
    }

    /// Three nodes on a fan: each pair once, though there are 25 partners to have.
    #[test]
    fn each_pair_of_a_small_sample_counts_once() {
        let vectors = ndarray::array![[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]];
        let cosines = random_pairs(&Embeddings::example(&vectors, vec![0.0; 3]), &[2, 1, 0]);
        assert_eq!(cosines, [0.0, 0.0, -1.0]);
        assert!(random_pairs(&Embeddings::example(&vectors, vec![0.0; 3]), &[2]).is_empty());
    }
}
