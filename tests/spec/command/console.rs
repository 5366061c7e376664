//! Promise: a console that reads a pipe, a file or `-c` has the verbs, messages and exit codes of the shell.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Stdio};

use serde_json::{Value, json};

use super::Cli;

#[test]
fn commands_come_from_a_pipe() {
    let cli = Cli::with_lamps();
    let input = "# a comment\nlink lamp:z room:hall --quiet\n\n.mode jsonl\nneighbors lamp:z # and another\n.quit\nbad\n";
    let ran = cli.run_with_input(&["console", "s"], input);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    let last: Value = serde_json::from_str(lines[lines.len() - 1]).expect("a JSON object");
    assert_eq!(last["node"], json!("room:hall"));
}

#[test]
fn commands_come_from_the_command_line_and_from_a_file() {
    let cli = Cli::with_lamps();
    let expected = "room:hall\t1.0\t\tlamp-room\n";
    assert_eq!(cli.ok(&["console", "s", "-c", "neighbors lamp:a"]), expected);
    cli.write("commands", "neighbors \\\n lamp:a\n");
    assert_eq!(cli.ok(&["console", "s", "-f", "commands"]), expected);
}

#[test]
fn quotes_keep_a_key_with_spaces_together() {
    let cli = Cli::with_lamps();
    cli.ok(&["console", "s", "-c", "link 'lamp:a b' \"room:\\\"q\\\"\""]);
    assert!(cli.ok(&["neighbors", "s", "lamp:a b"]).starts_with("room:\"q\"\t"));
}

/// Behind a quote that is not closed, every line was split again with all before it: 40,000 lines took 28 seconds. Each is
/// read once, and a command above a megabyte is refused with the line where it begins.
#[test]
fn a_command_that_never_ends_is_refused_where_it_begins() {
    let cli = Cli::with_lamps();
    let script = |lines: usize| format!("stats\nlink 'lamp:a\n{}", "abcdefgh ijkl\n".repeat(lines));
    for (lines, message) in [
        (40_000, "commands:2: a quote is not closed, or the line ends with a backslash"),
        (100_000, "commands:2: the command that begins here is longer than 1 MiB: is a quote not closed?"),
    ] {
        cli.write("commands", script(lines));
        cli.fails(&["console", "s", "-f", "commands"], 2, message);
    }
}

#[test]
fn the_first_failing_command_ends_a_script_with_its_code() {
    let cli = Cli::with_lamps();
    let input = "neighbors lamp:nowhere\nlink lamp:y room:hall\n";
    let ran = cli.run_with_input(&["console", "s"], input);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_eq!(ran.err, "error: standard input:1: no node lamp:nowhere in the store\n");
    assert_eq!(cli.json(&["stats", "s"])["nodes"]["lamp"], json!(3));
    let two = ["console", "s", "-c", "simlar lamp:a", "-c", "link lamp:y room:hall"];
    cli.fails(&two, 2, "a similar subcommand exists: 'similar'");
    assert_eq!(cli.json(&["stats", "s"])["nodes"]["lamp"], json!(3));
}

#[test]
fn a_command_sees_the_changes_of_the_one_before() {
    let cli = Cli::trained();
    let commands = ".mode jsonl\nlink pin:1 board:2 --weight 9\nrefresh\ndigest\nrefresh --full\ndigest\n";
    let ran = cli.run_with_input(&["console", "s"], commands);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[1]["dirty_nodes"], json!(2));
    assert_eq!(lines[3]["differed"], json!(false));
    assert_eq!(lines[2]["digest"], lines[4]["digest"]);
    assert_eq!(cli.digest_of_copy(), lines[4]["digest"]);
}

#[test]
fn help_in_the_console_is_the_help_of_the_shell_without_the_store() {
    let cli = Cli::with_lamps();
    let help = cli.ok(&["console", "s", "-c", ".help"]);
    assert!(help.contains("similar") && help.contains("  .timer "), "{help}");
    let help = cli.ok(&["console", "s", "-c", ".help similar"]);
    assert!(help.contains("Usage: similar [OPTIONS] [A]"), "{help}");
    let help = cli.ok(&["console", "s", "-c", ".help .output"]);
    assert!(help.contains("Usage: .output [OPTIONS] [FILE]") && help.contains("--force"), "{help}");
    assert_eq!(cli.ok(&["console", "s", "-c", ".help output"]), help);
    let help = cli.ok(&["console", "s", "-c", ".help cancel"]);
    assert!(help.contains("Usage: cancel <JOB>"), "{help}");
}

#[test]
fn a_misspelled_command_flag_or_node_gets_a_suggestion() {
    let cli = Cli::with_lamps();
    cli.ok(&["link", "s", "lamp:ceiling", "room:kitchen", "--quiet"]);
    for (command, code, said) in [
        (".hlep", 2, "a similar subcommand exists: '.help'"),
        (".nothing", 2, "unrecognized subcommand '.nothing'"),
        (".timer maybe", 2, "invalid value 'maybe' for '<on|off>'"),
        (".output --force", 2, "the following required arguments were not provided: <FILE>"),
        (".mode xml", 2, "[possible values: table, json, jsonl, csv, tsv]"),
        ("neighbrs lamp:a", 2, "similar subcommands exist: 'neighborhood', 'neighbors'"),
        ("jbos", 2, "a similar subcommand exists: 'jobs'"),
        ("neighbors lamp:a --snice 3", 2, "a similar argument exists: '--since'"),
        ("neighbors lamp:cieling", 1, "no node lamp:cieling in the store; did you mean lamp:ceiling?"),
        ("neighbors lmap:ceiling", 1, "no node lmap:ceiling in the store; did you mean lamp:ceiling?"),
        ("neighbors room:ceiling", 1, "no node room:ceiling in the store; did you mean lamp:ceiling?"),
        ("walk lamp:a lamp:Ceiling", 1, "no node lamp:Ceiling in the store; did you mean lamp:ceiling?"),
        ("link lamp:a room:hall --wieght 2", 2, "a similar argument exists: '--weight'"),
    ] {
        cli.fails(&["console", "s", "-c", command], code, said);
    }
    cli.fails(&["neighbors", "s", "lamp:cieling"], 1, "did you mean lamp:ceiling?");
    // Numbers get no suggestion, since all of them are similar.
    let numbers = Cli::trained();
    let ran = numbers.fails(&["neighbors", "s", "pin:1234"], 1, "no node pin:1234 in the store");
    assert!(!ran.err.contains("did you mean"), "{}", ran.err);
}

#[test]
fn a_failure_names_its_script_and_line() {
    let cli = Cli::with_lamps();
    cli.write("inner", "neighbors lamp:a\n\n# a comment\nneighbors \\\n  lamp:nowhere\nneighbors lamp:b\n");
    cli.write("outer", "neighbors lamp:b\n.read inner\nneighbors lamp:b\n");
    let said = "error: inner:4: no node lamp:nowhere in the store";
    let ran = cli.fails(&["console", "s", "-f", "inner"], 1, said);
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
    cli.fails(&["console", "s", "-f", "outer"], 1, "error: outer:2: inner:4: no node lamp:nowhere");
    cli.fails(&["console", "s", "-c", ".mode csv", "-c", ".read inner"], 1, "error: command 2: inner:4: ");
    let ran = cli.run(&["console", "s", "-f", "outer", "--output", "json"]);
    let failure: Value = serde_json::from_str(ran.err.trim()).expect("one JSON object");
    assert_eq!((&failure["file"], &failure["line"]), (&json!("inner"), &json!(4)));
    cli.write("endless", "\n.read endless\n");
    cli.fails(&["console", "s", "-f", "endless"], 1, "scripts read each other in a cycle");
    cli.fails(&["console", "s", "-f", "missing"], 1, "cannot read missing");
    // A bad line of a data file is reported with the place in that file.
    cli.write("bad.csv", "room,lamp\nhall\n");
    let ran = cli.run(&["console", "s", "-c", "import --edges bad.csv", "--output", "json"]);
    let failure: Value = serde_json::from_str(ran.err.trim()).expect("one JSON object");
    assert_eq!((ran.code, &failure["file"], &failure["line"]), (5, &json!("bad.csv"), &json!(2)));
}

#[test]
fn a_read_only_console_shows_new_states_of_a_writer() {
    let cli = Cli::trained();
    let mut command = cli.command(&["console", "s", "--read-only"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut reader = command.spawn().expect("the command starts");
    let mut input = reader.stdin.take().expect("a pipe");
    let mut rows = BufReader::new(reader.stdout.take().expect("a pipe")).lines();
    let mut ask = |input: &mut ChildStdin, command: &str| {
        writeln!(input, "{command}").expect("the console reads");
        rows.next().expect("an answer").expect("UTF-8")
    };
    let before = ask(&mut input, "digest");
    assert_eq!(ask(&mut input, "digest"), before);
    cli.ok(&["link", "s", "pin:1", "board:2", "--weight", "9"]);
    let refreshed = cli.json(&["refresh", "s"]);
    let after = ask(&mut input, "digest");
    assert_eq!(after.split('\t').nth(1), Some(refreshed["epoch"].to_string().as_str()));
    assert_eq!(after, cli.ok(&["digest", "s"]).trim_end());
    assert_ne!(after, before);
    drop(input);
    let ended = reader.wait_with_output().expect("it ends");
    let err = String::from_utf8(ended.stderr).expect("UTF-8");
    assert!(ended.status.success(), "{err}");
    assert_eq!(err.matches("another process published a newer state").count(), 1, "{err}");
}

#[test]
fn a_missing_store_an_open_quote_and_standard_input_are_refused() {
    let cli = Cli::new();
    cli.fails(&["console", "s"], 3, "no store at s");
    cli.ok(&["link", "s", "lamp:a", "room:hall"]);
    cli.fails(&["console", "s", "-c", "neighbors 'lamp:a"], 2, "a quote is not closed");
    cli.fails(&["console", "s", "-c", "console"], 2, "a console is running already");
    cli.fails(&["console", "s", "-c", "apply -"], 2, "the console reads standard input itself");
}
