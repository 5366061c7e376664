//! What is shown dimmed behind the cursor: the rest of the line as it was typed before, or what a verb still takes.

use clap::{Arg, Command};
use rustyline::Context;
use rustyline::hint::{Hint, Hinter, HistoryHinter};

use crate::core::escape::escaped;
use crate::repl::completion::{Completion, is_repeated};
use crate::repl::dot_commands::DOT_COMMANDS;
use crate::repl::shell_split::Line;
use crate::repl::verb_table::verbs;

/// A hint; one that says what is missing cannot be taken over.
pub(super) struct VerbHint {
    shown: String,
    taken: Option<String>,
}

impl Hint for VerbHint {
    fn display(&self) -> &str {
        &self.shown
    }

    fn completion(&self) -> Option<&str> {
        self.taken.as_deref()
    }
}

/// The hint for a line whose cursor is at its end.
pub(super) fn hint(completion: &Completion, line: &str, pos: usize, ctx: &Context<'_>) -> Option<VerbHint> {
    if line.is_empty() || pos < line.len() {
        return None;
    }
    if let Some(rest) = HistoryHinter::new().hint(line, pos, ctx).filter(|rest| !rest.contains('\n')) {
        return Some(VerbHint { shown: escaped(&rest), taken: Some(rest) });
    }
    let shown = missing(completion, line)?;
    Some(VerbHint { shown, taken: None })
}

/// What must follow a verb, or a command of the console, that has been typed with a blank behind it.
fn missing(completion: &Completion, line: &str) -> Option<String> {
    let cut = Line::cut(line);
    if cut.ends_in_word || cut.is_unfinished {
        return None;
    }
    let words: Vec<&str> = cut.words.iter().map(|word| word.text.as_str()).collect();
    let (name, after) = words.split_first()?;
    if let Some(written) = DOT_COMMANDS.iter().find(|written| written.name == *name) {
        return after.is_empty().then(|| written.arguments.to_owned()).filter(|shown| !shown.is_empty());
    }
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

/// Flags that must be given.
fn required(verb: &Command) -> impl Iterator<Item = String> {
    let flags =
        verb.get_arguments().filter(|argument| argument.is_required_set() && !argument.is_positional());
    flags.filter_map(Arg::get_long).map(|long| format!("--{long}"))
}
