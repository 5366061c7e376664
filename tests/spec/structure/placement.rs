//! Which `impl` blocks stand where: all of a large type in the folder of that type.

use super::crate_source::modules;
use super::rust_source::{Token, group_length};

/// The types that blocks are for, each with its line: of `impl Display for Engine` it is `Engine`.
fn implemented(tokens: &[Token]) -> Vec<(String, usize)> {
    let begins_item = |at: usize| {
        let before = at.checked_sub(1).map_or("", |at| tokens[at].text.as_str());
        ["", ";", "{", "}", "]", "unsafe"].contains(&before)
    };
    let blocks = (0..tokens.len()).filter(|&at| tokens[at].text == "impl" && begins_item(at));
    blocks.filter_map(|at| Some((self_type(&tokens[at + 1..])?, tokens[at].line))).collect()
}

/// The last word of the type that a block is for.
fn self_type(header: &[Token]) -> Option<String> {
    let (mut depth, mut name) = (0_usize, None);
    let mut at = 0;
    while let Some(token) = header.get(at) {
        match token.text.as_str() {
            "<" => depth += 1,
            ">" => depth = depth.saturating_sub(1),
            "(" | "[" => at += group_length(&header[at..]) - 1,
            "{" | "where" if depth == 0 => break,
            // What stood before was the trait.
            "for" if depth == 0 => name = None,
            word if depth == 0 && word.starts_with(|c: char| c.is_alphabetic()) => {
                name = Some(word.to_owned());
            }
            _ => {}
        }
        at += 1;
    }
    name
}

/// The `impl` blocks of a type in a crate: file within the crate, and line.
fn blocks(folder: &str, name: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for module in modules(folder) {
        let lines = implemented(&module.tokens).into_iter().filter(|(of, _)| of == name);
        found.extend(lines.map(|(_, line)| (module.file.clone(), line)));
    }
    assert!(!found.is_empty(), "{folder} has no `impl {name}`");
    found
}

/// Blocks of a type that do not stand in a folder of its crate.
fn outside(crate_folder: &str, name: &str, folder: &str) -> Vec<String> {
    let blocks = blocks(crate_folder, name).into_iter();
    let outside = blocks.filter(|(file, _)| !file.starts_with(&format!("{folder}/")));
    outside.map(|(file, line)| format!("{crate_folder}/{file}:{line}")).collect()
}

#[test]
fn the_engine_is_implemented_in_its_folder_only() {
    assert_eq!(outside("model/src", "Engine", "engine"), Vec::<String>::new());
}

#[test]
fn the_store_is_implemented_in_its_folder_only() {
    assert_eq!(outside("storage/src", "Store", "store"), Vec::<String>::new());
}

#[test]
fn the_walker_is_implemented_beside_its_type_only() {
    let is_type = |pair: &[Token]| pair[0].text == "struct" && pair[1].text == "Walker";
    let mut declaring = modules("walker/src");
    declaring.retain(|module| module.tokens.windows(2).any(is_type));
    let [declaring] = &declaring[..] else { panic!("{} files declare the type", declaring.len()) };
    for (file, line) in blocks("walker/src", "Walker") {
        assert_eq!(file, declaring.file, "line {line}");
    }
}

#[test]
fn a_block_is_known_by_the_type_that_it_is_for() {
    let text =
        "impl Engine {} impl<'a, T: Fn(u8) -> u8> fmt::Display for crate::engine::Engine<'a, T> where T: X {}
        fn f(x: impl Store) -> impl Iterator<Item = Store> {}
        unsafe impl Send for Mapped {} impl From<Store> for Error {} impl Trait<Engine> for &Walker {}";
    let found = implemented(&super::rust_source::tokens(text));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Engine", "Engine", "Mapped", "Error", "Walker"]);
    assert_eq!(found[2].1, 3);
}
