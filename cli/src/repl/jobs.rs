//! The jobs of a console: verbs that run beside what is typed, what has become of them, and telling of it when they end.
//! Knows how to run a verb and where its words go; not what verbs do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hedgerow::CancelToken;
use rustyline::ExternalPrinter;
use serde_json::Value;

use crate::command;
use crate::command::Verb;
use crate::core::escape::escaped;
use crate::core::failure::{Failure, Within};
use crate::output::job_output::JobOutput;
use crate::output::printer::Output;
use crate::output::progress::new_bar;
use crate::output::target::OutputTarget;
use crate::output::value::pretty;
use crate::session::context::Context;

/// How long whoever waits for a job sleeps between two looks at Ctrl-C.
const PATIENCE: Duration = Duration::from_millis(50);

/// The longest that jobs are given to end when the process is told to: a training publishes its best epoch.
const WINDING_DOWN: Duration = Duration::from_mins(1);

/// Verbs that change the graph: while it is empty, one at a time, since an import fills it as a whole.
const WRITERS: [&str; 6] = ["import", "link", "unlink", "remove", "apply", "generate"];

/// All that were started.
#[derive(Default)]
pub(super) struct Jobs {
    list: Mutex<Vec<Arc<Job>>>,
    /// One has ended.
    ended: Condvar,
    /// Writes above the line that is being typed.
    printer: Mutex<Option<Box<dyn ExternalPrinter + Send>>>,
    /// Whether a line is being typed.
    is_prompting: AtomicBool,
}

/// A verb as it was typed.
pub(super) struct Typed {
    pub(super) name: String,
    pub(super) line: String,
}

struct Job {
    number: u32,
    typed: Typed,
    out: Output,
    output: &'static JobOutput,
    cancel: CancelToken,
    since: Instant,
    end: Mutex<Option<End>>,
}

/// How a job ended.
struct End {
    state: &'static str,
    after: Duration,
    /// Taken by whoever is told of it.
    news: Option<Result<(), Failure>>,
}

impl Jobs {
    /// Starts a verb as a job; its words go where those of `ctx` go now, once it has ended.
    pub(super) fn start(
        self: &Arc<Self>,
        ctx: &Context,
        typed: Typed,
        out: Output,
        verb: Verb,
    ) -> Result<(), Failure> {
        let output = JobOutput::new(out.target);
        let mut theirs = ctx.beside(Output { target: OutputTarget::Job(output), ..out });
        let cancel = theirs.cancel().clone();
        let mut list = lock(&self.list);
        let number = list.len() as u32 + 1;
        let line = typed.line.clone();
        let end = Mutex::new(None);
        let job = Arc::new(Job { number, typed, out, output, cancel, since: Instant::now(), end });
        let (jobs, its) = (Arc::clone(self), Arc::clone(&job));
        let run =
            move || {
                let ran = catch_unwind(AssertUnwindSafe(|| command::run(&mut theirs, verb)));
                // What it has open must not outlive its end, which others wait for.
                drop(theirs);
                its.end(ran.unwrap_or_else(|_| {
                    Err(Failure::Refused("it panicked, which is a bug of ours".to_owned()))
                }));
                jobs.ended.notify_all();
                jobs.tell_above_prompt();
            };
        let spawned = thread::Builder::new().name(format!("job {number}")).spawn(run);
        spawned.map_err(|source| Failure::Refused(format!("cannot start a job: {source}")))?;
        list.push(job);
        drop(list);
        out.note(&format!("job {number}: {line}"));
        Ok(())
    }

    /// Why a verb cannot run beside the jobs that do, if it cannot. `is_empty` is asked only where it matters whether the store is,
    /// since it may wait for a job that is opening it.
    pub(super) fn stands_in_the_way(
        &self,
        verb: &str,
        is_empty: impl FnOnce() -> bool,
    ) -> Result<(), Failure> {
        let running = self.running();
        let writes = |job: &Arc<Job>| WRITERS.contains(&job.typed.name.as_str());
        let fills = WRITERS.contains(&verb) && running.iter().any(writes) && is_empty();
        let blocks = |job: &&Arc<Job>| match verb {
            "check" => true,
            "train" => job.typed.name == "train",
            _ => fills && writes(job),
        };
        let Some(job) = running.iter().find(blocks) else { return Ok(()) };
        let (number, name) = (job.number, &job.typed.name);
        let why = match verb {
            "check" => "needs the store for itself",
            "train" => "is done one at a time",
            _ => "must be the only one that writes while the store is empty",
        };
        Err(Failure::Refused(format!(
            "{verb} {why}, and job {number} ({name}) is running: `wait {number}` or `cancel {number}` first"
        )))
    }

    fn running(&self) -> Vec<Arc<Job>> {
        lock(&self.list).iter().filter(|job| !job.has_ended()).cloned().collect()
    }

    /// Their numbers.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.running().iter().map(|job| job.number).collect()
    }

    /// Writes the list of all.
    pub(super) fn list(&self, out: Output) -> Result<(), Failure> {
        let jobs = lock(&self.list).clone();
        let row = |job: &Arc<Job>| {
            let end = lock(&job.end);
            let state = match &*end {
                Some(end) => end.state,
                None if job.cancel.is_cancelled() => "ending",
                None => "running",
            };
            let after = end.as_ref().map_or_else(|| job.since.elapsed(), |end| end.after);
            let progress = if end.is_some() { None } else { job.output.progress() };
            vec![
                job.number.into(),
                state.into(),
                after.as_secs().into(),
                job.typed.line.clone().into(),
                progress.map_or(Value::Null, Value::from),
                job.output.last_row().unwrap_or_default(),
            ]
        };
        if jobs.is_empty() {
            out.note("no jobs: a verb that is followed by & is run as one");
        }
        out.rows(&["job", "state", "seconds", "command", "progress", "last"], jobs.iter().map(row).collect())
    }

    /// Cancels one.
    pub(super) fn cancel(&self, number: u32, out: Output) -> Result<(), Failure> {
        let job = self.require(number)?;
        if job.has_ended() {
            return Err(Failure::Refused(format!("job {number} has ended already")));
        }
        job.cancel.cancel();
        out.note(&format!("job {number} is told to end"));
        Ok(())
    }

    pub(super) fn cancel_all(&self) {
        self.running().iter().for_each(|job| job.cancel.cancel());
    }

    /// Waits until one has ended, or all; tells of those that did, and fails as the first one that failed. Ctrl-C ends the
    /// waiting, not the job.
    pub(super) fn wait(&self, number: Option<u32>, cancel: &CancelToken, out: Output) -> Result<(), Failure> {
        let awaited = match number {
            Some(number) => vec![self.require(number)?],
            None => lock(&self.list).clone(),
        };
        let bar = new_bar(0, "{spinner} {msg}", out);
        let mut list = lock(&self.list);
        while let Some(job) = awaited.iter().find(|job| !job.has_ended()) {
            if cancel.is_cancelled() {
                bar.finish_and_clear();
                return Err(Failure::Interrupted(format!("interrupted; job {} goes on", job.number)));
            }
            let waited = self.ended.wait_timeout(list, PATIENCE);
            list = waited.unwrap_or_else(PoisonError::into_inner).0;
            bar.set_message(job.in_words());
            bar.tick();
        }
        drop(list);
        bar.finish_and_clear();
        let mut result = Ok(());
        for job in awaited {
            let told = job.tell(&mut |text| out.target.say(text), &mut |bytes| job.out.target.write(bytes));
            let failed = told.map_err(|failure| failure.within(Within::Job(job.number)));
            result = result.and(failed);
        }
        result
    }

    /// Waits until none is running, but not for one that does not hear that it is to end, and says nothing.
    pub(super) fn wait_quietly(&self) {
        let until = Instant::now() + WINDING_DOWN;
        let mut list = lock(&self.list);
        while list.iter().any(|job| !job.has_ended()) && Instant::now() < until {
            let waited = self.ended.wait_timeout(list, PATIENCE);
            list = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn require(&self, number: u32) -> Result<Arc<Job>, Failure> {
        let found = lock(&self.list).iter().find(|job| job.number == number).cloned();
        found.ok_or_else(|| Failure::Refused(format!("no job {number}: `jobs` lists them")))
    }

    /// From now on jobs that end can say so above the line that is being typed.
    pub(super) fn print_by(&self, printer: impl ExternalPrinter + Send + 'static) {
        *lock(&self.printer) = Some(Box::new(printer));
    }

    /// Tells of those that have ended, and that a line is being typed from now on.
    pub(super) fn prompt_begins(&self, out: Output) -> Result<(), Failure> {
        // Before they are looked at: what ends from here on tells of itself, and nothing is told by nobody.
        self.is_prompting.store(true, Ordering::SeqCst);
        for job in lock(&self.list).clone() {
            match job.tell(&mut |text| out.target.say(text), &mut |bytes| job.out.target.write(bytes)) {
                Err(Failure::Closed) => return Err(Failure::Closed),
                Err(failure) => out.failure(&failure),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    pub(super) fn prompt_ends(&self) {
        self.is_prompting.store(false, Ordering::SeqCst);
    }

    /// Whether a line is being typed right now.
    pub(super) fn is_prompting(&self) -> bool {
        self.is_prompting.load(Ordering::SeqCst)
    }

    /// What has ended while a line is typed is told above it; otherwise it waits for the next prompt.
    fn tell_above_prompt(&self) {
        let mut printer = lock(&self.printer);
        let Some(printer) = printer.as_mut().filter(|_| self.is_prompting()) else { return };
        for job in lock(&self.list).clone() {
            let (mut text, mut results) = (String::new(), Vec::new());
            let told = job.tell(&mut |line| text.extend([line, "\n"]), &mut |bytes| {
                if !job.out.target.is_screen() {
                    return job.out.target.write(bytes);
                }
                results.extend_from_slice(bytes);
                Ok(())
            });
            text.insert_str(0, &String::from_utf8_lossy(&results));
            if let Err(failure) = told {
                text += &(job.out.worded(&failure) + "\n");
            }
            if !text.is_empty() {
                // A terminal that is gone cannot be told.
                drop(printer.print(text));
            }
        }
    }
}

impl Job {
    fn has_ended(&self) -> bool {
        lock(&self.end).is_some()
    }

    fn end(&self, ran: Result<(), Failure>) {
        let state = match &ran {
            Ok(()) => "done",
            Err(failure) if failure.is_interruption() => "cancelled",
            Err(_) => "failed",
        };
        *lock(&self.end) = Some(End { state, after: self.since.elapsed(), news: Some(ran) });
    }

    /// Hands over what it said, once it has ended and was not told of; fails as it failed.
    fn tell(
        &self,
        say: &mut dyn FnMut(&str),
        write: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut end = lock(&self.end);
        let Some(End { state, after, news }) = &mut *end else { return Ok(()) };
        let Some(news) = news.take() else { return Ok(()) };
        let what =
            format!("job {} {state} after {:.1} s: {}", self.number, after.as_secs_f64(), self.typed.line);
        drop(end);
        self.output.deliver(say, write)?;
        if !self.out.quiet {
            say(&escaped(&what));
        }
        news
    }

    /// Its number and how far it is.
    fn in_words(&self) -> String {
        let progress = self.output.progress().unwrap_or_default();
        let last = self.output.last_row().map(|row| pretty(&row)).unwrap_or_default();
        let parts = [format!("job {}", self.number), progress, last];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
