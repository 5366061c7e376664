//! The output of a job of the console, kept until the job ends, and its progress meanwhile.
//! Does not know what the job does or who asks for its progress.

use std::collections::VecDeque;
use std::io::{Read, Seek, Write};
use std::sync::Mutex;

use indicatif::ProgressBar;
use serde_json::Value;
use tempfile::SpooledTempFile;

use crate::core::failure::Failure;
use crate::core::sync::lock;
use crate::output::target::OutputTarget;

/// Bytes of results that are kept in memory; more go to a temporary file.
const IN_MEMORY: usize = 1 << 20;
/// The last messages that are kept, in lines.
const MESSAGES: usize = 200;
/// The last results that a terminal shows, in lines.
const SHOWN: usize = 60;

/// The results, messages and progress of a job.
#[derive(Debug)]
pub(crate) struct JobOutput {
    /// The target that gets the results when the job has ended.
    destination: OutputTarget,
    results: Mutex<SpooledTempFile>,
    messages: Mutex<Messages>,
    bar: Mutex<Option<ProgressBar>>,
    last_row: Mutex<Option<Value>>,
}

#[derive(Debug, Default)]
struct Messages {
    lines: VecDeque<String>,
    dropped: usize,
}

impl JobOutput {
    pub(crate) fn new(destination: OutputTarget) -> &'static Self {
        Box::leak(Box::new(Self {
            destination,
            results: Mutex::new(SpooledTempFile::new(IN_MEMORY)),
            messages: Mutex::default(),
            bar: Mutex::default(),
            last_row: Mutex::default(),
        }))
    }

    pub(crate) fn destination(&self) -> OutputTarget {
        self.destination
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let written = lock(&self.results).write_all(bytes);
        written.map_err(|source| Failure::file("the results of a job".as_ref(), "keep", source))
    }

    pub(crate) fn say(&self, lines: &str) {
        let mut messages = lock(&self.messages);
        messages.lines.extend(lines.lines().map(str::to_owned));
        while messages.lines.len() > MESSAGES {
            messages.lines.pop_front();
            messages.dropped += 1;
        }
    }

    /// Takes the job's progress from this bar, which is not drawn.
    pub(crate) fn watch(&self, bar: &ProgressBar) {
        *lock(&self.bar) = Some(bar.clone());
    }

    /// Keeps the newest row of the results.
    pub(crate) fn set_last_row(&self, row: Value) {
        *lock(&self.last_row) = Some(row);
    }

    pub(crate) fn last_row(&self) -> Option<Value> {
        lock(&self.last_row).clone()
    }

    /// The progress of the job in a few words; none while it reports none.
    pub(crate) fn progress(&self) -> Option<String> {
        let bar = lock(&self.bar);
        let bar = bar.as_ref().filter(|bar| !bar.is_finished())?;
        let (message, done, total) = (bar.message(), bar.position(), bar.length().unwrap_or(0));
        if total == 0 {
            return (!message.is_empty()).then_some(message);
        }
        let percent = done.min(total) * 100 / total;
        Some(if message.is_empty() { format!("{percent} %") } else { format!("{message}, {percent} %") })
    }

    /// Delivers the messages through `say`, then the results through `write`. A terminal gets the last results only.
    pub(crate) fn deliver(
        &self,
        say: &mut dyn FnMut(&str),
        write: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // Messages.
        let Messages { lines, dropped } = std::mem::take(&mut *lock(&self.messages));
        if dropped > 0 {
            say(&format!("(the {dropped} messages before these are left out)"));
        }
        for line in &lines {
            say(line);
        }
        // The number of lines that a terminal does not get.
        let mut results = std::mem::replace(&mut *lock(&self.results), SpooledTempFile::new(0));
        let mut skipped = 0;
        if self.destination.is_screen() {
            let mut lines = 0;
            for_each_piece(&mut results, |bytes| {
                lines += memchr::memchr_iter(b'\n', bytes).count();
                Ok(())
            })?;
            skipped = lines.saturating_sub(SHOWN);
        }
        if skipped > 0 {
            say(&format!(
                "(the {skipped} lines of results before these are left out; `.output FILE` keeps all)"
            ));
        }
        // Results, from the first line that is not skipped.
        for_each_piece(&mut results, |bytes| {
            let mut line_ends = memchr::memchr_iter(b'\n', bytes);
            let from = if skipped == 0 { Some(0) } else { line_ends.nth(skipped - 1).map(|end| end + 1) };
            if let Some(from) = from {
                skipped = 0;
                return write(&bytes[from..]);
            }
            skipped -= memchr::memchr_iter(b'\n', bytes).count();
            Ok(())
        })
    }
}

/// Reads a file from its start, piece by piece, until `take` fails.
fn for_each_piece(
    file: &mut SpooledTempFile,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |source| Failure::file("the results of a job".as_ref(), "read", source);
    file.rewind().map_err(failed)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => return Ok(()),
            count => take(&piece[..count])?,
        }
    }
}
