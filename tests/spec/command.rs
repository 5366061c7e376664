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
mod machine_limits;
mod models;
mod output;
mod properties;
mod questions;
mod rebuild;
mod recommend;
mod report;
mod service;
mod shapes;
mod signals;
mod special_files;
mod terminal;
mod train;
mod verbs;
mod walk;

use std::io::{Read, Write};
use std::ops::Deref;
use std::process::Stdio;

use hedgerow_test_support::Run;
use serde_json::Value;

/// Says why a test is skipped. CI installs every program that tests need, so there an absent one is a failure.
fn skip(reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "not skipped in CI: {reason}");
    // The test runner shows what it captures of failed tests only.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// The command, and a folder to run it in.
struct Cli(hedgerow_test_support::Cli);

impl Deref for Cli {
    type Target = hedgerow_test_support::Cli;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Cli {
    fn new() -> Self {
        Self(hedgerow_test_support::Cli::new(env!("CARGO_BIN_EXE_hedgerow")))
    }

    /// A store `s` of two rooms with three lamps:
    ///
    /// ```text
    /// room:hall -- lamp:a, lamp:b (weight 2)      room:attic -- lamp:b, lamp:c (time 1970-01-02)
    /// ```
    fn with_lamps() -> Self {
        let cli = Self::new();
        let lines = "room,lamp,weight,time\nhall,a,,\nhall,b,2,\nattic,b,,\nattic,c,,1970-01-02\n";
        cli.write("lamps.csv", lines);
        cli.ok(&["import", "s", "--edges", "lamps.csv"]);
        cli
    }

    /// A store `s` of a small synthetic world with trained embeddings, which answer all questions.
    fn trained() -> Self {
        let cli = Self::new();
        let size = ["--items", "120", "--boards", "60", "--edges", "900", "--topics", "4"];
        cli.ok(&[&["generate", "s"], &size[..]].concat());
        let train = ["train", "s", "--target", "pin", "--epochs", "1", "--dim", "8", "--held-out", "50"];
        cli.ok(&[&train[..], &["--no-factors"]].concat());
        cli
    }

    /// The digest of a new store with the content of store `s`: its export, imported. It shares no file with `s`.
    fn digest_of_copy(&self) -> Value {
        let folder = tempfile::tempdir_in(self.folder()).expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (exported, copy) = (path("export"), path("copy"));
        self.ok(&["export", "s", &exported, "--format", "jsonl"]);
        self.ok(&["import", &copy, "--from", &exported]);
        self.json(&["digest", &copy])["digest"].clone()
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
    fn of(cli: &Cli) -> Self {
        let mut command = cli.command(&["console", "s"]);
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
