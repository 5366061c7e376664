//! The console: reads lines, splits them into words, and runs verbs of the same table as the shell.
//! Jobs run verbs in threads of their own. Must not know how a verb works.

mod completion;
pub(crate) mod console;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod greeting;
mod hints;
mod history;
mod jobs;
mod prompt;
mod shell_split;
mod terminal;
mod verb_table;
