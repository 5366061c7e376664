//! The architecture as a test: who may depend on whom, which names stay where, and links that lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the cli folder has a parent").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Our own crates under `[dependencies]` of a manifest.
fn own_dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = read(manifest);
    let section = text.split("[dependencies]").nth(1).expect("a section of dependencies");
    let section = section.split("\n[").next().unwrap_or(section);
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| name.starts_with("hedgerow")).map(str::to_owned).collect()
}

#[test]
fn dependencies_point_from_cli_to_storage_and_never_back() {
    let expected: [(&str, &[&str]); 5] = [
        ("storage/Cargo.toml", &[]),
        ("walker/Cargo.toml", &["hedgerow-storage"]),
        ("model/Cargo.toml", &["hedgerow-storage", "hedgerow-walker"]),
        ("Cargo.toml", &["hedgerow-model", "hedgerow-storage", "hedgerow-walker"]),
        ("cli/Cargo.toml", &["hedgerow"]),
    ];
    for (manifest, allowed) in expected {
        let found = own_dependencies(&root().join(manifest));
        assert_eq!(found, allowed.iter().map(|&name| name.to_owned()).collect(), "{manifest}");
    }
}

/// What cargo says of a package's dependencies, a line each.
fn tree(package: &str, edges: &str, flags: &[&str]) -> String {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--prefix", "none", "--package", package, "--edges", edges])
        .args(flags)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8_lossy(&tree.stdout).into_owned()
}

/// The crates that a build of a package takes on this system, itself among them; those of its build scripts left out.
fn crates(package: &str, flags: &[&str]) -> BTreeSet<String> {
    let text = tree(package, "normal", flags);
    text.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
}

/// What a host builds besides itself, which is to stay light: a bound that is raised says for what.
#[test]
fn a_host_builds_few_crates() {
    for (package, flags, most) in
        [("hedgerow", &[][..], 46), ("hedgerow", &["--no-default-features"], 31), ("hedgerow-cli", &[], 114)]
    {
        let found = crates(package, flags);
        eprintln!("{package} {}: {} crates", flags.join(" "), found.len());
        assert!(found.len() <= most, "{package}: {} crates, {most} allowed: {found:#?}", found.len());
    }
    let heavy = ["syn", "getrandom", "serde"];
    let found = crates("hedgerow", &[]);
    let is_heavy = |name: &&String| heavy.iter().any(|heavy| name.starts_with(&format!("{heavy} ")));
    assert_eq!(found.iter().find(is_heavy), None);
    // Without it blake3 would compile C.
    let features = tree("hedgerow", "features", &[]);
    assert!(features.lines().any(|line| line.starts_with("blake3 feature \"pure\"")), "{features}");
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root().join(folder), "rs", &mut found);
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// A line's code, without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

#[test]
fn the_engine_and_the_codec_are_named_in_storage_only() {
    for folder in ["walker", "model", "cli/src"] {
        for path in sources(folder) {
            for (number, line) in read(&path).lines().enumerate() {
                let named = ["sled", "bincode"].into_iter().find(|name| code(line).contains(name));
                assert_eq!(named, None, "{}:{}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn unsafe_code_is_only_where_the_architecture_names_it() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    for folder in ["storage", "walker", "model", "cli/src"] {
        for path in sources(folder) {
            let text = read(&path);
            let uses = text.lines().any(|line| code(line).contains("expect(unsafe_code"));
            let relative = path.strip_prefix(root()).expect("within the project").display().to_string();
            if uses {
                assert!(architecture.contains(&format!("`{relative}`")), "{relative} is not named");
            }
        }
    }
}

#[test]
fn the_facade_holds_no_logic() {
    let text = read(&root().join("lib.rs"));
    for (number, line) in text.lines().enumerate() {
        let code = code(line).trim_start();
        let logic = ["fn ", "struct ", "impl ", "enum ", "let "].into_iter().find(|word| code.contains(word));
        assert_eq!(logic, None, "lib.rs:{}", number + 1);
    }
}

/// `[text](target)` in every document: a file of the project, or a heading of the document itself.
#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut documents = Vec::new();
    files(&root(), "md", &mut documents);
    let mut links = 0;
    for document in documents {
        let text = read(&document);
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if target.starts_with("http") || target.is_empty() {
                continue;
            }
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                document.clone()
            } else {
                document.parent().expect("a document is in a folder").join(file)
            };
            assert!(path.exists(), "{}: no {target}", document.display());
            if !heading.is_empty() {
                let anchors: Vec<String> = read(&path)
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(|line| anchor(line.trim_start_matches('#').trim()))
                    .collect();
                assert!(anchors.iter().any(|a| a == heading), "{}: no {target}", document.display());
            }
        }
    }
    assert!(links > 0, "no link was looked at");
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn sources_are_ascii() {
    for folder in ["storage", "walker", "model", "cli", "tests"] {
        for path in sources(folder) {
            for (number, line) in read(&path).lines().enumerate() {
                assert!(line.is_ascii(), "{}:{}", path.display(), number + 1);
            }
        }
    }
}
