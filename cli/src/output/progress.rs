//! A line on the terminal that says how far a long verb is; nothing when stderr is no terminal or `--quiet` is given. That of
//! a job is not drawn, but looked at.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hedgerow::CancelToken;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::output::printer::Output;
use crate::output::target::OutputTarget;

/// A call that is over by then has no line.
const GLANCE: Duration = Duration::from_millis(300);
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
    pub(crate) fn reading(
        size: Option<u64>,
        position: &Arc<AtomicU64>,
        what: &'static str,
        out: Output,
    ) -> Self {
        let bar = match size {
            Some(size) => new_bar(size, "{bar:30} {percent:>3} %  {msg}, {left} left", out),
            None => new_bar(0, "{spinner} {msg}", out),
        };
        Self { bar, position: Arc::clone(position), rows: 0, what }
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
            self.bar.set_message(format!("{} {}, {}/s", scaled(self.rows), self.what, scaled(rate as u64)));
        }
    }

    /// The token with an observer that says what is done with what was read.
    pub(crate) fn of(&self, cancel: &CancelToken) -> CancelToken {
        let (bar, read) = (self.bar.clone(), format!("{} {}", scaled(self.rows), self.what));
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

/// What a call of the library is held by: Ctrl-C stops it, and a line says how far it is once it takes longer than a glance.
pub(crate) struct Watched {
    token: CancelToken,
    bar: ProgressBar,
}

impl Watched {
    pub(crate) fn new(cancel: &CancelToken, out: Output) -> Self {
        let bar = new_bar(0, "{msg}  {bar:30} {percent:>3} %, {left} left", out);
        let (drawn, since) = (bar.clone(), Instant::now());
        let token = cancel.observed(move |at| {
            if since.elapsed() >= GLANCE {
                if at.done == 0 || drawn.message() != at.stage {
                    drawn.reset_eta();
                    drawn.set_message(at.stage);
                }
                drawn.set_length(at.of);
                drawn.set_position(at.done);
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

/// A bar for a job whose total is known.
pub(crate) fn new_bar(total: u64, template: &str, out: Output) -> ProgressBar {
    let is_hidden = out.quiet || matches!(out.target, OutputTarget::Job(_));
    let target = if is_hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let OutputTarget::Job(job) = out.target {
        job.watch(&bar);
    }
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let left = |state: &ProgressState, out: &mut dyn fmt::Write| {
        // What cannot be drawn is not.
        let _ = out.write_str(&duration(state.eta().as_secs()));
    };
    bar.set_style(style.with_key("left", left).progress_chars("=> "));
    bar
}

/// A count as people say it: `12.3 M`.
fn scaled(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{:.1} k", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", count as f64 / 1e6),
        _ => format!("{:.1} G", count as f64 / 1e9),
    }
}

/// Seconds as people say them: `41 s`, `3 min`, `2 h 5 min`.
fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::{duration, scaled};

    #[test]
    fn counts_and_times_are_short() {
        let said: Vec<String> = [0, 9_999, 810_128, 12_345_678, 1_000_000_000].map(scaled).into();
        assert_eq!(said, ["0", "9999", "810.1 k", "12.3 M", "1.0 G"]);
        assert_eq!([41, 200, 7500].map(duration), ["41 s", "3 min", "2 h 5 min"]);
    }
}
