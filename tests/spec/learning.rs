//! Promise: a training learns according to its options.
//!
//! Users and items that belong together have similar vectors. Each option that should change the model changes it. An epoch
//! has the announced number of examples.

use hedgerow::{
    Batch, CancelToken, Edge, Engine, Ids, NodeName, NodeRef, Pooling, Query, Recipient, TrainEvent,
    TrainOptions,
};

use crate::fixtures::graph_model::GraphModel;
use crate::training::{digest, open};

fn options() -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        epochs: 2,
        batch: 32,
        negatives: 16,
        held_out: 0,
        ..TrainOptions::default()
    }
}

fn train(engine: &Engine, options: &TrainOptions) -> Vec<TrainEvent> {
    let mut events = Vec::new();
    let mut observer = |event: &TrainEvent| events.push(event.clone());
    engine.training(options).observer(&mut observer).run(&CancelToken::new()).expect("a training");
    events
}

/// Ten groups of users and items, with edges only within a group. Each user has four of the eight items of its group.
#[test]
fn users_are_most_similar_to_items_of_their_own_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    let mut batch = Batch::new();
    for user in 0..120_usize {
        for at in 0..4 {
            let item = 8 * (user % 10) + (user / 10 + at * at) % 8;
            let (user, item) = (user.to_string(), item.to_string());
            let ends = [NodeRef { kind: "user", key: &user }, NodeRef { kind: "item", key: &item }];
            batch.link(ends[0], ends[1], Edge::default()).expect("an edge");
        }
    }
    engine.store().commit(&batch).expect("a commit");
    let options = TrainOptions {
        targets: vec!["user".into(), "item".into()],
        popularity: false,
        epochs: 12,
        learning_rate: 0.02,
        patience: 0,
        ..options()
    };
    train(&engine, &options);
    // Count the items of the user's own group among the eight most similar items of each user.
    let mut own = 0;
    for user in 0..120_usize {
        let key = user.to_string();
        let query = Query { k: 8, kind: Some("item".into()), ..Query::default() };
        let similar = engine
            .similar(NodeRef { kind: "user", key: &key }, &query, &CancelToken::new())
            .expect("an answer");
        let group = |item: &str| item.parse::<usize>().expect("a number") / 8;
        own += similar.items.iter().filter(|item| group(&item.node.key) == user % 10).count();
    }
    // Random vectors would give about 96.
    assert!(own > 800, "{own} of the 960 items nearest to users are of their group");
}

/// With ids, an epoch has five examples for each node, but at least 25 minibatches. Without ids, or with large minibatches,
/// it has four examples for each positive.
#[test]
fn the_number_of_nodes_and_positives_determines_the_examples_of_an_epoch() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    engine.store().commit(&GraphModel::new(3, 300).initial_batch()).expect("a commit");
    let started = |options: &TrainOptions| {
        let events = train(&engine, options);
        events.into_iter().find_map(|event| match event {
            TrainEvent::Started { nodes, positives, examples } => Some((nodes, positives, examples)),
            _ => None,
        })
    };
    let options = TrainOptions { epochs: 1, batch: 2, ids: Ids::On, ..options() };
    let (nodes, positives, examples) = started(&options).expect("it started");
    assert!(positives * 4 > nodes * 5, "{positives} positives are too few to test the bound by nodes");
    assert_eq!(examples, (nodes * 5).max(50));
    let few = TrainOptions { pairs_per_epoch: 40, ..options.clone() };
    assert_eq!(started(&few).expect("it started").2, 40);
    let without_ids = TrainOptions { ids: Ids::Off, ..options.clone() };
    assert_eq!(started(&without_ids).expect("it started").2, positives * 4);
    let large = TrainOptions { batch: 1 << 20, ..options };
    assert_eq!(started(&large).expect("it started").2, positives * 4);
}

/// An option that is parsed and then ignored would give the same model.
#[test]
fn every_option_of_the_model_and_of_its_negatives_changes_the_learned_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    engine.store().commit(&GraphModel::new(5, 120).initial_batch()).expect("a commit");
    let mut seen = vec![];
    let base = TrainOptions { hard_ranks: (2, 20), ..options() };
    for options in [
        base.clone(),
        TrainOptions { pooling: Pooling::Mean, ..base.clone() },
        TrainOptions { pooling: Pooling::Max, ..base.clone() },
        TrainOptions { degree_input: true, ..base.clone() },
        TrainOptions { negative_power: 0.75, ..base.clone() },
        TrainOptions { damping: false, ..base.clone() },
        TrainOptions { popularity: false, ..base.clone() },
        TrainOptions { hard_negatives: 2, ..base.clone() },
    ] {
        train(&engine, &options);
        let learned = digest(&engine);
        assert!(!seen.contains(&learned), "{options:?} gives the model of other options");
        seen.push(learned);
    }
    // The first epoch has no hard negatives, whatever the options say.
    let one = TrainOptions { epochs: 1, ..base };
    train(&engine, &one);
    let without = digest(&engine);
    train(&engine, &TrainOptions { hard_negatives: 2, ..one });
    assert_eq!(digest(&engine), without);
}

/// ```text
///   board:0 -- pin:hub, pin:pin0     board:1 -- pin:hub, pin:pin1     ...     board:60 -- pin:hub, pin:pin60
/// ```
///
/// The hub's degree is 61. The degree of every other pin is 1.
#[test]
fn damping_gives_a_node_of_many_edges_less_weight_in_a_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    let mut batch = Batch::new();
    for board in 0..61 {
        for pin in ["hub".to_owned(), format!("pin{board}")] {
            let board = board.to_string();
            let ends = [NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin }];
            batch.link(ends[0], ends[1], Edge::default()).expect("an edge");
        }
    }
    engine.store().commit(&batch).expect("a commit");
    let hub = NodeName::new("pin", "hub".to_owned()).expect("a name");
    let rare = NodeName::new("pin", "pin0".to_owned()).expect("a name");
    let scores = |damping| {
        let options = TrainOptions { damping, layers: 0, popularity: false, ..options() };
        train(&engine, &options);
        let audience = Recipient::History(vec![hub.clone(), rare.clone()]);
        let query = Query { k: 100, include_seen: true, ..Query::default() };
        let items = engine.recommend(&audience, &query, &CancelToken::new()).expect("an answer").items;
        let score = |name: &NodeName| items.iter().find(|item| item.node == *name).map(|item| item.score);
        (score(&hub).expect("ranked"), score(&rare).expect("ranked"))
    };
    let (of_hub, of_rare) = scores(false);
    assert!(
        (of_hub - of_rare).abs() < 1e-5,
        "without damping both pins have equal scores: {of_hub}, {of_rare}"
    );
    let (of_hub, of_rare) = scores(true);
    assert!(of_rare > of_hub + 0.05, "{of_rare} and {of_hub}");
}
