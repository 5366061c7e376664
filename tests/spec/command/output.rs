//! Promise: output has the same rows in every mode, no control characters, and never replaces a file without --force.

use std::fmt::Write;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Cli, Run};

/// A key that clears the screen, rings the bell and sets a color, with C0 and C1 control characters.
const NASTY: &str = "lamp:\u{1b}[2Jbell\u{7}\u{9b}31m\ttab";

fn is_clean(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

#[test]
fn every_mode_writes_the_same_rows() {
    let cli = Cli::with_lamps();
    let neighbors = |mode: &str| cli.ok(&["neighbors", "s", "room:attic", "--output", mode]);
    assert_eq!(neighbors("tsv"), "lamp:b\t1.0\t\tlamp-room\nlamp:c\t1.0\t86400000000\tlamp-room\n");
    assert_eq!(
        neighbors("csv"),
        "node,weight,time,relation\nlamp:b,1.0,,lamp-room\nlamp:c,1.0,86400000000,lamp-room\n"
    );
    let rows: Value = serde_json::from_str(&neighbors("json")).expect("JSON");
    let lines: Vec<Value> =
        neighbors("jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows, Value::from(lines));
    // Columns of numbers are aligned to the right, also with missing values; names to the left.
    let table = neighbors("table");
    let lines: Vec<&str> = table.lines().collect();
    let [_, head, _, first, second, _] = lines[..] else { panic!("{table}") };
    let column = |line: &str, text: &str| line.find(text).map(|at| line[..at].chars().count() + text.len());
    assert_eq!(column(head, "weight"), column(second, "1.0000"), "{table}");
    assert_eq!(head.find("time"), second.find("1970-01-02"), "{table}");
    assert_eq!(head.find("node"), first.find("lamp:b"), "{table}");
}

#[test]
fn a_table_in_a_pipe_is_not_cut() {
    let cli = Cli::new();
    let key = "long ".repeat(60);
    cli.ok(&["link", "s", &format!("lamp:{key}"), "room:hall"]);
    let table = cli.ok(&["neighbors", "s", "room:hall", "--output", "table"]);
    assert!(table.contains(&key), "{table}");
    assert!(is_clean(&table), "{table:?}");
}

#[test]
fn control_characters_are_escaped_in_all_output() {
    let cli = Cli::with_lamps();
    cli.ok(&["link", "s", NASTY, "room:hall"]);
    for mode in ["table", "json", "jsonl", "csv", "tsv"] {
        let out = cli.ok(&["neighbors", "s", "room:hall", "--output", mode]);
        let out = if mode == "tsv" { out } else { out.replace('\t', "\u{1b}") };
        assert!(is_clean(&out), "{mode}: {out:?}");
    }
    assert!(is_clean(&cli.ok(&["dump", "s"])));
    for words in [
        &["neighbors", "s", "lamp:\u{1b}[2Jnone"][..],
        &["neighbors", "s\u{1b}[2J\u{7}", "lamp:a"],
        &["neighbors", "s", "lamp\u{7}:a"],
        &["\u{7}\u{9b}2J", "s"],
        &["similar", "s", "--\u{7}\u{1b}[2J"],
        &["import", "s", "--edges", "no\u{1b}[2J\u{7}.csv"],
        &["console", "s", "-c", ".\u{7}\u{1b}[2J"],
        &["console", "s", "-c", ".read \u{1b}[2J\u{7}"],
        &["console", "s", "-c", "wait \u{7}", "-c", "x"],
    ] {
        for mode in ["tsv", "json"] {
            let Run { code, out, err } = cli.run(&[words, &["--output", mode]].concat());
            assert_ne!(code, 0, "{words:?}");
            assert!(is_clean(&err) && is_clean(&out), "{words:?}: {err:?}");
        }
    }
    // The line of a job is escaped too, and an escaped key can be typed.
    let typed = r"neighbors $'lamp:\x1b[2Jbell\x07\x9b31m\ttab' &";
    let ran = cli.run(&["console", "s", "-c", typed, "-c", "wait", "-c", "jobs"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("room:hall\t"), "{}", ran.out);
    assert!(is_clean(&ran.out) && is_clean(&ran.err), "{ran:?}", ran = (ran.out, ran.err));
}

/// A right-to-left override in a key reached the terminal, where `lamp:gpj.exe` looked like `lamp:exe.jpg`. Tables and
/// messages must escape such characters; what programs read keeps them.
#[test]
fn format_characters_are_escaped_for_people_and_kept_for_programs() {
    let cli = Cli::with_lamps();
    let (key, escaped) = ("\u{202e}gpj\u{200b}\u{e0041}", "\\u{202e}gpj\\u{200b}\\u{e0041}");
    cli.ok(&["link", "s", &format!("lamp:{key}"), "room:cellar"]);
    let neighbors = |mode: &str| cli.ok(&["neighbors", "s", "room:cellar", "--output", mode]);
    assert!(neighbors("table").contains(&format!("lamp:{escaped} ")), "{}", neighbors("table"));
    assert!(neighbors("tsv").starts_with(&format!("lamp:{key}\t")), "{}", neighbors("tsv"));
    assert!(neighbors("csv").contains(&format!("\nlamp:{key},")), "{}", neighbors("csv"));
    let json = neighbors("json");
    assert!(json.is_ascii(), "{json}");
    let rows: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(rows[0]["node"], json!(format!("lamp:{key}")));
    for words in [
        &["neighbors", "s", "lamp:\u{202e}none"][..],
        &["neighbors", "s\u{202e}", "lamp:a"],
        &["simi\u{202e}lar", "s"],
        &["import", "s", "--edges", "no\u{2066}.csv"],
        &["console", "s", "-c", ".\u{202e}"],
    ] {
        for mode in ["tsv", "json"] {
            let Run { code, err, .. } = cli.run(&[words, &["--output", mode]].concat());
            assert!(code != 0 && err.is_ascii(), "{words:?}: {err:?}");
        }
    }
}

/// A relation called `=1+1` was a formula in a spreadsheet that opened a result in csv. A text that begins like a formula
/// gets an apostrophe there, a number stays a number, and no other mode changes.
#[test]
fn a_result_in_csv_is_no_formula() {
    let cli = Cli::new();
    cli.ok(&["link", "s", "lamp:a", "room:hall", "--relation", "=1+1", "--time", "-5"]);
    let neighbors = |mode: &str| cli.ok(&["neighbors", "s", "lamp:a", "--output", mode]);
    assert_eq!(neighbors("csv"), "node,weight,time,relation\nroom:hall,1.0,-5000000,'=1+1\n");
    assert_eq!(neighbors("tsv"), "room:hall\t1.0\t-5000000\t=1+1\n");
    cli.ok(&["export", "s", "e", "--format", "csv"]);
    cli.ok(&["import", "copy", "--from", "e"]);
    assert_eq!(cli.ok(&["neighbors", "copy", "lamp:a"]), neighbors("tsv"));
}

#[test]
fn a_closed_standard_output_is_no_error() {
    let cli = Cli::with_lamps();
    let mut text = String::from("room,lamp\n");
    (0..30_000).for_each(|lamp| writeln!(text, "hall,{lamp}").expect("writing to a string"));
    cli.write("many.csv", text);
    cli.ok(&["import", "s", "--edges", "many.csv"]);
    for words in [
        &["neighbors", "s", "room:hall"][..],
        &["neighbors", "s", "room:hall", "--output", "table"],
        &["neighbors", "s", "room:hall", "--output", "json"],
        &["dump", "s"],
        &["console", "s", "-c", "neighbors room:hall", "-c", "neighbors lamp:nowhere"],
        &["console", "s", "-c", "neighbors room:hall &"],
    ] {
        let mut command = cli.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let mut out = BufReader::with_capacity(16, child.stdout.take().expect("a pipe"));
        out.read_line(&mut String::new()).expect("a line");
        drop(out);
        let mut err = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("UTF-8");
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{words:?}: {err}");
        assert!(!err.contains("error") && !err.contains("panic"), "{words:?}: {err}");
    }
}

#[test]
fn standard_output_has_data_only_and_quiet_silences_messages() {
    let cli = Cli::trained();
    cli.ok(&["link", "s", "pin:1", "board:2", "--quiet"]);
    let loud = cli.run(&["similar", "s", "pin:1"]);
    assert!(loud.err.contains("2 nodes changed"), "{}", loud.err);
    for words in [
        &["similar", "s", "pin:1"][..],
        &["refresh", "s", "--explain", "pin:1"],
        &["train", "s", "--target", "pin", "--epochs", "1", "--dim", "8", "--held-out", "50"],
        &["console", "s", "-c", ".timer on", "-c", "digest &", "-c", "jobs", "-c", "wait"],
        &["check", "s"],
    ] {
        let quiet = cli.run(&[words, &["--quiet"]].concat());
        assert_eq!((quiet.code, quiet.err.as_str()), (0, ""), "{words:?}");
    }
}

#[test]
fn an_existing_file_is_replaced_with_force_only() {
    let cli = Cli::trained();
    cli.write("kept", "mine");
    let train = ["train", "s", "--target", "pin", "--epochs", "1", "--dim", "8", "--held-out", "50"];
    let metrics = [&train[..], &["--metrics", "kept"]].concat();
    cli.fails(&metrics, 1, "kept exists already: name another file, or add --force");
    cli.fails(&["console", "s", "-c", ".output kept"], 1, "kept exists already");
    cli.fails(&["backup", "s", "kept"], 1, "cannot create kept");
    assert_eq!(cli.read("kept"), "mine");
    cli.ok(&[&metrics[..], &["--force"]].concat());
    assert_eq!(cli.read("kept").lines().count(), 4, "the fit, an epoch, the parts and the end");
    // A symbolic link counts as an existing file, also if it leads nowhere.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("elsewhere", cli.path("link")).expect("a link");
        cli.fails(&["console", "s", "-c", ".output link"], 1, "link exists already");
        assert!(!cli.path("elsewhere").exists());
    }
    cli.ok(&["console", "s", "-c", ".output kept --force", "-c", "similar pin:1 -k 1"]);
    assert!(cli.read("kept").starts_with("pin:"));
}

#[test]
fn results_in_a_file_have_the_mode_of_its_extension() {
    let cli = Cli::with_lamps();
    let commands = ".output a.csv\nneighbors lamp:a\n.output b.json\nneighbors lamp:a\nneighbors lamp:c\n.output c.txt\n\
        neighbors lamp:a &\nwait\n.output\nneighbors lamp:c\n";
    let ran = cli.run_with_input(&["console", "s"], commands);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out, "room:attic\t1.0\t86400000000\tlamp-room\n");
    assert_eq!(cli.read("a.csv"), "node,weight,time,relation\nroom:hall,1.0,,lamp-room\n");
    let lists: Vec<Value> =
        cli.read("b.json").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&lists[0][0]["node"], &lists[1][0]["node"]), (&json!("room:hall"), &json!("room:attic")));
    assert_eq!(cli.read("c.txt"), "room:hall\t1.0\t\tlamp-room\n");
}
