//! A crate as modules: where each stands, and the code of it that is compiled outside tests.

use super::rust_source::{Token, compiled};
use super::{read, relative, root, sources};

/// The folders that hold the sources of a crate; the facade has none.
pub(super) const CRATES: [&str; 4] = ["storage/src", "walker/src", "model/src", "cli/src"];

/// A file that is compiled outside tests.
pub(super) struct Module {
    /// Within the folder of sources.
    pub(super) file: String,
    /// Empty for `lib.rs` and `main.rs`.
    pub(super) path: Vec<String>,
    pub(super) tokens: Vec<Token>,
}

/// The path of a file's module.
fn module_path(file: &str) -> Vec<String> {
    let mut path: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod") || ["lib", "main"].contains(&path.join("/").as_str()) {
        path.pop();
    }
    path
}

/// The modules of files, each with its text; those declared for tests only are left out.
pub(super) fn modules_of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Module> {
    let (mut found, mut tests) = (Vec::new(), Vec::new());
    for (file, text) in files {
        let (path, code) = (module_path(file), compiled(text));
        let names = code.test_modules.into_iter();
        tests.extend(names.map(|name| [&path[..], &[name]].concat()));
        found.push(Module { file: file.to_owned(), path, tokens: code.tokens });
    }
    found.retain(|module| !tests.iter().any(|test| module.path.starts_with(test)));
    found
}

/// The modules of a crate, in the order of their files.
pub(super) fn modules(folder: &str) -> Vec<Module> {
    let base = root().join(folder);
    let mut files: Vec<(String, String)> =
        sources(folder).iter().map(|path| (relative(path, &base), read(path))).collect();
    files.sort();
    modules_of(files.iter().map(|(file, text)| (file.as_str(), text.as_str())))
}

#[test]
fn modules_for_tests_are_left_out_with_all_that_is_below_them() {
    let found = modules_of([
        ("lib.rs", "#[cfg(test)] mod oracle; mod scan;"),
        ("oracle/sum.rs", ""),
        ("scan/mod.rs", "#[cfg(test)]\nmod tests;"),
        ("scan/tests.rs", ""),
        ("scan/tests_of_rows.rs", ""),
    ]);
    let paths: Vec<String> = found.iter().map(|module| module.path.join("::")).collect();
    assert_eq!(paths, ["", "scan", "scan::tests_of_rows"]);
}
