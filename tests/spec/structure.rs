//! Promise: the architecture is what the documents say. Crates and folders depend in one direction, some names and some kinds of
//! code stand in named places only, and links lead somewhere.

mod crate_source;
mod dependencies;
mod folders;
mod links;
mod placement;
mod rust_source;

use std::fs;
use std::path::{Path, PathBuf};

use rust_source::{Token, tokens};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the cli folder has a parent").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A path within a folder, with slashes on every system.
fn relative(path: &Path, folder: &Path) -> String {
    let relative = path.strip_prefix(folder).expect("within the folder");
    relative.to_str().expect("a name in UTF-8").replace('\\', "/")
}

/// Every file with an extension in a folder and those below it, or the file itself where it is one.
fn files(place: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    if place.is_file() {
        found.extend(place.extension().is_some_and(|found| found == extension).then(|| place.to_path_buf()));
        return;
    }
    for entry in fs::read_dir(place).unwrap_or_else(|error| panic!("{}: {error}", place.display())) {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') && name != "target" {
            files(&path, extension, found);
        }
    }
}

fn sources(place: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root().join(place), "rs", &mut found);
    assert!(!found.is_empty(), "no sources in {place}");
    found
}

#[test]
fn the_engine_and_the_codec_are_named_in_storage_only() {
    for place in ["walker", "model", "cli/src", "lib.rs", "error.rs", "guide"] {
        for path in sources(place) {
            for Token { text, line } in tokens(&read(&path)) {
                let named = ["sled", "bincode"].into_iter().find(|name| text.contains(name));
                assert_eq!(named, None, "{}:{line}", path.display());
            }
        }
    }
}

/// The line of the first token that says that unsafe code is there, or that it may be.
fn unsafe_line(text: &str) -> Option<usize> {
    let is_unsafe = |token: &Token| ["unsafe", "unsafe_code"].contains(&token.text.as_str());
    tokens(text).into_iter().find(is_unsafe).map(|token| token.line)
}

#[test]
fn unsafe_code_is_only_where_the_architecture_names_it() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    for path in sources("") {
        let relative = relative(&path, &root());
        if let Some(line) = unsafe_line(&read(&path)) {
            assert!(
                architecture.contains(&format!("`{relative}`")),
                "{relative}:{line}: no document names it"
            );
        }
    }
}

#[test]
fn unsafe_code_is_found_however_it_is_allowed() {
    for text in [
        "#![expect(unsafe_code, reason = \"r\")]",
        "#[allow(unsafe_code)] mod inner;",
        "#![allow(\n    clippy::all,\n    unsafe_code,\n)]",
        "#![cfg_attr(unix, allow(unsafe_code))]",
        "fn f() { unsafe { g() } }",
    ] {
        assert!(unsafe_line(text).is_some(), "{text}");
    }
    assert_eq!(
        unsafe_line(
            "// unsafe { }\n/// #[allow(unsafe_code)]\nlet text = \"unsafe\"; let unsafe_looking = 1;"
        ),
        None
    );
}

/// Lines of a text whose code has one of these words.
fn first_of(text: &str, words: &[&str]) -> Option<String> {
    let found = tokens(text).into_iter().find(|token| words.contains(&token.text.as_str()));
    found.map(|token| format!("{}, line {}", token.text, token.line))
}

/// `lib.rs` and the guide hold documentation and lists of names. The error sorts those of other crates, and does nothing else.
#[test]
fn the_facade_holds_no_logic() {
    let logic = ["fn", "struct", "impl", "enum", "trait", "macro_rules", "let", "static", "const", "unsafe"];
    for place in ["lib.rs", "guide"] {
        for path in sources(place) {
            assert_eq!(first_of(&read(&path), &logic), None, "{}", path.display());
        }
    }
    let acting = ["loop", "while", "struct", "trait", "macro_rules", "static", "unsafe"];
    assert_eq!(first_of(&read(&root().join("error.rs")), &acting), None, "error.rs");
}

#[test]
fn sources_are_ascii() {
    let mut found = Vec::new();
    for extension in ["rs", "toml"] {
        files(&root(), extension, &mut found);
    }
    for must in ["error.rs", "lib.rs", "guide/mod.rs", "Cargo.toml", "storage/src/lib.rs"] {
        assert!(found.contains(&root().join(must)), "{must} is not looked at");
    }
    for path in found {
        for (number, line) in read(&path).lines().enumerate() {
            assert!(line.is_ascii(), "{}:{}", path.display(), number + 1);
        }
    }
}
