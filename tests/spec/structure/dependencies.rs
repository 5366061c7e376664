//! Which crate may use which, and what a host compiles.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::{read, root};

/// Every crate of the workspace with those of ours that it uses.
const DIRECTION: [(&str, &[&str]); 5] = [
    ("hedgerow-storage", &[]),
    ("hedgerow-walker", &["hedgerow-storage"]),
    ("hedgerow-model", &["hedgerow-storage", "hedgerow-walker"]),
    ("hedgerow", &["hedgerow-model", "hedgerow-storage", "hedgerow-walker"]),
    ("hedgerow-cli", &["hedgerow"]),
];

/// The crates that no registry of Rust has, with those of ours that they may use.
const UNPUBLISHED: [(&str, &[&str]); 3] = [
    ("hedgerow-bench", &["hedgerow", "hedgerow-cli", SUPPORT]),
    // Published as a wheel.
    ("hedgerow-python", &["hedgerow"]),
    (SUPPORT, &["hedgerow"]),
];

/// The crates that only tests use.
const SUPPORT: &str = "hedgerow-test-support";

/// The output of a cargo command.
fn cargo(words: &[&str]) -> String {
    let ran = Command::new(env!("CARGO")).args(words).current_dir(root()).output().expect("cargo runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// The packages of the workspace, as cargo describes them.
fn packages() -> Vec<Value> {
    let text = cargo(&["metadata", "--offline", "--no-deps", "--format-version", "1"]);
    let mut metadata: Value = serde_json::from_str(&text).expect("JSON");
    serde_json::from_value(metadata["packages"].take()).expect("a list")
}

fn name(value: &Value) -> &str {
    value["name"].as_str().expect("a name")
}

/// Our own crates that a package uses, in tests or elsewhere.
fn own_dependencies(package: &Value, is_in_tests: bool) -> BTreeSet<&str> {
    let all = package["dependencies"].as_array().expect("a list").iter();
    let of_kind = all.filter(|dependency| (dependency["kind"] == "dev") == is_in_tests);
    of_kind.map(name).filter(|name| name.starts_with("hedgerow")).collect()
}

#[test]
fn dependencies_point_from_cli_to_storage_and_never_back() {
    let packages = packages();
    for (package, expected) in DIRECTION {
        let package = packages.iter().find(|found| name(found) == package).expect(package);
        assert_eq!(own_dependencies(package, false), expected.iter().copied().collect(), "{}", name(package));
    }
    for package in &packages {
        let mut known = DIRECTION.iter().chain(&UNPUBLISHED);
        let (_, allowed) = known
            .find(|(known, _)| *known == name(package))
            .unwrap_or_else(|| panic!("{}: say here which crates it uses", name(package)));
        let may_be = |used: &&str| allowed.contains(used);
        assert!(own_dependencies(package, false).iter().all(may_be), "{}", name(package));
        let in_tests = own_dependencies(package, true);
        assert!(
            in_tests.iter().all(|used| may_be(used) || *used == SUPPORT),
            "{}: {in_tests:?}",
            name(package)
        );
        let is_published = DIRECTION.iter().any(|(known, _)| *known == name(package));
        assert_eq!(package["publish"].is_null(), is_published, "{}: publish", name(package));
    }
}

/// The fields of a manifest that a registry requires or searches.
#[test]
fn every_published_crate_says_what_a_registry_shows() {
    for package in packages().iter().filter(|package| package["publish"].is_null()) {
        for field in ["description", "license", "repository", "readme", "rust_version"] {
            assert!(package[field].is_string(), "{}: no {field}", name(package));
        }
        for field in ["keywords", "categories"] {
            assert!(
                package[field].as_array().is_some_and(|list| !list.is_empty()),
                "{}: no {field}",
                name(package)
            );
        }
    }
}

/// Without this feature blake3 compiles C.
#[test]
fn a_host_compiles_no_c() {
    let words =
        ["tree", "--offline", "--locked", "--prefix", "none", "--package", "hedgerow", "--edges", "features"];
    let features = cargo(&words);
    assert!(features.lines().any(|line| line.starts_with("blake3 feature \"pure\"")), "{features}");
}

/// The rows of docs/dependencies.md: crate, requirement, and who names it.
fn documented() -> BTreeSet<(String, String, String)> {
    let text = read(&root().join("docs/dependencies.md"));
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")).skip(2);
    let cells = rows.map(|row| row.split(" | ").map(str::trim).collect::<Vec<_>>());
    cells
        .map(|cells| {
            assert_eq!(cells.len(), 6, "{cells:?}");
            assert!(cells[3].len() > 10, "{}: a reason", cells[0]);
            (cells[0].to_owned(), cells[1].to_owned(), cells[2].to_owned())
        })
        .collect()
}

/// A crate from a registry is code that we answer for. So each has a reason that somebody wrote down and reviewed.
#[test]
fn every_direct_dependency_has_a_row_with_its_reason() {
    let packages = packages();
    let mut used: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for package in &packages {
        let all = package["dependencies"].as_array().expect("a list").iter();
        for dependency in all.filter(|dependency| !name(dependency).starts_with("hedgerow")) {
            let requirement = dependency["req"].as_str().expect("a requirement").trim_start_matches('^');
            let user = name(package).trim_start_matches("hedgerow-");
            used.entry((name(dependency).to_owned(), requirement.to_owned())).or_default().insert(user);
        }
    }
    let used: BTreeSet<_> = used
        .into_iter()
        .map(|((name, requirement), users)| {
            (name, requirement, users.into_iter().collect::<Vec<_>>().join(", "))
        })
        .collect();
    assert_eq!(documented(), used);
}
