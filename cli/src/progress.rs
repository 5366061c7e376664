//! A line on the terminal that says how far a long verb is; nothing when stderr is no terminal or `--quiet` is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;
use crate::reading::source::Source;

/// Rows between two looks at the clock.
const STRIDE: u64 = 1024;

/// Progress of reading a file: by bytes read, with the rate of rows and the time left.
pub(crate) struct Progress {
    bar: ProgressBar,
    position: Arc<AtomicU64>,
    rows: u64,
    what: &'static str,
}

impl Progress {
    pub(crate) fn reading(source: &Source, what: &'static str, out: Output) -> Self {
        let bar = match source.size {
            Some(size) => new_bar(size, "{bar:30} {percent:>3} %  {msg}  {eta} left", out),
            None => new_bar(0, "{spinner} {msg}", out),
        };
        Self { bar, position: Arc::clone(&source.position), rows: 0, what }
    }

    /// Progress of reading files of so many bytes together, whose rows are the measure.
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
            self.bar.set_message(format!("{} {} ({rate:.0}/s)", self.rows, self.what));
        }
    }

    /// Says what is done with what was read.
    pub(crate) fn say(&self, what: &str) {
        self.bar.set_message(format!("{} {}, {what}", self.rows, self.what));
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

/// A bar for a job whose total is known.
pub(crate) fn new_bar(total: u64, template: &str, out: Output) -> ProgressBar {
    let target = if out.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar
}
