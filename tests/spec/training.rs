//! Promise 7: a training shows its progress, can be cancelled, and resumes.
//!
//! A resumed training ends with the bytes of an uninterrupted one. Readers see the old generation or the new one. An error
//! names its cause, and the model that was there before is kept.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hedgerow::{
    Alarm, Batch, CancelToken, CheckOptions, Conv, Edge, Engine, Error, ErrorKind, Generation, Ids, Loss,
    NodeName, NodeRef, Store, TrainEvent, TrainOptions, WalkOptions,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::fixtures::graph_model::GraphModel;
use crate::warm_start::ring;

pub(crate) fn open(path: &Path) -> Engine {
    let store = Store::options().create(true).open(path).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

/// An engine over a random graph of 60 pins. Equal seeds give equal graphs.
pub(crate) fn random_graph(seed: u64) -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    engine.store().commit(&GraphModel::new(seed, 60).initial_batch()).expect("a commit");
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
        // Recall rises and falls in such a small graph, so the best epoch is not always the last one.
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

/// A token that cancels a run at step `step` of its `epoch`-th epoch. Both count from 1.
fn cancel_at(epoch: u32, step: usize) -> CancelToken {
    let cancel = CancelToken::new();
    let (canceller, mut epochs, mut steps) = (cancel.clone(), 0, 0);
    cancel.observed(move |at| {
        if at.stage == "epoch" {
            (epochs, steps) = if at.done == 0 { (epochs + 1, 0) } else { (epochs, steps + 1) };
            if (epochs, steps) == (epoch, step) {
                canceller.cancel();
            }
        }
    })
}

pub(crate) fn digest(engine: &Engine) -> String {
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

/// The figures of each epoch except its times.
fn without_times(report: &hedgerow::TrainReport) -> Vec<(u32, f32, Option<f32>, f32)> {
    report.epochs.iter().map(|epoch| (epoch.epoch, epoch.loss, epoch.recall, epoch.mean_cosine)).collect()
}

/// Users who like items of their group, in an engine.
fn groups(tokens: bool) -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    let mut rng = StdRng::seed_from_u64(5);
    let mut batch = Batch::new();
    let item = |key: usize| NodeName::new("item", key.to_string()).expect("a name");
    for key in 0..60 {
        batch.add_node(item(key).as_ref()).expect("a node");
        if tokens {
            batch.set_tokens(item(key).as_ref(), &[format!("word{}", key % 7)]).expect("tokens");
        }
    }
    for user in 0..800 {
        let user_name = NodeName::new("user", user.to_string()).expect("a name");
        for key in 0..60 {
            if rng.random_bool(if user % 3 == key % 3 { 0.5 } else { 0.05 }) {
                batch.link(user_name.as_ref(), item(key).as_ref(), Edge::default()).expect("an edge");
            }
        }
    }
    engine.store().commit(&batch).expect("a commit");
    (folder, engine)
}

/// Where the graph answers, an epoch must improve the whole score. Where embeddings answer alone, it must improve them.
#[test]
fn a_training_ends_when_epochs_make_the_answers_no_better() {
    let options = TrainOptions {
        targets: vec!["item".into()],
        ids: Ids::Auto,
        loss: Loss::Softmax,
        epochs: 40,
        held_out: 400,
        patience: 2,
        ..options(1)
    };
    let (_folder, engine) = groups(false);
    let report = train(&engine, &options).expect("a training");
    assert!(report.epochs.len() < 40 && !report.is_improving, "{report:?}");
    assert!(report.epochs.iter().all(|epoch| epoch.score_recall.is_some()), "{report:?}");

    // The comparison with the best score survives an interruption: the last epoch is no progress, resumed or not.
    let (folder, interrupted) = groups(false);
    let last = report.epochs.len() as u32;
    interrupted.training(&options).run(&cancel_at(last, 1)).expect("the epochs before are kept");
    drop(interrupted);
    let interrupted = open(folder.path());
    let resumed = resume(&interrupted).expect("it goes on");
    let scores = |report: &hedgerow::TrainReport| -> Vec<_> {
        report.epochs.iter().map(|epoch| (epoch.recall, epoch.score_recall)).collect()
    };
    assert_eq!(scores(&resumed), scores(&report));
    assert_eq!(digest(&interrupted), digest(&engine));

    // A training that may have no more epochs says whether the last one was progress. Here that is the last but two.
    let progress = last - options.patience;
    for (epochs, expected) in [(progress, progress > 1), (progress + 1, false)] {
        let (_folder, engine) = groups(false);
        let report = train(&engine, &TrainOptions { epochs, ..options.clone() }).expect("a training");
        assert_eq!((report.epochs.len() as u32, report.is_improving), (epochs, expected));
    }

    // Embeddings of tokens answer alone which items are similar.
    let (_folder, engine) = groups(true);
    let report = train(&engine, &TrainOptions { epochs: 2, ..options }).expect("a training");
    assert!(report.epochs.iter().all(|epoch| epoch.score_recall.is_none()), "{report:?}");
}

/// The training is interrupted up to ten times, in any epoch after the first. The number of threads changes each time, and
/// every second time the store is closed and opened again.
#[test]
fn a_training_interrupted_many_times_ends_with_the_bytes_of_an_uninterrupted_one() {
    for seed in 0..12 {
        // Given: the report of an uninterrupted training.
        let (_folder, uninterrupted) = random_graph(seed);
        let expected = train(&uninterrupted, &options(seed)).expect("a training");
        // When: an equal training is cancelled and resumed until it ends.
        let (folder, mut engine) = random_graph(seed);
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
            let unfinished =
                engine.unfinished_training().expect("readable").expect("there is one to go on with");
            // The stored state has the options and the epochs of the cancelled training.
            assert_eq!(unfinished.options, options(seed), "seed {seed}");
            assert_eq!(unfinished.epochs, report.epochs, "seed {seed}");
            let cancel = cancel_at(1 + round % 2, 1 + round as usize % 3);
            let threads = [1, 3, 0][round as usize % 3];
            report = engine.resuming(threads).run(&cancel).expect("it goes on");
        }
        // Then: figures and bytes are equal, and no training is left to resume.
        assert!(!report.cancelled, "seed {seed}");
        assert_eq!(without_times(&report), without_times(&expected), "seed {seed}");
        assert_eq!(digest(&engine), digest(&uninterrupted), "seed {seed}");
        assert_eq!(engine.unfinished_training().expect("readable"), None, "seed {seed}: it is done");
        let error = resume(&engine).expect_err("there is nothing to go on with");
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
}

#[test]
fn a_training_with_pairs_resumes_with_the_same_pairs_only() {
    let pin = |key: usize| NodeName::new("pin", key.to_string()).expect("a name");
    let pairs: Vec<_> = (0..50).map(|at| (pin(at), pin(at + 1))).collect();
    // Without patience the training does not end before it is interrupted.
    let without_patience = TrainOptions { patience: 0, ..options(1) };
    let run = |engine: &Engine| {
        let cancel = cancel_at(3, 1);
        engine.training(&without_patience).pairs(&pairs).run(&cancel).expect("two epochs are kept");
        engine.resuming(0).pairs(&pairs).run(&CancelToken::new())
    };
    let with_all_pins = || {
        let (folder, engine) = random_graph(1);
        let mut batch = Batch::new();
        for key in 0..=50 {
            batch.add_node(pin(key).as_ref()).expect("a node");
        }
        engine.store().commit(&batch).expect("a commit");
        (folder, engine)
    };
    // A training resumed with the same pairs ends with the bytes of an uninterrupted one.
    let (_one, uninterrupted) = with_all_pins();
    uninterrupted.training(&without_patience).pairs(&pairs).run(&CancelToken::new()).expect("a training");
    let (_other, engine) = with_all_pins();
    run(&engine).expect("it goes on");
    assert_eq!(digest(&engine), digest(&uninterrupted));
    // No pairs or other pairs are refused.
    engine.training(&without_patience).pairs(&pairs).run(&cancel_at(2, 1)).expect("an epoch is kept");
    for found in [None, Some(&pairs[1..])] {
        let error = found
            .into_iter()
            .fold(engine.resuming(0), hedgerow::Training::pairs)
            .run(&CancelToken::new())
            .expect_err("other pairs");
        assert!(error.to_string().contains("pairs of the caller's"), "{error}");
    }
    engine.resuming(0).pairs(&pairs).run(&CancelToken::new()).expect("the refusals removed nothing");
}

#[test]
fn a_training_does_not_resume_in_a_changed_graph() {
    let (_folder, engine) = random_graph(3);
    engine.training(&options(3)).run(&cancel_at(2, 1)).expect("an epoch is kept");
    engine.store().commit(&GraphModel::new(4, 60).initial_batch()).expect("a commit");
    let error = resume(&engine).expect_err("another graph");
    assert!(error.to_string().contains("the graph is at epoch 2 and was at 1"), "{error}");
    train(&engine, &TrainOptions { warm: true, ..options(3) })
        .expect("a new training, as the message advises");
    assert_eq!(engine.unfinished_training().expect("readable"), None);
}

#[test]
fn a_training_cancelled_in_its_first_epoch_changes_nothing() {
    let (_folder, engine) = random_graph(5);
    let cancelled = engine.training(&options(5)).run(&cancel_at(1, 2));
    assert!(cancelled.expect_err("a cancellation").is_cancelled());
    assert_eq!(engine.status().generation, None);
    assert_eq!(engine.unfinished_training().expect("readable"), None);
    // An older interrupted training is kept until the new one has a whole epoch.
    engine.training(&options(5)).run(&cancel_at(3, 1)).expect("two epochs are kept");
    let other = TrainOptions { seed: 50, ..options(5) };
    engine.training(&other).run(&cancel_at(1, 2)).expect_err("a cancellation");
    let kept = |engine: &Engine| engine.unfinished_training().expect("readable").expect("there").options.seed;
    assert_eq!(kept(&engine), 5);
    engine.training(&other).run(&cancel_at(2, 1)).expect("an epoch is kept");
    assert_eq!(kept(&engine), 50);
}

/// A flipped bit in the state of an interrupted training is an error that names the file. The store, its model and a new
/// training work as before.
#[test]
fn a_damaged_state_of_an_interrupted_training_harms_neither_store_nor_model() {
    let (folder, engine) = random_graph(7);
    engine.training(&options(7)).run(&cancel_at(2, 1)).expect("an epoch is kept");
    let before = digest(&engine);
    drop(engine);
    let file = folder.path().join("training.aside");
    let intact = std::fs::read(&file).expect("the state of the run");
    for at in (0..intact.len()).step_by(intact.len() / 40 + 1) {
        let mut damaged = intact.clone();
        damaged[at] ^= 1;
        std::fs::write(&file, damaged).expect("written");
        let engine = open(folder.path());
        assert_eq!(digest(&engine), before, "byte {at}");
        let error = Error::from(engine.unfinished_training().expect_err("damage"));
        assert_eq!((error.kind(), error.path()), (ErrorKind::Damaged, Some(file.as_path())), "byte {at}");
        assert_eq!(resume(&engine).expect_err("damage").kind(), ErrorKind::Damaged, "byte {at}");
    }
    let checked = Store::check(folder.path(), CheckOptions::default(), &CancelToken::new()).expect("checked");
    assert_eq!(checked.problems.iter().map(|problem| &problem.path).collect::<Vec<_>>(), [&file]);
    let engine = open(folder.path());
    train(&engine, &options(7)).expect("a training");
    assert!(!file.exists(), "a finished training removes the state of the interrupted one");
}

/// A reader asks for one embedding without pause. Each answer belongs to one generation, the old or the new.
#[test]
fn readers_see_the_old_generation_or_the_new_one_during_a_training() {
    let (_folder, engine) = random_graph(9);
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
        "one vector for each generation, in ascending order"
    );
    assert_eq!(ask().expect("an embedding").0, 5);
}

/// After the first epoch the learning rate grows without bound. The rows of the table grow with it, until their products
/// are not numbers.
#[test]
fn a_training_that_diverges_names_the_step_and_keeps_the_best_epoch() {
    let (_one, engine) = random_graph(11);
    let diverging = TrainOptions { decay: f32::MAX, patience: 0, ..options(11) };
    let mut events = Vec::new();
    let mut observer = |event: &TrainEvent| events.push(event.clone());
    let failed = engine.training(&diverging).observer(&mut observer).run(&CancelToken::new());
    let error = Error::from(failed.expect_err("it diverges"));
    assert_eq!(error.kind(), ErrorKind::Diverged);
    let message = error.to_string();
    assert!(message.contains("training diverged in epoch "), "{message}");
    assert!(message.contains("what epoch 1 gave is kept and published"), "{message}");
    assert_eq!(engine.unfinished_training().expect("readable"), None, "it would diverge again");
    // The published model is that of a training of one epoch.
    let (_other, one_epoch) = random_graph(11);
    train(&one_epoch, &TrainOptions { epochs: 1, ..diverging.clone() }).expect("a training");
    assert_eq!(digest(&engine), digest(&one_epoch));
    // A training that diverges in its first epoch publishes nothing.
    let (_third, empty) = random_graph(11);
    let error =
        train(&empty, &TrainOptions { learning_rate: f32::MAX, ..diverging }).expect_err("it diverges");
    assert!(error.to_string().contains("epoch 1"), "{error}");
    assert_eq!(empty.status().generation, None, "a training without a whole epoch publishes nothing");
}

#[test]
fn embeddings_that_collapse_to_one_point_raise_an_alarm_and_are_not_published() {
    // All pins have the same token and no row of their own, so all inputs are equal.
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    let mut batch = ring(0..30, 60);
    for pin in 0..120 {
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
    let refused = engine.training(&one).observer(&mut observer).run(&CancelToken::new());
    let error = Error::from(refused.expect_err("its embeddings are all alike"));
    assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
    assert!(error.to_string().contains("random pairs of 120 have a mean cosine of 1.0"), "{error}");
    assert_eq!(engine.status().generation, None, "nothing is published");
    assert_eq!(engine.unfinished_training().expect("readable"), None, "it would collapse again");
    let collapsed =
        |epoch| alarms.iter().any(|(at, alarm)| *at == epoch && matches!(alarm, Alarm::Collapsed { .. }));
    assert!(collapsed(1) && collapsed(2), "{alarms:?}");
}

#[test]
fn an_estimate_has_the_counts_of_the_training_and_changes_nothing() {
    let (folder, engine) = random_graph(13);
    let mut started = None;
    let options = TrainOptions { epochs: 3, patience: 0, ..options(13) };
    let mut observer = |event: &TrainEvent| {
        if let TrainEvent::Started { nodes, positives, examples } = event {
            started = Some((*nodes, *positives, *examples));
        }
    };
    engine.training(&options).observer(&mut observer).run(&CancelToken::new()).expect("a training");
    // The digest and the files before the estimate.
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("there")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        names.sort();
        names
    };
    let (before, files) = (digest(&engine), names());
    // Counts, bytes and seconds.
    let estimate = engine.estimate(&options, None, &CancelToken::new()).expect("an estimate");
    assert_eq!(Some((estimate.nodes, estimate.positives, estimate.examples)), started);
    assert_eq!(estimate.epochs, 3);
    // Each trained number has two moments. Rows of the table that no token reads take no memory.
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
