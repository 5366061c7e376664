//! The console: lines become words, words become verbs of the same table that the shell uses.

mod completion;
pub(crate) mod console;
mod dot_commands;
mod greeting;
mod hints;
mod history;
mod jobs;
mod prompt;
mod shell_split;
mod terminal;
mod verb_table;
