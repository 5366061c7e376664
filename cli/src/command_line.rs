//! One run of the command: its words, the verb that they name, and the exit code.

use std::error::Error as _;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use rayon::ThreadPoolBuilder;

use crate::command;
use crate::command::Cli;
use crate::core::failure::Failure;
use crate::core::{escape, interrupt};
use crate::output::printer::{Mode, Output};
use crate::output::target::OutputTarget;
use crate::session::context::Context;

/// Runs the command with its words, the first of which is its own name; the exit code is that of the process.
/// Ctrl-C cancels the verb, and panics of the engine, which the library turns into errors, print nothing.
pub fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    interrupt::install();
    // The library catches panics of its engine and reports them as errors.
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !hedgerow::is_engine_panic(panic) {
            default_hook(panic);
        }
    }));
    let words: Vec<OsString> = words.collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &words),
    };
    let mode = cli.globals.output.unwrap_or_else(Mode::for_stdout);
    let out = Output::to_screen(mode, cli.globals.quiet);
    let mut ctx = Context::new(out, cli.globals.read_only, cli.globals.low_memory);
    match start_threads().and_then(|()| command::run(&mut ctx, cli.verb)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Closed) {
                out.failure(&failure);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Starts the threads that verbs share. Started by the first verb that needs them, they could only panic.
fn start_threads() -> Result<(), Failure> {
    let started = ThreadPoolBuilder::new().build_global();
    // Without a source the threads are there, since the process has run a command before.
    let refused = started.err().and_then(|error| error.source().map(ToString::to_string));
    refused.map_or(Ok(()), |reason| {
        Err(Failure::Refused(format!(
            "cannot start the threads of the command: {reason}; raise the limit of processes or of memory, or set RAYON_NUM_THREADS to a smaller number"
        )))
    })
}

/// Prints help and version to standard output. A usage error is a JSON object if the arguments name a JSON mode.
fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
    match typed_mode(words).filter(|mode| mode.is_json() && error.use_stderr()) {
        Some(mode) => {
            Output::to_screen(mode, false).failure(&Failure::usage(error));
        }
        // clap quotes the arguments, and control characters must not reach the terminal.
        None if words.iter().any(|word| word.to_string_lossy().contains(escape::is_active)) => {
            let text = escape::escaped_lines(&error.render().to_string());
            OutputTarget::Screen.say(text.trim_end());
        }
        // A closed standard output is ignored.
        None => drop(error.print()),
    }
    ExitCode::from(error.exit_code() as u8)
}

/// The output mode in arguments that do not parse.
fn typed_mode(words: &[OsString]) -> Option<Mode> {
    let texts: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let joined = texts.iter().find_map(|word| word.strip_prefix("--output="));
    let separate = || texts.iter().skip_while(|word| **word != "--output").nth(1).copied();
    Mode::from_str(joined.or_else(separate)?, true).ok()
}
