//! Promise: only finite models and embeddings that tell nodes apart are published.
//!
//! Dense numbers out of their range are refused when they are given. A training, an installed model or a refresh that is not
//! finite is an error, and readers keep the embeddings of before.

use hedgerow::{
    Alarm, Batch, CancelToken, Conv, Edge, Engine, Error, ErrorKind, Generation, Ids, MAX_DENSE_VALUE, Model,
    NewNode, NodeRef, TrainEvent, TrainOptions, Values, WalkOptions,
};
use tempfile::TempDir;

use crate::older_formats::open_and_compare;
use crate::training::{digest, open, train};

fn pin(key: &str) -> NodeRef<'_> {
    NodeRef { kind: "pin", key }
}

fn set_dense(engine: &Engine, key: &str, values: &[f32]) {
    let mut batch = Batch::new();
    batch.set_dense(pin(key), "look", values).expect("numbers in their range");
    engine.store().commit(&batch).expect("a commit");
}

/// Forty pins on ten boards, with two dense numbers each, and a model of them.
fn trained(conv: Conv) -> (TempDir, Engine, TrainOptions) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    let mut batch = Batch::new();
    for at in 0..40u32 {
        let key = at.to_string();
        for board in [at / 4, (at * 7 + 3) % 10] {
            let board = board.to_string();
            batch.link(pin(&key), NodeRef { kind: "board", key: &board }, Edge::default()).expect("an edge");
        }
        let angle = at as f32 / 6.4;
        batch.set_dense(pin(&key), "look", &[angle.cos(), angle.sin()]).expect("numbers");
    }
    engine.store().commit(&batch).expect("a commit");
    let options = TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        conv,
        ids: Ids::On,
        walks: WalkOptions { walks: 20, top: 5, min_visits: 1, ..WalkOptions::default() },
        epochs: 2,
        batch: 32,
        negatives: 10,
        ..TrainOptions::default()
    };
    train(&engine, &options).expect("a training");
    (folder, engine, options)
}

/// The engine's model with other values in one tensor.
fn changed(engine: &Engine, name: &str, change: impl Fn(f32) -> f32) -> Model {
    let mut model = engine.export_embeddings(&CancelToken::new()).expect("an export").model();
    let tensor = model.tensors.iter_mut().find(|tensor| tensor.name == name).expect("a tensor of that name");
    let Values::F32(values) = &mut tensor.values else { panic!("{name} has no fractions") };
    for value in values.iter_mut() {
        *value = change(*value);
    }
    model
}

/// A dense number of 3.4e38 was accepted. A training then published a model with NaN and embeddings of zeros. Numbers out
/// of their range must be refused with the value and the range; `command/import.rs` has the same with the place in a file.
#[test]
fn a_batch_refuses_dense_numbers_out_of_their_range() {
    let error = Batch::new().set_dense(pin("a"), "look", &[1.0, 3.4e38]).expect_err("out of the range");
    let message = "invalid dense row: found '3.4e38 at 1', expected numbers from -1000000 to 1000000";
    assert!(error.to_string().starts_with(message), "{error}");
    assert_eq!(Error::from(error).kind(), ErrorKind::Invalid);
}

/// An earlier version accepted 3e38, so a store may hold it. It opens with its whole content, and a training names the
/// node before it walks.
#[test]
fn a_store_with_a_dense_number_out_of_its_range_opens_and_is_not_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_and_compare("store-3", &folder.path().join("store"));
    let engine = Engine::open(store).expect("the engine opens");
    let options = TrainOptions { targets: vec!["pin".into()], dim: 4, epochs: 1, ..TrainOptions::default() };
    let error = train(&engine, &options).expect_err("a number is out of its range");
    let message = "invalid dense features 'photo': found 3e38 as number 2 of pin:2jazz, expected numbers from -1000000 to";
    assert!(error.to_string().starts_with(message), "{error}");
    assert_eq!((error.kind(), engine.status().generation), (ErrorKind::Invalid, None));
    // A row in the range replaces it, and the training runs.
    let mut batch = Batch::new();
    batch.set_dense(pin("2jazz"), "photo", &[0.0, -3.0]).expect("numbers in the range");
    engine.store().commit(&batch).expect("a commit");
    train(&engine, &options).expect("a training");
}

/// The largest numbers that are allowed, for both layers: the model and all embeddings are finite.
#[test]
fn dense_numbers_at_the_ends_of_their_range_train() {
    for conv in [Conv::Light, Conv::PinSage] {
        let (_folder, engine, options) = trained(conv);
        for (at, key) in ["1", "2", "3"].into_iter().enumerate() {
            set_dense(&engine, key, &[MAX_DENSE_VALUE, if at == 0 { -MAX_DENSE_VALUE } else { 0.5 }]);
        }
        train(&engine, &options).expect("a training");
        let export = engine.export_embeddings(&CancelToken::new()).expect("an export");
        for tensor in export.model().tensors {
            if let Values::F32(values) = tensor.values {
                assert!(values.iter().all(|value| value.is_finite()), "{conv:?} {}", tensor.name);
            }
        }
    }
}

/// Large but finite parameters, as of a model from elsewhere: the squares of a row overflow, which made it zeros.
#[test]
fn a_model_whose_embeddings_are_not_finite_is_not_installed() {
    for (conv, name) in
        [(Conv::Light, "dense"), (Conv::PinSage, "dense"), (Conv::PinSage, "head.output.weight")]
    {
        let (_folder, engine, _) = trained(conv);
        let before = digest(&engine);
        let model = changed(&engine, name, |value| value * 1e30);
        let error = Error::from(engine.install(&model, &CancelToken::new()).expect_err("it overflows"));
        assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
        let message = error.to_string();
        assert!(message.contains("the embedding of pin:"), "{conv:?} {name}: {message}");
        assert!(message.contains("is not finite and was not published"), "{message}");
        for bad in [f32::NAN, f32::INFINITY] {
            let model = changed(&engine, name, |_| bad);
            let error = Error::from(engine.install(&model, &CancelToken::new()).expect_err("not finite"));
            assert!(error.to_string().contains(&format!("{name} holds {bad}")), "{error}");
        }
        assert_eq!((digest(&engine), engine.status().generation.map(Generation::get)), (before, Some(1)));
    }
}

/// A refresh that meets a row which is not finite published it. It must be an error that names the node; readers and the
/// stored embeddings stay as they were, and the refresh after a repair gives the bytes of a rebuild.
#[test]
fn a_refresh_that_meets_a_row_that_is_not_finite_is_an_error_and_publishes_nothing() {
    for conv in [Conv::Light, Conv::PinSage] {
        // Weights that are finite as long as the dense features are zeros.
        let (folder, engine, options) = trained(conv);
        (0..40).for_each(|at| set_dense(&engine, &at.to_string(), &[0.0, 0.0]));
        engine.install(&changed(&engine, "dense", |_| 1e34), &CancelToken::new()).expect("a model");
        let (before, vector) = (digest(&engine), engine.embedding(pin("7")).expect("an embedding").vector);
        set_dense(&engine, "7", &[1e5, 0.0]);
        for full in [false, true, false] {
            let error = Error::from(engine.refresh(full, &CancelToken::new()).expect_err("it overflows"));
            assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
            assert!(error.to_string().starts_with("the embedding of pin:7 is not finite"), "{error}");
            assert_eq!(engine.embedding(pin("7")).expect("the one of before").vector, vector);
        }
        let now = engine.embedding_now(pin("7"), &CancelToken::new()).map_err(Error::from);
        assert_eq!(now.expect_err("it overflows").kind(), ErrorKind::Diverged);
        engine.persist(&CancelToken::new()).expect("nothing to store");
        drop(engine);
        let engine = open(folder.path());
        assert_eq!(engine.embedding(pin("7")).expect("the stored one").vector, vector);
        // Repaired.
        set_dense(&engine, "7", &[0.0, 0.0]);
        engine.refresh(false, &CancelToken::new()).expect("a refresh");
        assert_eq!(digest(&engine), before, "{conv:?}");
        engine.refresh(true, &CancelToken::new()).expect("a rebuild");
        assert_eq!(digest(&engine), before, "{conv:?}");
        // A new node that overflows, and one that is out of the range.
        let of_values =
            |value: f32| NewNode { dense: vec![("look".into(), vec![value, 0.0])], ..NewNode::default() };
        for (value, kind) in [(1e5, ErrorKind::Diverged), (2e6, ErrorKind::Invalid)] {
            let error =
                engine.embed_new_node(&of_values(value)).map_err(Error::from).expect_err("not finite");
            assert_eq!(error.kind(), kind, "{error}");
        }
        // A warm training from such weights publishes nothing either.
        set_dense(&engine, "7", &[1e5, 0.0]);
        for epochs in [0, 1] {
            let warm = TrainOptions { warm: true, epochs, ..options.clone() };
            let error = train(&engine, &warm).expect_err("it overflows");
            assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
            assert_eq!(engine.status().generation.map(Generation::get), Some(2));
        }
    }
}

/// A training whose units are all dead has no gradient and ends with embeddings of zeros. They were published without a
/// word. It must raise an alarm, publish nothing, and say what to do.
#[test]
fn embeddings_that_collapse_to_zeros_raise_an_alarm_and_are_not_published() {
    let (_folder, engine, options) = trained(Conv::PinSage);
    engine.install(&changed(&engine, "head.hidden.bias", |_| -1e3), &CancelToken::new()).expect("a model");
    let before = digest(&engine);
    let warm = TrainOptions { warm: true, ..options };
    let mut alarms = Vec::new();
    let mut observer = |event: &TrainEvent| {
        if let TrainEvent::Alarm { epoch, alarm } = event {
            alarms.push((*epoch, alarm.clone()));
        }
    };
    let refused = engine.training(&warm).observer(&mut observer).run(&CancelToken::new());
    let error = Error::from(refused.expect_err("all embeddings are zeros"));
    assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
    assert!(error.to_string().contains("nothing was published: 40 of 40 are zeros"), "{error}");
    assert!(alarms.contains(&(1, Alarm::Zeros { share: 1.0 })), "{alarms:?}");
    assert_eq!((digest(&engine), engine.status().generation.map(Generation::get)), (before, Some(2)));
    assert_eq!(engine.unfinished_training().expect("readable"), None, "it would collapse again");
}

/// Sound cases beside a collapse: nodes without features and edges have embeddings of zeros, also if they are many; a
/// graph of few nodes has embeddings that are all alike; starting weights are no training.
#[test]
fn zeros_of_nodes_without_inputs_and_small_graphs_are_published() {
    let (_folder, engine, options) = trained(Conv::Light);
    let mut batch = Batch::new();
    for at in 0..800 {
        batch.add_node(pin(&format!("lone {at}"))).expect("a node");
    }
    engine.store().commit(&batch).expect("a commit");
    train(&engine, &TrainOptions { ids: Ids::Off, ..options.clone() }).expect("a training");
    let lone = engine.embedding(pin("lone 7")).expect("an embedding").vector;
    assert_eq!(lone[..8], [0.0; 8]);

    let folder = tempfile::tempdir().expect("a folder");
    let small = open(folder.path());
    let mut batch = Batch::new();
    for key in ["a", "b"] {
        batch.link(pin(key), NodeRef { kind: "board", key: "1" }, Edge::default()).expect("an edge");
        batch.set_tokens(pin(key), &["word=same"]).expect("a token");
    }
    small.store().commit(&batch).expect("a commit");
    let alike = TrainOptions { ids: Ids::Off, ..options };
    train(&small, &alike).expect("a training");
    train(&small, &TrainOptions { epochs: 0, ..alike }).expect("starting weights");
}
