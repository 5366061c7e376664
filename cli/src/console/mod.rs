//! The console: lines become words, words become verbs of the same table that the shell uses.

mod completion;
pub(crate) mod session;
mod words;
