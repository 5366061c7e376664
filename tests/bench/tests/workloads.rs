//! The workloads at their small sizes: names and signs of the figures only, since how fast anything is depends on the machine.

use std::process::Command;

use hedgerow_test_support::Cli;
use serde_json::{Value, json};

fn bench() -> Cli {
    Cli::new(env!("CARGO_BIN_EXE_hedgerow-bench"))
}

/// The row of a case, with its names and a value above 0.
fn row<'a>(rows: &'a Value, case: &str) -> &'a Value {
    let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["case"] == case)).expect(case);
    // Commits during a checkpoint may all have had to wait.
    let waits = case.contains("during");
    assert!(row["value"].as_f64().is_some_and(|value| value > 0.0 || waits), "{row}");
    for name in ["workload", "unit", "threads", "graph", "options"] {
        assert!(!row[name].is_null(), "{name} of {row}");
    }
    row
}

fn with_baseline<'a>(rows: &'a Value, case: &str) -> &'a Value {
    let row = row(rows, case);
    assert!(row["baseline"].is_null() == row["ratio"].is_null(), "{row}");
    row
}

#[test]
fn without_a_workload_they_are_listed_and_none_runs() {
    let bench = bench();
    let listed = bench.json(&[]);
    let names: Vec<&str> =
        listed.as_array().expect("rows").iter().filter_map(|row| row["workload"].as_str()).collect();
    assert_eq!(names, ["walk", "load", "store", "train", "refresh", "jobs", "python", "ablation"]);
    assert!(listed.as_array().expect("rows").iter().all(|row| row["measures"] != json!("")));
    let help = bench.ok(&["--help"]);
    assert!(names.iter().all(|name| help.contains(name)), "{help}");
}

#[test]
fn words_that_name_no_workload_or_no_graph_are_usage_errors() {
    let bench = bench();
    for words in [&["nothing"][..], &["walk", "--items", "0"], &["load", "--items", "10", "--boards", "10"]] {
        assert_eq!(bench.run(words).code, 2, "{words:?}");
    }
}

/// CI runs it with an interpreter that has the package.
#[test]
fn the_package_for_python_is_looked_for_before_anything_is_measured() {
    let program = env!("CARGO_BIN_EXE_hedgerow-bench");
    let ran = Command::new(program)
        .args(["python", "--quick"])
        .env("HEDGEROW_PYTHON", "no-such-interpreter")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("no-such-interpreter") && said.contains("HEDGEROW_PYTHON"), "{said}");
}

#[test]
fn walks_are_measured_against_a_baseline_of_the_same_run() {
    let bench = bench();
    let rows = bench.json(&["walk", "--quick"]);
    for case in
        ["load", "memory", "reference", "naive", "uniform", "stable", "neighborhoods of all", "reach p99"]
    {
        with_baseline(&rows, case);
    }
    let loaded = bench.json(&["load", "--quick"]);
    assert_eq!((&loaded[0]["workload"], &loaded[0]["case"]), (&json!("load"), &json!("load")));
}

#[test]
fn training_says_the_share_of_each_step_and_ablation_the_worth_of_each_part() {
    let bench = bench();
    let rows = bench.json(&["train", "--quick"]);
    row(&rows, "training");
    row(&rows, "embedding all nodes, walks left out");
    let shares = ["sampling", "gathering", "products", "update"]
        .map(|case| row(&rows, case)["value"].as_f64().expect("a number"));
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 0.01, "{shares:?}");
    let rows = bench.json(&["ablation", "--quick"]);
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 20);
    assert!(rows.iter().all(|row| row["value"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share))));
}

#[test]
fn the_store_is_measured_against_the_machine_and_other_ways_in_the_same_run() {
    let rows = bench().json(&["store", "--quick"]);
    for case in [
        "load",
        "import csv",
        "import csv, on disk",
        "import adjacency",
        "raw fsync",
        "commits of one edge",
        "commits of batches",
        "open",
        "open, low memory",
        "open with a log",
        "checkpoint",
        "commits of one edge during a checkpoint",
        "hub p50",
        "hub p99",
        "reads by number",
        "read by name p99",
    ] {
        with_baseline(&rows, case);
    }
}

/// Linux tells memory and bytes of a process.
#[cfg(target_os = "linux")]
#[test]
fn jobs_are_measured_by_time_memory_and_bytes() {
    let rows = bench().json(&["jobs", "--quick"]);
    for verb in ["link", "refresh", "similar", "stats"] {
        assert_eq!(with_baseline(&rows, verb)["baseline"], json!("reading all files"));
        row(&rows, &format!("{verb}, memory"));
    }
    let written = |case: &str| row(&rows, case)["value"].as_f64().expect("a number");
    let of_rows = 6_000.0 * 4.0 * 128.0 * 4.0 / 1e6;
    assert!(written("refresh, written") < of_rows, "a refresh of one edge wrote as much as all rows take");
}

/// Interrupted as soon as it says that it began: the whole workload would take minutes.
#[cfg(unix)]
#[test]
fn ctrl_c_cancels_a_workload() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let bench = bench();
    let mut child = bench.command(&["walk"]).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    said.read_line(&mut String::new()).expect("the program says what it begins");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}
