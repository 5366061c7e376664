//! A process that commits, refreshes, publishes and trains without pause, and the expected content of each epoch.
//!
//! Batch n makes epoch n. It adds the node `event:n` with a token and two numbers that are n and -n, and three edges from the
//! node to pins. So the epoch of a snapshot determines its whole content.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hedgerow::{
    Batch, CancelToken, Edge, Engine, Error, NodeRef, Query, RelationIx, Snapshot, Store, TrainOptions,
    WalkOptions,
};

/// The number of pins. All are added in the first epoch.
const PINS: u64 = 300;
/// The number of epochs before the first model.
const FIRST_EPOCHS: u64 = 200;
/// The pause between commits. It keeps the store of a long run small enough to be published often.
const PAUSE: Duration = Duration::from_millis(10);
/// The number of publications from one training to the next.
const PUBLICATIONS_PER_TRAINING: u64 = 60;
/// The number of newest events that a check compares. It also compares about as many older ones.
const SAMPLE: u64 = 16;
const DENSE_BLOCK: &str = "number";

/// The environment variable with the role of a process of this binary.
pub(crate) const ROLE: &str = "HEDGEROW_TORTURE_ROLE";
/// The environment variable with the path of its store.
pub(crate) const STORE: &str = "HEDGEROW_TORTURE_STORE";

/// The store of this process, if it was started with the role `name`.
pub(crate) fn role(name: &str) -> Option<PathBuf> {
    let has_role = std::env::var(ROLE).is_ok_and(|role| role == name);
    has_role.then(|| PathBuf::from(std::env::var_os(STORE).expect("a role comes with a store")))
}

/// Prints a line for the process that started this one.
pub(crate) fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent listens");
}

/// Calls `stop` when standard input ends. The parent closes it to stop this process.
pub(crate) fn on_end_of_input(stop: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let mut line = String::new();
        while std::io::stdin().lock().read_line(&mut line).is_ok_and(|read| read > 0) {}
        stop();
    });
}

/// Three pins for an event, which may be equal.
fn pins(event: u64) -> [String; 3] {
    [event, event / 3 + 100, event * 7 + 200].map(|pin| (pin % 100 + (pin / 100 % 3) * 100).to_string())
}

/// Three different pins for an event.
fn linked_pins(event: u64) -> [String; 3] {
    let mut ends = pins(event);
    // The remainder of each key by 3 is its position, so the three keys differ.
    for (at, end) in ends.iter_mut().enumerate() {
        let pin: u64 = end.parse().expect("a number");
        *end = (pin / 3 * 3 + at as u64).to_string();
    }
    ends
}

/// The batch of an epoch.
fn batch(event: u64) -> Result<Batch, Error> {
    let mut batch = Batch::new();
    if event == 1 {
        for pin in 0..PINS {
            batch.add_node(NodeRef { kind: "pin", key: &pin.to_string() })?;
        }
    }
    let key = event.to_string();
    let node = NodeRef { kind: "event", key: &key };
    batch.set_tokens(node, &[format!("number={event}")])?;
    batch.set_dense(node, DENSE_BLOCK, &[event as f32, -(event as f32)])?;
    for pin in linked_pins(event) {
        batch.link(node, NodeRef { kind: "pin", key: &pin }, Edge::default())?;
    }
    Ok(batch)
}

/// Compares a snapshot with the content of its epoch. A difference is returned as text.
pub(crate) fn check_snapshot(snapshot: &Snapshot, thorough: bool) -> Option<String> {
    let epoch = snapshot.epoch().get();
    let (nodes, edges) = counts(epoch);
    let found: u64 = (0..snapshot.relation_count())
        .map(|relation| snapshot.edge_count(RelationIx::new(relation as u16)))
        .sum();
    if (snapshot.node_count(), found) != (nodes, edges) {
        let count = snapshot.node_count();
        return Some(format!("epoch {epoch} has {count} nodes and {found} edges, not {nodes} and {edges}"));
    }
    let newest = epoch.saturating_sub(SAMPLE)..=epoch;
    let step = if thorough { 1 } else { (epoch / SAMPLE).max(1) as usize };
    let mut events = (1..=epoch).step_by(step).chain(newest.filter(|&event| event > 0));
    events.find_map(|event| check_event(snapshot, event)).map(|what| format!("epoch {epoch}: {what}"))
}

/// The numbers of nodes and edges of an epoch.
pub(crate) fn counts(epoch: u64) -> (u64, u64) {
    (if epoch == 0 { 0 } else { PINS + epoch }, 3 * epoch)
}

/// Compares one event with its expected features and edges.
fn check_event(snapshot: &Snapshot, event: u64) -> Option<String> {
    let key = event.to_string();
    let Some(node) = snapshot.lookup(NodeRef { kind: "event", key: &key }) else {
        return Some(format!("event {event} is missing"));
    };
    let numbers = [event as f32, -(event as f32)];
    if snapshot.tokens(node) != [format!("number={event}")]
        || snapshot.dense(node, DENSE_BLOCK) != Some(&numbers[..])
    {
        return Some(format!("event {event} has other features"));
    }
    let mut found: Vec<String> = (0..snapshot.relation_count())
        .flat_map(|relation| snapshot.list(RelationIx::new(relation as u16), node).neighbors())
        .map(|pin| snapshot.name(pin).key)
        .collect();
    let mut expected = linked_pins(event);
    found.sort();
    expected.sort();
    (found != expected).then(|| format!("event {event} is linked to {found:?}, not {expected:?}"))
}

fn options(seed: u64) -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        epochs: 1,
        pairs_per_epoch: 500,
        seed,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        ..TrainOptions::default()
    }
}

/// A line with the generation, epoch and digest of the embeddings. Readers must find only lines that the publisher printed.
pub(crate) fn digest_line(engine: &Engine) -> Result<String, Error> {
    let digest = engine.digest(&CancelToken::new())?;
    Ok(format!("digest {} {} {}", digest.generation.get(), digest.epoch.get(), digest.digest))
}

/// The process of the writer, with threads that read its snapshots.
#[test]
fn publisher_process() {
    let Some(path) = role("publisher") else { return };
    let published = publish(&path);
    published.unwrap_or_else(|error| panic!("the publisher failed: {error}"));
}

/// Trains a first model, then commits, publishes and reads in threads until the parent stops the process.
fn publish(path: &Path) -> Result<(), Error> {
    let store = Arc::new(Store::options().create(true).open(path)?);
    for event in 1..=FIRST_EPOCHS {
        store.commit(&batch(event)?)?;
    }
    let engine = Engine::open(Arc::clone(&store))?;
    engine.training(&options(1)).run(&CancelToken::new())?;
    print_line(&digest_line(&engine)?);
    print_line("ready");
    // The threads run until standard input ends or one of them fails.
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    on_end_of_input(move || stop.store(true, Ordering::Relaxed));
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        let stopped = &*stopped;
        let failed = &failed;
        let record_failure = move |what: &str, result: Result<(), String>| {
            if let Err(error) = result {
                stopped.store(true, Ordering::Relaxed);
                failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(format!("{what}: {error}"));
            }
        };
        let (engine, store) = (&engine, &*store);
        scope.spawn(move || {
            record_failure("commits", commit_until_stopped(store, stopped).map_err(|e| e.to_string()));
        });
        scope.spawn(move || {
            record_failure("publications", publish_until_stopped(engine, stopped).map_err(|e| e.to_string()));
        });
        for _ in 0..2 {
            scope.spawn(move || record_failure("snapshots", read_until_stopped(engine, stopped)));
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(failed, None, "a thread of the publisher failed");
    Ok(())
}

fn commit_until_stopped(store: &Store, stopped: &AtomicBool) -> Result<(), Error> {
    let mut event = FIRST_EPOCHS;
    while !stopped.load(Ordering::Relaxed) {
        event += 1;
        store.commit(&batch(event)?)?;
        std::thread::sleep(PAUSE);
    }
    print_line(&format!("committed {}", event - FIRST_EPOCHS));
    Ok(())
}

fn publish_until_stopped(engine: &Engine, stopped: &AtomicBool) -> Result<(), Error> {
    let mut published = 0;
    while !stopped.load(Ordering::Relaxed) {
        published += 1;
        if published % PUBLICATIONS_PER_TRAINING == 0 {
            engine.training(&options(published)).run(&CancelToken::new())?;
        } else {
            engine.refresh(false, &CancelToken::new())?;
        }
        print_line(&digest_line(engine)?);
        engine.persist(&CancelToken::new())?;
    }
    print_line(&format!("published {published}"));
    Ok(())
}

/// Takes snapshots and keeps up to eight of them. No snapshot changes, and no answer is newer than the store.
fn read_until_stopped(engine: &Engine, stopped: &AtomicBool) -> Result<(), String> {
    let mut snapshots: BTreeMap<u64, Snapshot> = BTreeMap::new();
    let mut checked = 0_u64;
    while !stopped.load(Ordering::Relaxed) {
        let snapshot = engine.store().snapshot();
        let epoch = snapshot.epoch().get();
        snapshots.insert(epoch, snapshot);
        for snapshot in snapshots.values() {
            check_snapshot(snapshot, false).map_or(Ok(()), Err)?;
            checked += 1;
        }
        if snapshots.len() > 8 {
            // The dropped snapshot is chosen at random, so some are kept for long.
            let gone = snapshots.keys().copied().nth(checked as usize % snapshots.len()).unwrap_or(epoch);
            snapshots.remove(&gone);
        }
        let pin = NodeRef { kind: "pin", key: "7" };
        let ranked = engine
            .similar(pin, &Query { k: 10, ..Query::default() }, &CancelToken::new())
            .map_err(|e| e.to_string())?;
        let now = engine.store().snapshot().epoch();
        if ranked.epoch > now || ranked.items.len() != 10 {
            return Err(format!(
                "an answer of epoch {} with {} items at {now}",
                ranked.epoch,
                ranked.items.len()
            ));
        }
    }
    print_line(&format!("checked {checked}"));
    Ok(())
}
