//! Promise: the README and the documents beside it say what is so. The example is the one that is compiled, commands are
//! understood, and each refusal is what the command says, with its exit code.

mod scenarios;

use std::collections::BTreeSet;

use scenarios::{SCENARIOS, run};

const README: &str = include_str!("../../README.md");
const COMMAND: &str = include_str!("../../docs/command.md");
const FACADE: &str = include_str!("../../lib.rs");

/// A row of the table of refusals.
struct Refusal {
    done: &'static str,
    /// With `...` for what varies.
    message: &'static str,
    code: i32,
}

fn refusals() -> Vec<Refusal> {
    let section = COMMAND.split("\n## When something is refused\n").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [done, message, code] = cells[..] else { panic!("not three cells: {line}") };
        let code = code.parse().unwrap_or_else(|_| panic!("no exit code: {line}"));
        Refusal { done, message: message.trim_matches('`').trim(), code }
    })
    .collect()
}

/// Whether a text is a pattern with something in the place of every `...`.
fn fits(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[test]
fn every_refusal_is_what_the_command_says() {
    let refusals = refusals();
    for Refusal { done, message, code } in &refusals {
        let scenario = SCENARIOS.iter().find(|(name, _)| name == done);
        let (_, act) = scenario.unwrap_or_else(|| panic!("nothing here does this: {done}"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let outputs = act(folder.path());
        assert!(!outputs.is_empty(), "{done}: nothing was run");
        for output in outputs {
            let stderr = String::from_utf8(output.stderr).expect("the command prints UTF-8");
            let said = stderr.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
            assert!(fits(said, message), "{done}: the command says {said:?}, the document {message:?}");
            assert_eq!(output.status.code(), Some(*code), "{done}: {stderr}");
        }
    }
    let told: BTreeSet<&str> = refusals.iter().map(|refusal| refusal.done).collect();
    assert_eq!(told.len(), refusals.len(), "a row stands twice in the table");
    for (done, _) in SCENARIOS {
        assert!(told.contains(done), "not in the table: {done}");
    }
}

#[test]
fn a_pattern_fits_whole_messages_only() {
    assert!(fits("no node pin:1 in the store", "no node ... in the store"));
    assert!(fits("a.csv:2:1: found \"x\"", "...:...:...: found \"...\""));
    assert!(!fits("no node pin:1 in the store; look", "no node ... in the store"));
    assert!(!fits("oh: no node pin:1 in the store", "no node ... in the store"));
    assert!(!fits("adjacency names no kinds", "adjacency"));
}

#[test]
fn every_command_is_understood_with_its_flags() {
    let blocks = [README, COMMAND].into_iter().flat_map(|text| text.split("```sh\n").skip(1));
    let lines = blocks.filter_map(|text| text.split("```").next()).flat_map(str::lines);
    let commands: Vec<&str> = lines.filter(|line| line.starts_with("hedgerow ")).collect();
    assert!(commands.len() > 10, "{commands:?}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for line in commands {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = run(folder.path(), &[words[1], "--help"]);
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{line}");
        for flag in words.iter().filter(|word| word.starts_with('-')) {
            let is_flag = help.split([' ', ',', '\n']).any(|word| word == *flag);
            assert!(is_flag, "{line}: {flag} is not a flag of {}", words[1]);
        }
    }
}

#[test]
fn the_example_is_the_one_that_is_compiled() {
    let compiled: Vec<&str> = FACADE
        .lines()
        .skip_while(|line| *line != "//! ```")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .filter(|line| !line.starts_with("# "))
        .collect();
    let shown = README.lines().skip_while(|line| *line != "```rust").skip(1);
    let shown: Vec<&str> = shown.take_while(|line| *line != "```").collect();
    assert!(compiled.len() > 10, "{compiled:?}");
    assert_eq!(shown, compiled);
}
