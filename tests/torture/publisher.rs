//! A process that commits, refreshes, publishes and trains without rest, and what every epoch of its store must hold.
//!
//! Batch n is one epoch: it adds the node `event:n`, which has a word and two numbers that say n, and three edges from it to
//! pins. So the epoch of a snapshot says everything that is in it.

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

/// Pins that events are linked to, all of them in the first epoch.
const PINS: u64 = 300;
/// Epochs before the first model.
const BEFORE: u64 = 200;
/// A commit every so often, so that the store of a long run stays small enough to be published often.
const PAUSE: Duration = Duration::from_millis(10);
/// Publications between two trainings.
const TRAINING: u64 = 60;
/// Events that are looked at one by one, beside the newest.
const SAMPLE: u64 = 16;
const BLOCK: &str = "number";

/// Tells the other process of this binary what it is to be.
pub(crate) const ROLE: &str = "HEDGEROW_TORTURE_ROLE";
pub(crate) const STORE: &str = "HEDGEROW_TORTURE_STORE";

/// The store of a process that was started with a role.
pub(crate) fn role(name: &str) -> Option<PathBuf> {
    let is_it = std::env::var(ROLE).is_ok_and(|role| role == name);
    is_it.then(|| PathBuf::from(std::env::var_os(STORE).expect("a role comes with a store")))
}

/// A line for the process that started this one.
pub(crate) fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent listens");
}

/// Until standard input ends, which is how the parent says that it is enough.
pub(crate) fn on_end_of_input(stop: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let mut line = String::new();
        while std::io::stdin().lock().read_line(&mut line).is_ok_and(|read| read > 0) {}
        stop();
    });
}

fn pins(event: u64) -> [String; 3] {
    [event, event / 3 + 100, event * 7 + 200].map(|pin| (pin % 100 + (pin / 100 % 3) * 100).to_string())
}

fn ends(event: u64) -> [String; 3] {
    let mut ends = pins(event);
    // Three different ones, whatever the event.
    for (at, end) in ends.iter_mut().enumerate() {
        let pin: u64 = end.parse().expect("a number");
        *end = (pin / 3 * 3 + at as u64).to_string();
    }
    ends
}

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
    batch.set_dense(node, BLOCK, &[event as f32, -(event as f32)])?;
    for pin in ends(event) {
        batch.link(node, NodeRef { kind: "pin", key: &pin }, Edge::default())?;
    }
    Ok(batch)
}

/// What is wrong with a snapshot, if anything is.
pub(crate) fn wrong(snapshot: &Snapshot, thorough: bool) -> Option<String> {
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
    events.find_map(|event| wrong_event(snapshot, event)).map(|what| format!("epoch {epoch}: {what}"))
}

/// Nodes and edges of an epoch.
pub(crate) fn counts(epoch: u64) -> (u64, u64) {
    (if epoch == 0 { 0 } else { PINS + epoch }, 3 * epoch)
}

fn wrong_event(snapshot: &Snapshot, event: u64) -> Option<String> {
    let key = event.to_string();
    let Some(node) = snapshot.lookup(NodeRef { kind: "event", key: &key }) else {
        return Some(format!("event {event} is missing"));
    };
    let numbers = [event as f32, -(event as f32)];
    if snapshot.tokens(node) != [format!("number={event}")]
        || snapshot.dense(node, BLOCK) != Some(&numbers[..])
    {
        return Some(format!("event {event} has other features"));
    }
    let mut found: Vec<String> = (0..snapshot.relation_count())
        .flat_map(|relation| snapshot.list(RelationIx::new(relation as u16), node).neighbors())
        .map(|pin| snapshot.name(pin).key)
        .collect();
    let mut expected = ends(event);
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

/// What the embeddings are, in a line: readers must find one of those that were told.
pub(crate) fn digest(engine: &Engine) -> Result<String, Error> {
    let digest = engine.digest(&CancelToken::new())?;
    Ok(format!("digest {} {} {}", digest.generation.get(), digest.epoch.get(), digest.digest))
}

/// The writer, and readers of its snapshots in its own process.
#[test]
fn publisher_process() {
    let Some(path) = role("publisher") else { return };
    let published = publish(&path);
    published.unwrap_or_else(|error| panic!("the publisher failed: {error}"));
}

fn publish(path: &Path) -> Result<(), Error> {
    let store = Arc::new(Store::options().create(true).open(path)?);
    for event in 1..=BEFORE {
        store.commit(&batch(event)?)?;
    }
    let engine = Engine::open(Arc::clone(&store))?;
    engine.training(&options(1)).run(&CancelToken::new())?;
    tell(&digest(&engine)?);
    tell("ready");
    let enough = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&enough);
    on_end_of_input(move || stop.store(true, Ordering::Relaxed));
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        let enough = &*enough;
        let failed = &failed;
        let watched = move |what: &str, result: Result<(), String>| {
            if let Err(error) = result {
                enough.store(true, Ordering::Relaxed);
                failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(format!("{what}: {error}"));
            }
        };
        let (engine, store) = (&engine, &*store);
        scope.spawn(move || watched("commits", committing(store, enough).map_err(|e| e.to_string())));
        scope.spawn(move || watched("publications", publishing(engine, enough).map_err(|e| e.to_string())));
        for _ in 0..2 {
            scope.spawn(move || watched("snapshots", holding(engine, enough)));
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(failed, None, "nothing fails beside a publisher");
    Ok(())
}

fn committing(store: &Store, enough: &AtomicBool) -> Result<(), Error> {
    let mut event = BEFORE;
    while !enough.load(Ordering::Relaxed) {
        event += 1;
        store.commit(&batch(event)?)?;
        std::thread::sleep(PAUSE);
    }
    tell(&format!("committed {}", event - BEFORE));
    Ok(())
}

fn publishing(engine: &Engine, enough: &AtomicBool) -> Result<(), Error> {
    let mut published = 0;
    while !enough.load(Ordering::Relaxed) {
        published += 1;
        if published % TRAINING == 0 {
            engine.training(&options(published)).run(&CancelToken::new())?;
        } else {
            engine.refresh(false, &CancelToken::new())?;
        }
        tell(&digest(engine)?);
        engine.persist(&CancelToken::new())?;
    }
    tell(&format!("published {published}"));
    Ok(())
}

/// Takes snapshots and holds on to some; each stays what it was, and answers are of an epoch that was there.
fn holding(engine: &Engine, enough: &AtomicBool) -> Result<(), String> {
    let mut held: BTreeMap<u64, Snapshot> = BTreeMap::new();
    let mut looked = 0_u64;
    while !enough.load(Ordering::Relaxed) {
        let snapshot = engine.store().snapshot();
        let epoch = snapshot.epoch().get();
        held.insert(epoch, snapshot);
        for snapshot in held.values() {
            wrong(snapshot, false).map_or(Ok(()), Err)?;
            looked += 1;
        }
        if held.len() > 8 {
            // Some are held for long, some not.
            let gone = held.keys().copied().nth(looked as usize % held.len()).unwrap_or(epoch);
            held.remove(&gone);
        }
        let pin = NodeRef { kind: "pin", key: "7" };
        let ranked = engine.similar(pin, &Query { k: 10, ..Query::default() }).map_err(|e| e.to_string())?;
        let now = engine.store().snapshot().epoch();
        if ranked.epoch > now || ranked.items.len() != 10 {
            return Err(format!(
                "an answer of epoch {} with {} items at {now}",
                ranked.epoch,
                ranked.items.len()
            ));
        }
    }
    tell(&format!("looked {looked}"));
    Ok(())
}
