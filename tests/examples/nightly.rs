//! A host that works at night: it takes in what the day has brought from two files, trains, and writes for every user what
//! to show tomorrow. Whatever stops it, a Ctrl-C or a power cut, yesterday's answers stay until today's are whole, and the
//! next run goes on where this one was.
//!
//! `cargo run --example nightly` makes two nights in a temporary folder, and `cargo run --example nightly -- FOLDER` one in a
//! folder of yours that holds `edges.tsv`, a user and an item a line, and `items.tsv`, an item and its tokens.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hedgerow::{
    Batch, BulkLoad, CancelToken, Edge, EdgeBuffer, Engine, NodeName, Position, Query, Recipient, Store,
    TrainOptions, WalkOptions,
};
use serde_json::json;

/// Answers for each user.
const K: usize = 10;
/// Users that are answered together.
const TOGETHER: usize = 256;
/// Lines of a batch: all of them are durable with the place in the file behind them, or none.
const LINES: usize = 10_000;
/// What the place in `edges.tsv` is kept under.
const EDGES: &str = "edges.tsv";

/// What a night came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Night {
    /// Edges that were new.
    pub(crate) edges: u64,
    /// Whether the model went on from that of the night before.
    pub(crate) warm: bool,
    /// Users that have an answer.
    pub(crate) users: usize,
}

/// One night in a folder: `edges.tsv` and `items.tsv` in, `answers.jsonl` out, the store beside them.
pub(crate) fn night(folder: &Path, cancel: &CancelToken) -> Result<Night, Box<dyn Error>> {
    let store = Arc::new(Store::options().create(true).cancel(cancel).open(folder.join("store"))?);
    let edges = if store.snapshot().node_count() == 0 {
        found(&store, folder, cancel)?
    } else {
        follow(&store, folder, cancel)?
    };
    describe(&store, folder)?;
    store.checkpoint_if_worthwhile(cancel)?;

    let engine = Engine::open_with(Arc::clone(&store), cancel)?;
    let warm = engine.status().generation.is_some();
    let options = TrainOptions {
        dim: 16,
        epochs: if warm { 1 } else { 3 },
        pairs_per_epoch: 20_000,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        warm,
        ..TrainOptions::new(["item"])
    };
    // A run that was stopped goes on from its last whole epoch where the graph is still the one that it saw.
    let unfinished = engine.unfinished_training()?.filter(|run| run.graph == store.snapshot().epoch());
    let training = if unfinished.is_some() { engine.resuming(0) } else { engine.training(&options) };
    if training.run(cancel)?.cancelled {
        return Err("stopped; the whole epochs are kept for the next run".into());
    }
    Ok(Night { edges, warm, users: answer(&engine, folder, cancel)? })
}

/// The first night: the whole file as one load, without the log, as fast as the disk takes it.
fn found(store: &Store, folder: &Path, cancel: &CancelToken) -> Result<u64, Box<dyn Error>> {
    let (mut links, mut read) = (EdgeBuffer::new(), 0);
    let mut lines = BufReader::new(File::open(folder.join(EDGES))?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let (user, item) = two(&line)?;
        links.link(("user", user), ("item", item), Edge::default())?;
        read += line.len() as u64;
        line.clear();
    }
    let mut load = BulkLoad::new();
    load.links(&links)?;
    let loaded = store.load(load, cancel)?;
    // Taken in again, the same lines would change nothing; so it does no harm that this comes in a batch of its own.
    let mut place = Batch::new();
    place.set_position(EDGES, Position::from(read))?;
    store.commit(&place)?;
    Ok(loaded.edges_added)
}

/// A later night: the lines behind those that were taken in, in batches that carry their place along.
fn follow(store: &Store, folder: &Path, cancel: &CancelToken) -> Result<u64, Box<dyn Error>> {
    use std::io::{Seek, SeekFrom};

    let mut place = store.position(EDGES).unwrap_or_default().offset;
    let mut file = File::open(folder.join(EDGES))?;
    let all = file.metadata()?.len() - place;
    file.seek(SeekFrom::Start(place))?;
    let (mut lines, mut line) = (BufReader::new(file), String::new());
    let (mut batch, mut added) = (Batch::new(), 0);
    let stage = cancel.stage("edges", all);
    loop {
        let read = lines.read_line(&mut line)?;
        if read > 0 {
            let (user, item) = two(&line)?;
            batch.link(("user", user), ("item", item), Edge::default())?;
            place += read as u64;
            stage.advance(read as u64)?;
        }
        if batch.len() == LINES || read == 0 && !batch.is_empty() {
            batch.set_position(EDGES, Position::from(place))?;
            added += store.commit(&batch)?.edges_added;
            batch.clear();
        }
        if read == 0 {
            stage.end();
            return Ok(added);
        }
        line.clear();
    }
}

/// The tokens of all items. Those that are as they were make nothing dirty.
fn describe(store: &Store, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut batch = Batch::new();
    for line in BufReader::new(File::open(folder.join("items.tsv"))?).lines() {
        let line = line?;
        let (item, tokens) = two(&line)?;
        batch.set_tokens(("item", item), &tokens.split(',').collect::<Vec<_>>())?;
    }
    store.commit(&batch)?;
    Ok(())
}

/// The two fields of a line.
fn two(line: &str) -> Result<(&str, &str), String> {
    line.trim_end().split_once('\t').ok_or_else(|| format!("{line:?} has no tab"))
}

/// Writes the answers of all users under another name, and gives the file its own once it is whole and on disk.
fn answer(engine: &Engine, folder: &Path, cancel: &CancelToken) -> Result<usize, Box<dyn Error>> {
    let graph = engine.store().snapshot();
    let kind = graph.kind_ix("user").ok_or("there are no users")?;
    let mut users: Vec<NodeName> = graph.nodes_of(kind).map(|user| graph.name(user)).collect();
    users.sort();
    let query = Query { k: K, ..Query::default() };
    // All users are answered from the same embeddings, whatever is refreshed meanwhile.
    let recommender = engine.recommender(&query)?;
    let unfinished = folder.join("answers.jsonl.unfinished");
    let mut out = BufWriter::new(File::create(&unfinished)?);
    let stage = cancel.stage("answers", users.len() as u64);
    for users in users.chunks(TOGETHER) {
        let audiences: Vec<Recipient> = users.iter().cloned().map(Recipient::Node).collect();
        for (user, ranked) in users.iter().zip(recommender.recommend(&audiences)) {
            let ranked = ranked?;
            let items: Vec<&str> = ranked.items.iter().map(|item| item.node.key.as_str()).collect();
            writeln!(out, "{}", json!({ "user": user.key, "epoch": ranked.epoch.get(), "items": items }))?;
        }
        stage.advance(users.len() as u64)?;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(unfinished, folder.join("answers.jsonl"))?;
    File::open(folder)?.sync_all()?;
    stage.end();
    Ok(users.len())
}

/// What a day brings: users of four tastes take items, mostly of their own.
pub(crate) fn bring(folder: &Path, days: std::ops::Range<usize>) -> std::io::Result<()> {
    let mut edges = File::options().create(true).append(true).open(folder.join(EDGES))?;
    for day in days {
        for at in 0..1500_usize {
            let user = (at * 7 + day) % 120;
            let taste = if at.is_multiple_of(9) { at % 4 } else { user % 4 };
            writeln!(edges, "{user}\t{}", (at * 13 + day * 5) % 60 * 4 + taste)?;
        }
    }
    let mut items = File::create(folder.join("items.tsv"))?;
    (0..240).try_for_each(|item| writeln!(items, "{item}\ttaste={},shelf={}", item % 4, item % 10))
}

#[cfg_attr(test, expect(dead_code, reason = "a test makes its own nights"))]
fn main() -> Result<(), Box<dyn Error>> {
    let cancel = CancelToken::new();
    let remote = cancel.clone();
    ctrlc::set_handler(move || remote.cancel())?;
    let watched = cancel.observed(|at| {
        if at.done == at.of {
            println!("  {}: {}", at.stage, at.of);
        }
    });
    if let Some(folder) = std::env::args_os().nth(1) {
        tell(&night(&PathBuf::from(folder), &watched)?);
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    for days in [0..1, 1..2] {
        bring(folder.path(), days)?;
        tell(&night(folder.path(), &watched)?);
    }
    let answers = fs::read_to_string(folder.path().join("answers.jsonl"))?;
    println!("{}", answers.lines().take(3).collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn tell(night: &Night) {
    let Night { edges, warm, users } = night;
    println!(
        "{edges} new edges, {} start, answers for {users} users",
        if *warm { "a warm" } else { "a cold" }
    );
}
