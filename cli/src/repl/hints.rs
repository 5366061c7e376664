//! The dimmed hint behind the cursor: the rest of a line from the history, or the arguments that a verb still needs.

use clap::{Arg, Command};
use rustyline::Context;
use rustyline::hint::{Hint, Hinter, HistoryHinter};

use crate::core::escape::escaped;
use crate::repl::completion::{Completion, is_repeated};
use crate::repl::shell_split::Line;
use crate::repl::verb_table::verbs;

/// A hint.
pub(super) struct LineHint {
    shown: String,
    /// The text that the right arrow inserts; none for missing arguments.
    inserted: Option<String>,
}

impl Hint for LineHint {
    fn display(&self) -> &str {
        &self.shown
    }

    fn completion(&self) -> Option<&str> {
        self.inserted.as_deref()
    }
}

/// The hint for a line whose cursor is at its end.
pub(super) fn hint(completion: &Completion, line: &str, pos: usize, ctx: &Context<'_>) -> Option<LineHint> {
    if line.is_empty() || pos < line.len() {
        return None;
    }
    if let Some(rest) = HistoryHinter::new().hint(line, pos, ctx).filter(|rest| !rest.contains('\n')) {
        return Some(LineHint { shown: escaped(&rest), inserted: Some(rest) });
    }
    let shown = missing(completion, line)?;
    Some(LineHint { shown, inserted: None })
}

/// The missing arguments of the command in a line that ends with a blank.
fn missing(completion: &Completion, line: &str) -> Option<String> {
    let split = Line::split(line);
    if split.ends_in_word || split.is_unfinished {
        return None;
    }
    let words: Vec<&str> = split.words.iter().map(|word| word.text.as_str()).collect();
    let (name, after) = words.split_first()?;
    let verb = verbs(&completion.table).find(|verb| verb.get_name() == *name)?;
    let taken = completion.positions_taken(verb, after);
    let positions = verb.get_positionals().filter(|argument| argument.get_id() != "store").skip(taken);
    let mut parts: Vec<String> = positions.map(position).collect();
    parts.extend(required(verb).filter(|flag| !words.contains(&flag.as_str())));
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn position(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let name = names.first().map_or("", |name| name.as_str());
    let dots = if is_repeated(argument) { "..." } else { "" };
    if argument.is_required_set() { format!("{name}{dots}") } else { format!("[{name}]{dots}") }
}

/// The flags that a verb requires.
fn required(verb: &Command) -> impl Iterator<Item = String> {
    let flags =
        verb.get_arguments().filter(|argument| argument.is_required_set() && !argument.is_positional());
    flags.filter_map(Arg::get_long).map(|long| format!("--{long}"))
}
