//! Promise 7: every long call reports its progress and can be cancelled. A cancelled call leaves an intact store.

use std::path::Path;
use std::sync::{Arc, Mutex};

use hedgerow::{
    Batch, BulkLoad, CancelToken, CheckOptions, Edge, Engine, Error, ErrorKind, NodeIx, NodeName, Policy,
    Progress, Query, Recipient, Recommender, SimilarFinder, Snapshot, Store, TrainOptions, Updater,
    UpdaterOptions, WalkOptions, Walker,
};

use crate::fixtures::copy_folder;
use crate::fixtures::graph_model::GraphModel;
use crate::training::options;

/// A long call on a store in its own folder.
type Call = fn(&Path, &CancelToken) -> Result<(), Error>;

/// All long calls: name, call, and whether the model is the same after it.
const CALLS: [(&str, Call, bool); 25] = [
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
    ("export embeddings", |path, cancel| Ok(engine(path).export_embeddings(cancel).map(drop)?), true),
    ("embed one node", |path, cancel| Ok(engine(path).embedding_now(("pin", "0"), cancel).map(drop)?), true),
    ("similar", |path, cancel| Ok(engine(path).similar(("pin", "0"), &some(), cancel).map(drop)?), true),
    ("recommend", |path, cancel| Ok(engine(path).recommend(&recipient(), &some(), cancel).map(drop)?), true),
    (
        "score candidates",
        |path, cancel| Ok(engine(path).score(&recipient(), &pins(), &some(), cancel).map(drop)?),
        true,
    ),
    (
        "recommend to many",
        |path, cancel| Ok(engine(path).recommender(&some())?.recommend(&[recipient()], cancel).map(drop)?),
        true,
    ),
    (
        "similar to many",
        |path, cancel| Ok(engine(path).similar_many(&pins(), &some(), cancel).map(drop)?),
        true,
    ),
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
            let model = engine.export_embeddings(&CancelToken::new())?.model();
            Ok(engine.install(&model, cancel).map(drop)?)
        },
        true,
    ),
];

/// A question with explanations, which walk.
fn some() -> Query {
    Query { k: 3, explain: true, ..Query::default() }
}

fn recipient() -> Recipient {
    Recipient::History(pins())
}

fn pins() -> Vec<NodeName> {
    ["0", "1"].map(|key| NodeName::new("pin", key).expect("a name")).into()
}

fn store(path: &Path) -> Arc<Store> {
    Arc::new(Store::options().open(path).expect("it opens"))
}

fn engine(path: &Path) -> Engine {
    Engine::open(store(path)).expect("it opens")
}

/// Loads a graph into a new store beside the given one. A cancelled load leaves that store empty.
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

/// Runs a call and returns its progress reports and its result. With `stop_at`, the call is cancelled at that report.
fn run(call: Call, path: &Path, stop_at: Option<usize>) -> (Vec<Progress>, Result<(), Error>) {
    let cancel = CancelToken::new();
    let (reports, canceller) = (Arc::new(Mutex::new(Vec::new())), cancel.clone());
    let shared_reports = Arc::clone(&reports);
    let observed = cancel.observed(move |progress| {
        let mut reports = shared_reports.lock().expect("no panic under the lock");
        if stop_at == Some(reports.len()) {
            canceller.cancel();
        }
        reports.push(progress);
    });
    let result = call(path, &observed);
    let reports = reports.lock().expect("no panic under the lock").clone();
    (reports, result)
}

/// Creates a trained store with three batches after the last refresh, and returns the digest after a refresh of a copy.
fn trained(path: &Path) -> String {
    let store = Arc::new(Store::options().create(true).open(path).expect("created"));
    let mut model_graph = GraphModel::new(3, 60);
    store.commit(&model_graph.initial_batch()).expect("committed");
    let engine = Engine::open(Arc::clone(&store)).expect("it opens");
    engine.training(&options(1)).run(&CancelToken::new()).expect("trained");
    for _ in 0..3 {
        store.commit(&model_graph.batch(4)).expect("committed");
    }
    let refreshed = path.with_extension("refreshed");
    drop((engine, store));
    copy_folder(path, &refreshed);
    let engine = self::engine(&refreshed);
    engine.refresh(false, &CancelToken::new()).expect("refreshed");
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

#[test]
fn every_long_call_reports_progress_and_leaves_an_intact_store_when_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let origin = folder.path().join("origin");
    let expected = trained(&origin);
    for (name, call, keeps_model) in CALLS {
        // When the call runs to its end, it reports at least one stage.
        let uninterrupted = folder.path().join(format!("{name} to its end"));
        copy_folder(&origin, &uninterrupted);
        let (reports, result) = run(call, &uninterrupted, None);
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!reports.is_empty(), "{name} reports nothing");
        // Each stage starts at 0, has one total, does not go back, and reaches its total.
        let starts: Vec<usize> = (0..reports.len()).filter(|&at| reports[at].done == 0).collect();
        assert_eq!(starts.first(), Some(&0), "{name}");
        for (stage, next) in starts.iter().zip(starts.iter().skip(1).chain([&reports.len()])) {
            let stage = &reports[*stage..*next];
            let (first, last) = (stage[0], stage[stage.len() - 1]);
            assert!(stage.is_sorted_by_key(|at| at.done), "{name}: {stage:?}");
            assert!(stage.iter().all(|at| (at.stage, at.of) == (first.stage, first.of)), "{name}: {stage:?}");
            assert_eq!(last.done, last.of, "{name}: {stage:?}");
        }
        // When it is cancelled at the first, a middle or the last report, it returns a cancellation.
        for stop_at in [0, reports.len() / 2, reports.len() - 1] {
            let what = format!("{name} stopped at {stop_at} of {}", reports.len());
            let stopped = folder.path().join(&what);
            copy_folder(&origin, &stopped);
            match run(call, &stopped, Some(stop_at)).1 {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{what}: {error}"),
                // A call may pass the last check before the cancellation. Flush may end before its first check.
                Ok(()) => assert!(stop_at > 0 || name == "flush", "{what}: it was not cancelled"),
            }
            // The store is intact, and a refresh gives the expected embeddings.
            let options = CheckOptions { deep: true, read_only: false };
            let found = Store::check(&stopped, options, &CancelToken::new()).expect("a check");
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

/// The compiler is the test.
#[test]
fn handles_can_be_sent_to_and_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Store>();
    shared::<Snapshot>();
    shared::<Engine>();
    shared::<Updater>();
    shared::<Recommender>();
    shared::<SimilarFinder>();
    shared::<CancelToken>();
    shared::<Batch>();
    shared::<BulkLoad>();
    shared::<TrainOptions>();
    shared::<Error>();
}

/// Two stores in one process, each with its engine: a commit to one changes nothing in the other.
#[test]
fn engines_of_different_stores_in_one_process_are_independent() {
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
