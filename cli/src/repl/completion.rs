//! Completion of a line: verbs, flags and their values, kinds and keys of the store, numbers of jobs, file names.
//! Knows the tables of commands and the store, but not the editor.

use std::sync::Arc;

use clap::{Arg, ArgAction, Command};
use hedgerow::Snapshot;

use crate::repl::jobs::Jobs;
use crate::repl::shell_split::{Line, Word};
use crate::repl::verb_table::verbs;
use crate::session::context::SharedStore;
use crate::session::properties::{label, property_names};
use crate::session::schema::{kinds, relations};

/// The most keys in an offer.
const KEYS: usize = 50;

/// The candidates for the word at the end of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// The offset of the word that is replaced.
    pub(super) start: usize,
    pub(super) words: Vec<Candidate>,
    /// There are more candidates than these.
    pub(super) is_cut: bool,
    /// Names of files are candidates too.
    pub(super) files: bool,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) word: String,
    /// True if the word is complete. A kind is not: its key follows.
    pub(super) is_complete: bool,
    /// The label of the node that it names.
    pub(super) label: Option<String>,
}

/// The sources of candidates.
pub(super) struct Completion {
    pub(super) table: Command,
    pub(super) shared: SharedStore,
    pub(super) jobs: Arc<Jobs>,
}

/// The kind of word that a place in a line takes.
enum Expected {
    Words(Vec<String>),
    Kinds,
    Relations,
    Properties,
    Models,
    Nodes,
    Files,
    Nothing,
}

impl Completion {
    /// The candidates that can replace the last word of a line.
    pub(super) fn offer(&self, line: &str) -> Offer {
        let mut split = Line::split(line);
        let last = if split.ends_in_word { split.words.pop() } else { None };
        let last = last.unwrap_or(Word { start: line.len(), ..Word::default() });
        let before: Vec<&str> = split.words.iter().map(|word| word.text.as_str()).collect();
        // In --flag=value only the value is completed.
        let joined = last.text.split_once('=').filter(|(flag, _)| flag.starts_with("--"));
        if let (Some((flag, value)), Some(verb)) = (joined, before.first().and_then(|name| self.verb(name))) {
            let mut offer = self.fill(self.expected_by_flag(verb, flag), value);
            offer.words.iter_mut().for_each(|candidate| candidate.word.insert_str(0, &format!("{flag}=")));
            return Offer { start: last.start, files: false, ..offer };
        }
        Offer { start: last.start, ..self.fill(self.expected(&before, &last.text), &last.text) }
    }

    fn verb(&self, name: &str) -> Option<&Command> {
        verbs(&self.table).find(|verb| verb.get_name() == name)
    }

    fn commands(&self) -> Expected {
        Expected::Words(verbs(&self.table).map(|verb| verb.get_name().to_owned()).collect())
    }

    /// The kind of word that follows the words before it: a command, a flag, the value of a flag, or a position.
    fn expected(&self, before: &[&str], word: &str) -> Expected {
        let [name, after @ ..] = before else { return self.commands() };
        let Some(verb) = self.verb(name) else { return Expected::Nothing };
        if word.starts_with('-') {
            return Expected::Words(self.flags(verb, after));
        }
        if let Some(flag) = after.last().filter(|last| last.starts_with('-')) {
            match self.flag(verb, flag) {
                Some(argument) if argument.get_action().takes_values() => return self.expected_by(argument),
                _ => {}
            }
        }
        let position = self.positions_taken(verb, after);
        match verb.get_positionals().filter(|argument| argument.get_id() != "store").nth(position) {
            Some(argument) => self.expected_by(argument),
            // The last position may be repeated, as the nodes of `walk`.
            None => verb
                .get_positionals()
                .last()
                .filter(|last| is_repeated(last))
                .map_or(Expected::Nothing, |argument| self.expected_by(argument)),
        }
    }

    /// The number of positions that are filled: words that are neither flags nor their values.
    pub(super) fn positions_taken(&self, verb: &Command, after: &[&str]) -> usize {
        let mut taken = 0;
        let mut is_value = false;
        for word in after {
            let is_flag = word.starts_with('-') && word.len() > 1;
            taken += usize::from(!is_flag && !is_value);
            let flag = self.flag(verb, word).filter(|_| is_flag && !word.contains('='));
            is_value = flag.is_some_and(|flag| flag.get_action().takes_values());
        }
        taken
    }

    fn flag<'a>(&'a self, verb: &'a Command, word: &str) -> Option<&'a Arg> {
        let mut arguments = verb.get_arguments().chain(self.table.get_arguments());
        match word.strip_prefix("--") {
            Some(long) => arguments.find(|argument| argument.get_long() == Some(long)),
            None => arguments
                .find(|argument| argument.get_short().map(String::from).as_deref() == word.strip_prefix('-')),
        }
    }

    /// The flags of a verb, without those that are given and cannot be repeated.
    fn flags(&self, verb: &Command, after: &[&str]) -> Vec<String> {
        let arguments = verb.get_arguments().chain(self.table.get_arguments());
        let shown = arguments.filter(|argument| !argument.is_hide_set());
        let is_free = |argument: &&Arg| {
            let flag = argument.get_long().map(|long| format!("--{long}"));
            !flag.is_some_and(|flag| after.contains(&flag.as_str()))
                || matches!(argument.get_action(), ArgAction::Append)
        };
        let mut flags: Vec<String> =
            shown.filter(is_free).filter_map(Arg::get_long).map(|long| format!("--{long}")).collect();
        flags.push("--help".to_owned());
        flags.dedup();
        flags
    }

    fn expected_by_flag(&self, verb: &Command, flag: &str) -> Expected {
        self.flag(verb, flag).map_or(Expected::Nothing, |argument| self.expected_by(argument))
    }

    /// The kind of word that an argument takes, by its choices or by the name of its value.
    fn expected_by(&self, argument: &Arg) -> Expected {
        let choices = argument.get_possible_values();
        if !choices.is_empty() && argument.get_action().takes_values() {
            return Expected::Words(choices.iter().map(|choice| choice.get_name().to_owned()).collect());
        }
        let names = argument.get_value_names().unwrap_or_default();
        let name = names.first().map_or("", |name| name.as_str());
        match name.split(['.', ',', '=']).next().unwrap_or_default() {
            "KIND" => Expected::Kinds,
            "A" | "B" | "NODE" => Expected::Nodes,
            "FILE" | "DIR" | "OUT" => Expected::Files,
            "COMMAND" => self.commands(),
            "JOB" => Expected::Words(self.jobs.numbers().iter().map(u32::to_string).collect()),
            "NAME" if argument.get_id() == "relation" => Expected::Relations,
            "PROP" => Expected::Properties,
            "MODEL" => Expected::Models,
            _ => Expected::Nothing,
        }
    }

    /// The candidates of this kind that begin as the typed word does.
    fn fill(&self, expected: Expected, typed: &str) -> Offer {
        let complete = |words: Vec<String>| Offer {
            words: words
                .into_iter()
                .filter(|word| word.starts_with(typed))
                .map(Candidate::complete)
                .collect(),
            ..Offer::default()
        };
        let snapshot = || self.shared.store().map(|store| store.snapshot());
        match expected {
            Expected::Words(words) => complete(words),
            Expected::Files => Offer { files: true, ..Offer::default() },
            Expected::Nothing => Offer::default(),
            Expected::Relations => snapshot().map_or_else(Offer::default, |snapshot| {
                complete(
                    relations(&snapshot)
                        .map(|relation| snapshot.relation_name(relation).to_owned())
                        .collect(),
                )
            }),
            Expected::Properties => snapshot().map_or_else(Offer::default, |snapshot| {
                let done = typed.rfind(',').map_or("", |at| &typed[..=at]);
                let names = property_names(&snapshot).into_iter();
                complete(names.map(|name| format!("{done}{name}")).collect())
            }),
            Expected::Models => {
                complete(self.shared.store().map_or_else(Vec::new, |store| store.derived_sets()))
            }
            Expected::Kinds => snapshot().map_or_else(Offer::default, |snapshot| {
                // In a list such as pin,board the last kind is completed.
                let done = typed.rfind(',').map_or("", |at| &typed[..=at]);
                complete(kind_names(&snapshot).map(|kind| format!("{done}{kind}")).collect())
            }),
            Expected::Nodes => snapshot().map_or_else(Offer::default, |snapshot| nodes(&snapshot, typed)),
        }
    }
}

impl Candidate {
    fn complete(word: String) -> Self {
        Self { word, is_complete: true, label: None }
    }
}

/// The kinds, or the first keys of a kind, that begin as the typed word does.
fn nodes(snapshot: &Snapshot, typed: &str) -> Offer {
    let done = typed.rfind(',').map_or("", |at| &typed[..=at]);
    let current = &typed[done.len()..];
    let mut offer = Offer::default();
    match current.split_once(':') {
        None => {
            let kinds = kind_names(snapshot).filter(|kind| kind.starts_with(current));
            let candidate =
                |kind| Candidate { word: format!("{done}{kind}:"), is_complete: false, label: None };
            offer.words = kinds.map(candidate).collect();
        }
        Some((kind, prefix)) => {
            let Some(ix) = snapshot.kind_ix(kind) else { return offer };
            let mut keys = snapshot.keys_with_prefix(ix, prefix, KEYS + 1);
            offer.is_cut = keys.len() > KEYS;
            keys.truncate(KEYS);
            let is_complete = done.is_empty();
            let candidate = |key: String| {
                let node = snapshot.lookup((kind, key.as_str()));
                let label = node.and_then(|node| label(snapshot, node));
                Candidate { word: format!("{done}{kind}:{key}"), is_complete, label }
            };
            offer.words = keys.into_iter().map(candidate).collect();
        }
    }
    offer
}

fn kind_names(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    kinds(snapshot).map(|kind| snapshot.kind_name(kind).to_owned())
}

/// True if an argument can be given several times.
pub(super) fn is_repeated(argument: &Arg) -> bool {
    argument.get_num_args().is_some_and(|range| range.max_values() > 1)
        || matches!(argument.get_action(), ArgAction::Append)
}

#[cfg(test)]
mod tests {
    use hedgerow::{Batch, Edge, NodeRef, Store};

    use super::*;
    use crate::output::printer::{Mode, Output};
    use crate::repl::verb_table::table;
    use crate::session::context::Context;

    /// Completion over a store of lamps `a0` to `a99`, `b` and `c d` in room `hall`.
    fn completion(folder: &std::path::Path) -> Completion {
        let mut ctx = Context::new(Output::to_screen(Mode::Tsv, true), false, false);
        let store = Store::options().create(true).open(folder).expect("it opens");
        let mut batch = Batch::new();
        for key in (0..100).map(|lamp| format!("a{lamp}")).chain(["b".to_owned(), "c d".to_owned()]) {
            let lamp = NodeRef { kind: "lamp", key: &key };
            batch.link(NodeRef { kind: "room", key: "hall" }, lamp, Edge::default()).expect("valid");
        }
        store.commit(&batch).expect("a commit");
        drop(store);
        ctx.store(folder).expect("it opens");
        Completion { table: table(), shared: ctx.shared().clone(), jobs: Arc::default() }
    }

    fn words(offer: &Offer) -> Vec<&str> {
        offer.words.iter().map(|candidate| candidate.word.as_str()).collect()
    }

    #[test]
    fn candidates_fit_the_place_in_the_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let completion = completion(folder.path());
        for (line, start, expected) in [
            ("neigh", 0, &["neighbors", "neighborhood"][..]),
            ("walk lamp:b ro", 12, &["room:"]),
            ("walk 'lamp:c", 5, &["lamp:c d"]),
            ("walk lamp:c\\ d", 5, &["lamp:c d"]),
            ("neighbors lamp:b --si", 17, &["--since"]),
            ("neighbors lamp:b --since 3 ", 27, &[]),
            ("neighbors lamp:b room", 17, &[]),
            ("train --target lamp,ro", 15, &["lamp,room"]),
            ("train --ids ", 12, &["auto", "on", "off"]),
            ("train --ids=o", 6, &["--ids=on", "--ids=off"]),
            ("link lamp:b room:hall --relation ", 33, &["lamp-room"]),
            ("similar lamp:b -k ", 18, &[]),
            ("recommend --history lamp:b,lamp:c", 20, &["lamp:b,lamp:c d"]),
            (".he", 0, &[".help"]),
            (".help .ti", 6, &[".timer"]),
            (".mode js", 6, &["json", "jsonl"]),
            ("cancel ", 7, &[]),
            ("nonsense ", 9, &[]),
        ] {
            let offer = completion.offer(line);
            assert_eq!((offer.start, words(&offer)), (start, expected.to_vec()), "{line}");
            assert!(!offer.files && !offer.is_cut, "{line}");
        }
        for line in [
            "import --edges ",
            ".read x",
            ".output ",
            "train --pairs=",
            "backup ",
            "similar lamp:b --exclude ",
        ] {
            let offer = completion.offer(line);
            assert!(words(&offer).is_empty(), "{line}");
            assert_eq!(offer.files, !line.ends_with('='), "{line}");
        }
    }

    #[test]
    fn an_offer_of_many_keys_is_cut_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let completion = completion(folder.path());
        let offer = completion.offer("similar lamp:");
        assert_eq!((offer.words.len(), offer.is_cut), (KEYS, true));
        assert!(!completion.offer("similar lamp:a9").is_cut);
    }

    #[test]
    fn every_flag_of_every_verb_is_offered() {
        let folder = tempfile::tempdir().expect("a folder");
        let completion = completion(folder.path());
        for verb in verbs(&completion.table) {
            let offer = completion.offer(&format!("{} --", verb.get_name()));
            for argument in verb.get_arguments().filter(|argument| !argument.is_positional()) {
                let flag = format!("--{}", argument.get_long().expect("every flag is long"));
                assert!(words(&offer).contains(&flag.as_str()), "{} {flag}", verb.get_name());
            }
            assert!(words(&offer).contains(&"--output"), "{}", verb.get_name());
        }
    }
}
