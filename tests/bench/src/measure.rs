//! Measuring: one figure, the recorder that workloads give their figures to, and how rates and quantiles are taken.

use std::error::Error;
use std::time::Instant;

use hedgerow::CancelToken;
use tempfile::TempDir;

/// The error of a workload is printed and nothing else, so that any will do.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The baseline of a figure: its name, and the ratio of the two.
pub(crate) type Against = Option<(&'static str, f64)>;

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) workload: &'static str,
    pub(crate) case: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) against: Against,
    pub(crate) threads: usize,
    pub(crate) graph: String,
    pub(crate) options: String,
}

/// The figures of a run, its messages, and the token that cancels it.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) rows: Vec<Row>,
    pub(crate) cancel: CancelToken,
    quiet: bool,
}

impl Recorder {
    pub(crate) fn new(cancel: CancelToken, quiet: bool) -> Self {
        Self { rows: Vec::new(), cancel, quiet }
    }

    /// Says on standard error which step begins.
    pub(crate) fn note(&self, step: &str) {
        if !self.quiet {
            eprintln!("{step}");
        }
    }
}

/// A temporary folder for the stores of a workload.
pub(crate) fn folder() -> Result<TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("hedgerow-bench-").tempdir();
    folder.map_err(|source| {
        format!("cannot create a folder in {}: {source}", std::env::temp_dir().display()).into()
    })
}

/// The best of some rounds of several jobs in turn, each as done per second: machines are shared, and whatever else
/// runs can only slow a job down. In turn, so that what slows one down for long slows the others too.
pub(crate) fn best_rates<const N: usize>(
    rounds: usize,
    mut jobs: [&mut dyn FnMut() -> Result<f64, Failure>; N],
) -> Result<[f64; N], Failure> {
    let mut best = [0.0_f64; N];
    for _ in 0..rounds {
        for (best, job) in best.iter_mut().zip(&mut jobs) {
            let since = Instant::now();
            let done = job()?;
            *best = best.max(done / since.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

/// The seconds of the best of some rounds of a job.
pub(crate) fn best_seconds(
    rounds: usize,
    mut job: impl FnMut() -> Result<(), Failure>,
) -> Result<f64, Failure> {
    Ok(1.0 / best_rates(rounds, [&mut || job().map(|()| 1.0)])?[0])
}

/// Runs a job with so many threads.
pub(crate) fn with_threads<T: Send>(
    threads: usize,
    job: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build()?.install(job)
}

/// The value below which the given share of all lies; `values` are sorted by it.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn the_last_quantile_is_the_largest_value() {
        let mut values = [3.0, 1.0, 2.0, 4.0];
        assert_eq!([0.0, 0.5, 1.0].map(|share| quantile(&mut values, share)), [1.0, 3.0, 4.0]);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }
}
