//! The table of commands in the console: the verbs of the shell without the store, verbs for jobs, and dot commands.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory, FromArgMatches, Subcommand};

use crate::command::{Cli, Globals, Verb};
use crate::output::printer::Mode;

/// The commands that only the console has: verbs for jobs, and dot commands for the console itself.
#[derive(Subcommand, Debug)]
pub(super) enum ConsoleCommand {
    /// List the jobs of this console; a line that ends with & starts one
    Jobs,
    /// Wait until a job has ended, or all jobs
    Wait {
        /// The number of the job [default: all jobs]
        #[arg(value_name = "JOB")]
        job: Option<u32>,
    },
    /// Cancel a job, as Ctrl-C cancels a verb
    Cancel {
        /// The number of the job, as `jobs` lists it
        #[arg(value_name = "JOB")]
        job: u32,
    },
    /// List all commands, or explain one
    #[command(name = ".help")]
    Help {
        /// A verb or a dot command [default: all]
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
    /// Set the output mode, or print the current one
    #[command(name = ".mode")]
    Mode {
        /// The new mode [default: print the current mode]
        mode: Option<Mode>,
    },
    /// Write results to a file, in the mode of its extension, or to the screen again
    #[command(name = ".output")]
    Output {
        /// A new file [default: the screen, in the mode before]
        file: Option<PathBuf>,
        /// Replace the file if it exists
        #[arg(long, requires = "file")]
        force: bool,
    },
    /// Run the commands of a file until one fails
    #[command(name = ".read")]
    Read {
        /// The file, one command per line
        file: PathBuf,
    },
    /// Print the time that each command takes
    #[command(name = ".timer")]
    Timer {
        /// Print times, or stop printing them
        #[arg(value_name = "on|off", value_parser = ["on", "off"])]
        state: String,
    },
    /// Leave the console, as Ctrl-D does
    #[command(name = ".quit", visible_alias = ".exit")]
    Quit,
}

/// A parsed line.
pub(super) struct ParsedLine {
    pub(super) globals: Globals,
    pub(super) name: String,
    pub(super) command: LineCommand,
}

/// A verb of the shell, or a command of the console.
pub(super) enum LineCommand {
    Verb(Box<Verb>),
    Console(ConsoleCommand),
}

/// The help on lines, jobs and keys.
const LINE_HELP: &str = "\
A node is written kind:key, such as pin:42. `.help COMMAND` explains a command.
A line that ends with & starts a job, which runs beside the next lines. A line
that ends with a backslash or in quotes continues on the next line. # begins a
comment. $'..' takes escapes for special characters, such as $'pin:\\x1b'.
Ctrl-C cancels the running command, Ctrl-R searches the history, Ctrl-D leaves.";

/// Builds the table from the one of the shell.
pub(super) fn table() -> Command {
    let command = ConsoleCommand::augment_subcommands(Cli::command());
    let mut command = command
        .no_binary_name(true)
        .bin_name("")
        .about(
            "Commands of the console: verbs, jobs, and dot commands. The store is inserted after each verb",
        )
        .override_usage("VERB [ARGS] [--FLAGS] [&]")
        .after_help(LINE_HELP)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .mut_arg("read_only", |flag| flag.hide(true))
        .mut_arg("low_memory", |flag| flag.hide(true));
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |verb| {
            let usage = verb.clone().render_usage().to_string();
            let usage = usage.replace("Usage: ", "").replace(" <STORE>", "");
            // `mut_arg` would move the store after the other positions.
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

/// The verbs of the table that are not hidden.
pub(super) fn verbs(table: &Command) -> impl Iterator<Item = &Command> {
    table.get_subcommands().filter(|verb| !verb.is_hide_set())
}

/// Parses the words of a line. The store is inserted after the verb.
pub(super) fn parse(table: &mut Command, words: &[&str], store: &Path) -> Result<ParsedLine, clap::Error> {
    let verbs: Vec<&str> = table.get_subcommands().map(Command::get_name).collect();
    let mut arguments: Vec<OsString> = Vec::new();
    let mut has_verb = false;
    for word in words {
        let is_verb = !has_verb && verbs.contains(word);
        arguments.push(word.into());
        if is_verb && *word != "demo" && !ConsoleCommand::has_subcommand(word) {
            arguments.push(store.into());
        }
        has_verb |= is_verb;
    }
    let matches = table.try_get_matches_from_mut(arguments)?;
    let globals = Globals::from_arg_matches(&matches)?;
    let name = matches.subcommand_name().unwrap_or_default().to_owned();
    let command = if ConsoleCommand::has_subcommand(&name) {
        LineCommand::Console(ConsoleCommand::from_arg_matches(&matches)?)
    } else {
        LineCommand::Verb(Box::new(Cli::from_arg_matches(&matches)?.verb))
    };
    Ok(ParsedLine { globals, name, command })
}
