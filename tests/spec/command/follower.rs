//! A running `apply --follow` that a test controls.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::Cli;

/// Much longer than any step takes.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// A running command that follows an input.
pub(super) struct Follower {
    pub(super) child: Child,
    pub(super) rows: Receiver<Value>,
}

/// The end of the command, and the rows that were not awaited.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) err: String,
    pub(super) rows: Vec<Value>,
}

impl Follower {
    pub(super) fn start(cli: &Cli, words: &[&str]) -> Self {
        let mut command = cli.command(&[&["apply", "s"], words, &["--follow", "--output", "jsonl"]].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, rows) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let row = serde_json::from_str(&line).expect("a JSON object a line");
                if sender.send(row).is_err() {
                    return;
                }
            }
        });
        Self { child, rows }
    }

    /// Waits until this many more changes are applied.
    pub(super) fn wait(&self, changes: u64) {
        let mut applied = 0;
        while applied < changes {
            let row = self.rows.recv_timeout(PATIENCE).expect("a batch is told");
            applied += row["edges"].as_u64().expect("a number");
        }
        assert_eq!(applied, changes);
    }

    pub(super) fn end(mut self) -> Ended {
        let mut err = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("UTF-8");
        let code = self.child.wait().expect("it ends").code();
        Ended { code, err, rows: self.rows.iter().collect() }
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(super) fn interrupt(self) -> Ended {
        self.signal("-INT")
    }

    pub(super) fn signal(self, signal: &str) -> Ended {
        let told = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(told.expect("there is a kill command").success());
        self.end()
    }

    pub(super) fn kill(mut self) -> Ended {
        self.child.kill().expect("it is killed");
        self.end()
    }
}

pub(super) fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("written");
}
