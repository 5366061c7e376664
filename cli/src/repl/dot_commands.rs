//! The console's own commands, which begin with a dot: their table, parser and help.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::core::failure::Failure;
use crate::output::printer::Mode;
use crate::session::suggest;

/// A parsed dot command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DotCommand {
    Help(Option<String>),
    Mode(Option<Mode>),
    Output(Option<(PathBuf, bool)>),
    Read(PathBuf),
    Timer(bool),
    Leave,
}

/// The argument of a dot command, for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DotArgument {
    Nothing,
    Command,
    Choice(&'static [&'static str]),
    File,
}

/// The name, arguments and help of a dot command.
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
        about: "List all commands, or explain a verb or a console command",
        follows: DotArgument::Command,
    },
    DotSyntax {
        name: ".mode",
        arguments: "[MODE]",
        about: "Set how results are written: table, json, jsonl, csv or tsv; without MODE print the current mode",
        follows: DotArgument::Choice(&MODES),
    },
    DotSyntax {
        name: ".output",
        arguments: "[FILE [--force]]",
        about: "Write results to a new file, in the mode of its extension; --force replaces an existing file; without \
                FILE write to the screen again, in the mode before",
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
        about: "Print the time that each command took",
        follows: DotArgument::Choice(&["on", "off"]),
    },
    DotSyntax {
        name: ".quit",
        arguments: "",
        about: "Leave the console, as Ctrl-D does",
        follows: DotArgument::Nothing,
    },
    DotSyntax { name: ".exit", arguments: "", about: "Leave the console", follows: DotArgument::Nothing },
];

/// The help on lines, jobs and keys.
const LINE_HELP: &str = "\
A line that ends with & starts a job, which runs beside the next lines. A line
that ends with a backslash or in quotes continues on the next line. # begins a
comment. $'..' takes escapes for special characters, such as $'pin:\\x1b'.
Ctrl-C cancels the running command, Ctrl-R searches the history, Ctrl-D leaves.
";

/// The width of the help in characters.
const WIDTH: usize = 79;

/// The help on all dot commands.
pub(super) fn help() -> String {
    let mut text = String::from("Console commands:\n");
    for written in &DOT_COMMANDS {
        text.push_str(&entry(written));
    }
    text + "\n" + LINE_HELP
}

/// The help on one dot command.
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

/// Parses the words of a line.
pub(super) fn parse(words: &[&str]) -> Result<DotCommand, Failure> {
    let dot = match *words {
        [".help"] => DotCommand::Help(None),
        [".help", word] => DotCommand::Help(Some(word.to_owned())),
        [".mode"] => DotCommand::Mode(None),
        [".mode", mode] => match Mode::from_str(mode, true) {
            Ok(mode) => DotCommand::Mode(Some(mode)),
            Err(_) => {
                return Err(Failure::Usage(format!("no mode '{mode}': use table, json, jsonl, csv or tsv")));
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
            return Err(Failure::Usage(format!("wrong arguments; usage: {}", usage.trim_end())));
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
    fn every_dot_command_parses_as_its_help_says() {
        for written in &DOT_COMMANDS {
            let alone = parse(&[written.name]);
            let needs_nothing = written.arguments.is_empty() || written.arguments.starts_with('[');
            assert_eq!(alone.is_ok(), needs_nothing, "{}", written.name);
            if let DotArgument::Choice(choices) = written.follows {
                for choice in choices {
                    parse(&[written.name, choice]).expect("a choice parses");
                    assert!([written.arguments, written.about].concat().contains(choice));
                }
            }
            assert!(help().contains(&help_of(written.name).expect("it is there")));
            assert!(help().lines().all(|line| line.len() <= WIDTH));
        }
    }
}
