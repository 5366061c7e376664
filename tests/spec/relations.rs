//! Promise: a training takes the relations that it is given, in proportion to their weights, and no walk and no score takes a dislike.

use std::collections::BTreeSet;
use std::sync::Arc;

use hedgerow::{
    Batch, CancelToken, Edge, Engine, Error, ErrorKind, Interests, NodeName, Policy, Query, Ranked,
    Recipient, RelationOptions, RelationWeights, Store, TrainOptions, WalkOptions, Walker,
};
use tempfile::TempDir;

const USERS: usize = 60;
const ITEMS: usize = 45;

fn user(key: usize) -> NodeName {
    NodeName::new("user", key.to_string()).expect("a name")
}

fn item(key: usize) -> NodeName {
    NodeName::new("item", key.to_string()).expect("a name")
}

fn link(batch: &mut Batch, relation: &str, user_key: usize, item_key: usize) {
    let (user, item) = (user(user_key), item(item_key));
    let edge = Edge { relation: Some(relation), ..Edge::default() };
    batch.link(user.as_ref(), item.as_ref(), edge).expect("an edge");
}

/// A number from 0 to 99 that is drawn for a user and an item.
fn drawn(user: usize, item: usize) -> usize {
    (user * 7919 + item * 104_729 + user * item * 31) % 100
}

/// Users buy items of their third, and view others.
fn buys(user: usize, item: usize) -> bool {
    drawn(user, item) < if user % 3 == item % 3 { 45 } else { 5 }
}

fn views(user: usize, item: usize) -> bool {
    drawn(user, item) >= 70
}

/// Users dislike a part of what they did not buy, and one thing in twenty that they bought.
fn dislikes(user: usize, item: usize) -> bool {
    let drawn = drawn(item + 3, user + 5);
    if buys(user, item) { drawn < 5 } else { drawn < 20 }
}

/// An engine over the relations with these names. Every user and item is there, with edges or without.
fn engine(folder: &TempDir, name: &str, relations: &[&str]) -> Engine {
    let store = Store::options().create(true).open(folder.path().join(name)).expect("the store opens");
    let engine = Engine::open(Arc::new(store)).expect("an engine");
    let mut batch = Batch::new();
    for node in (0..USERS).map(user).chain((0..ITEMS).map(item)) {
        batch.add_node(node.as_ref()).expect("a node");
    }
    for &relation in relations {
        add_edges(&mut batch, relation);
    }
    engine.store().commit(&batch).expect("a commit");
    engine
}

fn add_edges(batch: &mut Batch, relation: &str) {
    let has = match relation {
        "buys" => buys,
        "views" => views,
        _ => dislikes,
    };
    let options = RelationOptions { is_dislike: relation == "dislikes", ..RelationOptions::default() };
    batch.declare_relation(relation, options).expect("options");
    for (user, item) in (0..USERS).flat_map(|user| (0..ITEMS).map(move |item| (user, item))) {
        if has(user, item) {
            link(batch, relation, user, item);
        }
    }
}

fn options(relations: &[(&str, f32)]) -> TrainOptions {
    let relations = relations.iter().map(|&(name, weight)| (name.to_owned(), weight));
    TrainOptions {
        relations: relations.collect(),
        dim: 8,
        epochs: 2,
        batch: 32,
        negatives: 8,
        ..TrainOptions::new(["item", "user"])
    }
}

fn train(engine: &Engine, options: &TrainOptions) {
    engine.training(options).run(&CancelToken::new()).expect("a training");
}

/// The nodes of an answer, with the bits of their scores.
type ScoreBits = Vec<(NodeName, u32)>;

fn bits(ranked: &Ranked) -> ScoreBits {
    ranked.items.iter().map(|item| (item.node.clone(), item.score.to_bits())).collect()
}

/// The bits of every embedding, and of every answer to users, histories and items.
fn everything(engine: &Engine) -> (Vec<Vec<u32>>, Vec<ScoreBits>) {
    let cancel = CancelToken::new();
    let query = Query { k: 1000, kind: Some("item".to_owned()), ..Query::default() };
    let nodes = (0..USERS).map(user).chain((0..ITEMS).map(item));
    let vector = |node: NodeName| {
        let embedded = engine.embedding(node.as_ref()).expect("an embedding");
        embedded.vector.iter().map(|value| value.to_bits()).collect()
    };
    let mut recipients: Vec<Recipient> = (0..USERS).map(|key| Recipient::Node(user(key))).collect();
    recipients.extend((0..ITEMS).map(|key| Recipient::History(vec![item(key), item((key * 7 + 1) % ITEMS)])));
    let recommended =
        recipients.iter().map(|recipient| engine.recommend(recipient, &query, &cancel).expect("an answer"));
    let similar =
        (0..ITEMS).map(|key| engine.similar(item(key).as_ref(), &query, &cancel).expect("an answer"));
    (nodes.map(vector).collect(), recommended.chain(similar).map(|ranked| bits(&ranked)).collect())
}

/// Two stores, one with views and one without, are trained on purchases: rows and answers are the same.
#[test]
fn a_relation_that_is_not_chosen_changes_no_row_and_no_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let (with, without) =
        (engine(&folder, "with", &["buys", "views"]), engine(&folder, "without", &["buys"]));
    train(&with, &options(&[("buys", 1.0)]));
    train(&without, &options(&[("buys", 1.0)]));
    assert_eq!(everything(&with), everything(&without));
    // A view is no part of the history, and no refresh depends on it.
    let before = with.digest(&CancelToken::new()).expect("a digest").digest;
    let mut batch = Batch::new();
    (0..ITEMS).for_each(|item| link(&mut batch, "views", 0, item));
    with.store().commit(&batch).expect("a commit");
    let report = with.refresh(false, &CancelToken::new()).expect("a refresh");
    assert_eq!((report.sources, report.full), (0, false), "{report:?}");
    assert_eq!(with.digest(&CancelToken::new()).expect("a digest").digest, before);
    assert_eq!(everything(&with), everything(&without));
}

/// Weights are proportions: those of all relations alike are none.
#[test]
fn equal_weights_give_the_rows_and_answers_of_no_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, "store", &["buys", "views"]);
    train(&engine, &options(&[]));
    let alike = everything(&engine);
    train(&engine, &options(&[("views", 0.3), ("buys", 0.3)]));
    assert_eq!(everything(&engine), alike);
    train(&engine, &options(&[("views", 0.1), ("buys", 1.0)]));
    let weighted = everything(&engine);
    assert_ne!(weighted, alike);
    // The weights are stored with the model.
    drop(engine);
    let store = Store::options().open(folder.path().join("store")).expect("the store opens");
    let engine = Engine::open(Arc::new(store)).expect("an engine");
    assert_eq!(everything(&engine), weighted);
    engine.refresh(true, &CancelToken::new()).expect("a rebuild");
    assert_eq!(everything(&engine), weighted);
}

/// With a tenth of the weight, a relation has a tenth as many walks as the other one, up to one.
#[test]
fn walks_follow_relations_in_proportion_to_their_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, "store", &["buys", "views"]);
    let snapshot = engine.store().snapshot();
    let items = snapshot.kind_ix("item").expect("items");
    let weights = [("buys".to_owned(), 1.0), ("views".to_owned(), 0.1)];
    let weights = RelationWeights::new(weights).expect("two weights");
    let policy = Policy::default_for(&snapshot, items).with_relations(&weights);
    let walker = Walker::new(&snapshot, WalkOptions::default(), &policy).expect("a walker");
    for key in 0..ITEMS {
        let item = snapshot.require(item(key).as_ref()).expect("an item");
        let [buys, views] = ["buys", "views"].map(|name| snapshot.relation_ix(name).expect("a relation"));
        // A walk's first hop leads to a user who bought or viewed the item, and nobody did both.
        let (mut bought, mut viewed) = (0, 0);
        for walk in 0..WalkOptions::default().walks {
            let user = walker.hops(item, walk).next().expect("an item has users");
            let has = |relation| snapshot.list(relation, item).neighbors().any(|node| node == user);
            bought += u32::from(has(buys));
            viewed += u32::from(has(views));
        }
        assert_eq!(bought + viewed, 200);
        assert!(viewed.abs_diff(200 / 11) <= 1, "{viewed} of 200");
    }
}

#[test]
fn relations_that_walks_cannot_take_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, "store", &["buys", "dislikes"]);
    let mut batch = Batch::new();
    batch.declare_relation("empty", RelationOptions::default()).expect("options");
    engine.store().commit(&batch).expect("a commit");
    let cases = [
        (vec![("bys", 1.0)], "no relation 'bys' in the store; it holds buys, dislikes, empty"),
        (vec![("empty", 1.0)], "found empty, which has no edges, expected relations with edges"),
        (
            vec![("dislikes", 1.0)],
            "found dislikes, whose edges are dislikes, expected relations that walks take",
        ),
        (vec![("buys", 1.0), ("buys", 2.0)], "found buys twice, expected each relation once"),
        (vec![("buys", 0.0)], "found buys=0, expected a finite weight above 0"),
        (vec![("buys", f32::NAN)], "found buys=NaN, expected a finite weight above 0"),
    ];
    for (relations, message) in cases {
        let refused = engine.training(&options(&relations)).run(&CancelToken::new()).expect_err("refused");
        assert!(refused.to_string().ends_with(message), "{refused}");
        let expected = if message.contains("no relation") { ErrorKind::NotFound } else { ErrorKind::Invalid };
        assert_eq!(Error::from(refused).kind(), expected);
    }
}

/// Dislikes that come after a training make their nodes dirty, and a refresh finds nothing to do: no walk takes them.
#[test]
fn a_dislike_changes_no_row_and_no_answer_but_that_of_who_dislikes() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, "store", &["buys"]);
    train(&engine, &TrainOptions { degree_input: true, ..options(&[]) });
    let cancel = CancelToken::new();
    let (digest, before) = (engine.digest(&cancel).expect("a digest").digest, everything(&engine));
    let mut batch = Batch::new();
    add_edges(&mut batch, "dislikes");
    engine.store().commit(&batch).expect("a commit");
    let report = engine.refresh(false, &cancel).expect("a refresh");
    assert!(report.dirty_nodes > 0 && !report.full, "{report:?}");
    assert_eq!((report.sources, report.rows.iter().sum::<u64>()), (0, 0), "{report:?}");
    assert_eq!(engine.digest(&cancel).expect("a digest").digest, digest);
    engine.refresh(true, &cancel).expect("a rebuild");
    assert_eq!(engine.digest(&cancel).expect("a digest").digest, digest);
    let after = everything(&engine);
    assert_eq!(after.0, before.0);
    assert_eq!(after.1[USERS..], before.1[USERS..], "histories that are named, and related items");
    assert_ne!(after.1[..USERS], before.1[..USERS]);
    let snapshot = engine.store().snapshot();
    let policy = Policy::default_for(&snapshot, snapshot.kind_ix("item").expect("items"));
    assert_eq!(policy.paths, [["buys", "buys"]]);
}

/// Whatever a question asks, a user's answer has nothing that the user dislikes. What was bought and is disliked is no history.
#[test]
fn what_a_user_dislikes_is_in_no_answer_and_no_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, "store", &["buys", "views", "dislikes"]);
    let cancel = CancelToken::new();
    for factors in [true, false] {
        train(&engine, &TrainOptions { factors, ..options(&[]) });
        let query = Query { k: 1000, kind: Some("item".to_owned()), ..Query::default() };
        let questions = [
            query.clone(),
            Query { include_seen: true, ..query.clone() },
            Query { cosine: true, ..query.clone() },
            Query { interests: Interests::Auto, ..query.clone() },
            Query { candidates: Some((0..ITEMS).map(item).collect()), ..query.clone() },
        ];
        let recipients: Vec<Recipient> = (0..USERS).map(|key| Recipient::Node(user(key))).collect();
        let mut answered = 0;
        for question in &questions {
            let recommender = engine.recommender(question).expect("a recommender");
            let batch = recommender.recommend(&recipients, &cancel).expect("nobody cancels");
            for (key, (recipient, of_batch)) in recipients.iter().zip(batch).enumerate() {
                let ranked = engine.recommend(recipient, question, &cancel).expect("an answer");
                assert_eq!(bits(&of_batch.expect("an answer")), bits(&ranked));
                let answers: BTreeSet<NodeName> = ranked.items.iter().map(|item| item.node.clone()).collect();
                answered += answers.len();
                for other in 0..ITEMS {
                    assert!(!dislikes(key, other) || !answers.contains(&item(other)), "{question:?}");
                }
            }
        }
        assert!(answered > 5 * USERS * ITEMS / 5, "{answered}");
        // The answer of a user is that for the items that the user took and does not dislike.
        let candidates: Vec<NodeName> = (0..ITEMS).map(item).collect();
        for (key, recipient) in recipients.iter().enumerate() {
            let is_history =
                |other: &usize| (buys(key, *other) || views(key, *other)) && !dislikes(key, *other);
            let history = Recipient::History((0..ITEMS).filter(is_history).map(item).collect());
            let scored = |recipient, exclude: Vec<NodeName>| {
                let question = Query { exclude, interests: Interests::AtMost(1), ..query.clone() };
                let ranked = engine.score(recipient, &candidates, &question, &cancel).expect("scores");
                ranked.items.into_iter().map(|item| item.node).collect::<BTreeSet<_>>()
            };
            let disliked = (0..ITEMS).filter(|&other| dislikes(key, other)).map(item).collect();
            assert_eq!(scored(recipient, Vec::new()), scored(&history, disliked), "user {key}");
        }
    }
}
