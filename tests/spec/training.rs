//! Promise: a training that was interrupted goes on to the bytes of one that never was; readers see one generation or the
//! next; what goes wrong is said, and what was learned before is kept.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hedgerow::{
    Alarm, Batch, CancelToken, CheckOptions, Conv, Engine, Error, ErrorKind, Generation, Ids, Loss, NodeName,
    NodeRef, Store, TrainEvent, TrainOptions, WalkOptions,
};
use tempfile::TempDir;

use crate::fixtures::graph_model::GraphModel;
use crate::warm_start::ring;

pub(crate) fn open(path: &Path) -> Engine {
    let store = Store::options().create(true).open(path).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

/// An engine over a random world of 60 pins; worlds of one seed are equal.
pub(crate) fn model_graph(seed: u64) -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    engine.store().commit(&GraphModel::new(seed, 60).founding()).expect("a commit");
    (folder, engine)
}

pub(crate) fn options(seed: u64) -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        conv: if seed.is_multiple_of(2) { Conv::PinSage } else { Conv::Light },
        walks: WalkOptions { walks: 24, top: 6, min_visits: 1, ..WalkOptions::default() },
        ids: Ids::On,
        loss: if seed.is_multiple_of(3) { Loss::Margin } else { Loss::Softmax },
        epochs: 6,
        batch: 32,
        negatives: 16,
        hard_negatives: seed as u32 % 3,
        hard_ranks: (3, 20),
        held_out: 20,
        // Recall goes up and down in a graph so small, and the best epoch is not the last.
        patience: seed as u32 % 4,
        seed,
        ..TrainOptions::default()
    }
}

pub(crate) fn train(engine: &Engine, options: &TrainOptions) -> Result<hedgerow::TrainReport, Error> {
    Ok(engine.training(options).run(&CancelToken::new())?)
}

fn resume(engine: &Engine) -> Result<hedgerow::TrainReport, Error> {
    Ok(engine.resuming(0).run(&CancelToken::new())?)
}

/// A token that cancels once a run has come so far in the epoch that is its `epoch`-th.
fn cancel_at(epoch: u32, step: usize) -> CancelToken {
    let cancel = CancelToken::new();
    let (remote, mut epochs, mut steps) = (cancel.clone(), 0, 0);
    cancel.observed(move |at| {
        if at.stage == "epoch" {
            (epochs, steps) = if at.done == 0 { (epochs + 1, 0) } else { (epochs, steps + 1) };
            if (epochs, steps) == (epoch, step) {
                remote.cancel();
            }
        }
    })
}

pub(crate) fn digest(engine: &Engine) -> String {
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

fn without_times(report: &hedgerow::TrainReport) -> Vec<(u32, f32, Option<f32>, f32)> {
    report.epochs.iter().map(|epoch| (epoch.epoch, epoch.loss, epoch.recall, epoch.mean_cosine)).collect()
}

/// Interrupted in every epoch but the first, in most of them more than once, each time on another number of threads and
/// half of the times with the store closed in between.
#[test]
fn a_training_that_is_interrupted_again_and_again_ends_with_the_bytes_of_one_that_never_was() {
    for seed in 0..12 {
        let (_folder, whole) = model_graph(seed);
        let expected = train(&whole, &options(seed)).expect("a training");
        let (folder, mut engine) = model_graph(seed);
        let mut report =
            engine.training(&options(seed)).run(&cancel_at(2, 1)).expect("the first epoch is kept");
        for round in 0..10 {
            if !report.cancelled {
                break;
            }
            assert!(report.epochs.len() < 6, "seed {seed}");
            if round % 2 == 0 {
                drop(engine);
                engine = open(folder.path());
            }
            let unfinished = engine.unfinished().expect("readable").expect("there is one to go on with");
            assert_eq!(unfinished.options, options(seed), "seed {seed}");
            assert_eq!(unfinished.epochs, report.epochs, "seed {seed}");
            let cancel = cancel_at(1 + round % 2, 1 + round as usize % 3);
            let threads = [1, 3, 0][round as usize % 3];
            report = engine.resuming(threads).run(&cancel).expect("it goes on");
        }
        assert!(!report.cancelled, "seed {seed}");
        assert_eq!(without_times(&report), without_times(&expected), "seed {seed}");
        assert_eq!(digest(&engine), digest(&whole), "seed {seed}");
        assert_eq!(engine.unfinished().expect("readable"), None, "seed {seed}: it is done");
        let error = resume(&engine).expect_err("there is nothing to go on with");
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
}

#[test]
fn pairs_that_a_training_began_with_must_be_given_again() {
    let pin = |key: usize| NodeName::new("pin", key.to_string()).expect("a name");
    let pairs: Vec<_> = (0..50).map(|at| (pin(at), pin(at + 1))).collect();
    // Not to be over before it is interrupted.
    let asked = TrainOptions { patience: 0, ..options(1) };
    let run = |engine: &Engine| {
        let cancel = cancel_at(3, 1);
        engine.training(&asked).pairs(&pairs).run(&cancel).expect("two epochs are kept");
        engine.resuming(0).pairs(&pairs).run(&CancelToken::new())
    };
    let with_all_pins = || {
        let (folder, engine) = model_graph(1);
        let mut batch = Batch::new();
        for key in 0..=50 {
            batch.add_node(pin(key).as_ref()).expect("a node");
        }
        engine.store().commit(&batch).expect("a commit");
        (folder, engine)
    };
    let (_one, whole) = with_all_pins();
    whole.training(&asked).pairs(&pairs).run(&CancelToken::new()).expect("a training");
    let (_other, engine) = with_all_pins();
    run(&engine).expect("it goes on");
    assert_eq!(digest(&engine), digest(&whole));
    engine.training(&asked).pairs(&pairs).run(&cancel_at(2, 1)).expect("an epoch is kept");
    for found in [None, Some(&pairs[1..])] {
        let error = found
            .into_iter()
            .fold(engine.resuming(0), hedgerow::Training::pairs)
            .run(&CancelToken::new())
            .expect_err("other pairs");
        assert!(error.to_string().contains("pairs of the caller's"), "{error}");
    }
    engine.resuming(0).pairs(&pairs).run(&CancelToken::new()).expect("a refusal takes nothing away");
}

#[test]
fn a_training_does_not_go_on_in_a_graph_that_has_changed() {
    let (_folder, engine) = model_graph(3);
    engine.training(&options(3)).run(&cancel_at(2, 1)).expect("an epoch is kept");
    engine.store().commit(&GraphModel::new(4, 60).founding()).expect("a commit");
    let error = resume(&engine).expect_err("another graph");
    assert!(error.to_string().contains("the graph is at epoch 2 and was at 1"), "{error}");
    train(&engine, &TrainOptions { warm: true, ..options(3) }).expect("it trains anew, as was advised");
    assert_eq!(engine.unfinished().expect("readable"), None);
}

#[test]
fn a_training_cancelled_within_its_first_epoch_leaves_everything_as_it_was() {
    let (_folder, engine) = model_graph(5);
    let cancelled = engine.training(&options(5)).run(&cancel_at(1, 2));
    assert!(cancelled.expect_err("a cancellation").is_cancelled());
    assert_eq!(engine.status().generation, None);
    assert_eq!(engine.unfinished().expect("readable"), None);
    // An older one is there until the new run has a whole epoch.
    engine.training(&options(5)).run(&cancel_at(3, 1)).expect("two epochs are kept");
    let other = TrainOptions { seed: 50, ..options(5) };
    engine.training(&other).run(&cancel_at(1, 2)).expect_err("a cancellation");
    let kept = |engine: &Engine| engine.unfinished().expect("readable").expect("there").options.seed;
    assert_eq!(kept(&engine), 5);
    engine.training(&other).run(&cancel_at(2, 1)).expect("an epoch is kept");
    assert_eq!(kept(&engine), 50);
}

/// A flipped bit in what was kept for going on: named, and no harm to the store, its model or a new training.
#[test]
fn damage_to_an_interrupted_training_is_damage_to_nothing_else() {
    let (folder, engine) = model_graph(7);
    engine.training(&options(7)).run(&cancel_at(2, 1)).expect("an epoch is kept");
    let before = digest(&engine);
    drop(engine);
    let file = folder.path().join("training.aside");
    let intact = std::fs::read(&file).expect("the state of the run");
    for at in (0..intact.len()).step_by(intact.len() / 40 + 1) {
        let mut torn = intact.clone();
        torn[at] ^= 1;
        std::fs::write(&file, torn).expect("written");
        let engine = open(folder.path());
        assert_eq!(digest(&engine), before, "byte {at}");
        let error = Error::from(engine.unfinished().expect_err("damage"));
        assert_eq!((error.kind(), error.path()), (ErrorKind::Damaged, Some(file.as_path())), "byte {at}");
        assert_eq!(resume(&engine).expect_err("damage").kind(), ErrorKind::Damaged, "byte {at}");
    }
    let checked = Store::check(folder.path(), CheckOptions::default(), &CancelToken::new()).expect("checked");
    assert_eq!(checked.problems.iter().map(|problem| &problem.path).collect::<Vec<_>>(), [&file]);
    let engine = open(folder.path());
    train(&engine, &options(7)).expect("a training");
    assert!(!file.exists(), "a training that ends removes what was kept");
}

/// Readers ask all the time; what they get is of one generation, the old or the new.
#[test]
fn readers_see_the_old_generation_or_the_new_one_while_a_training_replaces_it() {
    let (_folder, engine) = model_graph(9);
    train(&engine, &options(9)).expect("a training");
    let node = NodeRef { kind: "pin", key: "1" };
    let done = AtomicBool::new(false);
    let ask = || engine.embedding(node).map(|embedded| (embedded.generation.get(), embedded.vector));
    let first = ask().expect("an embedding");
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = vec![ask().expect("an embedding")];
            while !done.load(Ordering::Relaxed) {
                let now = ask().expect("an embedding");
                if seen.last() != Some(&now) {
                    seen.push(now);
                }
            }
            seen
        });
        for seed in 10..14 {
            train(&engine, &TrainOptions { warm: seed % 2 == 0, seed, ..options(9) }).expect("a training");
        }
        done.store(true, Ordering::Relaxed);
        reader.join().expect("the reader saw nothing wrong")
    });
    assert_eq!(seen[0], first);
    assert!(
        seen.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "a vector for each generation, in their order"
    );
    assert_eq!(ask().expect("an embedding").0, 5);
}

/// After the first epoch the rate grows without bounds; rows of the table follow, and soon their products are no numbers.
#[test]
fn a_training_that_diverges_names_the_step_and_leaves_the_best_epoch() {
    let (_one, engine) = model_graph(11);
    let diverging = TrainOptions { decay: f32::MAX, patience: 0, ..options(11) };
    let mut events = Vec::new();
    let mut observer = |event: &TrainEvent| events.push(event.clone());
    let failed = engine.training(&diverging).observer(&mut observer).run(&CancelToken::new());
    let error = Error::from(failed.expect_err("it diverges"));
    assert_eq!(error.kind(), ErrorKind::Diverged);
    let message = error.to_string();
    assert!(message.contains("training diverged in epoch "), "{message}");
    assert!(message.contains("what epoch 1 gave is kept and published"), "{message}");
    assert_eq!(engine.unfinished().expect("readable"), None, "it would diverge again");
    let (_other, whole) = model_graph(11);
    train(&whole, &TrainOptions { epochs: 1, ..diverging.clone() }).expect("a training");
    assert_eq!(digest(&engine), digest(&whole));
    let (_third, empty) = model_graph(11);
    let error =
        train(&empty, &TrainOptions { learning_rate: f32::MAX, ..diverging }).expect_err("it diverges");
    assert!(error.to_string().contains("epoch 1"), "{error}");
    assert_eq!(empty.status().generation, None, "nothing was learned, nothing changes");
}

#[test]
fn embeddings_that_fall_into_one_point_raise_an_alarm_with_their_epoch() {
    // All that is known of any pin is the same.
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    let mut batch = ring(0..30, 60);
    for pin in 0..60 {
        let pin = pin.to_string();
        batch.set_tokens(NodeRef { kind: "pin", key: &pin }, &["word=same"]).expect("a token");
    }
    engine.store().commit(&batch).expect("a commit");
    let mut alarms = Vec::new();
    let one = TrainOptions { ids: Ids::Off, epochs: 2, ..options(13) };
    let mut observer = |event: &TrainEvent| match event {
        TrainEvent::Alarm { epoch, alarm } => alarms.push((*epoch, alarm.clone())),
        TrainEvent::Epoch(report) => assert!(report.mean_cosine > 0.9, "{report:?}"),
        _ => {}
    };
    engine.training(&one).observer(&mut observer).run(&CancelToken::new()).expect("a training");
    let collapsed =
        |epoch| alarms.iter().any(|(at, alarm)| *at == epoch && matches!(alarm, Alarm::Collapsed { .. }));
    assert!(collapsed(1) && collapsed(2), "{alarms:?}");
}

#[test]
fn an_estimate_counts_and_measures_and_changes_nothing() {
    let (folder, engine) = model_graph(13);
    let mut started = None;
    let options = TrainOptions { epochs: 3, patience: 0, ..options(13) };
    let mut observer = |event: &TrainEvent| {
        if let TrainEvent::Started { nodes, positives, examples } = event {
            started = Some((*nodes, *positives, *examples));
        }
    };
    engine.training(&options).observer(&mut observer).run(&CancelToken::new()).expect("a training");
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("there")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        names.sort();
        names
    };
    let (before, files) = (digest(&engine), names());
    let estimate = engine.estimate(&options, None, &CancelToken::new()).expect("an estimate");
    assert_eq!(Some((estimate.nodes, estimate.positives, estimate.examples)), started);
    assert_eq!(estimate.epochs, 3);
    // A number and its two moments for whatever is trained; nothing for rows of the table that no token reads.
    assert_eq!(
        (estimate.bytes.table, estimate.bytes.moments),
        (estimate.bytes.kept, 2 * estimate.bytes.kept)
    );
    assert!(
        estimate.bytes.kept >= estimate.nodes * 9 * 4,
        "8 numbers and a bias for each node, and the weights"
    );
    assert!(estimate.bytes.memory() > estimate.bytes.layers && estimate.bytes.minibatches > 0);
    assert!(estimate.seconds.epoch > 0.0 && estimate.seconds.all >= 3.0 * estimate.seconds.epoch);
    assert_eq!((digest(&engine), names()), (before, files));
    assert_eq!(engine.status().generation.map(Generation::get), Some(1));
}
