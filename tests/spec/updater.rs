//! Promise: an updater keeps embeddings current by itself. What it arrives at has the bytes of a rebuild, whatever was
//! committed, asked, trained or refused meanwhile; answers never go back in time; and it ends when it is told to.

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

/// Nothing gets this old in a test.
const NEVER: Duration = Duration::from_hours(1);

fn engine(path: &Path, founding: &Batch) -> Arc<Engine> {
    let store = Arc::new(Store::options().create(true).open(path.join("store")).expect("it opens"));
    store.commit(founding).expect("a commit");
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

/// Looks as often as it may, so that refreshes fall between and beside everything else.
fn eager() -> UpdaterOptions {
    UpdaterOptions { max_age: Duration::ZERO, ..UpdaterOptions::default() }
}

/// Only told to, or by dirty nodes.
fn patient() -> UpdaterOptions {
    UpdaterOptions { max_age: NEVER, max_dirty: u64::MAX, ..UpdaterOptions::default() }
}

/// What an observer was told, in a form that can be kept.
#[derive(Debug, PartialEq)]
enum Told {
    Refreshed(Epoch),
    Persisted(Epoch),
    Failed(String, u32, Duration),
}

fn tell(to: Sender<Told>) -> impl FnMut(&Update<'_>) + Send {
    move |update| {
        let told = match update {
            Update::Refreshed(report) => Told::Refreshed(report.epoch),
            Update::Persisted { epoch } => Told::Persisted(*epoch),
            Update::Failed { error, in_a_row, retry_in } => {
                Told::Failed(error.to_string(), *in_a_row, *retry_in)
            }
            other => panic!("a new word: {other:?}"),
        };
        // The test may have heard enough.
        let _ = to.send(told);
    }
}

fn next(told: &Receiver<Told>) -> Told {
    told.recv().expect("the updater goes on")
}

fn digest(engine: &Engine) -> String {
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

fn assert_exact(engine: &Engine) {
    let refreshed = digest(engine);
    engine.refresh(true, &CancelToken::new()).expect("a rebuild");
    assert_eq!(digest(engine), refreshed);
}

fn pin(key: usize) -> NodeName {
    NodeName::new("pin", key.to_string()).expect("a name")
}

/// Asks one question after the other, in every way, until told to stop. A pin may not be there, or not be embedded yet.
/// Returns how many answers there were.
fn ask_until(done: &AtomicBool, engine: &Engine, pins: usize) -> usize {
    let (mut answers, mut last) = (0, Epoch::new(0));
    for round in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let (node, query) = (pin(round % pins), Query { k: 20, ..Query::default() });
        let before = engine.store().snapshot().epoch();
        let answer = match round % 4 {
            0 => engine.similar(node.as_ref(), &query).map(|ranked| (ranked.epoch, ranked.dirty_nodes)),
            1 => engine
                .recommend(&Recipient::History(vec![node]), &query)
                .map(|ranked| (ranked.epoch, ranked.dirty_nodes)),
            2 => engine.embedding(node.as_ref()).map(|found| (found.epoch, found.dirty_nodes)),
            _ => {
                let unseen = NewNode { history: vec![node], ..NewNode::default() };
                engine.embed_unseen(&unseen).map(|found| (found.epoch, found.dirty_nodes))
            }
        };
        let after = engine.store().snapshot().epoch();
        let Ok((epoch, dirty)) = answer else { continue };
        assert!(epoch >= last, "epoch {last}, then {epoch}");
        assert!(epoch <= after, "an answer of epoch {epoch} where the store is at {after}");
        if (before, epoch) == (after, after) {
            assert_eq!(dirty, 0, "nothing came after epoch {epoch}");
        }
        (answers, last) = (answers + 1, epoch);
    }
    answers
}

/// Commits batches, each with what `between` does, while an updater follows and two readers ask; then compares.
fn follow(seed: u64, options: &UpdaterOptions, mut between: impl FnMut(&Engine, usize)) -> UpdaterReport {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(seed, 60);
    let engine = engine(folder.path(), &model_graph.initial_batch());
    train(&engine);
    let updater = Updater::start(Arc::clone(&engine), options, |_| {}).expect("an updater");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| ask_until(&done, &engine, 60)));
        for round in 0..60 {
            engine.store().commit(&model_graph.batch(6)).expect("a commit");
            between(&engine, round);
        }
        let reached = updater.flush(&CancelToken::new()).expect("a refresh");
        assert_eq!(reached, engine.store().snapshot().epoch());
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().expect("the reader saw nothing wrong") > 0, "nothing was answered");
        }
    });
    let status = engine.status();
    assert_eq!((status.embedded, status.dirty_nodes), (Some(status.epoch), 0));
    let report = updater.stop().expect("it ends");
    assert_eq!((report.epoch, report.failures), (status.embedded, 0), "{:?}", report.last_error);
    assert_exact(&engine);
    assert_eq!(model_graph.difference(&engine.store().snapshot()), None, "seed {seed}");
    report
}

#[test]
fn while_batches_come_and_readers_ask_it_arrives_at_the_bytes_of_a_rebuild() {
    let report = follow(31, &eager(), |_, _| {});
    assert!(report.refreshes > 0 && report.last.is_some(), "{report:?}");
    let threads = UpdaterOptions { threads: 3, ..eager() };
    follow(32, &threads, |_, _| {});
}

/// Two trainings, and refreshes by the host in between: the updater follows whatever generation there is.
#[test]
fn a_training_beside_it_ends_with_the_bytes_of_a_rebuild() {
    follow(
        33,
        &UpdaterOptions { persist_every: Some(Duration::ZERO), ..eager() },
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
fn before_a_training_it_says_so_ever_more_slowly_and_then_follows() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(34, 40);
    let engine = engine(folder.path(), &model_graph.initial_batch());
    let (sender, told) = channel();
    let retries = UpdaterOptions {
        retry_first: Duration::from_millis(1),
        retry_at_most: Duration::from_millis(4),
        ..eager()
    };
    let updater = Updater::start(Arc::clone(&engine), &retries, tell(sender)).expect("an updater");

    let reason = "the store has no embeddings; train them first".to_owned();
    for (in_a_row, wait) in [(1, 1), (2, 2), (3, 4), (4, 4)] {
        assert_eq!(next(&told), Told::Failed(reason.clone(), in_a_row, Duration::from_millis(wait)));
    }
    let refused = Error::from(updater.flush(&CancelToken::new()).expect_err("nothing to refresh"));
    assert_eq!(refused.kind(), ErrorKind::NotTrained);

    train(&engine);
    engine.store().commit(&model_graph.batch(6)).expect("a commit");
    let epoch = engine.store().snapshot().epoch();
    while next(&told) != Told::Refreshed(epoch) {}
    let report = updater.stop().expect("it ends");
    assert_eq!((report.epoch, report.failures_in_a_row, report.last_error), (Some(epoch), 0, Some(reason)));
    assert!(report.failures >= 5);
    assert_exact(&engine);
}

/// Each commit brings two dirty nodes, and none is ever old: four are not enough, six are.
///
/// ```text
///   board:0 new -- pin:0 new     board:1 new -- pin:1 new     board:2 new -- pin:2 new
/// ```
#[test]
fn many_dirty_nodes_make_a_refresh_due_before_any_commit_is_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), &GraphModel::new(35, 40).initial_batch());
    train(&engine);
    let (sender, told) = channel();
    let options = UpdaterOptions { max_dirty: 5, ..patient() };
    let updater = Updater::start(Arc::clone(&engine), &options, tell(sender)).expect("an updater");
    let mut last = Epoch::new(0);
    for at in 0..3 {
        let key = format!("{at} new");
        let (board, pin) = (NodeRef { kind: "board", key: &key }, NodeRef { kind: "pin", key: &key });
        let mut batch = Batch::new();
        batch.link(board, pin, Edge::default()).expect("a valid edge");
        last = engine.store().commit(&batch).expect("a commit").epoch;
    }
    assert_eq!(next(&told), Told::Refreshed(last));
    assert_eq!(updater.report().refreshes, 1, "four dirty nodes were not enough");
}

#[test]
fn what_is_to_be_stored_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(36, 40);
    let engine = engine(folder.path(), &model_graph.initial_batch());
    train(&engine);
    let (sender, told) = channel();
    let options = UpdaterOptions { persist_every: Some(Duration::ZERO), ..patient() };
    let updater = Updater::start(Arc::clone(&engine), &options, tell(sender)).expect("an updater");
    engine.store().commit(&model_graph.batch(6)).expect("a commit");
    let epoch = updater.flush(&CancelToken::new()).expect("a refresh");
    assert_eq!((next(&told), next(&told)), (Told::Refreshed(epoch), Told::Persisted(epoch)));
    assert_eq!(engine.store().derived().map(|derived| derived.refreshed), Some(epoch));
    assert_eq!(updater.stop().expect("it ends").persists, 1);
}

/// It is stopped wherever it is: before it saw the commits, in the middle of a refresh, behind it.
#[test]
fn it_stops_when_told_and_gives_the_engine_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(37, 60);
    let mut engine = engine(folder.path(), &model_graph.initial_batch());
    train(&engine);
    for round in 0..12 {
        let updater = Updater::start(Arc::clone(&engine), &eager(), |_| {}).expect("an updater");
        for _ in 0..round {
            engine.store().commit(&model_graph.batch(6)).expect("a commit");
        }
        if round % 2 == 0 {
            let report = updater.stop().expect("it ends");
            assert_eq!(updater.stop().expect("it has ended"), report, "once more does no harm");
            let refused =
                Error::from(updater.flush(&CancelToken::new()).expect_err("nobody refreshes any more"));
            assert_eq!(refused.kind(), ErrorKind::Refused);
        } else {
            drop(updater);
        }
        assert!(Arc::get_mut(&mut engine).is_some(), "the thread has let go of the engine");
    }
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    assert_exact(&engine);
}

/// An answer that waits in a task for its part of the scan used to take up the next task with the lock of what is shown in its
/// hands, while the updater waited for that lock: both for ever.
#[test]
fn answers_in_tasks_of_a_pool_and_refreshes_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut founding = Batch::new();
    for edge in 0..20_000usize {
        // More pins than one task scans.
        let (board, pin) = ((edge % 997).to_string(), (edge * 31 % 9001).to_string());
        founding
            .link(NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin }, Edge::default())
            .expect("a valid edge");
    }
    let engine = engine(folder.path(), &founding);
    let options = TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        epochs: 0,
        walks: WalkOptions { walks: 8, ..WalkOptions::default() },
        ..TrainOptions::default()
    };
    engine.training(&options).run(&CancelToken::new()).expect("a model");
    let updater = Updater::start(Arc::clone(&engine), &UpdaterOptions { threads: 1, ..eager() }, |_| {})
        .expect("an updater");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
    let (sender, answers) = channel();
    for asked in 0..600 {
        let (engine, sender) = (Arc::clone(&engine), sender.clone());
        pool.spawn(move || {
            let ranked = engine.similar(pin(asked).as_ref(), &Query::default()).expect("an answer");
            sender.send(ranked.items.len()).expect("the test waits");
        });
    }
    let mut answers = answers.iter().take(600);
    for asked in 0..60 {
        let (board, pin) = (asked.to_string(), (asked * 100).to_string());
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
fn an_observer_that_panics_ends_it_and_nobody_waits_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(38, 40);
    let engine = engine(folder.path(), &model_graph.initial_batch());
    train(&engine);
    let observer = |_: &Update<'_>| panic!("too much");
    let updater = Updater::start(Arc::clone(&engine), &patient(), observer).expect("an updater");
    engine.store().commit(&model_graph.batch(6)).expect("a commit");
    updater.flush(&CancelToken::new()).expect_err("it ended");
    let said = updater.stop().expect_err("it had ended").to_string();
    assert_eq!(said, "the updater cannot refresh: it panicked: too much");
    assert_eq!(updater.stop().expect("that was said").refreshes, 1);
    assert_exact(&engine);
}

#[test]
fn what_cannot_be_followed_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), &GraphModel::new(39, 40).initial_batch());
    engine.store().checkpoint(&CancelToken::new()).expect("a checkpoint");
    let start = |engine: &Arc<Engine>, options: &UpdaterOptions| {
        Error::from(Updater::start(Arc::clone(engine), options, |_| {}).expect_err("it is refused")).kind()
    };
    for wrong in [
        UpdaterOptions { max_dirty: 0, ..eager() },
        UpdaterOptions { retry_first: Duration::ZERO, ..eager() },
        UpdaterOptions { retry_at_most: Duration::from_nanos(1), ..eager() },
    ] {
        assert_eq!(start(&engine, &wrong), ErrorKind::Invalid, "{wrong:?}");
    }
    let reader = Store::options().read_only(true).open(engine.store().path()).expect("a reader opens");
    let reader = Arc::new(Engine::open(Arc::new(reader)).expect("the engine opens"));
    assert_eq!(start(&reader, &eager()), ErrorKind::ReadOnly);
}
