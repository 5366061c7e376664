//! The table of the console's own commands, those that begin with a dot: what parses, completes and explains them.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::core::failure::Failure;
use crate::output::printer::Mode;
use crate::session::suggest;

/// One of them, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DotCommand {
    Help(Option<String>),
    Mode(Option<Mode>),
    Output(Option<(PathBuf, bool)>),
    Read(PathBuf),
    Timer(bool),
    Leave,
}

/// What can follow one, for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DotArgument {
    Nothing,
    Command,
    Choice(&'static [&'static str]),
    File,
}

/// How one is written.
pub(super) struct DotSyntax {
    pub(super) name: &'static str,
    pub(super) arguments: &'static str,
    pub(super) about: &'static str,
    pub(super) follows: DotArgument,
}

const MODES: [&str; 5] = ["table", "json", "jsonl", "csv", "tsv"];

pub(super) const DOT_COMMANDS: [DotSyntax; 7] = [
    DotSyntax {
        name: ".help",
        arguments: "[WORD]",
        about: "This list, or what a verb or a console command does",
        follows: DotArgument::Command,
    },
    DotSyntax {
        name: ".mode",
        arguments: "[MODE]",
        about: "How results are written from now on: table, json, jsonl, csv or tsv; alone: how they are",
        follows: DotArgument::Choice(&MODES),
    },
    DotSyntax {
        name: ".output",
        arguments: "[FILE [--force]]",
        about: "Results go to a new file, in the mode that its ending names; with --force to one that is there, which is \
                replaced; alone: to the screen again, in the mode of before",
        follows: DotArgument::File,
    },
    DotSyntax {
        name: ".read",
        arguments: "FILE",
        about: "Run the commands of a file until one fails",
        follows: DotArgument::File,
    },
    DotSyntax {
        name: ".timer",
        arguments: "on|off",
        about: "Say after each command how long it took",
        follows: DotArgument::Choice(&["on", "off"]),
    },
    DotSyntax { name: ".quit", arguments: "", about: "Leave, as Ctrl-D does", follows: DotArgument::Nothing },
    DotSyntax { name: ".exit", arguments: "", about: "The same", follows: DotArgument::Nothing },
];

const REST: &str = "\
A line that ends with & is run as a job, beside what is typed next. One that
ends with a backslash, or within quotes, goes on in the next line; # begins a
comment. $'..' writes what cannot be typed, as it is shown: $'pin:\\x1b'.
Ctrl-C cancels the running command, Ctrl-R searches the history, Ctrl-D leaves.
";

/// The width of a line of help.
const WIDTH: usize = 79;

/// What is told about all of them.
pub(super) fn help() -> String {
    let mut text = String::from("Console commands:\n");
    for written in &DOT_COMMANDS {
        text.push_str(&entry(written));
    }
    text + "\n" + REST
}

/// What is told about one.
pub(super) fn help_of(name: &str) -> Result<String, Failure> {
    let found = DOT_COMMANDS.iter().find(|written| written.name == name);
    found.map(entry).ok_or_else(|| unknown(name))
}

fn entry(written: &DotSyntax) -> String {
    const INDENT: usize = 28;
    let mut text =
        format!("  {:<width$}", format!("{} {}", written.name, written.arguments), width = INDENT - 2);
    let mut at = INDENT;
    for word in written.about.split(' ') {
        if at + word.len() > WIDTH {
            text.truncate(text.trim_end().len());
            text.push('\n');
            text.push_str(&" ".repeat(INDENT));
            at = INDENT;
        }
        text.push_str(word);
        text.push(' ');
        at += word.len() + 1;
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// Understands the words of one.
pub(super) fn parse(words: &[&str]) -> Result<DotCommand, Failure> {
    let dot = match *words {
        [".help"] => DotCommand::Help(None),
        [".help", word] => DotCommand::Help(Some(word.to_owned())),
        [".mode"] => DotCommand::Mode(None),
        [".mode", mode] => match Mode::from_str(mode, true) {
            Ok(mode) => DotCommand::Mode(Some(mode)),
            Err(_) => {
                return Err(Failure::Usage(format!("no mode '{mode}': table, json, jsonl, csv or tsv")));
            }
        },
        [".output"] => DotCommand::Output(None),
        [".output", "--force", file] | [".output", file, "--force"] => {
            DotCommand::Output(Some((file.into(), true)))
        }
        [".output", file] if file != "--force" => DotCommand::Output(Some((file.into(), false))),
        [".read", file] => DotCommand::Read(file.into()),
        [".timer", "on"] => DotCommand::Timer(true),
        [".timer", "off"] => DotCommand::Timer(false),
        [".quit" | ".exit"] => DotCommand::Leave,
        [name, ..] => {
            let Some(written) = DOT_COMMANDS.iter().find(|written| written.name == name) else {
                return Err(unknown(name));
            };
            let usage = format!("{} {}", written.name, written.arguments);
            return Err(Failure::Usage(format!("not like this: {}", usage.trim_end())));
        }
        [] => return Err(unknown("")),
    };
    Ok(dot)
}

fn unknown(name: &str) -> Failure {
    let near = suggest::word(name, DOT_COMMANDS.iter().map(|written| written.name));
    Failure::Usage(match near {
        Some(near) => format!("no console command '{name}'; did you mean {near}?"),
        None => format!("no console command '{name}': .help lists them"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_is_understood_as_it_is_written() {
        for written in &DOT_COMMANDS {
            let alone = parse(&[written.name]);
            let is_whole = written.arguments.is_empty() || written.arguments.starts_with('[');
            assert_eq!(alone.is_ok(), is_whole, "{}", written.name);
            if let DotArgument::Choice(choices) = written.follows {
                for choice in choices {
                    parse(&[written.name, choice]).expect("a choice is understood");
                    assert!([written.arguments, written.about].concat().contains(choice));
                }
            }
            assert!(help().contains(&help_of(written.name).expect("it is there")));
            assert!(help().lines().all(|line| line.len() <= WIDTH));
        }
    }
}
