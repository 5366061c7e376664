//! Promise: a limit of the machine (threads, size of a file, memory) is an error with a message, never a hang or a signal,
//! and leaves no store.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Cli, skip};

/// The user without rights. Limits of processes do not hold for root.
const NOBODY: &str = "65534";
/// More threads than the command starts on a machine of two processors.
const THREADS: u32 = 22;

/// Runs a shell command in the folder, with the binary as `$0`.
fn shell(cli: &Cli, script: &str) -> (Option<i32>, String) {
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_hedgerow")]).current_dir(cli.folder());
    let output = command.stdin(Stdio::null()).output().expect("a shell");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// With a limit of processes the engine waited forever for a thread that was never made, with the lock held, or a pool
/// panicked with code 101. Threads that cannot be made must be an error before anything of the store is touched. Here
/// every thread asks for a stack that no address space holds.
#[test]
fn threads_that_cannot_be_started_are_an_error_before_the_store_is_touched() {
    let cli = Cli::with_lamps();
    for words in [
        &["import", "new", "--edges", "lamps.csv"][..],
        &["link", "new", "lamp:a", "room:hall"],
        &["link", "s", "lamp:new", "room:hall"],
        &["stats", "s", "--read-only"],
        &["check", "s"],
        &["console", "s", "-c", "stats"],
    ] {
        let mut command = cli.command(words);
        let output = command.env("RUST_MIN_STACK", (1_u64 << 46).to_string()).output().expect("it ends");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {message}");
        assert!(message.contains("cannot start the threads of the command"), "{words:?}: {message}");
    }
    assert!(!cli.path("new").exists());
    cli.fails(&["neighbors", "s", "lamp:new"], 1, "no node lamp:new");
}

/// The same at every number of threads: some are made, and the next is not. A run either succeeds, or says so and leaves
/// neither a store nor a lock.
#[test]
fn every_limit_of_threads_is_an_error_or_enough() {
    let cli = Cli::with_lamps();
    // Another user must reach the binary and the folder.
    let binary = cli.path("hedgerow");
    fs::copy(env!("CARGO_BIN_EXE_hedgerow"), &binary).expect("a copy");
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("ours");
    [cli.folder(), &binary].into_iter().for_each(open);
    let run = |limit: u32, words: &[&str]| {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        let mut command = Command::new(if is_root { "setpriv" } else { "sudo" });
        if !is_root {
            command.args(["-n", "setpriv"]);
        }
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "prlimit"]);
        command
            .arg(format!("--nproc={limit}:{limit}"))
            .arg(&binary)
            .args(words)
            .env("RAYON_NUM_THREADS", "2");
        command.current_dir(cli.folder()).stdin(Stdio::null()).output()
    };
    if !run(1000, &["--version"]).is_ok_and(|output| output.status.success()) {
        return skip(
            "the limits of another user need root, or sudo without a password, and setpriv and prlimit",
        );
    }
    let mut codes = Vec::new();
    for limit in 1..=THREADS {
        let output = run(limit, &["import", "new", "--edges", "lamps.csv"]).expect("it ends");
        let (code, message) = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
        assert!(code.is_some_and(|code| code == 0 || message.contains("cannot start")), "{limit}: {message}");
        assert_eq!(code == Some(0), cli.path("new").exists(), "{limit}: {message}");
        if code == Some(0) {
            fs::remove_dir_all(cli.path("new")).expect("a store");
        }
        codes.push(code);
    }
    assert!(codes[0] != Some(0) && codes[THREADS as usize - 1] == Some(0), "{codes:?}");
}

/// A limit of the size of a file killed the command by a signal. The write must fail, as on a full disk, and what was
/// durable before must stay.
#[test]
fn a_file_above_the_limit_of_its_size_is_an_error_and_no_signal() {
    let cli = Cli::with_lamps();
    let mut edges = String::from("room,lamp\n");
    edges.extend((0..100_000).map(|at| format!("{},{at}\n", at % 7)));
    cli.write("many.csv", edges);
    for blocks in [100, 4000] {
        let (code, message) =
            shell(&cli, &format!("ulimit -f {blocks}; exec \"$0\" import new --edges many.csv --quiet"));
        assert!(matches!(code, Some(1 | 3)), "{blocks}: {code:?} {message}");
        assert!(message.contains("File too large"), "{blocks}: {message}");
    }
    cli.ok(&["import", "new", "--edges", "many.csv"]);
    cli.ok(&["check", "new", "--deep"]);
    let (code, message) = shell(&cli, "ulimit -f 1; exec \"$0\" link s lamp:new room:hall --quiet");
    assert!(matches!(code, Some(1 | 3)) && message.contains("File too large"), "{code:?} {message}");
    assert_eq!(cli.json(&["stats", "s"])["nodes"]["lamp"], 3);
}

/// `truncate -s 3G` on any file of a store took 3 GB of memory, because a file was read before its header was compared with
/// its length. What no header vouches for must not be read. The limit of memory is below the length.
#[test]
fn a_file_of_any_length_costs_no_memory() {
    let cli = Cli::trained();
    for file in super::special_files::files(&cli.path("s")) {
        let name = file.strip_prefix(cli.path("s")).expect("a file of the store").to_owned();
        for words in ["check t", "stats t --read-only", "similar t pin:1 --low-memory", "backup t copy"] {
            let copied = Command::new("cp").args(["-r", "s", "t"]).current_dir(cli.folder()).status();
            assert!(copied.is_ok_and(|status| status.success()));
            let longer = fs::File::options().write(true).open(cli.path("t").join(&name)).expect("a file");
            longer.set_len(3 << 30).expect("a sparse file");
            let (code, message) = shell(&cli, &format!("ulimit -v 2000000; exec \"$0\" {words} --quiet"));
            let is_told = matches!(code, Some(1 | 3 | 4)) && !message.contains("memory");
            assert!(code == Some(0) || is_told, "{words} with {}: {code:?} {message}", name.display());
            for made in ["t", "copy"] {
                drop(fs::remove_dir_all(cli.path(made)));
            }
        }
    }
}

/// Sizes that no machine holds ended the command by a failed allocation. They must be refused before a store is made.
#[test]
fn a_graph_that_no_machine_holds_is_not_generated() {
    let cli = Cli::new();
    for (items, boards, edges, code, message) in [
        ("2000000000", "2000000000", "1000000000000000000", 1, "of memory are available"),
        ("4294967295", "1", "1", 2, "4294967296 items and boards are too many"),
        ("10", "4294967295", "1", 2, "a store has at most 4294967295 nodes"),
    ] {
        let words = ["generate", "s", "--items", items, "--boards", boards, "--edges", edges];
        cli.fails(&words, code, message);
        assert!(!cli.path("s").exists(), "{words:?}");
    }
}
