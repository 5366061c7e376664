//! Promise: the command does what its contract says, word for word: verbs, JSON names, messages, exit codes.
//! Every test runs the real binary in a folder of its own.

mod apply;
mod check_dump_backup;
mod console;
mod eval;
mod export;
mod failures;
mod follow;
mod follower;
mod import;
mod jobs;
mod output;
mod recommend;
mod report;
mod service;
mod shapes;
mod terminal;
mod train;
mod verbs;
mod walk;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// A command that has not ended by then never will.
const HUNG: Duration = Duration::from_mins(5);

/// A folder to run the command in.
struct Desk {
    folder: TempDir,
}

/// What a run of the command left.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A store `s` of two rooms with three lamps:
    ///
    /// ```text
    /// room:hall -- lamp:a, lamp:b (weight 2)      room:attic -- lamp:b, lamp:c (time 86400)
    /// ```
    fn with_lamps() -> Self {
        let desk = Self::new();
        let lines = "room,lamp,weight,time\nhall,a,,\nhall,b,2,\nattic,b,,\nattic,c,,1970-01-02\n";
        desk.write("lamps.csv", lines);
        desk.ok(&["import", "s", "--edges", "lamps.csv"]);
        desk
    }

    /// A store `s` of a small synthetic world with a trained model.
    fn trained() -> Self {
        let desk = Self::new();
        let size = ["--items", "120", "--boards", "60", "--edges", "900", "--topics", "4"];
        desk.ok(&[&["generate", "s"], &size[..]].concat());
        desk.ok(&["train", "s", "--target", "pin", "--epochs", "1", "--dim", "8", "--held-out", "50"]);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).expect("a file in the temporary folder");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file in the temporary folder")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hedgerow"));
        command.args(words).current_dir(self.folder.path()).env("XDG_STATE_HOME", self.folder.path());
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.run_with_input(words, "")
    }

    fn run_with_input(&self, words: &[&str], input: &str) -> Ran {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        // A command that does not read its input closes it, which is no fault of the test.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        // One that waits for ever fails by itself, and does not keep all tests waiting with it.
        let (ended, watched) = mpsc::channel::<()>();
        let number = child.id().to_string();
        let guard = thread::spawn(move || {
            if watched.recv_timeout(HUNG) == Err(RecvTimeoutError::Timeout) {
                drop(Command::new("kill").args(["-9", &number]).status());
            }
        });
        let output = child.wait_with_output().expect("the command ends");
        drop(ended);
        guard.join().expect("the guard does not panic");
        let text = |bytes| String::from_utf8(bytes).expect("the command prints UTF-8");
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs a command that must succeed, and gives back its standard output.
    fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, 0, "{words:?} failed: {}", ran.err);
        ran.out
    }

    /// The result of a command as JSON.
    fn json(&self, words: &[&str]) -> Value {
        let out = self.ok(&[words, &["--output", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?} printed {out:?}: {error}"))
    }

    /// The results of a command as JSON lines.
    fn jsonl(&self, words: &[&str]) -> Vec<Value> {
        let out = self.ok(&[words, &["--output", "jsonl"]].concat());
        out.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    /// Runs a command that must fail with an exit code and a message.
    fn fails(&self, words: &[&str], code: i32, message: &str) -> Ran {
        let ran = self.run(words);
        assert_eq!(ran.code, code, "{words:?}: {}", ran.err);
        assert!(ran.err.contains(message), "{words:?} says {:?}, not {message:?}", ran.err);
        ran
    }

    /// Everything about the graph in store `s` that a failed command must not have changed.
    fn stats(&self) -> Value {
        let mut stats = self.json(&["stats", "s"]);
        stats.as_object_mut().expect("an object").remove("bytes");
        stats
    }
}

/// Another process that has store `s` open for writing.
struct Holder(std::process::Child);

impl Holder {
    fn of(desk: &Desk) -> Self {
        let mut command = desk.command(&["console", "s"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the command starts");
        let input = child.stdin.as_mut().expect("a pipe");
        input.write_all(b".mode\n").expect("the console reads");
        // An answer means that the store is open.
        let mut answer = [0];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut answer).expect("the console answers");
        Self(child)
    }

    fn leave(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().is_ok_and(|status| status.success()));
    }
}
