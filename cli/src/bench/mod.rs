//! The project's benchmarks: ratios in one run, against a baseline measured beside it.
//! Owns what a result is and how time is taken; each workload is a module. Knows nothing of how results are printed.

pub(crate) mod ablation;
mod catalogue;
pub(crate) mod graph;
mod reach;
mod reference;
pub(crate) mod refresh;
pub(crate) mod store;
pub(crate) mod train;
pub(crate) mod walk;

use std::time::Instant;

use crate::core::failure::Failure;

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) workload: &'static str,
    pub(crate) case: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What `ratio` compares with.
    pub(crate) baseline: Option<&'static str>,
    pub(crate) ratio: Option<f64>,
    pub(crate) threads: usize,
    pub(crate) graph: String,
    pub(crate) options: String,
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

/// Runs a job with so many threads.
pub(crate) fn with_threads<T: Send>(
    threads: usize,
    job: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Failure::Refused(format!("cannot start {threads} threads: {error}")))?;
    pool.install(job)
}

/// The value below which the given share of all lies; `values` are sorted by it.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
