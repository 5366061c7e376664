//! Progress bars on standard error. Nothing is drawn with `--quiet` or without a terminal. The bar of a job is not drawn but
//! read by `jobs` and `wait`.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hedgerow::CancelToken;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::printer::Output;
use crate::output::target::OutputTarget;

/// A shorter call of the library draws no bar.
const DELAY: Duration = Duration::from_millis(300);
/// Rows between two updates of the bar.
const STRIDE: u64 = 1024;

/// Progress of reading a file: bytes read, rows, rows per second and time left.
pub(crate) struct Progress {
    bar: ProgressBar,
    position: Arc<AtomicU64>,
    rows: u64,
    /// The name of the rows, such as `edges`.
    what: &'static str,
}

impl Progress {
    pub(crate) fn reading(
        size: Option<u64>,
        position: &Arc<AtomicU64>,
        what: &'static str,
        out: Output,
    ) -> Self {
        let bar = match size {
            Some(size) => new_bar(size, "{bar:30} {percent:>3} %  {msg}, {eta} left", out),
            None => new_bar(0, "{spinner} {msg}", out),
        };
        Self { bar, position: Arc::clone(position), rows: 0, what }
    }

    /// Progress of reading several files of this size together. It counts rows.
    pub(crate) fn new(size: u64, what: &'static str, out: Output) -> Self {
        let bar = new_bar(size, "{spinner} {msg}", out);
        Self { bar, position: Arc::default(), rows: 0, what }
    }

    pub(crate) fn row(&mut self) {
        self.rows(1);
    }

    pub(crate) fn rows(&mut self, count: u64) {
        let before = self.rows;
        self.rows += count;
        if self.rows / STRIDE != before / STRIDE {
            self.bar.set_position(self.position.load(Ordering::Relaxed));
            let rate = self.rows as f64 / self.bar.elapsed().as_secs_f64().max(0.001);
            self.bar.set_message(format!("{}, {}/s", self.count(), HumanCount(rate as u64)));
        }
    }

    fn count(&self) -> String {
        format!("{} {}", HumanCount(self.rows), self.what)
    }

    /// A token for the call that writes the rows. Its observer shows the stage of that call.
    pub(crate) fn of(&self, cancel: &CancelToken) -> CancelToken {
        let (bar, read) = (self.bar.clone(), self.count());
        cancel.observed(move |at| {
            bar.set_length(at.of);
            bar.set_position(at.done);
            bar.set_message(format!("{read}, writing {}", at.stage));
        })
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The token of a call of the library, with a bar that appears when the call takes longer than 300 ms.
pub(crate) struct Watched {
    token: CancelToken,
    bar: ProgressBar,
}

impl Watched {
    pub(crate) fn new(cancel: &CancelToken, out: Output) -> Self {
        let bar = new_bar(0, "{msg}  {bar:30} {percent:>3} %, {eta} left", out);
        let (observed, since) = (bar.clone(), Instant::now());
        let token = cancel.observed(move |at| {
            if since.elapsed() >= DELAY {
                if at.done == 0 || observed.message() != at.stage {
                    observed.reset_eta();
                    observed.set_message(at.stage);
                }
                observed.set_length(at.of);
                observed.set_position(at.done);
            }
        });
        Self { token, bar }
    }
}

impl Deref for Watched {
    type Target = CancelToken;

    fn deref(&self) -> &CancelToken {
        &self.token
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A progress bar with this total and template.
pub(crate) fn new_bar(total: u64, template: &str, out: Output) -> ProgressBar {
    let is_hidden = out.quiet || matches!(out.target, OutputTarget::Job(_));
    let target = if is_hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let OutputTarget::Job(job) = out.target {
        job.watch(&bar);
    }
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar
}
