//! Completion at the prompt: verbs, flags and their values, kinds, keys of the store, file names.

use std::sync::Arc;

use clap::Command;
use hedgerow::{KindIx, Snapshot, Store};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Highlighter, Hinter};

use super::words::{Words, split};

const DOTS: [&str; 5] = [".help", ".mode", ".timer", ".quit", ".exit"];
/// Keys that are offered at once.
const KEYS: usize = 50;

/// What the prompt knows.
#[derive(Helper, Highlighter, Hinter)]
pub(super) struct Prompt {
    store: Arc<Store>,
    command: Command,
    files: FilenameCompleter,
}

impl Prompt {
    pub(super) fn new(store: Arc<Store>, command: Command) -> Self {
        Self { store, command, files: FilenameCompleter::new() }
    }

    fn verbs(&self) -> impl Iterator<Item = &Command> {
        self.command.get_subcommands().filter(|verb| !verb.is_hide_set())
    }

    /// What can follow the finished words and begins with `word`; nothing to say means a file name may.
    fn candidates(&self, before: &[&str], word: &str) -> Vec<String> {
        let begins = |text: &String| text.starts_with(word);
        let verb = before.first().and_then(|first| self.verbs().find(|verb| verb.get_name() == *first));
        let last = before.last().copied().unwrap_or_default();
        match (before, verb) {
            ([], _) => {
                let verbs = self.verbs().map(|verb| verb.get_name().to_owned());
                verbs.chain(DOTS.map(str::to_owned)).filter(begins).collect()
            }
            ([".help"], _) => self.verbs().map(|verb| verb.get_name().to_owned()).filter(begins).collect(),
            ([".mode"], _) => ["table", "json", "jsonl", "csv", "tsv"]
                .map(str::to_owned)
                .into_iter()
                .filter(begins)
                .collect(),
            ([".timer"], _) => ["on", "off"].map(str::to_owned).into_iter().filter(begins).collect(),
            (_, Some(verb)) if word.starts_with('-') => flags(verb).filter(begins).collect(),
            (_, Some(verb)) if last.starts_with("--") => self.values(verb, last, word),
            (_, Some(_)) => self.nodes(word),
            (_, None) => Vec::new(),
        }
    }

    /// Values of a flag: its choices, kinds where it wants a kind, otherwise nodes (or nothing, for a file).
    fn values(&self, verb: &Command, flag: &str, word: &str) -> Vec<String> {
        let arguments = verb.get_arguments().chain(self.command.get_arguments());
        let argument = arguments.into_iter().find(|argument| argument.get_long() == flag.strip_prefix("--"));
        let choices = argument.map(clap::Arg::get_possible_values).unwrap_or_default();
        if !choices.is_empty() {
            let names = choices.iter().map(|choice| choice.get_name().to_owned());
            return names.filter(|name| name.starts_with(word)).collect();
        }
        let names = argument.and_then(|argument| argument.get_value_names()).unwrap_or_default();
        let wanted = names.first().map_or("", |name| name.as_str());
        if wanted.starts_with("KIND") {
            let snapshot = self.store.snapshot();
            return kinds(&snapshot).filter(|kind| kind.starts_with(word)).collect();
        }
        if wanted.starts_with("FILE") || wanted.starts_with("NAME=") { Vec::new() } else { self.nodes(word) }
    }

    fn nodes(&self, word: &str) -> Vec<String> {
        let snapshot = self.store.snapshot();
        // In a list such as pin:1,pin:2 the last one is being typed.
        let (done, current) =
            word.rsplit_once(',').map_or(("", word), |(done, _)| (done, &word[done.len() + 1..]));
        let done = if done.is_empty() { String::new() } else { format!("{done},") };
        match current.split_once(':') {
            None => {
                let kinds = kinds(&snapshot).filter(|kind| kind.starts_with(current));
                kinds.map(|kind| format!("{done}{kind}:")).collect()
            }
            Some((kind, prefix)) => {
                let keys = snapshot.kind_ix(kind).map(|kind| snapshot.keys_with_prefix(kind, prefix, KEYS));
                keys.unwrap_or_default().into_iter().map(|key| format!("{done}{kind}:{key}")).collect()
            }
        }
    }
}

fn flags(verb: &Command) -> impl Iterator<Item = String> {
    let own = verb.get_arguments().filter_map(|argument| argument.get_long());
    own.chain(["output", "quiet"]).map(|name| format!("--{name}"))
}

fn kinds(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    (0..snapshot.kind_count()).map(|ix| snapshot.kind_name(KindIx::new(ix as u8)).to_owned())
}

impl Completer for Prompt {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, ctx: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..pos];
        let start = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let before: Vec<&str> = typed[..start].split_whitespace().collect();
        let found = self.candidates(&before, &typed[start..]);
        if found.is_empty() && !before.is_empty() {
            return self.files.complete(line, pos, ctx);
        }
        let pair = |text: String| {
            // A kind goes on with its key; everything else is a whole word, set off from the next.
            let open = text.ends_with(':') || text.contains(',');
            let escaped = if text.contains(needs_escape) { escape(&text) } else { text.clone() };
            let replacement = if open { escaped } else { format!("{escaped} ") };
            Pair { display: crate::escape::escaped(&text), replacement }
        };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

fn needs_escape(c: char) -> bool {
    c.is_whitespace() || c == '\'' || c == '"' || c == '\\'
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if needs_escape(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

impl Validator for Prompt {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match split(ctx.input()) {
            Words::Complete(_) => ValidationResult::Valid(None),
            Words::Unfinished => ValidationResult::Incomplete,
        })
    }
}
