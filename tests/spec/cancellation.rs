//! Promise 7: whatever takes long says how far it is and can be stopped, and what a stop leaves is whole.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hedgerow::{
    Batch, BulkLoad, CancelToken, CheckOptions, Edge, Engine, Error, ErrorKind, NodeIx, Policy, Progress,
    Recommender, Snapshot, Store, TrainOptions, Updater, UpdaterOptions, WalkOptions, Walker,
};

use crate::fixtures::graph_model::GraphModel;
use crate::training::options;

/// A long call, made on a store in a folder that is its own.
type Call = fn(&Path, &CancelToken) -> Result<(), Error>;

/// All that can take longer than a moment, and whether the model is the same behind it.
const CALLS: [(&str, Call, bool); 20] = [
    ("open", |path, cancel| Ok(Store::options().cancel(cancel).open(path).map(drop)?), true),
    (
        "open to read",
        |path, cancel| Ok(Store::options().read_only(true).cancel(cancel).open(path).map(drop)?),
        true,
    ),
    ("open the engine", |path, cancel| Ok(Engine::open_with(store(path), cancel).map(drop)?), true),
    ("load", load, true),
    ("checkpoint", |path, cancel| Ok(store(path).checkpoint(cancel)?), true),
    (
        "check",
        |path, cancel| {
            let options = CheckOptions { deep: true, read_only: false };
            Ok(Store::check(path, options, cancel).map(drop)?)
        },
        true,
    ),
    ("backup", |path, cancel| Ok(store(path).backup(path.with_extension("copy"), cancel).map(drop)?), true),
    ("dump", |path, cancel| Ok(store(path).dump(&mut Vec::new(), cancel)?), true),
    ("changes", |path, cancel| changes(path, cancel), true),
    ("neighborhoods", neighborhoods, true),
    ("refresh", |path, cancel| Ok(engine(path).refresh(false, cancel).map(drop)?), true),
    ("rebuild", |path, cancel| Ok(engine(path).refresh(true, cancel).map(drop)?), true),
    (
        "persist",
        |path, cancel| {
            let engine = engine(path);
            engine.refresh(false, &CancelToken::new())?;
            Ok(engine.persist(cancel)?)
        },
        true,
    ),
    ("digest", |path, cancel| Ok(engine(path).digest(cancel).map(drop)?), true),
    ("hold what was learned", |path, cancel| Ok(engine(path).learned(cancel).map(drop)?), true),
    ("embed one node", |path, cancel| Ok(engine(path).embedding_now(("pin", "0"), cancel).map(drop)?), true),
    (
        "flush",
        |path, cancel| {
            let updater = Updater::start(Arc::new(engine(path)), &UpdaterOptions::default(), |_| {})?;
            Ok(updater.flush(cancel).map(drop)?)
        },
        true,
    ),
    ("estimate", |path, cancel| Ok(engine(path).estimate(&options(1), None, cancel).map(drop)?), true),
    ("train", |path, cancel| Ok(engine(path).training(&options(2)).run(cancel).map(drop)?), false),
    (
        "install",
        |path, cancel| {
            let engine = engine(path);
            let model = engine.learned(&CancelToken::new())?.model();
            Ok(engine.install(&model, cancel).map(drop)?)
        },
        true,
    ),
];

fn store(path: &Path) -> Arc<Store> {
    Arc::new(Store::options().open(path).expect("it opens"))
}

fn engine(path: &Path) -> Engine {
    Engine::open(store(path)).expect("it opens")
}

/// A graph of its own beside the store.
fn load(path: &Path, cancel: &CancelToken) -> Result<(), Error> {
    let store = Store::options().create(true).open(path.with_extension("loaded"))?;
    let mut load = BulkLoad::new();
    let pins = load.nodes("pin", (0..5000).map(|key| key.to_string()))?;
    let edges = pins.clone().map(|pin| (NodeIx::new(pin), NodeIx::new((pin * 7 + 1) % 5000))).collect();
    load.edges(None, edges, None)?;
    let loaded = store.load(load, cancel);
    assert_eq!(loaded.is_err(), store.snapshot().node_count() == 0);
    Ok(loaded.map(drop)?)
}

fn changes(path: &Path, cancel: &CancelToken) -> Result<(), Error> {
    let store = store(path);
    let now = store.snapshot();
    let refreshed = store.derived().expect("trained").refreshed;
    let changes = store.changes(refreshed, &now, cancel)?;
    let policy = Policy::default_for(&now, now.kind_ix("pin").expect("there"));
    Walker::new(&now, WalkOptions::default(), &policy)?.affected_sources(&changes, cancel)?;
    Ok(())
}

fn neighborhoods(path: &Path, cancel: &CancelToken) -> Result<(), Error> {
    let graph = store(path).snapshot();
    let kind = graph.kind_ix("pin").expect("there");
    let policy = Policy::default_for(&graph, kind);
    let pins: Vec<NodeIx> = graph.nodes_of(kind).collect();
    let walker = Walker::new(&graph, WalkOptions::default(), &policy)?;
    walker.uniform_walks(&pins, 10, 1, cancel)?;
    Ok(walker.neighborhoods(&pins, cancel).map(drop)?)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let name = to.join(path.file_name().expect("a name"));
        if path.is_dir() { copy(&path, &name) } else { fs::copy(&path, &name).map(drop).expect("copied") }
    }
}

/// What a call told, which is stopped at one of its reports where that is asked for, and how it ended.
fn told(call: Call, path: &Path, stop_at: Option<usize>) -> (Vec<Progress>, Result<(), Error>) {
    let cancel = CancelToken::new();
    let (told, remote) = (Arc::new(Mutex::new(Vec::new())), cancel.clone());
    let hears = Arc::clone(&told);
    let watched = cancel.observed(move |at| {
        let mut heard = hears.lock().expect("one at a time");
        if stop_at == Some(heard.len()) {
            remote.cancel();
        }
        heard.push(at);
    });
    let ended = call(path, &watched);
    let told = told.lock().expect("one at a time").clone();
    (told, ended)
}

/// A trained store with batches behind the last refresh, the last of them in the log only; and the digest of a refresh.
fn trained(path: &Path) -> String {
    let store = Arc::new(Store::options().create(true).open(path).expect("created"));
    let mut model_graph = GraphModel::new(3, 60);
    store.commit(&model_graph.initial_batch()).expect("committed");
    let engine = Engine::open(Arc::clone(&store)).expect("it opens");
    engine.training(&options(1)).run(&CancelToken::new()).expect("trained");
    for _ in 0..3 {
        store.commit(&model_graph.batch(4)).expect("committed");
    }
    let again = path.with_extension("refreshed");
    drop((engine, store));
    copy(path, &again);
    let engine = self::engine(&again);
    engine.refresh(false, &CancelToken::new()).expect("refreshed");
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

#[test]
fn every_long_call_says_how_far_it_is_and_leaves_a_whole_store_where_it_is_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = folder.path().join("origin");
    let expected = trained(&origin);
    for (name, call, keeps_model) in CALLS {
        let whole = folder.path().join(format!("{name} to its end"));
        copy(&origin, &whole);
        let (reports, ended) = told(call, &whole, None);
        ended.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!reports.is_empty(), "{name} says nothing");
        let begins: Vec<usize> = (0..reports.len()).filter(|&at| reports[at].done == 0).collect();
        assert_eq!(begins.first(), Some(&0), "{name}");
        for (stage, next) in begins.iter().zip(begins.iter().skip(1).chain([&reports.len()])) {
            let stage = &reports[*stage..*next];
            let (first, last) = (stage[0], stage[stage.len() - 1]);
            assert!(stage.is_sorted_by_key(|at| at.done), "{name}: {stage:?}");
            assert!(stage.iter().all(|at| (at.stage, at.of) == (first.stage, first.of)), "{name}: {stage:?}");
            assert_eq!(last.done, last.of, "{name}: {stage:?}");
        }
        for stop_at in [0, reports.len() / 2, reports.len() - 1] {
            let what = format!("{name} stopped at {stop_at} of {}", reports.len());
            let stopped = folder.path().join(&what);
            copy(&origin, &stopped);
            match told(call, &stopped, Some(stop_at)).1 {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{what}: {error}"),
                // Who waits for an updater may hear of its end first.
                Ok(()) => assert!(stop_at > 0 || name == "flush", "{what}: it went on"),
            }
            let options = CheckOptions { deep: true, read_only: false };
            let found = Store::check(&stopped, options, &CancelToken::new()).expect("looked at");
            assert_eq!(found.problems, [], "{what}");
            if keeps_model {
                let engine = engine(&stopped);
                engine.refresh(false, &CancelToken::new()).expect("refreshed");
                let found = engine.digest(&CancelToken::new()).expect("a digest").digest;
                assert_eq!(found, expected, "{what}");
            }
        }
    }
}

/// Compiles where it holds.
#[test]
fn handles_answers_and_errors_go_from_thread_to_thread() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Store>();
    shared::<Snapshot>();
    shared::<Engine>();
    shared::<Updater>();
    shared::<Recommender>();
    shared::<CancelToken>();
    shared::<Batch>();
    shared::<BulkLoad>();
    shared::<TrainOptions>();
    shared::<Error>();
}

/// Two stores in one process, each with its engine, are as two processes would be.
#[test]
fn what_one_engine_does_is_nothing_to_another_in_the_same_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let digests = [trained(&one), trained(&other)];
    assert_eq!(digests[0], digests[1]);
    let (one, other) = (engine(&one), engine(&other));
    let mut batch = Batch::new();
    batch.link(("pin", "0"), ("board", "elsewhere"), Edge::default()).expect("valid");
    one.store().commit(&batch).expect("committed");
    other.refresh(false, &CancelToken::new()).expect("refreshed");
    assert_eq!(other.digest(&CancelToken::new()).expect("a digest").digest, digests[1]);
    assert!(other.store().snapshot().lookup(("board", "elsewhere")).is_none());
}
