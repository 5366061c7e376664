//! The job of a job: what it has said so far, kept until it ends, and how far it is.
//! Does not know what the job does, nor who looks at the job.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use serde_json::Value;
use tempfile::SpooledTempFile;

use crate::core::failure::Failure;
use crate::output::target::OutputTarget;

/// Bytes of results that are kept in memory; more go to a temporary file.
const IN_MEMORY: usize = 1 << 20;
/// Lines of messages that are kept, the last ones.
const MESSAGES: usize = 200;
/// Lines of results that a terminal is shown, the last ones.
const SHOWN: usize = 60;

/// What a job has said so far.
#[derive(Debug)]
pub(crate) struct JobOutput {
    /// Where it goes in the end.
    destination: OutputTarget,
    results: Mutex<SpooledTempFile>,
    messages: Mutex<Messages>,
    bar: Mutex<Option<ProgressBar>>,
    row: Mutex<Option<Value>>,
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
            row: Mutex::default(),
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

    /// The bar by which the job says how far it is, instead of drawing it.
    pub(crate) fn watch(&self, bar: &ProgressBar) {
        *lock(&self.bar) = Some(bar.clone());
    }

    /// The last row of results that came while the job works on.
    pub(crate) fn row(&self, row: Value) {
        *lock(&self.row) = Some(row);
    }

    pub(crate) fn last_row(&self) -> Option<Value> {
        lock(&self.row).clone()
    }

    /// How far the job is, in a few words; nothing where it does not say.
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

    /// Hands over what was said, results last: those are written by `write`, the messages by `say`. A terminal is shown
    /// the last results only.
    pub(crate) fn deliver(
        &self,
        say: &mut dyn FnMut(&str),
        write: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Messages { lines, dropped } = std::mem::take(&mut *lock(&self.messages));
        if dropped > 0 {
            say(&format!("({dropped} messages before these are left out)"));
        }
        for line in &lines {
            say(line);
        }
        let kept = std::mem::replace(&mut *lock(&self.results), SpooledTempFile::new(0));
        self.results(kept, say, write)
            .unwrap_or_else(|source| Err(Failure::file("the results of a job".as_ref(), "read", source)))
    }

    fn results(
        &self,
        mut kept: SpooledTempFile,
        say: &mut dyn FnMut(&str),
        write: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> io::Result<Result<(), Failure>> {
        let mut piece = vec![0; 1 << 16];
        let mut skipped = 0;
        if self.destination.is_screen() {
            let mut lines = 0;
            kept.rewind()?;
            each(&mut kept, &mut piece, |bytes| {
                lines += memchr::memchr_iter(b'\n', bytes).count();
                Ok(())
            })?
            .ok();
            skipped = lines.saturating_sub(SHOWN);
        }
        if skipped > 0 {
            say(&format!("({skipped} lines of results before these are left out; `.output FILE` keeps all)"));
        }
        kept.seek(SeekFrom::Start(0))?;
        each(&mut kept, &mut piece, |bytes| {
            let mut ends = memchr::memchr_iter(b'\n', bytes);
            let from = if skipped == 0 { Some(0) } else { ends.nth(skipped - 1).map(|end| end + 1) };
            if let Some(from) = from {
                skipped = 0;
                return write(&bytes[from..]);
            }
            skipped -= memchr::memchr_iter(b'\n', bytes).count();
            Ok(())
        })
    }
}

/// The pieces of a file, until one is refused.
fn each(
    file: &mut impl Read,
    piece: &mut [u8],
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> io::Result<Result<(), Failure>> {
    loop {
        let count = file.read(piece)?;
        if count == 0 {
            return Ok(Ok(()));
        }
        if let Err(failure) = take(&piece[..count]) {
            return Ok(Err(failure));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
