//! The scenarios of the table of refusals in docs/command.md. Each runs the command in a folder of its own.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use hedgerow::Store;

use crate::fixtures::npy::matrix;
use crate::fixtures::stored_rows::{PRESENT, flip_last_bit, publish_changed_rows};

/// Runs the command in a folder, and returns its exit code and its output.
pub(super) fn run(folder: &Path, words: &[&str]) -> Output {
    command(folder, words).output().expect("the command starts")
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hedgerow"));
    command.args(words).current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs the command, and asserts that it succeeds.
fn ok(folder: &Path, words: &[&str]) {
    let output = run(folder, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(folder.join(name), bytes).expect("a file in the temporary folder");
}

/// Creates a store `s` of rooms and lamps:
///
/// ```text
/// room:hall -- lamp:a, lamp:b      room:attic -- lamp:b, lamp:c
/// ```
fn lamps(folder: &Path) {
    write(folder, "lamps.csv", "room,lamp\nhall,a\nhall,b\nattic,b\nattic,c\n");
    ok(folder, &["import", "s", "--edges", "lamps.csv"]);
}

/// Creates the store of [`lamps`] with a model of the lamps.
fn lamps_with_model(folder: &Path) {
    lamps(folder);
    ok(folder, &["train", "s", "--target", "lamp", "--epochs", "1", "--dim", "4"]);
}

/// Creates the store of [`lamps_with_model`], whose lamps have titles and prices.
fn priced_lamps(folder: &Path) {
    lamps_with_model(folder);
    write(folder, "nodes.csv", "key,title,price\na,Lamp a,1.5\nb,Lamp b,2\n");
    ok(folder, &["import", "s", "--nodes", "nodes.csv", "--kind", "lamp", "--props", "title,price"]);
}

/// Starts `apply`, moves the store after the first change is committed, and sends another one.
fn move_store_under_writer(folder: &Path) -> Output {
    let mut command = command(folder, &["apply", "s", "-", "--follow", "--source", "changes"]);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut writer = pipes.spawn().expect("the command starts");
    let mut input = writer.stdin.take().expect("a pipe");
    input.write_all(b"+,room:hall,lamp:d\n").expect("it listens");
    // The journal of a store that was imported is empty until then.
    while !fs::read(folder.join("s/JOURNAL")).is_ok_and(|journal| journal.starts_with(b"HGLR")) {
        assert!(writer.try_wait().expect("a child").is_none(), "it ended before its first commit");
        thread::sleep(Duration::from_millis(5));
    }
    fs::rename(folder.join("s"), folder.join("moved")).expect("moved");
    input.write_all(b"+,room:hall,lamp:e\n").expect("it listens");
    drop(input);
    writer.wait_with_output().expect("it ends")
}

/// Imports an invalid file of edges.
fn import(folder: &Path, bytes: &[u8]) -> Vec<Output> {
    write(folder, "edges.csv", bytes);
    vec![run(folder, &["import", "s", "--edges", "edges.csv"])]
}

/// Imports the nodes lamp:a and lamp:b with a valid matrix of two rows of two numbers, and then with an invalid matrix.
fn import_matrix(folder: &Path, rows: &[&[f32]]) -> Vec<Output> {
    write(folder, "lamps.csv", "key,tag\na,old\nb,new\n");
    write(folder, "good.npy", matrix(&[&[1.0, 2.0], &[3.0, 4.0]]));
    write(folder, "bad.npy", matrix(rows));
    let nodes = ["import", "s", "--nodes", "lamps.csv", "--kind", "lamp", "--dense"];
    ok(folder, &[&nodes[..], &["look=good.npy"]].concat());
    vec![run(folder, &[&nodes[..], &["look=bad.npy"]].concat())]
}

/// The file of neighbor lists of the newest checkpoint.
fn topology(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("s")).expect("a store").filter_map(Result::ok);
    let lists = files.map(|file| file.path()).filter(|path| path.to_string_lossy().contains("topology."));
    lists.max().expect("a file of lists")
}

/// The file of lists with a flipped bit, without its last byte, and removed.
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

/// A training that is interrupted after its first epoch.
fn interrupt(folder: &Path) -> Vec<Output> {
    lamps(folder);
    let words = ["train", "s", "--target", "lamp", "--dim", "4", "--epochs", "1000000", "--patience", "0"];
    interrupted(command(folder, &words))
}

/// An `apply --follow` that is interrupted after the lines of its file are applied.
fn followed(folder: &Path) -> Vec<Output> {
    write(folder, "changes.csv", "+,room:hall,lamp:a\n+,room:hall,lamp:b\n");
    interrupted(command(folder, &["apply", "s", "changes.csv", "--follow"]))
}

/// Sends SIGINT after the first byte of output, which the command prints at the end of an epoch or a batch.
fn interrupted(mut command: Command) -> Vec<Output> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("an epoch or a batch ends");
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(status.expect("there is a kill command").success());
    vec![child.wait_with_output().expect("it ends")]
}

/// Runs commands in a console on the store of [`lamps`].
fn in_console(folder: &Path, commands: &[&str]) -> Vec<Output> {
    lamps(folder);
    let commands: Vec<&str> = commands.iter().flat_map(|command| ["-c", command]).collect();
    vec![run(folder, &[&["console", "s"], &commands[..]].concat())]
}

/// Creates a store `s` and its export `e`.
fn exported(folder: &Path) {
    lamps(folder);
    ok(folder, &["export", "s", "e"]);
}

/// The text of the table's first column, and the runs of the command that it describes.
pub(super) type Scenario = (&'static str, fn(&Path) -> Vec<Output>);

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a node was asked for that is not in the store", |folder| {
        lamps_with_model(folder);
        let node = "lamp:none";
        ["neighbors", "similar", "remove", "embed"].map(|verb| run(folder, &[verb, "s", node])).into()
    }),
    ("a node was asked for that is not in the store, and another is called nearly so", |folder| {
        lamps(folder);
        ["lmap:a", "room:hal"].map(|node| run(folder, &["neighbors", "s", node])).into()
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
    ("a file without a header was imported without names for its columns", |folder| {
        import(folder, b"1,2\n3,4\n")
    }),
    ("a file began with comments", |folder| import(folder, b"# of\n1\t2\n")),
    ("a row has more or fewer fields than `--columns` has names", |folder| {
        write(folder, "a.csv", "1,2\n3\n");
        write(folder, "b.csv", "1,2\n3,4,5\n");
        let import = |file| run(folder, &["import", "s", "--edges", file, "--columns", "room,lamp"]);
        ["a.csv", "b.csv"].map(import).into()
    }),
    ("a flag names a column that is not there", |folder| {
        write(folder, "lamps.csv", "room,lamp\nhall,a\n");
        let flags = [["--src", "room=house"], ["--weight-column", "watts"], ["--relation-column", "via"]];
        flags.map(|[flag, name]| run(folder, &["import", "s", "--edges", "lamps.csv", flag, name])).into()
    }),
    ("a flag names a field that an object lacks", |folder| {
        write(folder, "lamps.json", "{\"in\":\"hall\",\"lamp\":1}\n");
        let words = ["import", "s", "--edges", "lamps.json", "--src", "room=in", "--dst"];
        vec![
            run(folder, &[&words[..], &["lamp=light"]].concat()),
            run(folder, &[&words[..], &["lamp=lamp", "--weight-column", "watts"]].concat()),
        ]
    }),
    ("a rule of `--weight-map` is not one", |folder| {
        let words = ["import", "s", "--edges", "lamps.csv", "--weight-map"];
        ["watts < 3: dim", "watts: 3"].map(|rules| run(folder, &[&words[..], &[rules]].concat())).into()
    }),
    ("a half-life has no unit", |folder| {
        vec![run(folder, &["import", "s", "--edges", "lamps.csv", "--half-life", "30"])]
    }),
    ("an edge without a time was imported into a relation with a half-life", |folder| {
        write(folder, "lamps.csv", "room,lamp,time\nhall,a,7\nhall,b,\n");
        vec![run(folder, &["import", "s", "--edges", "lamps.csv", "--half-life", "30d"])]
    }),
    ("a relation was imported with another half-life than the store has", |folder| {
        lamps(folder);
        write(folder, "more.csv", "room,lamp,time\nhall,a,7\n");
        vec![run(folder, &["import", "s", "--edges", "more.csv", "--half-life", "30d"])]
    }),
    ("a header of Neo4j says no kind", |folder| import(folder, b":START_ID,:END_ID(lamp)\nhall,a\n")),
    ("nodes were imported without a kind", |folder| {
        write(folder, "nodes.csv", "key,tag\na,old\n");
        vec![run(folder, &["import", "s", "--nodes", "nodes.csv"])]
    }),
    ("rejects were to go to a file that is there", |folder| {
        write(folder, "lamps.csv", "room,lamp\nhall,a\n");
        let words = ["import", "s", "--edges", "lamps.csv", "--on-error", "skip", "--rejects", "lamps.csv"];
        vec![run(folder, &words)]
    }),
    ("an export was to go where something is", |folder| {
        exported(folder);
        fs::create_dir(folder.join("photos")).expect("a new folder");
        write(folder, "photos/cat.jpg", "meow");
        vec![run(folder, &["export", "s", "e"]), run(folder, &["export", "s", "photos"])]
    }),
    ("an export was to replace a folder with something else in it", |folder| {
        exported(folder);
        write(folder, "e/notes.txt", "mine");
        vec![run(folder, &["export", "s", "e", "--force"])]
    }),
    ("an export was to go into the store", |folder| {
        lamps(folder);
        vec![run(folder, &["export", "s", "s/e"]), run(folder, &["export", "s", "s", "--force"])]
    }),
    ("an export without its manifest was imported", |folder| {
        exported(folder);
        fs::remove_file(folder.join("e/manifest.json")).expect("a file");
        vec![run(folder, &["import", "t", "--from", "e"])]
    }),
    ("a file of an export was changed, cut short or lost", |folder| {
        exported(folder);
        let intact = fs::read(folder.join("e/edges.csv")).expect("a file");
        let mut changed = intact.clone();
        changed[intact.len() / 2] ^= 1;
        let mut outputs = Vec::new();
        for bytes in [&changed, &intact[..intact.len() - 1]] {
            write(folder, "e/edges.csv", bytes);
            outputs.push(run(folder, &["import", "t", "--from", "e"]));
        }
        fs::remove_file(folder.join("e/edges.csv")).expect("a file");
        outputs.push(run(folder, &["import", "t", "--from", "e"]));
        outputs
    }),
    ("the counts, the files and the folder of an export do not agree", |folder| {
        exported(folder);
        let import = || run(folder, &["import", "t", "--from", "e"]);
        let manifest = fs::read_to_string(folder.join("e/manifest.json")).expect("a file");
        let mut outputs = Vec::new();
        for (field, other) in [("\"nodes\": 5", "\"nodes\": 6"), ("\"rows\": 5", "\"rows\": 4")] {
            assert!(manifest.contains(field), "{manifest}");
            write(folder, "e/manifest.json", manifest.replace(field, other));
            outputs.push(import());
        }
        write(folder, "e/manifest.json", &manifest);
        write(folder, "e/more.csv", "id,kind,key\n");
        outputs.push(import());
        outputs
    }),
    ("the embeddings of an export have another digest than its manifest says", |folder| {
        lamps_with_model(folder);
        ok(folder, &["export", "s", "e"]);
        let manifest = fs::read_to_string(folder.join("e/manifest.json")).expect("a file");
        let at = manifest.find("\"digest\": \"").expect("a digest") + "\"digest\": \"".len();
        write(
            folder,
            "e/manifest.json",
            format!("{}{}{}", &manifest[..at], "0".repeat(64), &manifest[at + 64..]),
        );
        vec![run(folder, &["import", "t", "--from", "e"])]
    }),
    ("a manifest names a file elsewhere", |folder| {
        exported(folder);
        let manifest = fs::read_to_string(folder.join("e/manifest.json")).expect("a file");
        write(folder, "e/manifest.json", manifest.replace("edges.csv", "../lamps.csv"));
        vec![run(folder, &["import", "t", "--from", "e"])]
    }),
    ("an export was imported into a store that holds something", |folder| {
        exported(folder);
        vec![run(folder, &["import", "s", "--from", "e"])]
    }),
    ("a model that does not fit together was imported", |folder| {
        lamps_with_model(folder);
        ok(folder, &["export", "s", "m", "--format", "safetensors"]);
        let mut bytes = fs::read(folder.join("m/model.safetensors")).expect("a file");
        let layers = br#"\"layers\":"#;
        let at = bytes.windows(layers.len()).position(|found| found == layers).expect("a recipe");
        bytes[at + layers.len()] = b'9';
        write(folder, "bad.safetensors", bytes);
        vec![run(folder, &["import", "s", "--model", "bad.safetensors"])]
    }),
    ("the file to import is not there", |folder| {
        vec![run(folder, &["import", "s", "--edges", "nowhere.csv"])]
    }),
    ("a column of tokens is not in the file of nodes", |folder| {
        write(folder, "nodes.csv", "key,tag\na,old\n");
        vec![run(folder, &["import", "s", "--nodes", "nodes.csv", "--kind", "lamp", "--tokens", "genre"])]
    }),
    ("a field of a file has another form than its property", |folder| {
        write(folder, "nodes.csv", "key,price\na,cheap\n");
        vec![run(folder, &["import", "s", "--nodes", "nodes.csv", "--kind", "lamp", "--props", "price:f64"])]
    }),
    ("a property was imported with another type than the store has", |folder| {
        priced_lamps(folder);
        vec![run(folder, &["import", "s", "--nodes", "nodes.csv", "--kind", "lamp", "--props", "price:text"])]
    }),
    ("a property was given a type that there is not", |folder| {
        vec![run(
            folder,
            &["import", "s", "--nodes", "nodes.csv", "--kind", "lamp", "--props", "price:money"],
        )]
    }),
    ("a label names no property", |folder| {
        write(folder, "nodes.csv", "key,price\na,1\n");
        vec![run(folder, &["import", "s", "--nodes", "nodes.csv", "--kind", "lamp", "--label", "price"])]
    }),
    ("a change in a stream has a value of another type than the property", |folder| {
        priced_lamps(folder);
        write(folder, "ops.jsonl", "{\"op\":\"set\",\"node\":\"lamp:a\",\"price\":\"cheap\"}\n");
        vec![run(folder, &["apply", "s", "ops.jsonl", "--refresh", "none"])]
    }),
    ("a property was to be shown that no kind has", |folder| {
        priced_lamps(folder);
        vec![run(folder, &["neighbors", "s", "room:hall", "--show", "prize"])]
    }),
    ("a property was to be shown of a store without properties", |folder| {
        lamps(folder);
        vec![run(folder, &["neighbors", "s", "room:hall", "--show", "price"])]
    }),
    ("a filter compares by order what has none", |folder| {
        priced_lamps(folder);
        vec![run(folder, &["similar", "s", "lamp:a", "--where", "title < 5"])]
    }),
    ("a filter compares a property with a value of another type", |folder| {
        priced_lamps(folder);
        vec![run(folder, &["similar", "s", "lamp:a", "--where", "price < cheap"])]
    }),
    ("a filter compares a property that the kind of the answers does not have", |folder| {
        priced_lamps(folder);
        vec![run(folder, &["recommend", "s", "room:hall", "--where", "prize < 5"])]
    }),
    ("a dense row has another width than its block", |folder| {
        import_matrix(folder, &[&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]])
    }),
    ("a dense row holds NaN, or a number out of its range", |folder| {
        [f32::NAN, 3.4e38].map(|bad| import_matrix(folder, &[&[1.0, 2.0], &[bad, 4.0]])).concat()
    }),
    ("a matrix has more or fewer rows than the file of nodes", |folder| {
        [import_matrix(folder, &[&[1.0]]), import_matrix(folder, &[&[1.0], &[2.0], &[3.0]])].concat()
    }),
    ("a page was to be written where a file is", |folder| {
        lamps(folder);
        write(folder, "page.html", "mine");
        vec![run(folder, &["report", "s", "page.html"])]
    }),
    ("a page was to be written where a folder is", |folder| {
        lamps(folder);
        vec![run(folder, &["report", "s", "s"]), run(folder, &["report", "s", "s", "--force"])]
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
    ("the folder of the store was moved or replaced while a command writes to it", |folder| {
        lamps(folder);
        vec![move_store_under_writer(folder)]
    }),
    ("a file of the store is damaged, cut short or missing, and nothing else holds what was in it", damage),
    ("`refresh --full --verify` found stored rows that a rebuild does not give", |folder| {
        lamps_with_model(folder);
        publish_changed_rows(&folder.join("s"), PRESENT, flip_last_bit("vectors"));
        vec![run(folder, &["refresh", "s", "--full", "--verify"])]
    }),
    ("`refresh --full --verify` had nothing to compare with", |folder| {
        lamps_with_model(folder);
        publish_changed_rows(&folder.join("s"), 1, |_, _| {});
        ok(folder, &["link", "s", "lamp:z", "room:hall"]);
        vec![run(folder, &["refresh", "s", "--full", "--verify"])]
    }),
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
    ("no node was named that others are similar to", |folder| {
        lamps_with_model(folder);
        vec![run(folder, &["similar", "s"])]
    }),
    ("a file of queries names a node that is not in the store", |folder| {
        lamps_with_model(folder);
        write(folder, "queries.txt", "lamp:a\nlamp:none\n");
        vec![run(folder, &["similar", "s", "--queries", "queries.txt"])]
    }),
    ("a question was asked for no answer", |folder| {
        lamps_with_model(folder);
        let verbs = ["similar", "recommend", "neighbors", "neighborhood", "walk"];
        verbs.map(|verb| run(folder, &[verb, "s", "lamp:a", "-k", "0"])).into()
    }),
    ("a model was named that the store does not have", |folder| {
        lamps_with_model(folder);
        let questions = ["similar", "recommend", "embed", "neighborhood"];
        let asked = questions.map(|verb| run(folder, &[verb, "s", "lamp:a", "--model", "tonight"]));
        let managed = ["promote", "drop", "rollback"];
        asked
            .into_iter()
            .chain(managed.map(|action| run(folder, &["models", "s", action, "tonight"])))
            .collect()
    }),
    ("a model was to be trained under a name that it cannot have", |folder| {
        lamps(folder);
        vec![run(folder, &["train", "s", "--target", "lamp", "--name", "To night"])]
    }),
    ("the default model was to be dropped while there are others", |folder| {
        lamps_with_model(folder);
        ok(folder, &["train", "s", "--name", "tonight", "--target", "lamp", "--epochs", "1", "--dim", "4"]);
        vec![run(folder, &["models", "s", "drop", "main"])]
    }),
    ("a model was to go back that has one generation", |folder| {
        lamps_with_model(folder);
        vec![run(folder, &["models", "s", "rollback", "main"])]
    }),
    ("users were to be shared out without weights", |folder| {
        lamps_with_model(folder);
        vec![run(folder, &["recommend", "s", "room:hall", "--models", "main"])]
    }),
    ("a relation was named that is not in the store", |folder| {
        lamps_with_model(folder);
        vec![
            run(folder, &["similar", "s", "lamp:a", "--exclude-relation", "bought"]),
            run(folder, &["train", "s", "--target", "lamp", "--relations", "bought=1"]),
        ]
    }),
    ("a relation was named that is not in the store, and another is called nearly so", |folder| {
        lamps_with_model(folder);
        vec![run(folder, &["recommend", "s", "room:hall", "--exclude-relation", "lamp-rom"])]
    }),
    ("linked nodes were to be left out of the answer to a history", |folder| {
        lamps_with_model(folder);
        let history = ["recommend", "s", "--history", "lamp:a", "--exclude-relation", "lamp-room"];
        vec![run(folder, &history)]
    }),
    ("the next page was asked for after the store had changed", |folder| {
        lamps_with_model(folder);
        let first = run(folder, &["similar", "s", "lamp:a", "-k", "1", "--output", "json"]);
        let first: serde_json::Value = serde_json::from_slice(&first.stdout).expect("json");
        ok(folder, &["link", "s", "lamp:a", "room:attic"]);
        let next = first["next"].as_str().expect("a cursor");
        vec![run(folder, &["similar", "s", "lamp:a", "-k", "1", "--after", next])]
    }),
    ("the next page was asked for with another text than `next`", |folder| {
        lamps_with_model(folder);
        vec![run(folder, &["similar", "s", "lamp:a", "--after", "2"])]
    }),
    ("pages were asked for of an answer with several interests", |folder| {
        lamps_with_model(folder);
        let interests = ["recommend", "s", "room:hall", "--interests", "2", "--after", "1.1.1.0.0"];
        vec![run(folder, &interests)]
    }),
    ("a question did not end before its deadline", |folder| {
        lamps_with_model(folder);
        ["similar", "recommend"].map(|verb| run(folder, &[verb, "s", "lamp:a", "--deadline", "0"])).into()
    }),
    ("the nodes to embed have no features and no identities", |folder| {
        lamps(folder);
        vec![run(folder, &["train", "s", "--target", "lamp", "--ids", "off"])]
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
            run(folder, &["train", "s", "--target", "lamp", "--relations", "lamp-room=0"]),
            run(folder, &["train", "s", "--target", "lamp", "--relations", "lamp-room,lamp-room=2"]),
        ]
    }),
    ("a relation was given a weight that is no number", |folder| {
        lamps(folder);
        vec![run(folder, &["train", "s", "--target", "lamp", "--relations", "lamp-room=high"])]
    }),
    ("a store that holds nodes was to be filled with a synthetic world", |folder| {
        lamps(folder);
        vec![run(folder, &["generate", "s"])]
    }),
    ("a synthetic world was to be larger than the memory", |folder| {
        let size = ["--items", "2000000000", "--boards", "2000000000", "--edges", "1000000000000000000"];
        vec![run(folder, &[&["generate", "s"], &size[..]].concat())]
    }),
    ("the system refused the threads of the command", |folder| {
        // Each asks for a stack that no address space holds.
        let mut command = command(folder, &["stats", "s"]);
        vec![command.env("RUST_MIN_STACK", (1_u64 << 46).to_string()).output().expect("the command starts")]
    }),
    ("a named pipe was in the place of a model or of a file of an export", |folder| {
        lamps(folder);
        let made =
            Command::new("mkfifo").arg(folder.join("pipe")).status().expect("there is a mkfifo command");
        assert!(made.success());
        vec![run(folder, &["import", "s", "--model", "pipe"])]
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
    ("a training ended with embeddings that are all alike", |folder| {
        let edges: Vec<String> = (0..120).map(|lamp| format!("{},{lamp}", lamp / 6)).collect();
        let nodes: Vec<String> = (0..120).map(|lamp| format!("{lamp},same")).collect();
        write(folder, "edges.csv", format!("room,lamp\n{}\n", edges.join("\n")));
        write(folder, "nodes.csv", format!("key,tag\n{}\n", nodes.join("\n")));
        ok(folder, &["import", "s", "--edges", "edges.csv"]);
        ok(folder, &["import", "s", "--nodes", "nodes.csv", "--kind", "lamp", "--tokens", "tag"]);
        vec![run(folder, &["train", "s", "--target", "lamp", "--ids", "off", "--dim", "4", "--epochs", "1"])]
    }),
    ("Ctrl-C was pressed during training", interrupt),
    ("a command of the console was misspelt", |folder| in_console(folder, &[".hlep"])),
    ("a command in a file of commands failed", |folder| {
        write(folder, "commands", "stats\nneighbors lamp:none\n");
        in_console(folder, &[".read commands"])
    }),
    ("a quote in a file of commands was not closed within a megabyte", |folder| {
        write(folder, "commands", format!("link '{}", "lamp:a\n".repeat(200_000)));
        in_console(folder, &[".read commands"])
    }),
    ("results, or metrics of a training, were to go to a file that is there", |folder| {
        let train = ["train", "s", "--target", "lamp", "--metrics", "lamps.csv"];
        [in_console(folder, &[".output lamps.csv"]), vec![run(folder, &train)]].concat()
    }),
    ("a second training was begun beside a job that trains", |folder| {
        let train = "train --target lamp --dim 4 --epochs 1000000 --patience 0 &";
        in_console(folder, &[train, "train --target lamp"])
    }),
    ("a job was named that there is not", |folder| in_console(folder, &["wait 1"])),
];
