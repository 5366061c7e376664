//! Promise: `apply --follow` works under a service manager. Signals end it after the current batch, status lines report its
//! progress, and the next start continues after the last committed line.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{ChildStderr, Command, Stdio};

use serde_json::{Value, json};

use super::follower::{Follower, append};
use super::{Cli, Run, skip};

/// True if the process that runs the tests ignores a signal, as under `nohup`. Its child processes then ignore it too.
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[test]
fn each_signal_ends_the_command_and_the_next_start_continues_there() {
    let cli = Cli::with_lamps();
    let mut lines = 0;
    for signal in ["-TERM", "-INT", "-HUP"] {
        if signal == "-HUP" && is_ignored(1) {
            let _ = writeln!(std::io::stderr(), "skipped: SIGHUP is ignored by what runs the tests");
            continue;
        }
        append(&cli.path("u.csv"), &format!("+,room:hall,lamp:{signal}\n-,room:hall,lamp:{lines}\n"));
        let follower = Follower::start(&cli, &["u.csv", "--batch", "1"]);
        follower.wait(2);
        lines += 2;
        let ended = follower.signal(signal);
        assert_eq!(ended.code, Some(130), "{signal}: {}", ended.err);
        let said = format!("2 changes before it are applied, go on from line {}", lines + 1);
        assert!(ended.err.contains(&said), "{signal}: {}", ended.err);
        assert_eq!(ended.rows, [] as [Value; 0], "{signal}");
    }
    // One epoch for the import, one for each line.
    assert_eq!(cli.json(&["stats", "s"])["epoch"], json!(1 + lines));
}

/// A logout sends SIGHUP, which ended the command also under `nohup`.
#[test]
fn nohup_disables_sighup() {
    let cli = Cli::with_lamps();
    cli.write("u.csv", "+,room:hall,lamp:d\n");
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_hedgerow")).args(["apply", "s", "u.csv", "--follow"]);
    command.current_dir(cli.folder()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        skip("there is no nohup");
        return;
    };
    let mut rows = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || rows.next().expect("a batch is told").expect("UTF-8");
    let kill = |signal: &str| {
        let told = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(told.expect("there is a kill command").success());
    };
    next();
    kill("-HUP");
    append(&cli.path("u.csv"), "+,room:hall,lamp:e\n");
    next();
    kill("-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}

#[test]
fn a_status_line_is_written_in_each_interval_and_at_the_end() {
    let cli = Cli::with_lamps();
    cli.write("u.csv", "+,room:hall,lamp:d\n-,room:hall,lamp:a\n+,room:at");
    let mut follower = Follower::start(&cli, &["u.csv", "--status", "1", "--quiet", "--batch", "1"]);
    follower.wait(2);
    let mut lines = BufReader::new(follower.child.stderr.take().expect("a pipe")).lines();
    let next = |lines: &mut Lines<BufReader<ChildStderr>>| -> Value {
        let line = lines.next().expect("a line is told").expect("UTF-8");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    let first = next(&mut lines);
    let expected = json!({"lines": 2, "position": 38, "lag": 9, "edges": 2, "epoch": 3, "dirty_nodes": 0});
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(first[name], *value, "{name} of {first}");
    }
    let told = Command::new("kill").args(["-TERM", &follower.child.id().to_string()]).status();
    assert!(told.expect("there is a kill command").success());
    let mut rest: Vec<Value> = lines
        .map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("a JSON object a line"))
        .collect();
    assert_eq!(follower.child.wait().expect("it ends").code(), Some(130));
    let error = rest.pop().expect("an error object");
    assert!(
        error["error"].as_str().is_some_and(|said| said.starts_with("interrupted; 2 changes")),
        "{error}"
    );
    let last = rest.pop().expect("a last line");
    assert!(last["lag"] == json!(9) && last["seconds"].as_f64() >= first["seconds"].as_f64(), "{last}");
}

#[test]
fn status_requires_follow() {
    let cli = Cli::with_lamps();
    cli.write("u.csv", "+,room:hall,lamp:d\n");
    let Run { err, .. } = cli.fails(&["apply", "s", "u.csv", "--status", "1"], 2, "--follow");
    assert!(err.contains("--follow"), "{err}");
    cli.fails(&["apply", "s", "u.csv", "--follow", "--status", "0"], 2, "1..=86400");
}
