//! One console on one store: reads commands from the prompt, a pipe, a file or the command line, and runs them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Command, CommandFactory, FromArgMatches, ValueEnum};
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};

use super::completion::Prompt;
use super::words::{Words, split};
use crate::command::{self, Cli};
use crate::context::Context;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{Mode, Output, write_out};
use crate::reading::lines::Lines;

const DOT_HELP: &str = "\
Console commands:
  .help [WORD]                        This, or the help of a verb
  .mode [table|json|jsonl|csv|tsv]    How results are written
  .timer on|off                       Say after each command how long it took
  .quit, .exit                        Leave, as Ctrl-D does
Ctrl-C cancels the running command. A line that ends with a backslash goes on in the next; # begins a comment.
";

/// Lines of history that are kept.
const HISTORY: usize = 10_000;

/// The state of a console between two commands.
pub(crate) struct Session<'a> {
    ctx: &'a mut Context,
    store: PathBuf,
    command: Command,
    timer: bool,
    left: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(ctx: &'a mut Context, store: PathBuf) -> Self {
        Self { ctx, store, command: console_command(), timer: false, left: false }
    }

    /// Runs commands until the first that fails.
    pub(crate) fn run_all(&mut self, commands: Vec<String>) -> Result<(), Failure> {
        for command in commands {
            self.run(&command)?;
            if self.left {
                break;
            }
        }
        Ok(())
    }

    /// Runs the commands of a file or pipe until the first that fails.
    pub(crate) fn run_lines(&mut self, mut lines: Lines) -> Result<(), Failure> {
        let mut pending = String::new();
        while !self.left && lines.advance()? {
            pending.push_str(lines.text(0, lines.bytes().len())?);
            if matches!(split(&pending), Words::Unfinished) {
                pending.push('\n');
                continue;
            }
            self.run(&std::mem::take(&mut pending))?;
        }
        if self.left || pending.is_empty() { Ok(()) } else { self.run(pending.trim_end_matches('\n')) }
    }

    /// Asks for commands on a terminal until the user leaves; a command that fails says so and the next is asked for.
    pub(crate) fn talk(&mut self) -> Result<(), Failure> {
        self.greet()?;
        let config =
            Config::builder().completion_type(CompletionType::List).history_ignore_space(true).build();
        let mut editor = match Editor::<Prompt, DefaultHistory>::with_config(config) {
            Ok(editor) => editor,
            Err(error) => return Err(Failure::Refused(format!("cannot read from the terminal: {error}"))),
        };
        editor.set_max_history_size(HISTORY).ok();
        let store = self.ctx.store(&self.store)?;
        editor.set_helper(Some(Prompt::new(store, self.command.clone())));
        let history = history_file();
        if let Some(file) = &history {
            // The first console has none yet; without one the history lives as long as the console.
            editor.load_history(file).ok();
        }
        while !self.left {
            match editor.readline("hedgerow> ") {
                Ok(line) => {
                    editor.add_history_entry(&line).ok();
                    if let Some(file) = &history {
                        editor.append_history(file).ok();
                    }
                    match self.run(&line) {
                        Ok(()) => {}
                        Err(Failure::Closed) => return Err(Failure::Closed),
                        Err(failure) => self.ctx.out.failure(&failure),
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => {
                    return Err(Failure::Refused(format!("cannot read from the terminal: {error}")));
                }
            }
        }
        Ok(())
    }

    /// Says what the store holds and what to try next.
    fn greet(&mut self) -> Result<(), Failure> {
        let engine = self.ctx.engine(&self.store)?;
        let status = engine.status();
        let snapshot = engine.store().snapshot();
        let model = match (status.generation, &status.targets[..]) {
            (Some(generation), targets) => {
                format!("model of generation {generation} for {}", targets.join(", "))
            }
            (None, _) => "no model yet".to_owned(),
        };
        let next = if snapshot.node_count() == 0 {
            "import --edges FILE"
        } else if status.generation.is_none() {
            "train --target KIND"
        } else if status.dirty_nodes > 0 {
            "refresh"
        } else {
            "similar KIND:KEY"
        };
        self.ctx.out.note(&format!(
            "{}: {} nodes at epoch {}, {model}, {} nodes dirty.\nTry `{next}`; `.help` lists the verbs, Tab completes, Ctrl-D leaves.",
            self.store.display(),
            snapshot.node_count(),
            status.epoch,
            status.dirty_nodes,
        ));
        Ok(())
    }

    fn run(&mut self, line: &str) -> Result<(), Failure> {
        let words = match split(line) {
            Words::Complete(words) => words,
            Words::Unfinished => {
                return Err(Failure::Usage(
                    "a quote is not closed, or nothing follows the last backslash".to_owned(),
                ));
            }
        };
        let Some(first) = words.first() else { return Ok(()) };
        if first.starts_with('.') {
            return self.dot(&words);
        }
        let started = Instant::now();
        let ran = self.verb(words);
        if self.timer {
            self.ctx.out.note(&format!("{:.1} ms", started.elapsed().as_secs_f64() * 1000.0));
        }
        ran
    }

    fn verb(&mut self, words: Vec<String>) -> Result<(), Failure> {
        let verbs: Vec<&str> = self.command.get_subcommands().map(Command::get_name).collect();
        let mut arguments: Vec<OsString> = Vec::new();
        let mut placed = false;
        for word in words {
            let is_verb = !placed && verbs.contains(&word.as_str());
            let takes_store = is_verb && word != "demo";
            arguments.push(word.into());
            if takes_store {
                arguments.push(self.store.clone().into());
            }
            placed |= is_verb;
        }
        let parsed =
            self.command.try_get_matches_from_mut(arguments).and_then(|found| Cli::from_arg_matches(&found));
        let cli = match parsed {
            Ok(cli) => cli,
            Err(error) if !error.use_stderr() => return write_out(&error.render().to_string()),
            Err(error) => return Err(Failure::usage(&error)),
        };
        let usual = self.ctx.out;
        let mode = cli.globals.output.unwrap_or(usual.mode);
        self.ctx.out = Output { mode, quiet: usual.quiet || cli.globals.quiet };
        self.ctx.begin_command();
        let ran = command::run(self.ctx, cli.verb);
        interrupt::end();
        self.ctx.out = usual;
        ran
    }

    /// The commands of the console itself.
    fn dot(&mut self, words: &[String]) -> Result<(), Failure> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            [".quit" | ".exit"] => self.left = true,
            [".help"] => {
                let help = self.command.render_help().to_string();
                return write_out(&format!("{help}\n{DOT_HELP}"));
            }
            [".help", word] if word.starts_with('.') => return write_out(DOT_HELP),
            [".help", word] => return self.verb(vec![word.to_owned(), "--help".to_owned()]),
            [".timer", "on"] => self.timer = true,
            [".timer", "off"] => self.timer = false,
            [".mode"] => {
                let mode = self.ctx.out.mode.to_possible_value();
                let name = mode.as_ref().map_or("", |value| value.get_name());
                return write_out(&format!("{name}\n"));
            }
            [".mode", word] => match Mode::from_str(word, true) {
                Ok(mode) => self.ctx.out.mode = mode,
                Err(_) => {
                    return Err(Failure::Usage(format!("no mode {word:?}: table, json, jsonl, csv or tsv")));
                }
            },
            [word, ..] => {
                return Err(Failure::Usage(format!(
                    "no console command {word}, or not like this: see .help"
                )));
            }
            [] => {}
        }
        Ok(())
    }
}

/// The table of verbs as the console shows it: the store is given already.
fn console_command() -> Command {
    let mut command = Cli::command()
        .no_binary_name(true)
        .bin_name("")
        .override_usage("VERB [ARGS] [--FLAGS]")
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .mut_arg("read_only", |flag| flag.hide(true))
        .mut_arg("low_memory", |flag| flag.hide(true));
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |verb| {
            let usage = verb.clone().render_usage().to_string();
            let usage = usage.replace("Usage: ", "").replace(" <STORE>", "");
            // Not mut_arg, which would put the store behind the other positions.
            let verb = verb.mut_args(|argument| {
                let is_store = argument.get_id() == "store";
                if is_store { argument.hide(true) } else { argument }
            });
            let verb = verb.override_usage(usage);
            if verb.get_name() == "console" { verb.hide(true) } else { verb }
        });
    }
    command
}

/// Where the history lives: the user's folder of state, made when it is not there.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    let folder = state.join("hedgerow");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}
