//! Lines of the console under arbitrary text: split, completed and parsed, not run.
//! Compiled for tests and fuzzing only.

use std::path::Path;
use std::sync::Arc;

use clap::Command;

use crate::repl::completion::Completion;
use crate::repl::shell_split::{Line, typed};
use crate::repl::verb_table;
use crate::session::context::SharedStore;

/// A console without a store.
pub(crate) struct ConsoleLines {
    completion: Completion,
    table: Command,
}

impl ConsoleLines {
    pub(crate) fn new() -> Self {
        let (table, shared) = (verb_table::table(), SharedStore::default());
        let completion = Completion { table: table.clone(), shared, jobs: Arc::default() };
        Self { completion, table }
    }

    /// A line, complete or not.
    pub(crate) fn read(&mut self, line: &str) {
        // The word at the end is completed: an offer replaces the line from the start of that word on.
        let offer = self.completion.offer(line);
        assert!(line.is_char_boundary(offer.start), "{line:?}");
        // A word can be typed so that it reads back as it is.
        let split = Line::split(line);
        for word in split.words.iter().filter(|word| !word.text.is_empty()) {
            let again = Line::split(&typed(&word.text));
            let texts: Vec<&str> = again.words.iter().map(|word| word.text.as_str()).collect();
            assert_eq!((texts, again.is_unfinished), (vec![word.text.as_str()], false), "{line:?}");
        }
        // Whatever the words, the table has a command or a message for them.
        let words: Vec<&str> = split.words.iter().map(|word| word.text.as_str()).collect();
        if let Err(error) = verb_table::parse(&mut self.table, &words, Path::new("store")) {
            error.render().to_string();
        }
    }
}
