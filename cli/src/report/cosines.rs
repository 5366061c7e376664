//! How similar random pairs of embeddings are: the paper's figure, and the kurtosis by which it compares embeddings.

use serde::Serialize;

use super::map::Sample;
use super::short;

/// Bins from -1 to 1.
const BINS: usize = 100;
/// Partners of each node at most.
const PARTNERS: usize = 25;

#[derive(Debug, Serialize)]
pub(super) struct Cosines {
    pairs: u64,
    mean: f64,
    deviation: f64,
    /// Of the fourth moment, less the 3 of a normal distribution; none where all are the same.
    kurtosis: Option<f64>,
    bins: Vec<u64>,
}

impl Cosines {
    /// The order of a sample is that of hashes, so its neighbours in it are random partners.
    pub(super) fn of(sample: &Sample) -> Self {
        let vectors = &sample.vectors;
        let count = vectors.len();
        let steps = 1..=PARTNERS.min(count.saturating_sub(1) / 2);
        let pairs = steps.flat_map(|step| (0..count).map(move |at| (at, (at + step) % count)));
        let cosine = |(a, b): (usize, usize)| -> f64 {
            vectors[a].iter().zip(&vectors[b]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        Self::over(&pairs.map(cosine).collect::<Vec<f64>>())
    }

    fn over(cosines: &[f64]) -> Self {
        let count = cosines.len().max(1) as f64;
        let mean = cosines.iter().sum::<f64>() / count;
        let moment =
            |power: i32| cosines.iter().map(|cosine| (cosine - mean).powi(power)).sum::<f64>() / count;
        let (variance, fourth) = (moment(2), moment(4));
        let mut bins = vec![0; BINS];
        for cosine in cosines {
            bins[(((cosine + 1.0) / 2.0 * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
        Self {
            pairs: cosines.len() as u64,
            mean: short(mean, 4),
            deviation: short(variance.sqrt(), 4),
            kurtosis: (variance > 1e-12).then(|| short(fourth / (variance * variance) - 3.0, 3)),
            bins,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cosines;

    /// Two values alike often have the smallest kurtosis there is, -2.
    #[test]
    fn kurtosis_is_the_excess_over_a_normal_distribution() {
        let found = Cosines::over(&[-0.5, 0.5, -0.5, 0.5]);
        assert_eq!((found.mean, found.deviation, found.kurtosis), (0.0, 0.5, Some(-2.0)));
        assert_eq!((found.bins[25], found.bins[75]), (2, 2));
        let rare = Cosines::over(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert!(rare.kurtosis > Some(2.0), "{rare:?}");
        assert_eq!(Cosines::over(&[1.0, 1.0]).kurtosis, None);
    }
}
