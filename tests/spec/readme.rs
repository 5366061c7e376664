//! Promise: the README says what is so. Its example is the one that is compiled, its commands are understood, and each
//! of its refusals is what the command says, with its exit code.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hedgerow::Store;

use crate::npy::matrix;

const README: &str = include_str!("../../README.md");
const FACADE: &str = include_str!("../../lib.rs");

/// Runs a command in a folder; what it leaves is its exit code and its words.
fn run(folder: &Path, words: &[&str]) -> Output {
    command(folder, words).output().expect("the command starts")
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hedgerow"));
    command.args(words).current_dir(folder).stdin(Stdio::null());
    command
}

fn ok(folder: &Path, words: &[&str]) {
    let output = run(folder, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(folder.join(name), bytes).expect("a file in the temporary folder");
}

/// A store `s`, for lamps a model too:
///
/// ```text
/// room:hall -- lamp:a, lamp:b      room:attic -- lamp:b, lamp:c
/// ```
fn lamps(folder: &Path) {
    write(folder, "lamps.csv", "room,lamp\nhall,a\nhall,b\nattic,b\nattic,c\n");
    ok(folder, &["import", "s", "--edges", "lamps.csv"]);
}

fn lamps_with_model(folder: &Path) {
    lamps(folder);
    ok(folder, &["train", "s", "--target", "lamp", "--epochs", "1", "--dim", "4"]);
}

/// Imports a file of edges that is no good.
fn import(folder: &Path, bytes: &[u8]) -> Vec<Output> {
    write(folder, "edges.csv", bytes);
    vec![run(folder, &["import", "s", "--edges", "edges.csv"])]
}

/// Imports the nodes lamp:a and lamp:b with a matrix that is no good, beside one of two rows of two numbers.
fn import_matrix(folder: &Path, rows: &[&[f32]]) -> Vec<Output> {
    write(folder, "lamps.csv", "key,tag\na,old\nb,new\n");
    write(folder, "good.npy", matrix(&[&[1.0, 2.0], &[3.0, 4.0]]));
    write(folder, "bad.npy", matrix(rows));
    let nodes = ["import", "s", "--nodes", "lamps.csv", "--kind", "lamp", "--dense"];
    ok(folder, &[&nodes[..], &["look=good.npy"]].concat());
    vec![run(folder, &[&nodes[..], &["look=bad.npy"]].concat())]
}

/// The file of the lists that the manifest names: the newest.
fn topology(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("s")).expect("a store").filter_map(Result::ok);
    let lists = files.map(|file| file.path()).filter(|path| path.to_string_lossy().contains("topology."));
    lists.max().expect("a file of lists")
}

/// One bit flipped, the last byte lost, the file gone.
fn damage(folder: &Path) -> Vec<Output> {
    lamps(folder);
    let file = topology(folder);
    let intact = fs::read(&file).expect("a file");
    let mut flipped = intact.clone();
    flipped[intact.len() / 2] ^= 1;
    let mut outputs = Vec::new();
    for bytes in [&flipped, &intact[..intact.len() - 1]] {
        fs::write(&file, bytes).expect("a file");
        outputs.push(run(folder, &["stats", "s"]));
    }
    fs::remove_file(&file).expect("a file");
    outputs.push(run(folder, &["stats", "s"]));
    outputs
}

/// Ctrl-C once there is a whole epoch to keep.
fn interrupt(folder: &Path) -> Vec<Output> {
    lamps(folder);
    let words = ["train", "s", "--target", "lamp", "--dim", "4", "--epochs", "1000000", "--patience", "0"];
    interrupted(command(folder, &words))
}

/// Ctrl-C once the line of a file that is followed is applied.
fn followed(folder: &Path) -> Vec<Output> {
    write(folder, "changes.csv", "+,room:hall,lamp:a\n");
    interrupted(command(folder, &["apply", "s", "changes.csv", "--follow"]))
}

/// Ctrl-C after the first byte of output: it belongs to a whole epoch, or to a whole batch.
fn interrupted(mut command: Command) -> Vec<Output> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("an epoch or a batch ends");
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(told.expect("there is a kill command").success());
    vec![child.wait_with_output().expect("it ends")]
}

/// How the README calls what was done, and the doing of it, in one way or several.
type Scenario = (&'static str, fn(&Path) -> Vec<Output>);

const SCENARIOS: &[Scenario] = &[
    ("a node was asked for that is not in the store", |folder| {
        lamps_with_model(folder);
        let node = "lamp:none";
        ["neighbors", "similar", "remove", "embed"].map(|verb| run(folder, &[verb, "s", node])).into()
    }),
    ("a node was written without its kind", |folder| vec![run(folder, &["link", "s", "lamp", "room:hall"])]),
    ("a key has more than 512 bytes", |folder| {
        vec![run(folder, &["link", "s", &format!("lamp:{}", "k".repeat(513)), "room:hall"])]
    }),
    ("walks were to start from nodes of several kinds", |folder| {
        lamps(folder);
        vec![run(folder, &["walk", "s", "lamp:a", "room:hall"])]
    }),
    ("a verb was misspelt", |folder| vec![run(folder, &["simlar", "s", "lamp:a"])]),
    ("an edge was given a weight that is NaN, infinite, zero or negative", |folder| {
        let link = |weight| run(folder, &["link", "s", "lamp:a", "room:hall", "--weight", weight]);
        ["NaN", "inf", "0", "-1"].map(link).into()
    }),
    ("a file holds such a weight", |folder| {
        let file = |weight| format!("room,lamp,weight\nhall,a,{weight}\n");
        ["NaN", "inf", "0", "-1"].iter().flat_map(|weight| import(folder, file(weight).as_bytes())).collect()
    }),
    ("a node to walk from was given such a weight", |folder| {
        lamps(folder);
        let walk = |weight| run(folder, &["walk", "s", "lamp:a", "--weights", weight]);
        ["NaN", "inf", "0", "-1"].map(walk).into()
    }),
    ("a file of edges is empty", |folder| import(folder, b"")),
    ("a file holds bytes that are not UTF-8", |folder| import(folder, b"room,lamp\nhall,a\xff\n")),
    ("a row has more or fewer fields than the header", |folder| {
        [import(folder, b"room,lamp\nhall,a,b\n"), import(folder, b"room,lamp\nhall\n")].concat()
    }),
    ("a quote is not closed", |folder| import(folder, b"room,lamp\nhall,\"a\n")),
    ("a line of an update stream begins with something else than + or -", |folder| {
        write(folder, "changes.csv", "+,room:hall,lamp:a\n*,room:hall,lamp:b\n");
        vec![run(folder, &["apply", "s", "changes.csv"])]
    }),
    ("a file that is followed is shorter than what was applied of it", |folder| {
        followed(folder);
        write(folder, "changes.csv", "+,room:hall");
        vec![run(folder, &["apply", "s", "changes.csv", "--follow"])]
    }),
    ("the last line that was applied of a file that is followed is another one now", |folder| {
        followed(folder);
        write(folder, "changes.csv", "+,room:hall,lamp:b\n+,room:hall,lamp:c\n");
        vec![run(folder, &["apply", "s", "changes.csv", "--follow"])]
    }),
    ("a compressed file was to be followed", |folder| {
        write(folder, "changes.csv.gz", [0x1f, 0x8b, 8, 0]);
        vec![run(folder, &["apply", "s", "changes.csv.gz", "--follow"])]
    }),
    ("Ctrl-C was pressed while a file was followed", followed),
    ("an adjacency file was imported without kinds", |folder| {
        vec![run(folder, &["import", "s", "--edges", "train.txt", "--format", "adjacency"])]
    }),
    ("the file to import is not there", |folder| {
        vec![run(folder, &["import", "s", "--edges", "nowhere.csv"])]
    }),
    ("a column of tokens is not in the file of nodes", |folder| {
        write(folder, "nodes.csv", "key,tag\na,old\n");
        vec![run(folder, &["import", "s", "--nodes", "nodes.csv", "--kind", "lamp", "--tokens", "genre"])]
    }),
    ("a dense row has another width than its block", |folder| {
        import_matrix(folder, &[&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]])
    }),
    ("a dense row holds NaN", |folder| import_matrix(folder, &[&[1.0, 2.0], &[f32::NAN, 4.0]])),
    ("a matrix has more or fewer rows than the file of nodes", |folder| {
        [import_matrix(folder, &[&[1.0]]), import_matrix(folder, &[&[1.0], &[2.0], &[3.0]])].concat()
    }),
    ("there is nothing where the store should be", |folder| {
        vec![run(folder, &["stats", "s"]), run(folder, &["similar", "s", "lamp:a"])]
    }),
    ("the folder holds something else", |folder| {
        fs::create_dir(folder.join("photos")).expect("a new folder");
        write(folder, "photos/cat.jpg", "meow");
        vec![run(folder, &["stats", "photos"]), run(folder, &["link", "photos", "lamp:a", "room:hall"])]
    }),
    ("another process has the store open", |folder| {
        lamps(folder);
        let held = Store::options().open(folder.join("s")).expect("the store opens here");
        let outputs =
            vec![run(folder, &["stats", "s"]), run(folder, &["unlink", "s", "lamp:a", "room:hall"])];
        drop(held);
        outputs
    }),
    ("a file of the store is damaged, cut short or missing, and nothing else holds what was in it", damage),
    ("a change was asked for with --read-only", |folder| {
        lamps(folder);
        vec![
            run(folder, &["link", "s", "lamp:z", "room:hall", "--read-only"]),
            run(folder, &["import", "s", "--edges", "lamps.csv", "--read-only"]),
        ]
    }),
    ("embeddings were asked for before a training", |folder| {
        lamps(folder);
        let node = "lamp:a";
        let asked = [&["similar", "s", node][..], &["embed", "s", node], &["refresh", "s"], &["digest", "s"]];
        asked.map(|words| run(folder, words)).into()
    }),
    ("a kind was named that is not in the store", |folder| {
        lamps_with_model(folder);
        vec![
            run(folder, &["train", "s", "--target", "chair"]),
            run(folder, &["similar", "s", "lamp:a", "--kind", "chair"]),
        ]
    }),
    ("the kind of the node is not embedded", |folder| {
        lamps_with_model(folder);
        vec![run(folder, &["similar", "s", "room:hall"])]
    }),
    ("the node came after the last refresh", |folder| {
        lamps_with_model(folder);
        ok(folder, &["link", "s", "lamp:new", "room:hall"]);
        vec![run(folder, &["similar", "s", "lamp:new"])]
    }),
    ("it was not said for whom to recommend", |folder| {
        lamps_with_model(folder);
        vec![run(folder, &["recommend", "s"])]
    }),
    ("a file of users names one that is not in the store", |folder| {
        lamps_with_model(folder);
        write(folder, "users.txt", "room:hall\nroom:none\n");
        vec![run(folder, &["recommend", "s", "--users", "users.txt"])]
    }),
    ("there is nothing to learn from", |folder| {
        ok(folder, &["link", "s", "lamp:a", "room:hall"]);
        vec![run(folder, &["train", "s", "--target", "lamp"])]
    }),
    ("an option of training is out of its range", |folder| {
        lamps(folder);
        vec![
            run(folder, &["train", "s", "--target", "lamp", "--dim", "0"]),
            run(folder, &["train", "s", "--target", "lamp", "--layers", "9"]),
        ]
    }),
    ("a store that holds nodes was to be filled with a synthetic world", |folder| {
        lamps(folder);
        vec![run(folder, &["generate", "s"])]
    }),
    ("a training was to start from the last generation with another dimension", |folder| {
        lamps_with_model(folder);
        vec![run(folder, &["train", "s", "--target", "lamp", "--dim", "8", "--warm"])]
    }),
    ("a training was to go on where none was interrupted", |folder| {
        lamps_with_model(folder);
        vec![run(folder, &["train", "s", "--resume"])]
    }),
    ("a training was to go on after an edge was committed", |folder| {
        interrupt(folder);
        ok(folder, &["link", "s", "lamp:z", "room:hall"]);
        vec![run(folder, &["train", "s", "--resume"])]
    }),
    ("a training was to go on with other options", |folder| {
        interrupt(folder);
        let resume = |option| run(folder, &["train", "s", "--resume", option, "9"]);
        ["--dim", "--walk-seed", "--learning-rate"].map(resume).into()
    }),
    ("the loss of a training stopped being a number", |folder| {
        lamps(folder);
        let rate = f32::MAX.to_string();
        let rest = ["--dim", "4", "--patience", "0", "--decay", &rate];
        vec![run(folder, &[&["train", "s", "--target", "lamp"], &rest[..]].concat())]
    }),
    ("Ctrl-C was pressed during training", interrupt),
];

/// A row of the table of refusals.
struct Refusal {
    done: &'static str,
    /// With `...` for what varies.
    message: &'static str,
    code: i32,
}

fn refusals() -> Vec<Refusal> {
    let section = README.split("\n## When something is refused\n").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [done, message, code] = cells[..] else { panic!("not three cells: {line}") };
        let code = code.parse().unwrap_or_else(|_| panic!("no exit code: {line}"));
        Refusal { done, message: message.trim_matches('`').trim(), code }
    })
    .collect()
}

/// Whether a text is a pattern with something in the place of every `...`.
fn fits(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[test]
fn every_refusal_is_what_the_command_says() {
    let refusals = refusals();
    for Refusal { done, message, code } in &refusals {
        let scenario = SCENARIOS.iter().find(|(name, _)| name == done);
        let (_, act) = scenario.unwrap_or_else(|| panic!("nothing here does this: {done}"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let outputs = act(folder.path());
        assert!(!outputs.is_empty(), "{done}: nothing was run");
        for output in outputs {
            let stderr = String::from_utf8(output.stderr).expect("the command prints UTF-8");
            let said = stderr.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
            assert!(fits(said, message), "{done}: the command says {said:?}, the README {message:?}");
            assert_eq!(output.status.code(), Some(*code), "{done}: {stderr}");
        }
    }
    let told: BTreeSet<&str> = refusals.iter().map(|refusal| refusal.done).collect();
    assert_eq!(told.len(), refusals.len(), "a row stands twice in the README");
    for (done, _) in SCENARIOS {
        assert!(told.contains(done), "not in the README: {done}");
    }
}

#[test]
fn a_pattern_fits_whole_messages_only() {
    assert!(fits("no node pin:1 in the store", "no node ... in the store"));
    assert!(fits("a.csv:2:1: found \"x\"", "...:...:...: found \"...\""));
    assert!(!fits("no node pin:1 in the store; look", "no node ... in the store"));
    assert!(!fits("oh: no node pin:1 in the store", "no node ... in the store"));
    assert!(!fits("adjacency names no kinds", "adjacency"));
}

#[test]
fn every_command_is_understood_with_its_flags() {
    let blocks = README.split("```sh\n").skip(1).filter_map(|text| text.split("```").next());
    let lines = blocks.flat_map(str::lines);
    let commands: Vec<&str> = lines.filter(|line| line.starts_with("hedgerow ")).collect();
    assert!(commands.len() > 10, "{commands:?}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for line in commands {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = run(folder.path(), &[words[1], "--help"]);
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{line}");
        for flag in words.iter().filter(|word| word.starts_with('-')) {
            let is_flag = help.split([' ', ',', '\n']).any(|word| word == *flag);
            assert!(is_flag, "{line}: {flag} is not a flag of {}", words[1]);
        }
    }
}

#[test]
fn the_example_is_the_one_that_is_compiled() {
    let compiled: Vec<&str> = FACADE
        .lines()
        .skip_while(|line| *line != "//! ```")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .filter(|line| !line.starts_with("# "))
        .collect();
    let shown = README.lines().skip_while(|line| *line != "```rust").skip(1);
    let shown: Vec<&str> = shown.take_while(|line| *line != "```").collect();
    assert!(compiled.len() > 10, "{compiled:?}");
    assert_eq!(shown, compiled);
}
