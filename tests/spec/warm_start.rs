//! Promise: a training that starts from the last generation, in a graph that has grown, keeps what was learned.

use hedgerow::{Batch, Conv, Edge, ErrorKind, NodeRef, TrainOptions};

use crate::training::{model_graph, open, options, train};

/// Pins on a ring; every board has six of the forty that lie from its place on.
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
fn a_warm_start_gives_old_nodes_the_inputs_they_had_in_a_graph_that_has_grown() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    engine.store().commit(&ring(0..150, 100)).expect("a commit");
    // Without layers an embedding is the input, as a unit vector.
    let options = TrainOptions { layers: 0, popularity: false, conv: Conv::Light, ..options(1) };
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
fn a_warm_start_is_better_after_an_epoch_than_a_cold_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    engine.store().commit(&ring(0..300, 400)).expect("a commit");
    // Without layers: the neighbourhoods alone would find nearly everything in a ring.
    let options =
        TrainOptions { held_out: 200, patience: 0, dim: 16, layers: 0, conv: Conv::Light, ..options(1) };
    train(&engine, &options).expect("a training");
    engine.store().commit(&ring(300..400, 500)).expect("a commit");
    // An epoch in which a cold start does not get far.
    let one = TrainOptions { epochs: 1, pairs_per_epoch: 200, ..options };
    let recall = |warm| {
        let report = train(&engine, &TrainOptions { warm, ..one.clone() }).expect("a training");
        report.epochs[0].recall.expect("positives are held out")
    };
    // The cold one would be the last generation of the other.
    let warm = recall(true);
    let cold = recall(false);
    assert!(warm > cold, "warm {warm}, cold {cold}");
}

/// Asks for another model.
type Change = fn(&mut TrainOptions);

#[test]
fn a_warm_start_from_another_shape_is_refused_with_what_differs() {
    let (_folder, engine) = model_graph(1);
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
        (|options| options.dim = 9, "dim 8, asked for 9"),
        (|options| options.layers = 1, "layers 2, asked for 1"),
        (|options| options.conv = Conv::PinSage, "conv light, asked for pinsage"),
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
    assert!(message.contains("dense blocks image of 3, asked for image of 3, sound of 2"), "{message}");
}
