//! Promise: a named pipe in the place of a file is an error that names it, where a plain file is needed. Where a pipe is
//! allowed, a signal ends the wait for it.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::Cli;

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().is_ok_and(|status| status.success()), "a pipe");
}

/// All plain files of a folder and of the folders in it.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path());
    let inner = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(inner).collect()
}

/// The command waited forever to open a named pipe in the place of any file of an export. It must be refused by name, and
/// no store made.
#[test]
fn a_named_pipe_in_the_place_of_any_file_of_an_export_is_refused() {
    let cli = Cli::trained();
    for format in ["csv", "jsonl"] {
        cli.ok(&["export", "s", format, "--format", format]);
        let all = files(&cli.path(format));
        assert!(all.len() >= 6, "{all:?}");
        for file in all {
            let bytes = fs::read(&file).expect("a file");
            fs::remove_file(&file).expect("a file");
            make_pipe(&file);
            let ran = cli.run(&["import", "copy", "--from", format]);
            let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
            assert!(ran.code > 0 && ran.err.contains(name), "{name}: {} {}", ran.code, ran.err);
            assert!(ran.err.contains("it is a named pipe, expected a plain file"), "{}", ran.err);
            assert!(!cli.path("copy").exists(), "{name}");
            fs::remove_file(&file).expect("a pipe");
            fs::write(&file, bytes).expect("written");
        }
        cli.ok(&["import", "copy", "--from", format]);
        fs::remove_dir_all(cli.path("copy")).expect("a store");
    }
}

/// The command waited forever to open a named pipe in the place of a file of a store, some of them with the lock held.
/// Each verb must end: by an error that names the pipe, or with the damage repaired from another file.
#[test]
fn a_named_pipe_in_the_place_of_any_file_of_a_store_ends_every_verb() {
    let cli = Cli::trained();
    cli.ok(&["link", "s", "pin:1", "board:2"]);
    let names =
        files(&cli.path("s")).into_iter().map(|file| file.strip_prefix(cli.path("s")).map(Path::to_path_buf));
    let names: Vec<PathBuf> = names.collect::<Result<_, _>>().expect("files of the store");
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        for words in [
            &["stats", "t"][..],
            &["stats", "t", "--read-only"],
            &["stats", "t", "--read-only", "--low-memory"],
            &["digest", "t"],
            &["check", "t", "--deep"],
            &["backup", "t", "b"],
            &["link", "t", "pin:1", "board:3"],
        ] {
            // A copy of the store, with the pipe.
            let copied = Command::new("cp").args(["-r", "s", "t"]).current_dir(cli.folder()).status();
            assert!(copied.is_ok_and(|status| status.success()));
            fs::remove_file(cli.path("t").join(&name)).expect("a file");
            make_pipe(&cli.path("t").join(&name));
            let ran = cli.run(words);
            assert!(ran.code >= 0, "{} {words:?}: a signal ended it", name.display());
            assert!(!ran.err.contains("panicked"), "{} {words:?}: {}", name.display(), ran.err);
            let told = ran.code == 0 || ran.err.contains("named pipe") || ran.out.contains("named pipe");
            assert!(told, "{} {words:?}: {} {} {}", name.display(), ran.code, ran.out, ran.err);
            for made in ["t", "b"] {
                fs::remove_dir_all(cli.path(made))
                    .or_else(|error| if made == "b" { Ok(()) } else { Err(error) })
                    .expect("ours");
            }
        }
    }
}

#[test]
fn a_named_pipe_in_the_place_of_a_model_or_a_matrix_is_refused() {
    let cli = Cli::trained();
    make_pipe(&cli.path("pipe"));
    cli.write("pins.csv", "key\n1\n");
    let message = "cannot read pipe: it is a named pipe, expected a plain file";
    cli.fails(&["import", "s", "--model", "pipe"], 1, message);
    cli.fails(&["import", "s", "--nodes", "pins.csv", "--kind", "pin", "--dense", "x=pipe"], 1, message);
}

/// Edges, commands and changes may come through a pipe. Until a writer opens it the command waits, and it must end at the
/// first signal.
#[test]
fn a_pipe_of_edges_is_read_and_a_signal_ends_the_wait_for_it() {
    let cli = Cli::with_lamps();
    make_pipe(&cli.path("pipe"));
    let start = |words: &[&str]| {
        let mut command = cli.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    };
    let mut reading = start(&["import", "s", "--edges", "pipe"]);
    fs::write(cli.path("pipe"), "room,lamp\ncellar,z\n").expect("the pipe has a reader");
    assert!(reading.wait().expect("it ends").success());
    assert_eq!(cli.json(&["stats", "s"])["nodes"]["lamp"], 4);
    for words in [
        &["import", "s", "--edges", "pipe"][..],
        &["apply", "s", "pipe"],
        &["apply", "s", "pipe", "--follow"],
        &["console", "s", "-f", "pipe"],
        &["console", "s", "-c", ".output pipe --force"],
    ] {
        for signal in ["-TERM", "-INT"] {
            assert_eq!(code_after(signal, start(words)), Some(130), "{words:?} {signal}");
        }
    }
}

/// Sends a signal once the process waits, and returns its exit code. The kernel shows a process that waits for a pipe as
/// sleeping, as it does one that waits for anything else; so it must sleep in several looks.
fn code_after(signal: &str, mut child: Child) -> Option<i32> {
    let stat = format!("/proc/{}/stat", child.id());
    let is_asleep = || match fs::read_to_string(&stat) {
        Ok(text) => text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S')),
        // No such folder on this system.
        Err(_) => true,
    };
    let mut looks = 0;
    while looks < 25 {
        looks = if is_asleep() { looks + 1 } else { 0 };
        thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().is_ok());
    child.wait().expect("it ends").code()
}
