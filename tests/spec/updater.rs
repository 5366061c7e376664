//! Promise 2: an updater keeps embeddings current in the background, and its embeddings have the bytes of a rebuild.
//!
//! This holds with commits, queries, trainings and failures beside it. The epochs of answers never decrease. The updater
//! ends when it is stopped.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use hedgerow::{
    Batch, CancelToken, Edge, Engine, Epoch, Error, ErrorKind, NewNode, NodeName, NodeRef, Query, Recipient,
    Store, TrainOptions, Update, Updater, UpdaterOptions, UpdaterReport, WalkOptions,
};

use crate::fixtures::graph_model::GraphModel;

/// No commit reaches this age in a test.
const NEVER: Duration = Duration::from_hours(1);

fn engine(path: &Path, first_batch: &Batch) -> Arc<Engine> {
    let store = Arc::new(Store::options().create(true).open(path.join("store")).expect("it opens"));
    store.commit(first_batch).expect("a commit");
    Arc::new(Engine::open(store).expect("the engine opens"))
}

fn train(engine: &Engine) {
    let options = TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        epochs: 2,
        walks: WalkOptions { walks: 24, top: 6, ..WalkOptions::default() },
        batch: 32,
        negatives: 8,
        held_out: 10,
        ..TrainOptions::default()
    };
    engine.training(&options).run(&CancelToken::new()).expect("a training");
}

/// Refreshes as soon as a node is dirty, so that refreshes run beside everything else.
fn without_delay() -> UpdaterOptions {
    UpdaterOptions { max_age: Duration::ZERO, ..UpdaterOptions::default() }
}

/// Refreshes only when `flush` asks for it.
fn on_request() -> UpdaterOptions {
    UpdaterOptions { max_age: NEVER, max_dirty: u64::MAX, ..UpdaterOptions::default() }
}

/// An owned copy of an update that an observer receives.
#[derive(Debug, PartialEq)]
enum Event {
    Refreshed(Epoch),
    Persisted(Epoch),
    Failed(String, u32, Duration),
}

/// An observer that sends each update to a channel.
fn send_to(to: Sender<Event>) -> impl FnMut(&Update<'_>) + Send {
    move |update| {
        let event = match update {
            Update::Refreshed(report) => Event::Refreshed(report.epoch),
            Update::Persisted { epoch } => Event::Persisted(*epoch),
            Update::Failed { error, in_a_row, retry_in } => {
                Event::Failed(error.to_string(), *in_a_row, *retry_in)
            }
            other => panic!("an unknown update: {other:?}"),
        };
        // The test may have dropped its end of the channel.
        let _ = to.send(event);
    }
}

fn next_event(events: &Receiver<Event>) -> Event {
    events.recv().expect("the updater goes on")
}

fn digest(engine: &Engine) -> String {
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

/// Asserts that the present digest is that of a rebuild.
fn assert_equals_rebuild(engine: &Engine) {
    let refreshed = digest(engine);
    engine.refresh(true, &CancelToken::new()).expect("a rebuild");
    assert_eq!(digest(engine), refreshed);
}

fn pin(key: usize) -> NodeName {
    NodeName::new("pin", key.to_string()).expect("a name")
}

/// Asks queries of four kinds until `done`, and returns the number of answers. A query for a pin that is not in the graph,
/// or not embedded yet, has no answer.
fn ask_until_done(done: &AtomicBool, engine: &Engine, pins: usize) -> usize {
    let (mut answers, mut last) = (0, Epoch::new(0));
    for round in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let (node, query) = (pin(round % pins), Query { k: 20, ..Query::default() });
        let before = engine.store().snapshot().epoch();
        let answer = match round % 4 {
            0 => engine
                .similar(node.as_ref(), &query, &CancelToken::new())
                .map(|ranked| (ranked.epoch, ranked.dirty_nodes)),
            1 => engine
                .recommend(&Recipient::History(vec![node]), &query, &CancelToken::new())
                .map(|ranked| (ranked.epoch, ranked.dirty_nodes)),
            2 => engine.embedding(node.as_ref()).map(|found| (found.epoch, found.dirty_nodes)),
            _ => {
                let unseen = NewNode { history: vec![node], ..NewNode::default() };
                engine.embed_new_node(&unseen).map(|found| (found.epoch, found.dirty_nodes))
            }
        };
        let after = engine.store().snapshot().epoch();
        let Ok((epoch, dirty)) = answer else { continue };
        assert!(epoch >= last, "epoch {last}, then {epoch}");
        assert!(epoch <= after, "an answer of epoch {epoch} where the store is at {after}");
        if (before, epoch) == (after, after) {
            assert_eq!(dirty, 0, "dirty nodes without a commit after epoch {epoch}");
        }
        (answers, last) = (answers + 1, epoch);
    }
    answers
}

/// Commits batches and calls `between` after each, while an updater refreshes and two readers ask. Then compares the
/// embeddings with a rebuild.
fn commit_and_compare(
    seed: u64,
    options: &UpdaterOptions,
    mut between: impl FnMut(&Engine, usize),
) -> UpdaterReport {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(seed, 60);
    let engine = engine(folder.path(), &model_graph.initial_batch());
    train(&engine);
    let updater = Updater::start(Arc::clone(&engine), options, |_| {}).expect("an updater");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| ask_until_done(&done, &engine, 60)));
        for round in 0..60 {
            engine.store().commit(&model_graph.batch(6)).expect("a commit");
            between(&engine, round);
        }
        let reached = updater.flush(&CancelToken::new()).expect("a refresh");
        assert_eq!(reached, engine.store().snapshot().epoch());
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().expect("the reader saw nothing wrong") > 0, "no query was answered");
        }
    });
    // The updater has reached the last commit without a failure.
    let status = engine.status();
    assert_eq!((status.embedded, status.dirty_nodes), (Some(status.epoch), 0));
    let report = updater.stop().expect("it ends");
    assert_eq!((report.epoch, report.failures), (status.embedded, 0), "{:?}", report.last_error);
    assert_equals_rebuild(&engine);
    assert_eq!(model_graph.difference(&engine.store().snapshot()), None, "seed {seed}");
    report
}

#[test]
fn beside_commits_and_queries_an_updater_gives_the_bytes_of_a_rebuild() {
    let report = commit_and_compare(31, &without_delay(), |_, _| {});
    assert!(report.refreshes > 0 && report.last.is_some(), "{report:?}");
    let threads = UpdaterOptions { threads: 3, ..without_delay() };
    commit_and_compare(32, &threads, |_, _| {});
}

/// Two trainings, and refreshes by the host between them.
#[test]
fn beside_trainings_an_updater_gives_the_bytes_of_a_rebuild() {
    commit_and_compare(
        33,
        &UpdaterOptions { persist_every: Some(Duration::ZERO), ..without_delay() },
        |engine, round| match round {
            20 | 40 => train(engine),
            10 | 30 | 50 => {
                engine.refresh(round == 30, &CancelToken::new()).expect("a refresh");
            }
            _ => {}
        },
    );
}

#[test]
fn without_a_model_an_updater_fails_with_growing_delays_until_a_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(34, 40);
    let engine = engine(folder.path(), &model_graph.initial_batch());
    let (sender, events) = channel();
    let retries = UpdaterOptions {
        retry_first: Duration::from_millis(1),
        retry_at_most: Duration::from_millis(4),
        ..without_delay()
    };
    let updater = Updater::start(Arc::clone(&engine), &retries, send_to(sender)).expect("an updater");

    // Each failure doubles the delay, up to the longest one.
    let reason = "the store has no embeddings; train them first".to_owned();
    for (in_a_row, wait) in [(1, 1), (2, 2), (3, 4), (4, 4)] {
        assert_eq!(next_event(&events), Event::Failed(reason.clone(), in_a_row, Duration::from_millis(wait)));
    }
    let refused = Error::from(updater.flush(&CancelToken::new()).expect_err("nothing to refresh"));
    assert_eq!(refused.kind(), ErrorKind::NotTrained);

    // After a training the updater refreshes.
    train(&engine);
    engine.store().commit(&model_graph.batch(6)).expect("a commit");
    let epoch = engine.store().snapshot().epoch();
    while next_event(&events) != Event::Refreshed(epoch) {}
    let report = updater.stop().expect("it ends");
    assert_eq!((report.epoch, report.failures_in_a_row, report.last_error), (Some(epoch), 0, Some(reason)));
    assert!(report.failures >= 5);
    assert_equals_rebuild(&engine);
}

/// Each commit adds two nodes, which are dirty. With `max_dirty` 5, four dirty nodes cause no refresh, and six cause one.
///
/// ```text
///   board:0 new -- pin:0 new     board:1 new -- pin:1 new     board:2 new -- pin:2 new
/// ```
#[test]
fn many_dirty_nodes_cause_a_refresh_before_the_maximum_age() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), &GraphModel::new(35, 40).initial_batch());
    train(&engine);
    let (sender, events) = channel();
    let options = UpdaterOptions { max_dirty: 5, ..on_request() };
    let updater = Updater::start(Arc::clone(&engine), &options, send_to(sender)).expect("an updater");
    let mut last = Epoch::new(0);
    for at in 0..3 {
        let key = format!("{at} new");
        let (board, pin) = (NodeRef { kind: "board", key: &key }, NodeRef { kind: "pin", key: &key });
        let mut batch = Batch::new();
        batch.link(board, pin, Edge::default()).expect("a valid edge");
        last = engine.store().commit(&batch).expect("a commit").epoch;
    }
    assert_eq!(next_event(&events), Event::Refreshed(last));
    assert_eq!(updater.report().refreshes, 1, "four dirty nodes caused a refresh");
}

#[test]
fn an_updater_with_persist_every_stores_the_embeddings() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(36, 40);
    let engine = engine(folder.path(), &model_graph.initial_batch());
    train(&engine);
    let (sender, events) = channel();
    let options = UpdaterOptions { persist_every: Some(Duration::ZERO), ..on_request() };
    let updater = Updater::start(Arc::clone(&engine), &options, send_to(sender)).expect("an updater");
    let mut batch = model_graph.batch(6);
    // Whatever the batch does, this changes the graph.
    batch.add_node(("board", "new")).expect("a valid node");
    engine.store().commit(&batch).expect("a commit");
    let epoch = updater.flush(&CancelToken::new()).expect("a refresh");
    assert_eq!(
        (next_event(&events), next_event(&events)),
        (Event::Refreshed(epoch), Event::Persisted(epoch))
    );
    assert_eq!(engine.store().derived().map(|derived| derived.refreshed), Some(epoch));
    assert_eq!(updater.stop().expect("it ends").persists, 1);
}

/// The updater is stopped or dropped before, during or after a refresh.
#[test]
fn a_stopped_or_dropped_updater_releases_the_engine() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(37, 60);
    let mut engine = engine(folder.path(), &model_graph.initial_batch());
    train(&engine);
    for round in 0..12 {
        let updater = Updater::start(Arc::clone(&engine), &without_delay(), |_| {}).expect("an updater");
        for _ in 0..round {
            engine.store().commit(&model_graph.batch(6)).expect("a commit");
        }
        if round % 2 == 0 {
            let report = updater.stop().expect("it ends");
            assert_eq!(updater.stop().expect("it has ended"), report, "a second stop returns another report");
            let refused = Error::from(updater.flush(&CancelToken::new()).expect_err("the updater has ended"));
            assert_eq!(refused.kind(), ErrorKind::Refused);
        } else {
            drop(updater);
        }
        assert!(Arc::get_mut(&mut engine).is_some(), "the updater still has the engine");
    }
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    assert_equals_rebuild(&engine);
}

/// A query in a task of a thread pool waited for the parts of its scan while it held the lock of the published embeddings.
/// While it waited, its thread started another query, which waited behind the updater, and the updater waited for the lock.
/// No thread ever continued.
#[test]
fn queries_in_a_thread_pool_and_an_updater_do_not_deadlock() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut batch = Batch::new();
    for edge in 0..20_000usize {
        // So many pins that a scan is divided into several tasks.
        let (board, pin) = ((edge % 997).to_string(), (edge * 31 % 9001).to_string());
        batch
            .link(NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin }, Edge::default())
            .expect("a valid edge");
    }
    let engine = engine(folder.path(), &batch);
    let options = TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        epochs: 0,
        walks: WalkOptions { walks: 8, ..WalkOptions::default() },
        ..TrainOptions::default()
    };
    engine.training(&options).run(&CancelToken::new()).expect("a model");
    let updater =
        Updater::start(Arc::clone(&engine), &UpdaterOptions { threads: 1, ..without_delay() }, |_| {})
            .expect("an updater");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
    let (sender, answers) = channel();
    // 600 queries in the pool.
    for number in 0..600 {
        let (engine, sender) = (Arc::clone(&engine), sender.clone());
        pool.spawn(move || {
            let ranked = engine
                .similar(pin(number).as_ref(), &Query::default(), &CancelToken::new())
                .expect("an answer");
            sender.send(ranked.items.len()).expect("the test waits");
        });
    }
    // A commit for every ten answers, so that the updater refreshes beside the queries.
    let mut answers = answers.iter().take(600);
    for number in 0..60 {
        let (board, pin) = (number.to_string(), (number * 100).to_string());
        let mut batch = Batch::new();
        batch
            .link(NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin }, Edge::default())
            .expect("a valid edge");
        engine.store().commit(&batch).expect("a commit");
        assert!(answers.by_ref().take(10).all(|found| found == 10));
    }
    updater.flush(&CancelToken::new()).expect("a refresh");
    assert!(updater.stop().expect("it ends").refreshes > 1);
}

#[test]
fn a_panic_of_the_observer_ends_the_updater_with_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(38, 40);
    let engine = engine(folder.path(), &model_graph.initial_batch());
    train(&engine);
    let observer = |_: &Update<'_>| panic!("too much");
    let updater = Updater::start(Arc::clone(&engine), &on_request(), observer).expect("an updater");
    engine.store().commit(&model_graph.batch(6)).expect("a commit");
    updater.flush(&CancelToken::new()).expect_err("it ended");
    let message = updater.stop().expect_err("it had ended").to_string();
    assert_eq!(message, "the updater cannot refresh: it panicked: too much");
    assert_eq!(updater.stop().expect("the panic is reported once").refreshes, 1);
    assert_equals_rebuild(&engine);
}

#[test]
fn invalid_options_and_read_only_stores_are_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), &GraphModel::new(39, 40).initial_batch());
    engine.store().checkpoint(&CancelToken::new()).expect("a checkpoint");
    let start = |engine: &Arc<Engine>, options: &UpdaterOptions| {
        Error::from(Updater::start(Arc::clone(engine), options, |_| {}).expect_err("it is refused")).kind()
    };
    for wrong in [
        UpdaterOptions { max_dirty: 0, ..without_delay() },
        UpdaterOptions { retry_first: Duration::ZERO, ..without_delay() },
        UpdaterOptions { retry_at_most: Duration::from_nanos(1), ..without_delay() },
    ] {
        assert_eq!(start(&engine, &wrong), ErrorKind::Invalid, "{wrong:?}");
    }
    let reader = Store::options().read_only(true).open(engine.store().path()).expect("a reader opens");
    let reader = Arc::new(Engine::open(Arc::new(reader)).expect("the engine opens"));
    assert_eq!(start(&reader, &without_delay()), ErrorKind::ReadOnly);
}
