//! The jobs of a console: verbs that run in threads beside the prompt, their states, and the reports of their ends.
//! Knows how to run a verb and where its output goes, but not what it does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hedgerow::CancelToken;
use rustyline::ExternalPrinter;

use crate::command::Verb;
use crate::core::escape::escaped;
use crate::core::failure::{Failure, Origin};
use crate::core::sync::{lock, wait_timeout};
use crate::output::job_output::JobOutput;
use crate::output::printer::Output;
use crate::output::progress::new_bar;
use crate::output::target::OutputTarget;
use crate::output::value::pretty;
use crate::session::context::Context;

/// The time between two checks for Ctrl-C while a job is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The longest wait for cancelled jobs when a signal ends the process. A training publishes its best epoch meanwhile.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_mins(1);

/// The verbs that change the graph. One at a time may fill an empty store, since an import fills it in one load.
const WRITERS: [&str; 6] = ["import", "link", "unlink", "remove", "apply", "generate"];

/// All jobs that were started.
#[derive(Default)]
pub(super) struct Jobs {
    list: Mutex<Vec<Arc<Job>>>,
    /// A job has ended.
    ended: Condvar,
    /// Prints above the line that is being typed.
    printer: Mutex<Option<Box<dyn ExternalPrinter + Send>>>,
    /// A line is being typed.
    is_prompting: AtomicBool,
}

/// The verb and the line of a job.
pub(super) struct JobCommand {
    pub(super) name: String,
    pub(super) line: String,
}

struct Job {
    number: u32,
    command: JobCommand,
    out: Output,
    output: &'static JobOutput,
    cancel: CancelToken,
    started: Instant,
    end: Mutex<Option<End>>,
}

/// The end of a job.
struct End {
    state: &'static str,
    duration: Duration,
    /// The result; none once it was reported.
    result: Option<Result<(), Failure>>,
}

impl Jobs {
    /// Starts a verb as a job. When it has ended, its output goes to the current target of the console.
    pub(super) fn start(
        self: &Arc<Self>,
        ctx: &Context,
        command: JobCommand,
        out: Output,
        verb: Verb,
    ) -> Result<(), Failure> {
        let output = JobOutput::new(out.target);
        let mut job_ctx = ctx.for_job(Output { target: OutputTarget::Job(output), ..out });
        let cancel = job_ctx.cancel().clone();
        let mut list = lock(&self.list);
        let number = list.len() as u32 + 1;
        let line = command.line.clone();
        let end = Mutex::new(None);
        let job = Arc::new(Job { number, command, out, output, cancel, started: Instant::now(), end });
        let (jobs, running) = (Arc::clone(self), Arc::clone(&job));
        let run = move || {
            let ran = catch_unwind(AssertUnwindSafe(|| crate::command::run(&mut job_ctx, verb)));
            // The store is closed before the end is signaled, since others wait for it.
            drop(job_ctx);
            running.end(ran.unwrap_or_else(|_| {
                Err(Failure::Refused("the job panicked: this is a bug in hedgerow".to_owned()))
            }));
            jobs.ended.notify_all();
            jobs.report_above_prompt();
        };
        let spawned = thread::Builder::new().name(format!("job {number}")).spawn(run);
        spawned.map_err(|source| Failure::Refused(format!("cannot start a job: {source}")))?;
        list.push(job);
        drop(list);
        out.note(&format!("job {number}: {line}"));
        Ok(())
    }

    /// Refuses a verb that cannot run beside the running jobs. `is_empty` is called only if needed, since it may wait for a job
    /// that opens the store.
    pub(super) fn check_conflicts(&self, verb: &str, is_empty: impl FnOnce() -> bool) -> Result<(), Failure> {
        let running = self.running();
        let writes = |job: &Arc<Job>| WRITERS.contains(&job.command.name.as_str());
        let fills = WRITERS.contains(&verb) && running.iter().any(writes) && is_empty();
        let blocks = |job: &&Arc<Job>| match verb {
            "check" => true,
            "train" => job.command.name == "train",
            _ => fills && writes(job),
        };
        let Some(job) = running.iter().find(blocks) else { return Ok(()) };
        let (number, name) = (job.number, &job.command.name);
        let why = match verb {
            "check" => "needs the store for itself",
            "train" => "cannot run beside another training",
            _ => "must be the only writer while the store is empty",
        };
        Err(Failure::Refused(format!(
            "{verb} {why}, and job {number} ({name}) is running: `wait {number}` or `cancel {number}` first"
        )))
    }

    fn running(&self) -> Vec<Arc<Job>> {
        lock(&self.list).iter().filter(|job| !job.has_ended()).cloned().collect()
    }

    /// The numbers of the running jobs.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.running().iter().map(|job| job.number).collect()
    }

    /// Writes the list of all jobs.
    pub(super) fn list(&self, out: Output) -> Result<(), Failure> {
        let jobs = lock(&self.list).clone();
        let row = |job: &Arc<Job>| {
            let end = lock(&job.end);
            let state = match &*end {
                Some(end) => end.state,
                None if job.cancel.is_cancelled() => "ending",
                None => "running",
            };
            let duration = end.as_ref().map_or_else(|| job.started.elapsed(), |end| end.duration);
            let progress = if end.is_some() { None } else { job.output.progress() };
            vec![
                job.number.into(),
                state.into(),
                duration.as_secs().into(),
                job.command.line.clone().into(),
                progress.into(),
                job.output.last_row().unwrap_or_default(),
            ]
        };
        if jobs.is_empty() {
            out.note("no jobs: a line that ends with & starts one");
        }
        out.rows(&["job", "state", "seconds", "command", "progress", "last"], jobs.iter().map(row).collect())
    }

    /// Cancels a job.
    pub(super) fn cancel(&self, number: u32, out: Output) -> Result<(), Failure> {
        let job = self.require(number)?;
        if job.has_ended() {
            return Err(Failure::Refused(format!("job {number} has ended already")));
        }
        job.cancel.cancel();
        out.note(&format!("job {number} is being cancelled"));
        Ok(())
    }

    pub(super) fn cancel_all(&self) {
        self.running().iter().for_each(|job| job.cancel.cancel());
    }

    /// Waits until a job or all jobs have ended, reports them, and fails as the first one that failed. Ctrl-C ends the wait and
    /// not the job.
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
                return Err(Failure::Interrupted(format!("interrupted; job {} continues", job.number)));
            }
            list = wait_timeout(&self.ended, list, POLL_INTERVAL);
            bar.set_message(job.progress_text());
            bar.tick();
        }
        drop(list);
        bar.finish_and_clear();
        let mut result = Ok(());
        for job in awaited {
            let reported =
                job.report(&mut |text| out.target.say(text), &mut |bytes| job.out.target.write(bytes));
            result = result.and(reported.map_err(|failure| failure.at(Origin::Job(job.number))));
        }
        result
    }

    /// Waits until no job runs, at most a minute, and reports nothing.
    pub(super) fn wait_quietly(&self) {
        let until = Instant::now() + SHUTDOWN_TIMEOUT;
        let mut list = lock(&self.list);
        while list.iter().any(|job| !job.has_ended()) && Instant::now() < until {
            list = wait_timeout(&self.ended, list, POLL_INTERVAL);
        }
    }

    fn require(&self, number: u32) -> Result<Arc<Job>, Failure> {
        let found = lock(&self.list).iter().find(|job| job.number == number).cloned();
        found.ok_or_else(|| Failure::Refused(format!("no job {number}: `jobs` lists them")))
    }

    /// Sets the printer that reports ended jobs above the line that is being typed.
    pub(super) fn print_by(&self, printer: impl ExternalPrinter + Send + 'static) {
        *lock(&self.printer) = Some(Box::new(printer));
    }

    /// Reports the jobs that have ended. From now on a line is being typed.
    pub(super) fn prompt_begins(&self, out: Output) -> Result<(), Failure> {
        // Set before the jobs are read: a job that ends later reports itself, and no end is missed.
        self.is_prompting.store(true, Ordering::SeqCst);
        for job in lock(&self.list).clone() {
            match job.report(&mut |text| out.target.say(text), &mut |bytes| job.out.target.write(bytes)) {
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

    /// True if a line is being typed now.
    pub(super) fn is_prompting(&self) -> bool {
        self.is_prompting.load(Ordering::SeqCst)
    }

    /// Reports ended jobs above the line that is being typed. Without such a line the next prompt reports them.
    fn report_above_prompt(&self) {
        let mut printer = lock(&self.printer);
        let Some(printer) = printer.as_mut().filter(|_| self.is_prompting()) else { return };
        for job in lock(&self.list).clone() {
            let (mut text, mut results) = (String::new(), Vec::new());
            let reported = job.report(&mut |line| text.extend([line, "\n"]), &mut |bytes| {
                if !job.out.target.is_screen() {
                    return job.out.target.write(bytes);
                }
                results.extend_from_slice(bytes);
                Ok(())
            });
            text.insert_str(0, &String::from_utf8_lossy(&results));
            if let Err(failure) = reported {
                text += &(job.out.failure_text(&failure) + "\n");
            }
            if !text.is_empty() {
                // A closed terminal shows nothing.
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
        *lock(&self.end) = Some(End { state, duration: self.started.elapsed(), result: Some(ran) });
    }

    /// Delivers the output of an ended job that was not reported yet, and returns its result.
    fn report(
        &self,
        say: &mut dyn FnMut(&str),
        write: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut end = lock(&self.end);
        let Some(End { state, duration, result }) = &mut *end else { return Ok(()) };
        let Some(result) = result.take() else { return Ok(()) };
        let text = format!(
            "job {} {state} after {:.1} s: {}",
            self.number,
            duration.as_secs_f64(),
            self.command.line
        );
        drop(end);
        self.output.deliver(say, write)?;
        if !self.out.quiet {
            say(&escaped(&text));
        }
        result
    }

    /// The number and the progress of the job.
    fn progress_text(&self) -> String {
        let progress = self.output.progress().unwrap_or_default();
        let last = self.output.last_row().map(|row| pretty(&row)).unwrap_or_default();
        let parts = [format!("job {}", self.number), progress, last];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
    }
}
