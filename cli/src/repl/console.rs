//! `console`: runs commands on one store, from the prompt, a pipe, a file or the command line.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, Command, ValueEnum};

use crate::command;
use crate::core::failure::{Failure, Origin};
use crate::core::interrupt;
use crate::input::lines::Lines;
use crate::input::source::Source;
use crate::output::printer::{Mode, Output};
use crate::output::target::{OutputTarget, ResultFile};
use crate::repl::completion::Completion;
use crate::repl::jobs::{JobCommand, Jobs};
use crate::repl::shell_split::{Line, Splitter};
use crate::repl::verb_table;
use crate::repl::verb_table::{ConsoleCommand, LineCommand, ParsedLine};
use crate::repl::{greeting, prompt};
use crate::session::context::Context;

/// The most scripts that may read one another.
const MAX_DEPTH: usize = 16;
/// The longest command of several lines, in bytes.
const COMMAND_LIMIT: usize = 1 << 20;

/// The arguments of `console`.
#[derive(Args, Debug)]
pub(crate) struct ConsoleArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// A command to run instead of a prompt; may be repeated. The first failure ends the console
    #[arg(short, long = "command", value_name = "CMD")]
    command: Vec<String>,
    /// A file of commands to run, one per line, until one fails [default: standard input]
    #[arg(short, long, value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
}

pub(crate) fn console(ctx: &mut Context, args: ConsoleArgs) -> Result<(), Failure> {
    if ctx.console {
        return Err(Failure::Usage("a console is running already".to_owned()));
    }
    ctx.store(&args.store)?;
    ctx.console = true;
    let mut console = Console::new(ctx, args.store);
    if !args.command.is_empty() {
        return console.run_all(&args.command);
    }
    if let Some(file) = args.file {
        return console.run_script(&file);
    }
    if std::io::stdin().is_terminal() {
        return prompt::run(&mut console);
    }
    console.run_script("-".as_ref())
}

/// A console between two commands.
pub(crate) struct Console<'a> {
    ctx: &'a mut Context,
    store: PathBuf,
    table: Command,
    jobs: Arc<Jobs>,
    /// The output mode of the screen, while results go to a file.
    screen_mode: Option<Mode>,
    has_timer: bool,
    is_leaving: bool,
    depth: usize,
}

impl<'a> Console<'a> {
    pub(crate) fn new(ctx: &'a mut Context, store: PathBuf) -> Self {
        let (table, jobs) = (verb_table::table(), Arc::default());
        Self { ctx, store, table, jobs, screen_mode: None, has_timer: false, is_leaving: false, depth: 0 }
    }

    /// Runs commands until one fails, and waits for their jobs.
    fn run_all(&mut self, commands: &[String]) -> Result<(), Failure> {
        let mut ran = Ok(());
        for (at, command) in commands.iter().enumerate() {
            ran = self.run(command);
            if commands.len() > 1 {
                ran = ran.map_err(|failure| failure.at(Origin::Command(at + 1)));
            }
            if ran.is_err() || self.is_leaving {
                break;
            }
        }
        self.end_of_script(ran)
    }

    /// Runs the commands of a file or pipe until one fails, and waits for their jobs.
    fn run_script(&mut self, path: &Path) -> Result<(), Failure> {
        let ran = self.run_lines(path);
        self.end_of_script(ran)
    }

    fn run_lines(&mut self, path: &Path) -> Result<(), Failure> {
        if self.depth == MAX_DEPTH {
            return Err(Failure::Refused(format!(
                "{}: scripts read each other in a cycle, or more than {MAX_DEPTH} deep",
                path.display()
            )));
        }
        let lines = Lines::new(Source::open(path)?);
        self.depth += 1;
        let ran = self.read_lines(lines);
        self.depth -= 1;
        ran
    }

    /// Runs each line; a continued line is run with the lines that follow.
    fn read_lines(&mut self, mut lines: Lines) -> Result<(), Failure> {
        let (mut pending, mut splitter, mut first) = (String::new(), Splitter::default(), 0);
        while !self.is_leaving && lines.advance()? {
            let text = lines.text(0, lines.bytes().len())?;
            if pending.is_empty() {
                first = lines.number();
            }
            pending.push_str(text);
            splitter.push(text);
            let origin = || Origin::Script { file: lines.place(0).file, line: first };
            if pending.len() > COMMAND_LIMIT {
                let problem = format!(
                    "the command that begins here is longer than {} MiB: is a quote not closed?",
                    COMMAND_LIMIT >> 20
                );
                return Err(Failure::Usage(problem).at(origin()));
            }
            if splitter.is_unfinished() {
                pending.push('\n');
                splitter.push("\n");
                continue;
            }
            splitter = Splitter::default();
            self.run(&std::mem::take(&mut pending)).map_err(|failure| failure.at(origin()))?;
        }
        if self.is_leaving || pending.is_empty() {
            return Ok(());
        }
        let origin = Origin::Script { file: lines.place(0).file, line: first };
        self.run(pending.trim_end_matches('\n')).map_err(|failure| failure.at(origin))
    }

    /// Waits for the jobs of a script. If the script failed, they are cancelled first.
    fn end_of_script(&mut self, ran: Result<(), Failure>) -> Result<(), Failure> {
        if ran.is_err() {
            self.jobs.cancel_all();
        }
        self.ctx.begin_command();
        let waited = self.jobs.wait(None, self.ctx.cancel(), self.ctx.out);
        if waited.as_ref().is_err_and(Failure::is_interruption) && !self.jobs.numbers().is_empty() {
            // Ctrl-C ends the script and its jobs.
            self.jobs.cancel_all();
            self.jobs.wait_quietly();
            drop(self.jobs.wait(None, self.ctx.cancel(), self.ctx.out));
        }
        ran.and(waited)
    }

    /// Cancels all jobs, and waits until they have ended or Ctrl-C is pressed.
    pub(super) fn end_jobs(&mut self) -> Result<(), Failure> {
        self.jobs.cancel_all();
        self.ctx.begin_command();
        match self.jobs.wait(None, self.ctx.cancel(), self.ctx.out) {
            // A cancelled job is no failure here.
            Err(failure) if !failure.is_interruption() => Err(failure),
            _ => Ok(()),
        }
    }

    pub(super) fn jobs(&self) -> &Arc<Jobs> {
        &self.jobs
    }

    pub(super) fn out(&self) -> Output {
        self.ctx.out
    }

    pub(super) fn completion(&self) -> Completion {
        let shared = self.ctx.shared().clone();
        Completion { table: self.table.clone(), shared, jobs: Arc::clone(&self.jobs) }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// Does not leave yet, and warns that jobs are running.
    pub(super) fn stay(&mut self, running: &[u32]) {
        self.is_leaving = false;
        self.ctx.out.target.say(&match running {
            [job] => format!("job {job} is running: `wait {job}` waits for it; leaving once more cancels it"),
            _ => format!(
                "{} jobs are running: `wait` waits for them; leaving once more cancels them",
                running.len()
            ),
        });
    }

    /// Prints the greeting.
    pub(super) fn greet(&mut self) -> Result<(), Failure> {
        let engine = self.ctx.engine(&self.store)?;
        self.ctx.out.note(&greeting::greeting(&self.store, &engine, self.ctx.read_only));
        Ok(())
    }

    /// Runs one command.
    pub(super) fn run(&mut self, line: &str) -> Result<(), Failure> {
        // Split the line.
        let mut split = Line::split(line);
        if split.is_unfinished {
            let problem = "a quote is not closed, or the line ends with a backslash";
            return Err(Failure::Usage(problem.to_owned()));
        }
        let is_job = split.take_background();
        let words: Vec<&str> = split.words.iter().map(|word| word.text.as_str()).collect();
        let Some(first) = words.first() else {
            return if is_job { Err(Failure::Usage("no verb before &".to_owned())) } else { Ok(()) };
        };
        let started = Instant::now();
        let ran = self.command(&words, is_job.then(|| line.trim().trim_end_matches('&').trim_end()));
        if self.has_timer && !first.starts_with('.') {
            self.ctx.out.note(&format!("{:.1} ms", started.elapsed().as_secs_f64() * 1000.0));
        }
        ran
    }

    /// Runs a command; a verb as a job if `job` has the line of one.
    fn command(&mut self, words: &[&str], job: Option<&str>) -> Result<(), Failure> {
        // Parse the words.
        let ParsedLine { globals, name, command } =
            match verb_table::parse(&mut self.table, words, &self.store) {
                Ok(parsed) => parsed,
                Err(error) if !error.use_stderr() => return self.ctx.out.text(&error.render().to_string()),
                Err(error) => return Err(Failure::usage(&error)),
            };
        let usual = self.ctx.out;
        let mode = globals.output.unwrap_or(usual.mode);
        let out = Output { mode, quiet: usual.quiet || globals.quiet, ..usual };
        let verb = match command {
            LineCommand::Verb(verb) => verb,
            LineCommand::Console(command) if job.is_none() => return self.console_command(command, out),
            LineCommand::Console(_) => {
                return Err(Failure::Usage(format!("{name} cannot be a job: leave out the &")));
            }
        };
        // Show the newest state, and refuse a verb that conflicts with a job.
        if self.ctx.read_only && self.ctx.catch_up(&self.store)? {
            let epoch = self.ctx.store(&self.store)?.snapshot().epoch();
            out.note(&format!(
                "another process published a newer state: the console now shows epoch {epoch}"
            ));
        }
        let Self { ctx, jobs, store, .. } = &mut *self;
        // A store that cannot be opened counts as empty; the verb then reports why.
        let is_empty = || ctx.store(store).map_or(true, |store| store.snapshot().node_count() == 0);
        jobs.check_conflicts(&name, is_empty)?;
        // Start the job, or run the verb.
        if let Some(line) = job {
            return self.jobs.start(self.ctx, JobCommand { name, line: line.to_owned() }, out, *verb);
        }
        self.ctx.out = out;
        self.ctx.begin_command();
        let ran = command::run(self.ctx, *verb);
        interrupt::end();
        self.ctx.out = usual;
        ran
    }

    /// Runs a command of the console itself.
    fn console_command(&mut self, command: ConsoleCommand, out: Output) -> Result<(), Failure> {
        match command {
            // Jobs.
            ConsoleCommand::Jobs => return self.jobs.list(out),
            ConsoleCommand::Cancel { job } => return self.jobs.cancel(job, out),
            ConsoleCommand::Wait { job } => {
                self.ctx.begin_command();
                let waited = self.jobs.wait(job, self.ctx.cancel(), out);
                interrupt::end();
                return waited;
            }
            // Help. A dot command may be named without its dot.
            ConsoleCommand::Help { command: None } => {
                let help = self.table.render_help().to_string();
                return self.ctx.out.text(&help);
            }
            ConsoleCommand::Help { command: Some(name) } => {
                let dotted = format!(".{name}");
                let is_dotted = self.table.find_subcommand(&name).is_none()
                    && self.table.find_subcommand(&dotted).is_some();
                return self.command(&[if is_dotted { &dotted } else { &name }, "--help"], None);
            }
            // The settings of the console.
            ConsoleCommand::Mode { mode: Some(mode) } => self.ctx.out.mode = mode,
            ConsoleCommand::Mode { mode: None } => {
                let mode = self.ctx.out.mode.to_possible_value();
                let name = mode.as_ref().map_or("", |value| value.get_name());
                return self.ctx.out.text(&format!("{name}\n"));
            }
            ConsoleCommand::Output { file: Some(file), force } => {
                let file = ResultFile::create(&file, force)?;
                let screen_mode = *self.screen_mode.get_or_insert(self.ctx.out.mode);
                self.ctx.out.mode = Mode::of_file(file.path()).unwrap_or(screen_mode);
                self.ctx.out.target = OutputTarget::File(file);
            }
            ConsoleCommand::Output { file: None, .. } => {
                self.ctx.out.mode = self.screen_mode.take().unwrap_or(self.ctx.out.mode);
                self.ctx.out.target = OutputTarget::Screen;
            }
            ConsoleCommand::Timer { state } => self.has_timer = state == "on",
            ConsoleCommand::Read { file } => return self.run_lines(&file),
            ConsoleCommand::Quit => self.is_leaving = true,
        }
        Ok(())
    }
}
