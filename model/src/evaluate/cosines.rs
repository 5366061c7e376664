//! Cosines of random pairs of embeddings: their distribution, and the kurtosis by which the paper compares embeddings.

use std::fmt;

use hedgerow_storage::Snapshot;

use crate::config::error::Error;
use crate::query::embeddings::Embeddings;

/// Nodes of the sample.
const SAMPLED: usize = 4_000;
/// Most partners of each node.
const PARTNERS: usize = 25;
/// Bins from -1 to 1.
const BINS: usize = 100;

/// The distribution of the cosines of random pairs. Embeddings that distinguish nodes have widely spread cosines.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RandomCosines {
    /// The number of pairs.
    pub pairs: u64,
    /// Their mean; 0 without pairs.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// The excess kurtosis: the fourth moment over the square of the second, less 3. `None` if all cosines are equal.
    pub kurtosis: Option<f64>,
    /// The number of cosines in each of 100 equal bins from -1 to 1.
    pub bins: Vec<u64>,
}

impl fmt::Display for RandomCosines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pairs, mean, deviation, .. } = self;
        write!(f, "cosine {mean:.3}, deviation {deviation:.3}, {pairs} pairs")
    }
}

impl RandomCosines {
    /// The cosines of random pairs of nodes of one kind, or of all kinds.
    ///
    /// The pairs join 4,000 nodes with 25 others each. A node without edges and features has a vector of zeros and is left out.
    pub(crate) fn sampled(
        embeddings: &Embeddings,
        snapshot: &Snapshot,
        kind: Option<&str>,
    ) -> Result<Self, Error> {
        let kind = kind.map(|kind| embeddings.require_kind(kind, snapshot)).transpose()?;
        let is_sampled = |row: &u32| {
            embeddings.is_alive(*row)
                && kind.is_none_or(|kind| embeddings.kind(*row) == kind)
                && !embeddings.vectors.is_zero(*row as usize)
        };
        let mut rows: Vec<u32> = (0..embeddings.rows() as u32).filter(is_sampled).collect();
        rows.sort_unstable_by_key(|&row| embeddings.ids[row as usize]);
        rows.truncate(SAMPLED);
        Ok(Self::of(&random_pairs(embeddings, &rows)))
    }

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

/// The cosines of each sampled node with the next ones. Stable ids are hashes, so the next nodes are random partners.
fn random_pairs(embeddings: &Embeddings, sample: &[u32]) -> Vec<f64> {
    let count = sample.len();
    let steps = 1..=PARTNERS.min(count.saturating_sub(1) / 2);
    let pairs = steps.flat_map(|step| (0..count).map(move |at| (at, (at + step) % count)));
    let vectors: Vec<Vec<f32>> = sample.iter().map(|&row| embeddings.vector(row)).collect();
    let cosine = |(a, b): (usize, usize)| -> f64 {
        let (a, b) = (&vectors[a], &vectors[b]);
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    pairs.map(cosine).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two values of equal frequency have the smallest possible kurtosis, -2.
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

    /// Three nodes have three pairs, fewer than 25 partners for each.
    #[test]
    fn each_pair_of_a_small_sample_counts_once() {
        let vectors = ndarray::array![[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]];
        let cosines = random_pairs(&Embeddings::example(&vectors, vec![0.0; 3]), &[2, 1, 0]);
        assert_eq!(cosines, [0.0, 0.0, -1.0]);
        assert!(random_pairs(&Embeddings::example(&vectors, vec![0.0; 3]), &[2]).is_empty());
    }
}
