//! Promise: a recommendation depends only on the store's content and on the query.
//!
//! It is the same for one user alone and for many users at once, and for any number of threads. It names the source of its
//! answers, and its explanations are true.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use hedgerow::{
    AnswerExplanation, AnswerSource, Batch, CancelToken, Edge, Engine, Filter, Interests, NodeIx, NodeName,
    NodeRef, Query, Ranked, Recipient, RelationIx, Snapshot, Store, TrainOptions,
};
use tempfile::TempDir;

use crate::fixtures::graph_model::GraphModel;

/// A trained engine over the graph of some batches.
fn engine(folder: &TempDir, name: &str, batches: &[Batch]) -> Engine {
    let store = Store::options().create(true).open(folder.path().join(name)).expect("the store opens");
    for batch in batches {
        store.commit(batch).expect("a commit");
    }
    let engine = Engine::open(Arc::new(store)).expect("an engine");
    let options = TrainOptions {
        targets: vec!["pin".into()],
        epochs: 2,
        dim: 12,
        factors: false,
        ..TrainOptions::default()
    };
    engine.training(&options).run(&CancelToken::new()).expect("a training");
    engine
}

/// All users and boards of a graph, and histories of known, unknown and repeated pins.
fn recipients(model_graph: &GraphModel) -> Vec<Recipient> {
    let mut all: Vec<Recipient> =
        model_graph.nodes.keys().filter(|node| node.kind != "pin").cloned().map(Recipient::Node).collect();
    let pins: Vec<NodeName> = model_graph.nodes.keys().filter(|node| node.kind == "pin").cloned().collect();
    all.extend(pins.chunks(9).map(|pins| Recipient::History([pins, &pins[..1]].concat())));
    all.push(Recipient::History(vec![NodeName::new("pin", "nowhere").expect("a name")]));
    all.push(Recipient::History(Vec::new()));
    all
}

/// Queries with different numbers of interests, filters and exclusions.
fn queries() -> Vec<Query> {
    let interests = [Interests::AtMost(1), Interests::AtMost(3), Interests::Auto];
    let query = |interests| Query { interests, k: 7, explain: true, ..Query::default() };
    let seen = Query { include_seen: true, cosine: true, ..query(Interests::AtMost(2)) };
    let excluded =
        Query { exclude: vec![NodeName::new("pin", "3").expect("a name")], ..query(Interests::Auto) };
    let filter: Filter = "word=w1 or word=w2 or word=w3 or word=w4".parse().expect("a filter");
    let filtered = [Interests::AtMost(1), Interests::AtMost(3)].map(|interests| Query {
        filter: Some(filter.clone()),
        exclude: ["1", "3", "5", "nowhere"].map(|key| NodeName::new("pin", key).expect("a name")).into(),
        ..query(interests)
    });
    let tokens_seen = Query { include_seen: true, filter: Some(filter), ..query(Interests::Auto) };
    interests.map(query).into_iter().chain(filtered).chain([seen, excluded, tokens_seen]).collect()
}

#[test]
fn answers_for_many_users_at_once_equal_those_for_each_user_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(81, 60);
    let engine = engine(&folder, "s", &[model_graph.initial_batch()]);
    let recipients = recipients(&model_graph);
    for query in queries() {
        let alone: Vec<Ranked> = recipients
            .iter()
            .map(|one| engine.recommend(one, &query, &CancelToken::new()).expect("an answer"))
            .collect();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let many = pool.install(|| {
                let recommender = engine.recommender(&query).expect("it is trained");
                recommender.recommend(&recipients, &CancelToken::new())
            });
            let many = many.expect("nobody cancels");
            let many: Vec<Ranked> = many.into_iter().map(|one| one.expect("an answer")).collect();
            assert!(many == alone, "{threads} threads, {query:?}");
        }
        if let Some(filter) = &query.filter {
            check_filtered(&engine, &alone, filter, &query);
        }
    }
}

/// Asserts that there are answers, and that each has a token of the filter and is not excluded.
fn check_filtered(engine: &Engine, answers: &[Ranked], filter: &Filter, query: &Query) {
    let snapshot = engine.store().snapshot();
    let items: Vec<&NodeName> =
        answers.iter().flat_map(|ranked| ranked.items.iter().map(|item| &item.node)).collect();
    assert!(!items.is_empty(), "no answer passes {filter:?}");
    for item in items {
        assert!(!query.exclude.contains(item), "{item} is excluded");
        let node = snapshot.require(item.as_ref()).expect("it is there");
        let has = |token: &&str| ["word=w1", "word=w2", "word=w3", "word=w4"].contains(token);
        assert!(snapshot.tokens(node).iter().any(has), "{item} has no token of the filter");
    }
}

#[test]
fn stores_of_equal_content_give_the_same_recommendations_and_explanations() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(82, 50);
    let batches: Vec<Batch> =
        [model_graph.initial_batch()].into_iter().chain((0..6).map(|_| model_graph.batch(12))).collect();
    let engines = [engine(&folder, "s", &batches), engine(&folder, "t", &[reversed_content(&model_graph)])];
    let digests =
        engines.each_ref().map(|engine| engine.digest(&CancelToken::new()).expect("a digest").digest);
    assert_eq!(digests[0], digests[1], "the stores differ");
    let recipients = recipients(&model_graph);
    for query in queries() {
        for recipient in &recipients {
            let answers = engines.each_ref().map(|engine| {
                let ranked = engine.recommend(recipient, &query, &CancelToken::new()).expect("an answer");
                (ranked.items, ranked.source, ranked.interests)
            });
            assert_eq!(answers[0], answers[1], "{recipient:?} {query:?}");
        }
    }
}

/// One batch with the final content of a graph, in reverse order.
fn reversed_content(model_graph: &GraphModel) -> Batch {
    let mut batch = Batch::new();
    model_graph.declare_relations(&mut batch);
    for ((relation, a, b), (weight, time)) in model_graph.edges.iter().rev() {
        let edge = Edge { weight: *weight, time: *time, relation: Some(relation), ..Edge::default() };
        batch.link(b.as_ref(), a.as_ref(), edge).expect("a valid edge");
    }
    for (node, features) in model_graph.nodes.iter().rev() {
        batch.add_node(node.as_ref()).expect("a valid node");
        let tokens: Vec<&String> = features.tokens.iter().collect();
        batch.set_tokens(node.as_ref(), &tokens).expect("valid tokens");
        if let Some(values) = &features.dense {
            batch
                .set_dense(node.as_ref(), crate::fixtures::graph_model::DENSE, values)
                .expect("valid numbers");
        }
    }
    batch
}

/// The neighbors of a node in all relations.
fn neighbors(snapshot: &Snapshot, node: NodeIx) -> BTreeSet<NodeIx> {
    let relations = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
    relations.flat_map(|relation| snapshot.list(relation, node).iter().map(|(to, ..)| to)).collect()
}

/// Checks an explanation against the graph and the embeddings.
fn check(
    engine: &Engine,
    answer: &NodeName,
    score: f32,
    explanation: &AnswerExplanation,
    history: &[NodeName],
) {
    let snapshot = engine.store().snapshot();
    let vector = |node: &NodeName| engine.embedding(node.as_ref()).expect("an embedding").vector;
    let cosine = |a: &NodeName, b: &NodeName| -> f32 {
        let (a, b) = (vector(a), vector(b));
        a.iter().zip(&b).take(a.len() - 1).map(|(x, y)| x * y).sum()
    };
    // The score is the sum of its parts.
    let (query_cosine, popularity) =
        (explanation.cosine.expect("a cosine"), explanation.popularity.expect("a popularity"));
    assert_eq!(score.to_bits(), (query_cosine + popularity).to_bits());
    assert_eq!(vector(answer).last(), Some(&popularity));
    let connection = explanation.connection.as_ref().expect("a connection");
    // The node of the history that it names is the one nearest to the answer.
    assert!(history.contains(&connection.node));
    let nearest = history.iter().filter(|node| *node != answer).map(|node| cosine(node, answer));
    assert!((nearest.fold(f32::MIN, f32::max) - connection.cosine.expect("a cosine")).abs() < 1e-5);
    assert!((cosine(&connection.node, answer) - connection.cosine.expect("a cosine")).abs() < 1e-5);

    // Links and common neighbors are those of the graph. The rarest common neighbors are named.
    let ends = [&connection.node, answer].map(|node| snapshot.require(node.as_ref()).expect("it is there"));
    let [of, to] = ends.map(|node| neighbors(&snapshot, node));
    assert_eq!(connection.linked, of.contains(&ends[1]));
    let common: BTreeSet<NodeName> = of.intersection(&to).map(|&node| snapshot.name(node)).collect();
    assert_eq!(connection.shared, common.len() as u64);
    assert_eq!(connection.shared_nodes.len(), common.len().min(3));
    let degree = |node: &NodeName| snapshot.degree(snapshot.require(node.as_ref()).expect("it is there"));
    let most = connection.shared_nodes.iter().map(degree).max().unwrap_or(0);
    assert!(connection.shared_nodes.iter().all(|node| common.contains(node)));
    assert!(common.iter().all(|node| connection.shared_nodes.contains(node) || degree(node) >= most));
    let tokens =
        ends.map(|node| snapshot.tokens(node).into_iter().map(str::to_owned).collect::<BTreeSet<_>>());
    assert_eq!(connection.shared_tokens, tokens[0].intersection(&tokens[1]).cloned().collect::<Vec<_>>());
    // The visits are those of its neighborhood.
    let visited = engine.neighborhood(connection.node.as_ref(), usize::MAX).expect("a neighborhood");
    let visits: HashMap<NodeName, u32> = visited.into_iter().map(|one| (one.node, one.visits)).collect();
    assert_eq!(connection.visits, visits.get(answer).copied().unwrap_or(0));
}

#[test]
fn every_explanation_agrees_with_the_graph_and_the_embeddings() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(83, 60);
    let engine = engine(&folder, "s", &[model_graph.initial_batch()]);
    let snapshot = engine.store().snapshot();
    let mut shared = 0;
    // Recommendations for users with a history.
    for user in model_graph.nodes.keys().filter(|node| node.kind == "user") {
        let node = snapshot.require(user.as_ref()).expect("it is there");
        let history: Vec<NodeName> =
            neighbors(&snapshot, node).iter().map(|&pin| snapshot.name(pin)).collect();
        let query = Query { interests: Interests::AtMost(3), explain: true, ..Query::default() };
        let ranked =
            engine.recommend(&Recipient::Node(user.clone()), &query, &CancelToken::new()).expect("an answer");
        if ranked.source != AnswerSource::Embeddings {
            continue;
        }
        assert_eq!(ranked.interests.iter().map(|interest| interest.items).sum::<usize>(), history.len());
        for item in &ranked.items {
            let explanation = item.explanation.as_ref().expect("a reason");
            assert!(explanation.interest.is_some_and(|at| at < ranked.interests.len()));
            check(&engine, &item.node, item.score, explanation, &history);
            shared += explanation.connection.as_ref().map_or(0, |connection| connection.shared);
        }
    }
    assert!(shared > 0, "no answer has a common neighbor with its history");
    // Pins similar to a pin, which takes the place of the history.
    for pin in ["0", "1", "2"].map(|key| NodeName::new("pin", key).expect("a name")) {
        let query = Query { explain: true, ..Query::default() };
        for item in engine.similar(pin.as_ref(), &query, &CancelToken::new()).expect("an answer").items {
            let explanation = item.explanation.expect("a reason");
            check(&engine, &item.node, item.score, &explanation, std::slice::from_ref(&pin));
        }
    }
}

/// The second line is committed after the training.
///
/// ```text
///   board:1 -- pin:0, pin:1, pin:2      board:2 -- pin:1, pin:2      board:3 -- pin:1, pin:2      board:4 -- pin:2
///   user:new -- pin:late -- board:1     user:alone
/// ```
#[test]
fn users_without_embedded_history_get_answers_by_walks_or_popularity() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = |kind: &'static str, key: &'static str| NodeRef { kind, key };
    let mut batch = Batch::new();
    for (board, pin) in
        [("1", "0"), ("1", "1"), ("1", "2"), ("2", "1"), ("2", "2"), ("3", "1"), ("3", "2"), ("4", "2")]
    {
        batch.link(node("board", board), node("pin", pin), Edge::default()).expect("a valid edge");
    }
    let engine = engine(&folder, "s", &[batch]);
    let mut batch = Batch::new();
    batch.link(node("user", "new"), node("pin", "late"), Edge::default()).expect("a valid edge");
    batch.link(node("board", "1"), node("pin", "late"), Edge::default()).expect("a valid edge");
    batch.add_node(node("user", "alone")).expect("a valid node");
    engine.store().commit(&batch).expect("a commit");
    let query = Query { explain: true, ..Query::default() };
    let ask = |recipient| engine.recommend(&recipient, &query, &CancelToken::new()).expect("an answer");
    let keys = |ranked: &Ranked| ranked.items.iter().map(|item| item.node.key.clone()).collect::<Vec<_>>();

    // A user whose only pin is not embedded yet gets the pins that walks from it visit.
    let walked = ask(Recipient::Node(node("user", "new").to_name()));
    assert_eq!(walked.source, AnswerSource::Walks);
    let found: BTreeSet<String> = keys(&walked).into_iter().collect();
    assert_eq!(found, ["0", "1", "2"].map(String::from).into());
    let connection = walked.items[0]
        .explanation
        .as_ref()
        .and_then(|explanation| explanation.connection.as_ref())
        .expect("a reason");
    assert_eq!((connection.node.key.as_str(), connection.cosine), ("late", None));
    assert_eq!(connection.shared_nodes, [node("board", "1").to_name()]);

    // A user without a history gets the most popular pins.
    let popular = ask(Recipient::Node(node("user", "alone").to_name()));
    assert_eq!(
        (popular.source, &keys(&popular)[..2]),
        (AnswerSource::Popular, &["2".into(), "1".into()][..])
    );
    assert_eq!(popular.items.iter().map(|item| item.score as u32).collect::<Vec<_>>()[..2], [4, 3]);
    // Unknown pins of a history are ignored and reported.
    let unknown = node("pin", "nowhere").to_name();
    let answer = ask(Recipient::History(vec![unknown.clone()]));
    assert_eq!(
        (answer.source, answer.ignored, answer.items),
        (AnswerSource::Popular, vec![unknown], popular.items)
    );

    // After a refresh the new user gets answers by embeddings.
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    assert_eq!(ask(Recipient::Node(node("user", "new").to_name())).source, AnswerSource::Embeddings);
}
