//! The folders inside a crate: which of them name which, no cycle among them, no more modules than a reader surveys.
//!
//! A folder is the first part of a module's path. A file straight in `src` is no folder, so its own needs do not count; what it
//! exports from a folder does, or it would hide an arrow. Code under `cfg(test)` does not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use super::crate_source::{CRATES, Module, modules, modules_of};
use super::rust_source::Token;

/// More than a dozen, and still one screen.
const MOST_MODULES: usize = 16;

/// A path in one folder that leads into another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrow {
    from: String,
    to: String,
    /// File and line.
    place: String,
    path: String,
}

/// The folders of a crate and the paths between them.
#[derive(Debug, Default)]
struct Graph {
    arrows: Vec<Arrow>,
    /// Paths that name what `lib.rs` exports, which would hide an arrow.
    through_root: Vec<String>,
    folders: BTreeSet<String>,
}

/// A path as written, with the line of its last word.
#[derive(Debug)]
struct WrittenPath {
    words: Vec<String>,
    line: usize,
    /// The modules around it within its file.
    inline: Vec<String>,
    /// True for `pub use`, which gives the named item a second path.
    is_export: bool,
}

/// The folders' graph of a crate.
fn graph(modules: &[Module]) -> Graph {
    let tops: BTreeSet<&String> = modules.iter().filter_map(|module| module.path.first()).collect();
    let nested = modules.iter().filter(|module| module.path.len() > 1);
    let folders = nested.map(|module| module.path[0].clone()).collect();
    let mut found = Graph { folders, ..Graph::default() };
    for module in modules {
        let Some(from) = module.path.first() else { continue };
        for path in written_paths(&module.tokens) {
            let (place, shown) = (format!("{}:{}", module.file, path.line), path.words.join("::"));
            match absolute(&module.path, &path).first() {
                Some(to) if tops.contains(to) => {
                    if to != from && (found.folders.contains(from) || path.is_export) {
                        found.arrows.push(Arrow { from: from.clone(), to: to.clone(), place, path: shown });
                    }
                }
                _ => found.through_root.push(format!("{place} {shown}")),
            }
        }
    }
    found
}

/// A path from the crate's root on.
fn absolute(module: &[String], path: &WrittenPath) -> Vec<String> {
    let mut base = [module, &path.inline].concat();
    let mut words = path.words.iter().peekable();
    if words.next().is_some_and(|word| word == "crate") {
        base.clear();
    } else {
        let ups = path.words.iter().filter(|word| *word == "super").count();
        base.truncate(base.len().saturating_sub(ups));
    }
    base.extend(words.skip_while(|word| *word == "super").cloned());
    base
}

/// Every path that begins with `crate`, `super` or `self`.
fn written_paths(tokens: &[Token]) -> Vec<WrittenPath> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (mut found, mut is_export) = (Vec::new(), false);
    // The modules within the file, each with the depth of the block that it is.
    let (mut inline, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.retain(|(_, opened)| *opened < depth + 1);
            }
            "mod" if text(at + 2) == "{" => inline.push((text(at + 1).to_owned(), depth + 1)),
            "crate" | "super" | "self"
                if text(at + 1) == "::" && (at == 0 || !["::", "in"].contains(&text(at - 1))) =>
            {
                let mut leaves = Vec::new();
                at = read_path(tokens, at, &[], &mut leaves);
                let inline: Vec<String> = inline.iter().map(|(name, _)| name.clone()).collect();
                found.extend(leaves.into_iter().map(|(words, line)| WrittenPath {
                    words,
                    line,
                    inline: inline.clone(),
                    is_export,
                }));
                continue;
            }
            ";" => is_export = false,
            // A whole crate brought into scope would hide what is named of it.
            "use" if text(at + 1) == "crate" && text(at + 2) != "::" => {
                let (words, line) = (vec!["crate".to_owned()], tokens[at].line);
                found.push(WrittenPath { words, line, inline: Vec::new(), is_export: false });
            }
            "use" => is_export = at > 0 && ["pub", ")"].contains(&text(at - 1)),
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads a path, or a tree of them in braces, and gives back where it ends.
fn read_path(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    leaves: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut words = prefix.to_vec();
    loop {
        if text(at) == "{" {
            at += 1;
            while !["}", ""].contains(&text(at)) {
                at = read_path(tokens, at, &words, leaves);
                // Another name is none of the path.
                while ![",", "}", ""].contains(&text(at)) {
                    at += 1;
                }
                at += usize::from(text(at) == ",");
            }
            return at + 1;
        }
        // `self` within braces is the path before them.
        if text(at) != "self" || words.is_empty() {
            words.push(text(at).to_owned());
        }
        let line = tokens.get(at).map_or(0, |token| token.line);
        let goes_on = text(at + 1) == "::" && text(at + 2) != "<";
        if !goes_on {
            leaves.push((words, line));
            return at + 1;
        }
        at += 2;
    }
}

/// The shortest way from a folder back to itself, if there is one.
fn cycle(graph: &Graph) -> Option<Vec<Arrow>> {
    let cycles = graph.folders.iter().filter_map(|folder| way_back(&graph.arrows, folder));
    cycles.min_by_key(Vec::len)
}

fn way_back(arrows: &[Arrow], begin: &str) -> Option<Vec<Arrow>> {
    let mut came_by: BTreeMap<&str, &Arrow> = BTreeMap::new();
    let mut queue = VecDeque::from([begin]);
    while let Some(at) = queue.pop_front() {
        for arrow in arrows.iter().filter(|arrow| arrow.from == at) {
            if came_by.contains_key(arrow.to.as_str()) {
                continue;
            }
            came_by.insert(&arrow.to, arrow);
            queue.push_back(&arrow.to);
        }
    }
    let mut way = vec![(*came_by.get(begin)?).clone()];
    while way.last().is_some_and(|arrow| arrow.from != begin) {
        let last = &way[way.len() - 1].from;
        way.push(came_by[last.as_str()].clone());
    }
    way.reverse();
    Some(way)
}

/// A cycle with all the lines that make it.
fn told(graph: &Graph, cycle: &[Arrow]) -> String {
    let names: Vec<&str> = cycle.iter().map(|arrow| arrow.from.as_str()).collect();
    let mut text = format!("{} -> {}", names.join(" -> "), names[0]);
    for step in cycle {
        let lines = graph.arrows.iter().filter(|arrow| (&arrow.from, &arrow.to) == (&step.from, &step.to));
        for line in lines {
            write!(text, "\n  {} -> {}: {} {}", line.from, line.to, line.place, line.path)
                .expect("a string takes every line");
        }
    }
    text
}

#[test]
fn no_cycle_runs_between_the_folders_of_a_crate() {
    let mut cycles = Vec::new();
    for folder in CRATES {
        let graph = graph(&modules(folder));
        cycles.extend(cycle(&graph).map(|cycle| format!("{folder}: {}", told(&graph, &cycle))));
    }
    assert!(cycles.is_empty(), "folders that need each other:\n{}", cycles.join("\n"));
}

/// `crate::Error` says where nothing stands: a module names the folder, and the arrow is seen.
#[test]
fn a_crate_with_folders_names_its_modules_and_not_its_exports() {
    let mut hidden = Vec::new();
    for folder in CRATES {
        let graph = graph(&modules(folder));
        if !graph.folders.is_empty() {
            hidden.extend(graph.through_root.iter().map(|line| format!("{folder}/{line}")));
        }
    }
    let shown = hidden.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(hidden.is_empty(), "{} paths go through the crate's root:\n{shown}", hidden.len());
}

/// The number of modules in each folder, without those of unit tests.
fn modules_in_folders(modules: &[Module]) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
    for Module { path, .. } in modules {
        for (at, name) in path.iter().enumerate() {
            found.entry(path[..at].join("/")).or_default().insert(name);
        }
    }
    found.into_iter().map(|(folder, modules)| (folder, modules.len())).collect()
}

#[test]
fn a_folder_holds_a_dozen_modules_or_a_few_more() {
    let mut full = Vec::new();
    for folder in CRATES {
        for (inner, count) in modules_in_folders(&modules(folder)) {
            if count > MOST_MODULES {
                full.push(format!("{folder}/{inner}: {count} modules, at most {MOST_MODULES}"));
            }
        }
    }
    assert!(full.is_empty(), "{}", full.join("\n"));
}

/// ```text
///   store -> wal -> types -> options.rs, which opens a store and exports nothing of it
/// ```
const LAYERS: [(&str, &str); 7] = [
    ("lib.rs", "mod types; mod wal; mod store; pub use store::open::Store;"),
    ("types.rs", "pub mod ids; pub mod names;"),
    ("options.rs", "use crate::store::open;"),
    (
        "types/ids.rs",
        "use super::names::Name; use crate::options::Level; //! [`Store`](crate::store::open::Store)",
    ),
    ("wal/mod.rs", "mod record;\n#[cfg(test)] mod tests { use crate::store::open::Store; }"),
    ("wal/record.rs", "use crate::types::{ids::{self, NodeIx}, names::Name as N};"),
    ("store/open.rs", "pub(in crate::store) fn open() { super::super::wal::read::<u8>() }"),
];

#[test]
fn layers_without_a_cycle_pass() {
    let found = graph(&modules_of(LAYERS));
    assert_eq!(cycle(&found), None);
    assert!(found.through_root.is_empty(), "{found:?}");
    let arrow = |arrow: &Arrow| format!("{} {} {} {}", arrow.from, arrow.to, arrow.place, arrow.path);
    let arrows: Vec<String> = found.arrows.iter().map(arrow).collect();
    let expected = [
        "types options types/ids.rs:1 crate::options::Level",
        "wal types wal/record.rs:1 crate::types::ids",
        "wal types wal/record.rs:1 crate::types::ids::NodeIx",
        "wal types wal/record.rs:1 crate::types::names::Name",
        "store wal store/open.rs:1 super::super::wal::read",
    ];
    assert_eq!(arrows, expected);
}

/// Each line closes a way back: by a path in code, by a use within a module of its own, by what a file straight in `src` exports.
#[test]
fn a_cycle_is_found_with_the_lines_that_make_it() {
    let closing = [
        (vec![("types/names.rs", "\nfn f() { crate::wal::record::read(); }")], "types -> wal -> types"),
        (vec![("types/names.rs", "mod inner { use super::super::super::wal; }")], "types -> wal -> types"),
        (vec![("types/names.rs", "use {std::fs, crate::{store::open}};")], "store -> wal -> types -> store"),
        (
            vec![("types/names.rs", "use crate::hub::x;"), ("hub.rs", "pub use crate::wal::record as x;")],
            "types -> hub -> wal -> types",
        ),
    ];
    for (files, expected) in closing {
        let found = graph(&modules_of([&LAYERS[..], &files].concat()));
        let told = told(&found, &cycle(&found).expect(expected));
        assert_eq!(told.lines().next(), Some(expected), "{told}");
        assert!(told.contains("wal -> types: wal/record.rs:1 crate::types::names::Name"), "{told}");
        assert!(told.contains(": types/names.rs:"), "{told}");
    }
}

#[test]
fn a_path_through_the_root_of_the_crate_is_found() {
    let hiding = [
        "use crate::Store;",
        "use crate::{types::ids, Store};",
        "use super::super::Store;",
        "use crate::*;",
        "use crate as all;",
        "fn f() -> crate::Store { panic!() }",
    ];
    for text in hiding {
        let found = graph(&modules_of([&LAYERS[..], &[("types/names.rs", text)]].concat()));
        assert_eq!(found.through_root.len(), 1, "{text}: {found:?}");
    }
}

#[test]
fn modules_of_a_folder_are_counted_once_each() {
    let found = modules_in_folders(&modules_of(LAYERS));
    let expected = [("", 4), ("store", 1), ("types", 1), ("wal", 1)];
    assert_eq!(found, expected.map(|(folder, count)| (folder.to_owned(), count)).into());
}
