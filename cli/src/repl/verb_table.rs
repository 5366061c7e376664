//! The table of verbs as the console shows it: the store is given already, and there are verbs for jobs besides.

use std::ffi::OsString;
use std::path::Path;

use clap::{Args, Command, CommandFactory, FromArgMatches, Subcommand};

use crate::command::{Cli, Globals, Verb};

/// What only a console understands.
#[derive(Subcommand, Debug)]
pub(super) enum JobVerb {
    /// List the jobs of this console: a verb that is followed by & is one
    Jobs,
    /// Wait until a job has ended, or all of them
    Wait(WaitArgs),
    /// Cancel a job, as Ctrl-C would have
    Cancel(CancelArgs),
}

/// What `wait` is told.
#[derive(Args, Debug)]
pub(super) struct WaitArgs {
    /// The job's number [default: all jobs]
    #[arg(value_name = "JOB")]
    pub(super) job: Option<u32>,
}

/// What `cancel` is told.
#[derive(Args, Debug)]
pub(super) struct CancelArgs {
    /// The job's number, as `jobs` lists it
    #[arg(value_name = "JOB")]
    pub(super) job: u32,
}

/// A line, understood.
pub(super) struct ParsedLine {
    pub(super) globals: Globals,
    pub(super) name: String,
    pub(super) what: What,
}

/// What it asks for.
pub(super) enum What {
    Verb(Box<Verb>),
    Job(JobVerb),
}

/// Verbs that take no store.
const STORELESS: [&str; 4] = ["demo", "jobs", "wait", "cancel"];

/// The table.
pub(super) fn table() -> Command {
    let command = JobVerb::augment_subcommands(Cli::command());
    let mut command = command
        .no_binary_name(true)
        .bin_name("")
        .override_usage("VERB [ARGS] [--FLAGS] [&]")
        .after_help("A node is written kind:key, such as pin:42. `.help VERB` says what a verb takes.")
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

/// The verbs of the table that are shown.
pub(super) fn verbs(table: &Command) -> impl Iterator<Item = &Command> {
    table.get_subcommands().filter(|verb| !verb.is_hide_set())
}

/// Understands the words of a line, about a store.
pub(super) fn parse(table: &mut Command, words: &[&str], store: &Path) -> Result<ParsedLine, clap::Error> {
    let verbs: Vec<&str> = table.get_subcommands().map(Command::get_name).collect();
    let mut arguments: Vec<OsString> = Vec::new();
    let mut is_placed = false;
    for word in words {
        let is_verb = !is_placed && verbs.contains(word);
        arguments.push(word.into());
        if is_verb && !STORELESS.contains(word) {
            arguments.push(store.into());
        }
        is_placed |= is_verb;
    }
    let found = table.try_get_matches_from_mut(arguments)?;
    let globals = Globals::from_arg_matches(&found)?;
    let name = found.subcommand_name().unwrap_or_default().to_owned();
    let what = if JobVerb::has_subcommand(&name) {
        What::Job(JobVerb::from_arg_matches(&found)?)
    } else {
        What::Verb(Box::new(Cli::from_arg_matches(&found)?.verb))
    };
    Ok(ParsedLine { globals, name, what })
}
