//! The `hedgerow` command: one grammar, `hedgerow VERB STORE [ARGS] [--FLAGS]`, for the shell and for its console.
//!
//! `command` is the table of verbs and `verbs` does them; `context` holds the open store; `output` and `stream` write
//! results, `failure` and `place` say what went wrong; `reading` takes input files apart; `console` is the prompt.
//! Everything about graphs and embeddings is asked of the library, through its public interface alone.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a verb owns its arguments, whether it consumes them or not"
)]

mod bench;
mod command;
mod core;
mod input;
mod output;
mod repl;
mod report;
mod session;
mod synthetic;
mod transfer;
mod verbs;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use command::Cli;
use core::failure::Failure;
use core::{escape, interrupt};
use output::printer::{Mode, Output};
use output::target::OutputTarget;
use session::context::Context;

fn main() -> ExitCode {
    interrupt::install();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !hedgerow::is_engine_panic(panic) {
            usual(panic);
        }
    }));
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &words),
    };
    let mode = cli.globals.output.unwrap_or_else(Mode::for_stdout);
    let out = Output::to_screen(mode, cli.globals.quiet);
    let mut ctx = Context::new(out, cli.globals.read_only, cli.globals.low_memory);
    match command::run(&mut ctx, cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Closed) {
                out.failure(&failure);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Help and version go to standard output; a usage error has the form of every other one where JSON was asked for.
fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
    match asked_mode(words).filter(|mode| mode.is_json() && error.use_stderr()) {
        Some(mode) => {
            Output::to_screen(mode, false).failure(&Failure::usage(error));
        }
        // What was typed is repeated, and must not reach a terminal as it is.
        None if words.iter().any(|word| word.to_string_lossy().contains(char::is_control)) => {
            let text = escape::escaped_lines(&error.render().to_string());
            OutputTarget::Screen.say(text.trim_end());
        }
        // A closed standard output cannot be told about.
        None => drop(error.print()),
    }
    ExitCode::from(error.exit_code() as u8)
}

/// The output mode in words that do not parse otherwise.
fn asked_mode(words: &[OsString]) -> Option<Mode> {
    let texts: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let joined = texts.iter().find_map(|word| word.strip_prefix("--output="));
    let apart = || texts.iter().skip_while(|word| **word != "--output").nth(1).copied();
    Mode::from_str(joined.or_else(apart)?, true).ok()
}
