//! A nightly job: it reads the day's events from two files, trains, and writes recommendations for every user.
//!
//! The job may be stopped at any time, by Ctrl-C or by a power cut. The last night's answers stay until the new ones are
//! complete, and the next run continues where this one stopped.
//!
//! - `cargo run --example nightly` runs two nights in a temporary folder.
//! - `cargo run --example nightly -- FOLDER` runs one night in a folder of yours. Each line of `edges.tsv` has a user and an
//!   item, and each line of `items.tsv` has an item and its tokens. Fields are separated by a tab, tokens by commas.

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

/// Recommended items for each user.
const K: usize = 10;
/// Users that are answered in one call.
const USERS_AT_ONCE: usize = 256;
/// Lines of a batch. A batch commits its lines together with the offset after them, so no line is applied twice.
const BATCH_LINES: usize = 10_000;
/// The input file, which is also the name under which the store keeps its offset.
const EDGES: &str = "edges.tsv";

/// The result of a night.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Night {
    /// The number of new edges.
    pub(crate) edges: u64,
    /// `true` if the training started from the last night's model.
    pub(crate) warm: bool,
    /// The number of answered users.
    pub(crate) users: usize,
}

/// Runs one night: reads `edges.tsv` and `items.tsv`, and writes `answers.jsonl`. The store is in the same folder.
pub(crate) fn night(folder: &Path, cancel: &CancelToken) -> Result<Night, Box<dyn Error>> {
    // 1. Read the events: all of them in the first night, later only the new ones.
    let store = Arc::new(Store::options().create(true).cancel(cancel).open(folder.join("store"))?);
    let edges = if store.snapshot().node_count() == 0 {
        load_all(&store, folder, cancel)?
    } else {
        apply_new_lines(&store, folder, cancel)?
    };
    set_tokens(&store, folder)?;
    store.checkpoint_if_worthwhile(cancel)?;

    // 2. Train. After the first night the training starts from the last model, and one epoch is enough.
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
    // An interrupted training resumes from its last whole epoch, provided that the graph has not changed.
    let unfinished = engine.unfinished_training()?.filter(|run| run.graph == store.snapshot().epoch());
    let training = if unfinished.is_some() { engine.resuming(0) } else { engine.training(&options) };
    if training.run(cancel)?.cancelled {
        return Err("stopped; the next run resumes the training".into());
    }
    // 3. Write the answers.
    Ok(Night { edges, warm, users: write_answers(&engine, folder, cancel)? })
}

/// Loads the whole file in the first night. A bulk load into an empty store writes no log, so it is the fastest way.
fn load_all(store: &Store, folder: &Path, cancel: &CancelToken) -> Result<u64, Box<dyn Error>> {
    let (mut edges, mut read) = (EdgeBuffer::new(), 0);
    let mut lines = BufReader::new(File::open(folder.join(EDGES))?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let (user, item) = fields(&line)?;
        edges.link(("user", user), ("item", item), Edge::default())?;
        read += line.len() as u64;
        line.clear();
    }
    let mut load = BulkLoad::new();
    load.links(&edges)?;
    let loaded = store.load(load, cancel)?;
    // The offset is committed after the load. If the job stops between them, the next run applies the same lines again, which
    // changes nothing.
    let mut batch = Batch::new();
    batch.set_position(EDGES, Position::from(read))?;
    store.commit(&batch)?;
    Ok(loaded.edges_added)
}

/// Applies the lines after the stored offset in a later night.
fn apply_new_lines(store: &Store, folder: &Path, cancel: &CancelToken) -> Result<u64, Box<dyn Error>> {
    use std::io::{Seek, SeekFrom};

    let mut offset = store.position(EDGES).unwrap_or_default().offset;
    let mut file = File::open(folder.join(EDGES))?;
    let all = file.metadata()?.len() - offset;
    file.seek(SeekFrom::Start(offset))?;
    let (mut lines, mut line) = (BufReader::new(file), String::new());
    let (mut batch, mut added) = (Batch::new(), 0);
    let stage = cancel.stage("edges", all);
    loop {
        let read = lines.read_line(&mut line)?;
        if read > 0 {
            let (user, item) = fields(&line)?;
            batch.link(("user", user), ("item", item), Edge::default())?;
            offset += read as u64;
            stage.advance(read as u64)?;
        }
        if batch.len() == BATCH_LINES || read == 0 && !batch.is_empty() {
            batch.set_position(EDGES, Position::from(offset))?;
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

/// Sets the tokens of all items. Unchanged tokens make no node dirty.
fn set_tokens(store: &Store, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut batch = Batch::new();
    for line in BufReader::new(File::open(folder.join("items.tsv"))?).lines() {
        let line = line?;
        let (item, tokens) = fields(&line)?;
        batch.set_tokens(("item", item), &tokens.split(',').collect::<Vec<_>>())?;
    }
    store.commit(&batch)?;
    Ok(())
}

/// The two fields of a line, separated by a tab.
fn fields(line: &str) -> Result<(&str, &str), String> {
    line.trim_end().split_once('\t').ok_or_else(|| format!("{line:?} has no tab"))
}

/// Writes the answers of all users to a temporary file, and renames it when it is complete and on disk.
fn write_answers(engine: &Engine, folder: &Path, cancel: &CancelToken) -> Result<usize, Box<dyn Error>> {
    let graph = engine.store().snapshot();
    let kind = graph.kind_ix("user").ok_or("there are no users")?;
    let mut users: Vec<NodeName> = graph.nodes_of(kind).map(|user| graph.name(user)).collect();
    users.sort();
    let query = Query { k: K, ..Query::default() };
    // A recommender answers all users from the same embeddings, also when a refresh runs meanwhile.
    let recommender = engine.recommender(&query)?;
    let unfinished = folder.join("answers.jsonl.unfinished");
    let mut out = BufWriter::new(File::create(&unfinished)?);
    let stage = cancel.stage("answers", users.len() as u64);
    for users in users.chunks(USERS_AT_ONCE) {
        let recipients: Vec<Recipient> = users.iter().cloned().map(Recipient::Node).collect();
        for (user, ranked) in users.iter().zip(recommender.recommend(&recipients, cancel)?) {
            let ranked = ranked?;
            let items: Vec<&str> = ranked.items.iter().map(|item| item.node.key.as_str()).collect();
            writeln!(out, "{}", json!({ "user": user.key, "epoch": ranked.epoch.get(), "items": items }))?;
        }
        stage.advance(users.len() as u64)?;
    }
    // The rename is durable after the folder is synced.
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(unfinished, folder.join("answers.jsonl"))?;
    File::open(folder)?.sync_all()?;
    stage.end();
    Ok(users.len())
}

/// Appends the events of some days to the input: users of four tastes choose items, mostly of their own taste.
pub(crate) fn write_days(folder: &Path, days: std::ops::Range<usize>) -> std::io::Result<()> {
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

#[cfg_attr(test, expect(dead_code, reason = "the test calls `night` itself"))]
fn main() -> Result<(), Box<dyn Error>> {
    // Ctrl-C cancels the job. The observer prints each finished stage.
    let cancel = CancelToken::new();
    let canceller = cancel.clone();
    ctrlc::set_handler(move || canceller.cancel())?;
    let observed = cancel.observed(|progress| {
        if progress.done == progress.of {
            println!("  {}: {}", progress.stage, progress.of);
        }
    });
    if let Some(folder) = std::env::args_os().nth(1) {
        print(&night(&PathBuf::from(folder), &observed)?);
        return Ok(());
    }
    // Without a folder: two nights with generated events.
    let folder = tempfile::tempdir()?;
    for days in [0..1, 1..2] {
        write_days(folder.path(), days)?;
        print(&night(folder.path(), &observed)?);
    }
    let answers = fs::read_to_string(folder.path().join("answers.jsonl"))?;
    println!("{}", answers.lines().take(3).collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn print(night: &Night) {
    let Night { edges, warm, users } = night;
    println!(
        "{edges} new edges, {} start, answers for {users} users",
        if *warm { "a warm" } else { "a cold" }
    );
}
