//! Promise: the README and docs/command.md are correct.
//!
//! The README's example is the compiled one. The command accepts each documented command line. Each row of the table of
//! refusals has the message and the exit code of the command.

mod scenarios;

use std::collections::BTreeSet;

use scenarios::{SCENARIOS, run};

const README: &str = include_str!("../../README.md");
const COMMAND: &str = include_str!("../../docs/command.md");
const FACADE: &str = include_str!("../../lib.rs");

/// A row of the table of refusals.
struct Refusal {
    /// The refused action, which names its scenario.
    action: &'static str,
    /// The message, with `...` in the place of varying text.
    message: &'static str,
    code: i32,
}

/// The rows of the table in docs/command.md.
fn refusals() -> Vec<Refusal> {
    let section = COMMAND.split("\n## When something is refused\n").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [action, message, code] = cells[..] else { panic!("not three cells: {line}") };
        let code = code.parse().unwrap_or_else(|_| panic!("no exit code: {line}"));
        Refusal { action, message: message.trim_matches('`').trim(), code }
    })
    .collect()
}

/// `true` for a text that equals the pattern when each `...` stands for any text.
fn matches(text: &str, pattern: &str) -> bool {
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
fn every_refusal_has_the_documented_message_and_exit_code() {
    let refusals = refusals();
    for Refusal { action, message, code } in &refusals {
        let scenario = SCENARIOS.iter().find(|(name, _)| name == action);
        let (_, run_scenario) = scenario.unwrap_or_else(|| panic!("no scenario: {action}"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let outputs = run_scenario(folder.path());
        assert!(!outputs.is_empty(), "{action}: nothing was run");
        for output in outputs {
            let stderr = String::from_utf8(output.stderr).expect("the command prints UTF-8");
            let found = stderr.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
            assert!(
                matches(found, message),
                "{action}: the command says {found:?}, the document {message:?}"
            );
            assert_eq!(output.status.code(), Some(*code), "{action}: {stderr}");
        }
    }
    let actions: BTreeSet<&str> = refusals.iter().map(|refusal| refusal.action).collect();
    assert_eq!(actions.len(), refusals.len(), "a row is twice in the table");
    for (action, _) in SCENARIOS {
        assert!(actions.contains(action), "not in the table: {action}");
    }
}

#[test]
fn a_pattern_matches_whole_messages_only() {
    assert!(matches("no node pin:1 in the store", "no node ... in the store"));
    assert!(matches("a.csv:2:1: found \"x\"", "...:...:...: found \"...\""));
    assert!(!matches("no node pin:1 in the store; look", "no node ... in the store"));
    assert!(!matches("oh: no node pin:1 in the store", "no node ... in the store"));
    assert!(!matches("adjacency names no kinds", "adjacency"));
}

#[test]
fn every_documented_command_line_has_a_known_verb_and_known_flags() {
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
fn the_example_of_the_readme_is_the_compiled_one() {
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
