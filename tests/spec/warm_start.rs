//! Promise: a warm training starts from the last generation's model, also after the graph has grown.

use hedgerow::{Batch, Conv, Edge, ErrorKind, NodeRef, TrainOptions};

use crate::training::{open, options, random_graph, train};

/// Pins in a ring, with boards around it: each board links six of the forty pins that follow its place.
pub(crate) fn ring(boards: std::ops::Range<usize>, pins: usize) -> Batch {
    let mut batch = Batch::new();
    for board in boards {
        for at in 0..6 {
            let pin = (board * 37 + (board * 6 + at).wrapping_mul(2_654_435_761) / 64 % 40) % pins;
            let (board, pin) = (board.to_string(), pin.to_string());
            let ends = [NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin }];
            batch.link(ends[0], ends[1], Edge::default()).expect("an edge");
        }
    }
    batch
}

#[test]
fn a_warm_start_in_a_grown_graph_gives_old_nodes_their_former_inputs() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    engine.store().commit(&ring(0..150, 100)).expect("a commit");
    // Without layers an embedding is the normalized input. Factors would take most of the time.
    let options =
        TrainOptions { layers: 0, popularity: false, conv: Conv::Light, factors: false, ..options(1) };
    train(&engine, &options).expect("a training");
    let vectors = || -> Vec<Vec<f32>> {
        let vector = |key: usize| {
            engine.embedding(NodeRef { kind: "pin", key: &key.to_string() }).map(|embedded| embedded.vector)
        };
        (0..100).filter_map(|key| vector(key).ok()).collect()
    };
    let before = vectors();
    assert!(before.len() > 50);
    engine.store().commit(&ring(150..900, 2000)).expect("a commit");
    train(&engine, &TrainOptions { warm: true, epochs: 0, seed: 99, ..options.clone() })
        .expect("a warm start");
    let after = vectors();
    assert_eq!(before, after[..before.len()]);
    train(&engine, &TrainOptions { epochs: 0, seed: 99, ..options }).expect("a cold start");
    assert_ne!(before, vectors()[..before.len()]);
}

#[test]
fn after_one_epoch_a_warm_start_has_a_higher_recall_than_a_cold_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    engine.store().commit(&ring(0..300, 400)).expect("a commit");
    // With layers the neighborhoods alone would find nearly all held-out pairs of a ring.
    let options =
        TrainOptions { held_out: 200, patience: 0, dim: 16, layers: 0, conv: Conv::Light, ..options(1) };
    train(&engine, &options).expect("a training");
    engine.store().commit(&ring(300..400, 500)).expect("a commit");
    // So few pairs that a cold start learns little in one epoch.
    let one = TrainOptions { epochs: 1, pairs_per_epoch: 200, ..options };
    let recall = |warm| {
        let report = train(&engine, &TrainOptions { warm, ..one.clone() }).expect("a training");
        report.epochs[0].recall.expect("positives are held out")
    };
    // The warm start comes first: its last generation must not be the cold one.
    let warm = recall(true);
    let cold = recall(false);
    assert!(warm > cold, "warm {warm}, cold {cold}");
}

/// Changes one option of the model's shape.
type Change = fn(&mut TrainOptions);

#[test]
fn a_warm_start_from_a_model_of_another_shape_is_refused_and_the_difference_is_named() {
    let (_folder, engine) = random_graph(1);
    let warm = |change: Change| {
        let mut options = TrainOptions { warm: true, epochs: 1, ..options(1) };
        change(&mut options);
        train(&engine, &options).map_err(|error| (error.kind(), error.to_string()))
    };
    let (kind, message) = warm(|_| {}).expect_err("nothing was trained");
    assert_eq!(kind, ErrorKind::Refused);
    assert!(message.contains("no generation to start from"), "{message}");
    train(&engine, &options(1)).expect("a training");
    let changes: [(Change, &str); 3] = [
        (|options| options.dim = 9, "dim 8, requested 9"),
        (|options| options.layers = 1, "layers 2, requested 1"),
        (|options| options.conv = Conv::PinSage, "conv light, requested pinsage"),
    ];
    for (change, words) in changes {
        let (kind, message) = warm(change).expect_err("another shape");
        assert_eq!(kind, ErrorKind::Refused);
        assert!(message.contains(words), "{message}");
    }
    warm(|options| options.popularity = false).expect("the same shape");
    warm(|_| {}).expect("the same shape");
    let mut batch = Batch::new();
    batch.set_dense(NodeRef { kind: "pin", key: "1" }, "sound", &[1.0, 2.0]).expect("numbers");
    engine.store().commit(&batch).expect("a commit");
    let (_, message) = warm(|_| {}).expect_err("another block");
    assert!(message.contains("dense blocks image of 3, requested image of 3, sound of 2"), "{message}");
}
