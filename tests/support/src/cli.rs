//! A runner of a command: in a folder of its own, with its output as text or JSON.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// The time after which a command counts as hung.
const HUNG: Duration = Duration::from_mins(5);

/// A command, and the temporary folder that it runs in.
#[derive(Debug)]
pub struct Cli {
    binary: PathBuf,
    folder: TempDir,
}

/// The exit code and the output of one run of a command.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code; -1 where a signal ended the command.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Cli {
    /// A command, mostly `env!("CARGO_BIN_EXE_NAME")`, and an empty folder.
    ///
    /// # Panics
    /// If no folder can be created.
    pub fn new(binary: impl AsRef<Path>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { binary: binary.as_ref().to_path_buf(), folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).expect("a file in the temporary folder");
    }

    /// The text of a file in the folder.
    ///
    /// # Panics
    /// If there is none.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file in the temporary folder")
    }

    /// The command with its words, not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).current_dir(self.folder.path()).env("XDG_STATE_HOME", self.folder.path());
        command
    }

    /// Runs the command to its end, with nothing on standard input.
    ///
    /// # Panics
    /// If it does not start.
    pub fn run(&self, words: &[&str]) -> Run {
        self.run_with_input(words, "")
    }

    /// Runs the command to its end with a text on standard input, and kills it where it hangs.
    ///
    /// # Panics
    /// If it does not start, or its output is not UTF-8.
    pub fn run_with_input(&self, words: &[&str], input: &str) -> Run {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        // A command that does not read its input closes it, which is no fault of the test.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        // A command that hangs is killed, so that its test fails and the others go on.
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
        Run { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs a command that must succeed, and returns its standard output.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, words: &[&str]) -> String {
        let run = self.run(words);
        assert_eq!(run.code, 0, "{words:?} failed: {}", run.err);
        run.out
    }

    /// Runs a command with `--output json`, and returns its result.
    ///
    /// # Panics
    /// If it fails, or prints no JSON.
    pub fn json(&self, words: &[&str]) -> Value {
        let out = self.ok(&[words, &["--output", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?} printed {out:?}: {error}"))
    }

    /// Runs a command with `--output jsonl`, and returns its results.
    ///
    /// # Panics
    /// If it fails, or prints a line that is no JSON.
    pub fn jsonl(&self, words: &[&str]) -> Vec<Value> {
        let out = self.ok(&[words, &["--output", "jsonl"]].concat());
        out.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    /// Runs a command that must fail with an exit code and a message.
    ///
    /// # Panics
    /// If it does anything else.
    pub fn fails(&self, words: &[&str], code: i32, message: &str) -> Run {
        let run = self.run(words);
        assert_eq!(run.code, code, "{words:?}: {}", run.err);
        assert!(run.err.contains(message), "{words:?} says {:?}, not {message:?}", run.err);
        run
    }
}
