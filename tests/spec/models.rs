//! Several models in one store: each is refreshed and stored by itself, and is at any time that of a rebuild.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hedgerow::{
    CancelToken, Engine, ErrorKind, Generation, ModelError, NodeRef, Query, RowComparison, StableId, Store,
    TrainOptions, WalkOptions, choose_model,
};

use crate::fixtures::chi_square::assert_distribution;
use crate::fixtures::copy_folder;
use crate::fixtures::graph_model::GraphModel;

const NAMES: [&str; 2] = ["main", "tonight"];

fn open_store(path: &Path) -> Arc<Store> {
    Arc::new(Store::options().create(true).open(path).expect("the store opens"))
}

fn open_models(store: &Arc<Store>) -> [Engine; 2] {
    NAMES.map(|name| Engine::open_model(Arc::clone(store), name).expect("the engine opens"))
}

/// Models of other shapes and other targets, so that one does not pass for the other.
fn train(engine: &Engine, seed: u64) {
    let walks = WalkOptions { walks: 24, top: 6, min_visits: 1, ..WalkOptions::default() };
    let dim = if engine.name() == "main" { 8 } else { 6 };
    let options = TrainOptions { dim, walks, seed, epochs: 0, ..TrainOptions::new(["pin"]) };
    engine.training(&options).run(&CancelToken::new()).expect("trained");
}

fn digest(engine: &Engine) -> String {
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

fn refresh(engine: &Engine) {
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
}

fn persist(engine: &Engine) {
    engine.persist(&CancelToken::new()).expect("stored");
}

fn kind_of(error: ModelError) -> ErrorKind {
    hedgerow::Error::from(error).kind()
}

/// A store with a random graph and both models, trained at its first epoch.
fn trained(path: &Path, graph: &mut GraphModel) -> Arc<Store> {
    let store = open_store(path);
    store.commit(&graph.initial_batch()).expect("a commit");
    for engine in &open_models(&store) {
        train(engine, 1);
    }
    store
}

#[test]
fn two_models_are_those_of_a_rebuild_after_any_refreshes_trainings_and_kills() {
    for seed in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut path: PathBuf = folder.path().join("store");
        let mut graph = GraphModel::new(seed, 60);
        let mut store = trained(&path, &mut graph);
        let mut engines = open_models(&store);
        for step in 0..24 {
            store.commit(&graph.batch(3)).expect("a commit");
            let engine = &engines[graph.random_below(2)];
            match graph.random_below(9) {
                0..3 => refresh(engine),
                3..5 => {
                    refresh(engine);
                    persist(engine);
                }
                5 => store.checkpoint(&CancelToken::new()).expect("written"),
                6 => train(engine, step),
                // A kill: a copy of the files is opened, which the writer has not closed.
                7 => {
                    let now = folder.path().join(format!("killed-{step}"));
                    copy_folder(&path, &now);
                    (store, path) = (open_store(&now), now);
                    engines = open_models(&store);
                }
                _ => drop(engine.rollback(&CancelToken::new())),
            }
            for engine in &engines {
                let status = engine.status();
                assert!(status.dirty_nodes > 0 || status.embedded == Some(status.epoch));
                let verified = engine.verify(&CancelToken::new()).expect("verified");
                let equal = matches!(verified.comparison, RowComparison::Equal { .. });
                assert!(equal, "seed {seed}, step {step}, {}: {verified}", engine.name());
            }
            // A reader of what was stored last has both.
            let reader = Store::options().read_only(true).open(&path).expect("it opens");
            for engine in open_models(&Arc::new(reader)) {
                let verified = engine.verify(&CancelToken::new()).expect("verified");
                let different = matches!(verified.comparison, RowComparison::Different { .. });
                assert!(!different, "seed {seed}, step {step}, {} of a reader: {verified}", engine.name());
            }
        }
    }
}

/// `main` is not refreshed while `tonight` is, over checkpoints and openings. Its changes must still be known.
#[test]
fn a_model_that_is_behind_is_refreshed_by_the_changes_and_not_rebuilt() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut graph = GraphModel::new(5, 300);
    let mut store = trained(&path, &mut graph);
    for _ in 0..4 {
        store.commit(&graph.batch(1)).expect("a commit");
        let [main, tonight] = open_models(&store);
        refresh(&tonight);
        persist(&tonight);
        store.checkpoint(&CancelToken::new()).expect("written");
        let dirty = [&main, &tonight].map(|engine| engine.status().dirty_nodes);
        assert!(dirty[0] > 0 && dirty[1] == 0, "{dirty:?}");
        drop((main, tonight, store));
        store = open_store(&path);
    }
    let [main, _] = open_models(&store);
    assert!(!main.refresh(false, &CancelToken::new()).expect("a refresh").full);
    let verified = main.verify(&CancelToken::new()).expect("verified");
    assert!(matches!(verified.comparison, RowComparison::Equal { .. }), "{verified}");
}

#[test]
fn the_first_model_answers_until_another_one_is_promoted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = trained(&path, &mut GraphModel::new(6, 60));
    let default = |store: &Arc<Store>| Engine::open(Arc::clone(store)).expect("it opens").name().to_owned();
    assert_eq!(default(&store), "main");
    let reading = Arc::new(Store::options().read_only(true).open(&path).expect("it opens"));
    Engine::open_model(Arc::clone(&store), "tonight").expect("it opens").promote().expect("promoted");
    assert_eq!((default(&store), default(&reading)), ("tonight".to_owned(), "main".to_owned()));
    assert!(reading.is_outdated().expect("readable"));
    let listed = Engine::models(&store).expect("listed");
    let shown: Vec<_> =
        listed.iter().map(|model| (&*model.name, model.is_default, model.dim, model.previous)).collect();
    assert_eq!(shown, [("main", false, 9, None), ("tonight", true, 7, None)]);
    assert!(listed.iter().all(|model| model.bytes > 0 && model.targets == ["pin"]));
    drop(store);
    assert_eq!(default(&open_store(&path)), "tonight");
    let unknown = Engine::open_model(open_store(&folder.path().join("other")), "tonight").expect("it opens");
    assert!(matches!(unknown.promote(), Err(ModelError::NotTrained)));
    assert!(Engine::open_model(Arc::clone(unknown.store()), "To Night").is_err());
}

#[test]
fn a_rollback_brings_back_the_generation_before_and_a_second_one_returns() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut graph = GraphModel::new(7, 60);
    let store = trained(&path, &mut graph);
    let [main, tonight] = open_models(&store);
    let no_earlier = main.rollback(&CancelToken::new()).expect_err("there is one generation");
    assert!(matches!(no_earlier, ModelError::NoPreviousGeneration { .. }));
    let (first, other) = (digest(&main), digest(&tonight));
    train(&main, 2);
    let second = digest(&main);
    assert_ne!(first, second);
    assert_eq!(Engine::models(&store).expect("listed")[0].previous, Some(Generation::new(1)));
    assert_eq!(main.rollback(&CancelToken::new()).expect("rolled back"), Generation::new(3));
    assert_eq!(digest(&main), first);
    drop((main, tonight, store));
    // It is stored: rows and model, also after changes and refreshes of them.
    let store = open_store(&path);
    let [main, tonight] = open_models(&store);
    assert_eq!(digest(&main), first);
    store.commit(&graph.batch(3)).expect("a commit");
    refresh(&main);
    persist(&main);
    assert_eq!(main.rollback(&CancelToken::new()).expect("rolled back"), Generation::new(4));
    let verified = main.verify(&CancelToken::new()).expect("verified");
    assert!(matches!(verified.comparison, RowComparison::Equal { .. }), "{verified}");
    train(&main, 2);
    assert_eq!(main.rollback(&CancelToken::new()).expect("rolled back"), Generation::new(6));
    assert_eq!(digest(&tonight), other);
}

/// The damage of a model that a rollback would bring back is no damage of the present one.
#[test]
fn a_damaged_earlier_generation_costs_the_rollback_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = trained(&path, &mut GraphModel::new(8, 60));
    let [main, _] = open_models(&store);
    train(&main, 2);
    let before = digest(&main);
    drop((main, store));
    let mut torn = Vec::new();
    for entry in std::fs::read_dir(&path).expect("a folder") {
        let entry = entry.expect("an entry").path();
        if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with("previous-model")) {
            torn = std::fs::read(&entry).expect("readable");
            let last = torn.len() - 1;
            torn[last] ^= 1;
            std::fs::write(&entry, &torn).expect("written");
        }
    }
    assert!(!torn.is_empty(), "there is an earlier generation");
    let store = open_store(&path);
    let [main, tonight] = open_models(&store);
    assert_eq!(digest(&main), before);
    assert!(main.rollback(&CancelToken::new()).is_err());
    assert_eq!(tonight.status().generation, Some(Generation::new(1)));
}

#[test]
fn a_dropped_model_is_gone_with_its_files_and_open_readers_keep_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = trained(&path, &mut GraphModel::new(9, 60));
    let reader = Store::options().read_only(true).map_files(true).open(&path).expect("it opens");
    let [_, reading] = open_models(&Arc::new(reader));
    let files = || {
        let names =
            std::fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().starts_with("tonight-")).count()
    };
    assert!(files() > 0);
    let refused = Engine::drop_model(&store, "main").expect_err("it is the default");
    assert_eq!(kind_of(refused), ErrorKind::Refused);
    let unknown = Engine::drop_model(&store, "tomorrow").expect_err("there is none");
    assert_eq!(unknown.to_string(), "no model 'tomorrow' in the store; it has main, tonight");
    Engine::drop_model(&store, "tonight").expect("dropped");
    assert_eq!((files(), store.derived_sets()), (0, vec!["main".to_owned()]));
    let pin = NodeRef { kind: "pin", key: "1" };
    reading.similar(pin, &Query::default(), &CancelToken::new()).expect("an answer from the open files");
    // The last one may be dropped, and then there is no model.
    Engine::drop_model(&store, "main").expect("dropped");
    assert_eq!(Engine::models(&store).expect("listed"), []);
    let again = Engine::open_model(Arc::clone(&store), "tonight").expect("it opens");
    train(&again, 1);
    assert_eq!(
        (store.default_set(), again.status().generation),
        ("tonight".to_owned(), Some(Generation::new(1)))
    );
}

#[test]
fn an_interrupted_training_of_a_model_is_resumed_by_that_model_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = trained(&folder.path().join("store"), &mut GraphModel::new(10, 60));
    let [main, tonight] = open_models(&store);
    let walks = WalkOptions { walks: 24, top: 6, min_visits: 1, ..WalkOptions::default() };
    let options = TrainOptions { dim: 6, walks, epochs: 3, ..TrainOptions::new(["pin"]) };
    let cancel = CancelToken::new();
    let mut stop = |event: &hedgerow::TrainEvent| {
        if matches!(event, hedgerow::TrainEvent::Epoch(_)) {
            cancel.cancel();
        }
    };
    let report = tonight.training(&options).observer(&mut stop).run(&cancel).expect("the first epoch");
    assert!(report.cancelled);
    assert!(main.unfinished_training().expect("readable").is_none());
    assert!(tonight.unfinished_training().expect("readable").is_some());
    assert!(!tonight.resuming(0).run(&CancelToken::new()).expect("resumed").cancelled);
    assert!(tonight.unfinished_training().expect("readable").is_none());
}

#[test]
fn users_are_shared_out_by_weight_and_keep_their_model() {
    let users: Vec<StableId> =
        (0..20_000).map(|key: u32| NodeRef { kind: "user", key: &key.to_string() }.stable_id()).collect();
    let models = [("b", 10), ("a", 60), ("c", 30)];
    let chosen = |models: &[(&'static str, u32)]| -> Vec<&'static str> {
        users.iter().map(|&user| choose_model(models, user).expect("weights")).collect()
    };
    let counts =
        ["a", "b", "c"].map(|name| chosen(&models).iter().filter(|model| **model == name).count() as u64);
    assert_distribution(&counts, &[0.6, 0.1, 0.3], "shares");
    let mut reversed = models;
    reversed.reverse();
    assert_eq!(chosen(&models), chosen(&reversed));
    // A tenth of the users moves from `a` to `b`, and nobody else.
    let moved = [("a", 50), ("b", 20), ("c", 30)];
    for (before, after) in chosen(&models).into_iter().zip(chosen(&moved)) {
        assert!(before == after || (before, after) == ("a", "b"), "{before} became {after}");
    }
    assert_eq!(choose_model(&[("a", 0), ("b", 1)], users[0]), Some("b"));
    assert_eq!(choose_model(&[("a", 0)], users[0]), None);
    // A value that must never change: users would move between versions.
    assert_eq!(chosen(&models)[..8].concat(), "aacbaaca");
}
