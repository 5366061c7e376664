//! Promise 6 for trainings: each dimension with each combination of inputs trains, or is refused before its walks.
//!
//! Graphs without nodes, edges, positives or inputs have typed errors in every call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hedgerow::{
    Batch, CancelToken, Conv, Edge, Engine, Error, ErrorKind, EvaluateOptions, Ids, NodeName, NodeRef,
    Pooling, Positives, Query, Recipient, TrainOptions, WalkOptions,
};
use tempfile::TempDir;

use crate::training::{digest, open, train};

fn pin(key: &str) -> NodeRef<'_> {
    NodeRef { kind: "pin", key }
}

/// Three boards of four pins each, and a pin on all boards. Pins have tokens and dense features, or not.
fn pins(has_tokens: bool, has_dense: bool) -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    let mut batch = Batch::new();
    for at in 0..13u32 {
        let key = at.to_string();
        let boards = if at == 12 { 0..3 } else { at / 4..at / 4 + 1 };
        for board in boards.map(|board| board.to_string()) {
            batch.link(pin(&key), NodeRef { kind: "board", key: &board }, Edge::default()).expect("an edge");
        }
        if has_tokens {
            batch.set_tokens(pin(&key), &[format!("word={}", at % 5)]).expect("a token");
        }
        if has_dense {
            batch.set_dense(pin(&key), "look", &[at as f32, 1.0 - at as f32]).expect("numbers");
        }
    }
    engine.store().commit(&batch).expect("a commit");
    (folder, engine)
}

fn options(dim: usize, conv: Conv) -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".into()],
        dim,
        conv,
        layers: 1,
        walks: WalkOptions { walks: 20, top: 5, min_visits: 1, ..WalkOptions::default() },
        epochs: 1,
        batch: 16,
        negatives: 6,
        ..TrainOptions::default()
    }
}

/// Estimates a training, which trains some steps. True if a progress stage began before the refusal.
fn estimate(engine: &Engine, options: &TrainOptions) -> (Result<(), Error>, bool) {
    let began = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&began);
    let cancel = CancelToken::new().observed(move |_| seen.store(true, Ordering::Relaxed));
    let result = engine.estimate(options, None, &cancel).map(drop).map_err(Error::from);
    (result, began.load(Ordering::Relaxed))
}

/// Without tokens the table of a training had no rows, and a product with it panicked: with `ids` off, for 17, 20, 48,
/// 96, 100, 192, 200 and 300 dimensions, and with AVX2 for 128. The unit tests of the model try every dimension up to
/// 1,024 and every instruction set; here each combination of inputs goes through the library.
#[test]
fn each_dimension_with_each_combination_of_inputs_trains_or_is_refused_before_its_walks() {
    for (has_tokens, has_dense) in [(false, false), (true, false), (false, true), (true, true)] {
        let (_folder, engine) = pins(has_tokens, has_dense);
        for conv in [Conv::Light, Conv::PinSage] {
            for dim in [1, 7, 8, 16, 17, 20, 33, 48, 64, 65, 96, 100, 128, 129, 192, 200, 255, 300, 700, 1024]
            {
                if conv == Conv::PinSage && dim > 200 {
                    continue;
                }
                for (ids, degree_input) in
                    [(Ids::Off, false), (Ids::Off, true), (Ids::On, false), (Ids::Auto, true)]
                {
                    let options = TrainOptions { ids, degree_input, ..options(dim, conv) };
                    let has_input = has_tokens || has_dense || degree_input || ids != Ids::Off;
                    let case = format!("{conv:?} {dim}, tokens {has_tokens}, dense {has_dense}, {ids:?}");
                    let (result, began) = estimate(&engine, &options);
                    match result {
                        Ok(()) => assert!(has_input, "{case}"),
                        Err(error) => {
                            assert!(!has_input && !began, "{case}: {error}");
                            assert_eq!(error.kind(), ErrorKind::Invalid, "{case}");
                            assert!(error.to_string().contains("no node of kind pin has a token"), "{error}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn trainings_of_the_dimensions_that_failed_are_published_refreshed_and_asked() {
    for (dim, conv, has_dense) in [
        (17, Conv::Light, false),
        (128, Conv::Light, true),
        (300, Conv::Light, true),
        (100, Conv::PinSage, true),
    ] {
        let (_folder, engine) = pins(false, has_dense);
        let pooling = if dim == 300 { Pooling::Max } else { Pooling::Importance };
        let options = TrainOptions { ids: Ids::Off, degree_input: !has_dense, pooling, ..options(dim, conv) };
        train(&engine, &options).expect("a training");
        // A pin without edges and features: its row is made in a refresh.
        let mut batch = Batch::new();
        batch.add_node(pin("new")).expect("a node");
        engine.store().commit(&batch).expect("a commit");
        engine.refresh(false, &CancelToken::new()).expect("a refresh");
        let refreshed = digest(&engine);
        engine.refresh(true, &CancelToken::new()).expect("a rebuild");
        assert_eq!(digest(&engine), refreshed, "{dim} {conv:?}");
        for key in ["0", "new"] {
            assert_eq!(
                engine
                    .similar(pin(key), &Query::default(), &CancelToken::new())
                    .expect("an answer")
                    .items
                    .len(),
                10
            );
        }
        let history = Recipient::History(vec![pin("1").to_name()]);
        engine.recommend(&history, &Query::default(), &CancelToken::new()).expect("an answer");
    }
}

/// Dense rows that are all zeros are no input: without this check such a training ended with a model of zeros.
#[test]
fn dense_rows_of_zeros_are_no_input() {
    let (_folder, engine) = pins(false, false);
    let mut batch = Batch::new();
    batch.set_dense(pin("0"), "look", &[0.0, -0.0]).expect("numbers");
    engine.store().commit(&batch).expect("a commit");
    let without = TrainOptions { ids: Ids::Off, ..options(8, Conv::Light) };
    let error = train(&engine, &without).expect_err("there is no input");
    assert!(error.to_string().starts_with("nothing to embed: no node of kind pin"), "{error}");
    assert_eq!(engine.status().generation, None);
}

/// Graphs in which there is nothing to learn from, and the kind of the error.
#[test]
fn graphs_without_positives_are_refused_and_nothing_panics() {
    let name = |key: &str| NodeName::new("pin", key).expect("a name");
    let cancel = CancelToken::new();
    // No node; one node; one node with a loop; two nodes and an edge; nodes without edges.
    let graphs: [&[(&str, &str)]; 5] =
        [&[], &[("a", "")], &[("a", "a")], &[("a", "b")], &[("a", ""), ("b", "")]];
    for edges in graphs {
        for (positives, conv) in [(Positives::Edges, Conv::Light), (Positives::Walks, Conv::PinSage)] {
            let folder = tempfile::tempdir().expect("a folder");
            let engine = open(folder.path());
            let mut batch = Batch::new();
            for &(a, b) in edges {
                if b.is_empty() {
                    batch.add_node(pin(a)).expect("a node");
                } else {
                    batch.link(pin(a), pin(b), Edge::default()).expect("an edge");
                }
            }
            if !batch.is_empty() {
                engine.store().commit(&batch).expect("a commit");
            }
            let options = TrainOptions { positives, hard_negatives: 1, ..options(17, conv) };
            match train(&engine, &options) {
                Ok(report) => assert_eq!((edges, report.embedded), (&[("a", "b")][..], 2), "{positives:?}"),
                Err(error) => {
                    let expected = if edges.is_empty() { ErrorKind::NotFound } else { ErrorKind::Invalid };
                    assert_eq!(error.kind(), expected, "{edges:?} {positives:?}: {error}");
                    assert_eq!(engine.status().generation, None, "{edges:?}");
                }
            }
            // Pairs of the caller need no edge, and starting weights need no positive.
            if !edges.is_empty() {
                let pairs =
                    [(name("a"), name(edges.last().map_or("a", |(a, b)| if b.is_empty() { a } else { b })))];
                let paired = engine.training(&options).pairs(&pairs).run(&cancel);
                paired.unwrap_or_else(|error| panic!("{edges:?} {positives:?}: {error}"));
                assert_eq!(
                    engine
                        .training(&options)
                        .pairs(&[])
                        .run(&cancel)
                        .map_err(Error::from)
                        .expect_err("none")
                        .kind(),
                    ErrorKind::Invalid
                );
                train(&engine, &TrainOptions { epochs: 0, ..options.clone() }).expect("starting weights");
                engine.similar(pin("a"), &Query::default(), &CancelToken::new()).expect("an answer");
            }
        }
    }
}

/// All embedded nodes are removed, so that every row of the model is one of a removed node.
#[test]
fn a_model_whose_nodes_are_all_removed_has_empty_answers() {
    let (_folder, engine) = pins(true, true);
    train(&engine, &options(48, Conv::PinSage)).expect("a training");
    let mut batch = Batch::new();
    (0..13).for_each(|at| batch.remove(pin(&at.to_string())).expect("a removal"));
    engine.store().commit(&batch).expect("a commit");
    for full in [false, true] {
        engine.refresh(full, &CancelToken::new()).expect("a refresh");
        engine.persist(&CancelToken::new()).expect("stored");
        assert_eq!(engine.digest(&CancelToken::new()).expect("a digest").nodes, 0);
    }
    let options_of_evaluation = EvaluateOptions::default();
    let related = engine.evaluate_related(&[], &options_of_evaluation, &CancelToken::new());
    assert!(related.is_ok() || related.is_err_and(|error| Error::from(error).kind() == ErrorKind::Invalid));
    let again = train(&engine, &options(48, Conv::PinSage)).expect_err("there is no pin");
    assert_eq!(again.kind(), ErrorKind::NotFound, "{again}");
}
