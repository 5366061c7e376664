//! The console by pipe, file and `-c`: the same verbs without the store, the same messages, the same exit codes.

use serde_json::{Value, json};

use super::Desk;

#[test]
fn commands_come_from_a_pipe() {
    let desk = Desk::with_lamps();
    let input = "# a comment\nlink lamp:z room:hall --quiet\n\n.mode jsonl\nneighbors lamp:z # and another\n.quit\nbad\n";
    let ran = desk.run_with_input(&["console", "s"], input);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    let last: Value = serde_json::from_str(lines[lines.len() - 1]).expect("a JSON object");
    assert_eq!(last["node"], json!("room:hall"));
}

#[test]
fn commands_come_from_the_command_line_and_from_a_file() {
    let desk = Desk::with_lamps();
    let expected = "room:hall\t1.0\t\tlamp-room\n";
    assert_eq!(desk.ok(&["console", "s", "-c", "neighbors lamp:a"]), expected);
    desk.write("commands", "neighbors \\\n lamp:a\n");
    assert_eq!(desk.ok(&["console", "s", "-f", "commands"]), expected);
}

#[test]
fn quotes_keep_a_key_with_spaces_together() {
    let desk = Desk::with_lamps();
    desk.ok(&["console", "s", "-c", "link 'lamp:a b' \"room:\\\"q\\\"\""]);
    assert!(desk.ok(&["neighbors", "s", "lamp:a b"]).starts_with("room:\"q\"\t"));
}

#[test]
fn the_first_failing_command_ends_a_script_with_its_code() {
    let desk = Desk::with_lamps();
    let input = "neighbors lamp:nowhere\nlink lamp:y room:hall\n";
    let ran = desk.run_with_input(&["console", "s"], input);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_eq!(ran.err, "error: no node lamp:nowhere in the store\n");
    assert_eq!(desk.json(&["stats", "s"])["nodes"]["lamp"], json!(3));
    let two = ["console", "s", "-c", "simlar lamp:a", "-c", "link lamp:y room:hall"];
    desk.fails(&two, 2, "a similar subcommand exists: 'similar'");
    assert_eq!(desk.json(&["stats", "s"])["nodes"]["lamp"], json!(3));
}

#[test]
fn what_one_command_changes_the_next_one_sees() {
    let desk = Desk::trained();
    let commands = ".mode jsonl\nlink pin:1 board:2 --weight 9\nrefresh\ndigest\nrefresh --full\ndigest\n";
    let ran = desk.run_with_input(&["console", "s"], commands);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[1]["dirty_nodes"], json!(2));
    assert_eq!(lines[2]["digest"], lines[4]["digest"]);
}

#[test]
fn help_in_the_console_is_the_help_of_the_shell_without_the_store() {
    let desk = Desk::with_lamps();
    let help = desk.ok(&["console", "s", "-c", ".help"]);
    assert!(help.contains("similar") && help.contains(".timer on|off"), "{help}");
    let help = desk.ok(&["console", "s", "-c", ".help similar"]);
    assert!(help.contains("Usage: similar [OPTIONS] <A>"), "{help}");
    let ran = desk.fails(&["console", "s", "-c", ".hlep"], 2, ".help");
    assert_eq!(ran.out, "");
}

#[test]
fn a_missing_store_or_an_open_quote_is_said_plainly() {
    let desk = Desk::new();
    desk.fails(&["console", "s"], 3, "no store at s");
    desk.ok(&["link", "s", "lamp:a", "room:hall"]);
    desk.fails(&["console", "s", "-c", "neighbors 'lamp:a"], 2, "a quote is not closed");
    desk.fails(&["console", "s", "-c", "console"], 2, "this is a console already");
    desk.fails(&["console", "s", "-c", "apply -"], 2, "the console reads standard input itself");
}
