//! Tests of import, training and evaluation on real data sets. `cargo test --workspace` leaves them out, since they take
//! minutes.
//!
//! `cargo test --release -p hedgerow-cli --test data -- --nocapture` reads the data sets from `../shared/data` beside the
//! checkout, and prints the names of those that are absent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The folder of a data set. `None`, with a message, where it is absent.
fn data(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the cli folder has a parent");
    let folder = root.join("../shared/data").join(name);
    let found = folder.is_dir().then_some(folder);
    if found.is_none() {
        eprintln!("skipped: no data set {name} beside the checkout");
    }
    found
}

/// Runs the command in a folder, and returns its JSON lines.
fn hedgerow(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_hedgerow"))
        .current_dir(folder)
        .args(arguments)
        .args(["--output", "jsonl", "--quiet"])
        .output()
        .expect("the command starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn path(folder: &Path, file: &str) -> String {
    folder.join(file).display().to_string()
}

#[test]
fn recommendations_for_gowalla_reach_their_recall_with_the_default_options() {
    let Some(from) = data("gowalla-recommend") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (edges, test) = (path(&from, "train.txt"), path(&from, "test.txt"));
    let import =
        ["import", "s", "--edges", &edges, "--format", "adjacency", "--src", "user", "--dst", "item"];
    let imported = hedgerow(folder.path(), &import);
    assert_eq!(imported[0]["edges"], 810_128);
    hedgerow(folder.path(), &["train", "s", "--target", "item"]);
    let quality = hedgerow(folder.path(), &["eval", "s", "--task", "recommend", "--test", &test, "-k", "20"]);
    eprintln!("gowalla-recommend: {}", quality[0]);
    assert!(quality[0]["recall@20"].as_f64().expect("a number") >= 0.178);
    assert!(quality[0]["ndcg@20"].as_f64().expect("a number") >= 0.149);
}

/// Imports a graph of boards and pins, trains with the default options, and evaluates related pins. Each figure must be above
/// its floor, which is the figure of the first prototype.
fn related_pins_are_found(name: &str, floors: [f64; 4]) {
    let Some(from) = data(name) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (edges, pairs) = (path(&from, "graph.txt"), path(&from, "pairs.tsv"));
    hedgerow(
        folder.path(),
        &["import", "s", "--edges", &edges, "--format", "adjacency", "--src", "board", "--dst", "pin"],
    );
    hedgerow(folder.path(), &["train", "s", "--target", "pin"]);
    let found = hedgerow(folder.path(), &["eval", "s", "--task", "related", "--pairs", &pairs]);
    eprintln!("{name}: {}", found[0]);
    for (figure, floor) in ["hr@10", "hr@100", "hr@500", "mrr100"].into_iter().zip(floors) {
        assert!(found[0][figure].as_f64().expect("a number") > floor, "{figure} of {name}: {}", found[0]);
    }
}

#[test]
fn related_pins_of_gowalla_are_found() {
    related_pins_are_found("gowalla-related", [0.0758, 0.3748, 0.7214, 0.5281]);
}

#[test]
fn related_pins_of_pinterest_are_found() {
    related_pins_are_found("pinterest-related", [0.0744, 0.4534, 0.8828, 0.6292]);
}

/// The expected answers have no edges, so only their tags can lead to them. The query items have tags and edges.
#[test]
fn cold_items_are_found_by_their_tags() {
    let Some(from) = data("beauty-cold") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (items, edges, pairs) =
        (path(&from, "items.csv"), path(&from, "graph.txt"), path(&from, "pairs.tsv"));
    hedgerow(folder.path(), &["import", "s", "--nodes", &items, "--kind", "item", "--tokens", "tag"]);
    hedgerow(
        folder.path(),
        &["import", "s", "--edges", &edges, "--format", "adjacency", "--src", "user", "--dst", "item"],
    );
    hedgerow(folder.path(), &["train", "s", "--target", "item"]);
    let found = hedgerow(folder.path(), &["eval", "s", "--task", "related", "--pairs", &pairs]);
    eprintln!("beauty-cold: {}", found[0]);
    for (figure, floor) in [("hr@10", 0.1089), ("hr@100", 0.2927), ("hr@500", 0.4220)] {
        assert!(found[0][figure].as_f64().expect("a number") > floor, "{figure}: {}", found[0]);
    }
}

/// The ten films most similar to a film include its sequels.
#[test]
fn films_are_similar_to_their_sequels() {
    let Some(from) = data("movielens-small") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (movies, ratings) = (path(&from, "movies.csv"), path(&from, "ratings.csv"));
    let nodes = ["import", "s", "--nodes", &movies, "--kind", "movie", "--tokens", "title,genres"];
    assert_eq!(hedgerow(folder.path(), &nodes)[0]["nodes"], 9742);
    let edges = ["import", "s", "--edges", &ratings, "--src", "user", "--dst", "movie"];
    assert_eq!(hedgerow(folder.path(), &edges)[0]["edges"], 100_836);
    hedgerow(folder.path(), &["train", "s", "--target", "movie"]);
    // A film and two of its sequels: Toy Story, Star Wars, The Lord of the Rings.
    for (film, sequels) in [("1", ["3114", "78499"]), ("260", ["1196", "1210"]), ("4993", ["5952", "7153"])] {
        let node = format!("movie:{film}");
        let similar = hedgerow(folder.path(), &["similar", "s", &node, "-k", "10"]);
        let named: Vec<&str> = similar.iter().filter_map(|row| row["node"].as_str()).collect();
        eprintln!("{node}: {}", named.join(" "));
        assert_eq!(named.len(), 10);
        for sequel in sequels {
            assert!(named.contains(&format!("movie:{sequel}").as_str()), "{node}: no {sequel} in {named:?}");
        }
    }
}

/// All additions and removals of real playlists are applied with refreshes, and compared with a rebuild at ten random points
/// and at the end.
#[test]
fn refreshes_along_the_playlist_stream_give_the_bytes_of_a_rebuild() {
    const TRAINED_ON: usize = 30_000;
    let Some(from) = data("playlist-stream") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let events = fs::read_to_string(from.join("events.csv")).expect("the events");
    let lines: Vec<&str> = events.lines().collect();
    // Draw ten points behind the events of the training.
    let mut random = 1u64;
    let mut points: Vec<usize> = std::iter::repeat_with(|| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        TRAINED_ON + (random >> 33) as usize % (lines.len() - TRAINED_ON)
    })
    .take(10)
    .chain([lines.len()])
    .collect();
    points.sort_unstable();
    // Train on the first events.
    fs::write(folder.path().join("first.csv"), lines[..TRAINED_ON].join("\n")).expect("written");
    hedgerow(folder.path(), &["apply", "s", "first.csv", "--refresh", "none"]);
    hedgerow(folder.path(), &["train", "s", "--target", "track", "--epochs", "1"]);
    // Apply the events up to each point, and compare the stored rows with those of a rebuild.
    let mut start = TRAINED_ON;
    for (end, batch) in points.into_iter().zip(["100", "1000", "500"].into_iter().cycle()) {
        fs::write(folder.path().join("rest.csv"), lines[start..end].join("\n")).expect("written");
        let apply = ["apply", "s", "rest.csv", "--batch", batch, "--refresh", "eager"];
        assert!(!hedgerow(folder.path(), &apply).is_empty() || start == end);
        let verified = hedgerow(folder.path(), &["refresh", "s", "--full", "--verify"]);
        assert_eq!(verified[0]["differed"], false, "after event {end}");
        println!("playlist-stream: equal after event {end}, batches of {batch}");
        start = end;
    }
}
