//! The table of verbs in the console: the verbs of the shell without the store, and the verbs for jobs.

use std::ffi::OsString;
use std::path::Path;

use clap::{Args, Command, CommandFactory, FromArgMatches, Subcommand};

use crate::command::{Cli, Globals, Verb};

/// The verbs that only the console has.
#[derive(Subcommand, Debug)]
pub(super) enum JobVerb {
    /// List the jobs of this console; a line that ends with & starts one
    Jobs,
    /// Wait until a job has ended, or all jobs
    Wait(WaitArgs),
    /// Cancel a job, as Ctrl-C cancels a verb
    Cancel(CancelArgs),
}

/// The arguments of `wait`.
#[derive(Args, Debug)]
pub(super) struct WaitArgs {
    /// The number of the job [default: all jobs]
    #[arg(value_name = "JOB")]
    pub(super) job: Option<u32>,
}

/// The arguments of `cancel`.
#[derive(Args, Debug)]
pub(super) struct CancelArgs {
    /// The number of the job, as `jobs` lists it
    #[arg(value_name = "JOB")]
    pub(super) job: u32,
}

/// A parsed line.
pub(super) struct ParsedLine {
    pub(super) globals: Globals,
    pub(super) name: String,
    pub(super) verb: ConsoleVerb,
}

/// A verb of the shell, or of the console only.
pub(super) enum ConsoleVerb {
    Verb(Box<Verb>),
    Job(JobVerb),
}

/// The verbs that take no store.
const STORELESS: [&str; 4] = ["demo", "jobs", "wait", "cancel"];

/// Builds the table from the one of the shell.
pub(super) fn table() -> Command {
    let command = JobVerb::augment_subcommands(Cli::command());
    let mut command = command
        .no_binary_name(true)
        .bin_name("")
        .override_usage("VERB [ARGS] [--FLAGS] [&]")
        .after_help("A node is written kind:key, such as pin:42. `.help VERB` explains a verb.")
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
        if is_verb && !STORELESS.contains(word) {
            arguments.push(store.into());
        }
        has_verb |= is_verb;
    }
    let matches = table.try_get_matches_from_mut(arguments)?;
    let globals = Globals::from_arg_matches(&matches)?;
    let name = matches.subcommand_name().unwrap_or_default().to_owned();
    let verb = if JobVerb::has_subcommand(&name) {
        ConsoleVerb::Job(JobVerb::from_arg_matches(&matches)?)
    } else {
        ConsoleVerb::Verb(Box::new(Cli::from_arg_matches(&matches)?.verb))
    };
    Ok(ParsedLine { globals, name, verb })
}
