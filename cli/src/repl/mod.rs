//! The console: lines become words, words become verbs of the same table that the shell uses.

pub(crate) mod verb;

mod completion;
mod dot_commands;
mod greeting;
mod hints;
mod history;
mod jobs;
mod prompt;
pub(crate) mod session;
mod shell_split;
mod table;
mod terminal;
