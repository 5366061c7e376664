//! Promise: a line that ends with & runs as a job beside the next lines, and can be listed, awaited and cancelled.

use serde_json::{Value, json};

use super::Cli;

/// A training that takes longer than any test waits.
const LONG: &str = "train --target pin --dim 8 --epochs 100000 --patience 0 --held-out 50 &";
const SHORT: &str = "train --target pin --dim 8 --epochs 2 --held-out 50 &";

fn lines(out: &str) -> Vec<Value> {
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

#[test]
fn verbs_run_beside_a_job_and_wait_prints_its_results() {
    let cli = Cli::trained();
    let commands = format!(
        ".mode jsonl\n{SHORT}\nsimilar pin:1 -k 1\nlink pin:1 board:5 --weight 3\nneighbors pin:1\njobs\nwait 1\njobs\nstats\n"
    );
    let ran = cli.run_with_input(&["console", "s"], &commands);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows = lines(&ran.out);
    let first_epoch = rows.iter().position(|row| row["epoch"] == json!(1) && row.get("loss").is_some());
    let listed: Vec<(usize, &Value)> =
        rows.iter().enumerate().filter(|(_, row)| row.get("job").is_some()).collect();
    let [(before, running), (after, done)] = listed[..] else { panic!("{}", ran.out) };
    assert!(first_epoch.is_some_and(|epoch| before < epoch && epoch < after), "{}", ran.out);
    assert_eq!(running["job"], json!(1));
    assert_eq!((&done["state"], &done["last"]["epoch"]), (&json!("done"), &json!(2)));
    assert!(SHORT.starts_with(done["command"].as_str().expect("a line")));
    let stats = &rows[rows.len() - 1];
    assert_eq!(stats["generation"], json!(2));
    for said in ["job 1: train --target pin", "generation 2: 120 nodes embedded", "job 1 done after"] {
        assert!(ran.err.contains(said), "{said} is not in {}", ran.err);
    }
}

#[test]
fn a_cancelled_training_keeps_its_last_whole_epoch() {
    let cli = Cli::trained();
    // The first training is awaited, so that a whole epoch exists before the second.
    let commands = format!("{SHORT}\nwait\n{LONG}\ncancel 2\nwait 2\nstats\n");
    let ran = cli.run_with_input(&["console", "s", "--output", "jsonl"], &commands);
    // The script fails as the job does.
    assert_eq!(ran.code, 130, "{}", ran.err);
    let last: Value = serde_json::from_str(ran.err.lines().last().expect("an error")).expect("JSON");
    assert_eq!((&last["kind"], &last["line"]), (&json!("cancelled"), &json!(5)), "{last}");
    assert!(
        last["error"].as_str().is_some_and(|error| error.starts_with("standard input:5: job 2: ")),
        "{last}"
    );
    assert_eq!(cli.json(&["check", "s", "--deep"])["sound"], json!(true));
    assert_eq!(cli.json(&["stats", "s"])["generation"], json!(2));
}

#[test]
fn a_script_waits_for_its_jobs_and_fails_as_the_first_that_failed() {
    let cli = Cli::trained();
    let ran = cli.run(&["console", "s", "-c", "neighbors pin:none &", "-c", "neighbors pin:1 &"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("error: job 1: no node pin:none in the store"), "{}", ran.err);
    assert!(ran.out.contains("board:"), "{}", ran.out);
    // A script that fails cancels its jobs.
    let ran = cli.run_with_input(&["console", "s"], &format!("{LONG}\nneighbors pin:none\n"));
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("job 1 cancelled after"), "{}", ran.err);
    assert!(ran.err.ends_with("error: standard input:2: no node pin:none in the store\n"), "{}", ran.err);
}

#[test]
fn a_verb_that_conflicts_with_a_job_is_refused() {
    let cli = Cli::trained();
    for (verb, why) in [
        (
            "check",
            "check needs the store for itself, and job 1 (train) is running: `wait 1` or `cancel 1` first",
        ),
        ("train --target pin", "train cannot run beside another training, and job 1 (train) is running"),
        ("cancel 7", "no job 7: `jobs` lists them"),
        ("jobs &", "jobs cannot be a job: leave out the &"),
        (".mode csv &", ".mode cannot be a job: leave out the &"),
    ] {
        let ran = cli.run(&["console", "s", "-c", LONG, "-c", verb]);
        assert!(ran.code != 0 && ran.err.contains(why), "{verb}: {}", ran.err);
    }
    let empty = Cli::new();
    empty.ok(&["link", "s", "lamp:a", "room:hall"]);
    empty.ok(&["remove", "s", "lamp:a"]);
    empty.ok(&["remove", "s", "room:hall"]);
    empty.write("u.csv", "");
    let commands = ["console", "s", "-c", "apply u.csv --follow &", "-c", "generate"];
    let ran = empty.run(&commands);
    let said = "generate must be the only writer while the store is empty, and job 1 (apply) is running";
    assert!(ran.code == 1 && ran.err.contains(said), "{}", ran.err);
}

#[test]
fn a_quoted_ampersand_is_a_word() {
    let cli = Cli::with_lamps();
    cli.ok(&["console", "s", "-c", "link 'lamp:&' room:hall", "-c", "link lamp:x& room:hall"]);
    let found = cli.ok(&["neighbors", "s", "room:hall"]);
    assert!(found.contains("lamp:&\t") && found.contains("lamp:x&\t"), "{found}");
    cli.fails(&["console", "s", "-c", "&"], 2, "no verb before &");
}
