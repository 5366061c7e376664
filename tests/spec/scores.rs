//! Scores from the graph: the graph filter and related items are as current as the last commit, residual factors are the model's, and
//! after a refresh every score has the bits that a store made anew gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use hedgerow::{
    AnswerSource, Batch, CancelToken, Edge, Engine, EvaluateOptions, KindIx, NodeName, Query, Ranked,
    Recipient, ScorePart, Store, TrainEvent, TrainOptions,
};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

const USERS: usize = 60;
const ITEMS: usize = 40;

/// Users and items as they should be in the store.
type Edges = BTreeSet<(usize, usize)>;

fn user(key: usize) -> NodeName {
    NodeName::new("user", key.to_string()).expect("a name")
}

fn item(key: usize) -> NodeName {
    NodeName::new("item", key.to_string()).expect("a name")
}

/// Users like the items of their third more than others.
fn edges(rng: &mut StdRng) -> Edges {
    let mut edges = Edges::new();
    for user in 0..USERS {
        for item in 0..ITEMS {
            if rng.random_bool(if user % 3 == item % 3 { 0.4 } else { 0.06 }) {
                edges.insert((user, item));
            }
        }
    }
    edges
}

/// A fourth of the edges are views, which count a fifth.
fn relation((user, item): (usize, usize)) -> Option<&'static str> {
    ((user + item) % 4 == 1).then_some("views")
}

fn link(batch: &mut Batch, (user_key, item_key): (usize, usize)) {
    let relation = relation((user_key, item_key));
    let (user, item) = (user(user_key), item(item_key));
    batch.link(user.as_ref(), item.as_ref(), Edge { relation, ..Edge::default() }).expect("an edge");
}

fn open(folder: &tempfile::TempDir, name: &str) -> Engine {
    let store = Store::options().create(true).open(folder.path().join(name)).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

/// An engine over these edges, which come in random order.
fn engine_of(edges: &Edges, folder: &tempfile::TempDir, name: &str, rng: &mut StdRng) -> Engine {
    let engine = open(folder, name);
    let mut edges: Vec<_> = edges.iter().copied().collect();
    edges.shuffle(rng);
    for edges in edges.chunks(50) {
        let mut batch = Batch::new();
        for &edge in edges {
            link(&mut batch, edge);
        }
        engine.store().commit(&batch).expect("a commit");
    }
    engine
}

fn options() -> TrainOptions {
    let relations = [("item-user", 1.0), ("views", 0.2)].map(|(name, weight)| (name.to_owned(), weight));
    TrainOptions {
        relations: relations.into(),
        dim: 8,
        epochs: 1,
        batch: 32,
        negatives: 8,
        ..TrainOptions::new(["item"])
    }
}

/// A trained engine whose scores have all parts: a graph as small as this gives embeddings no weight by itself.
fn trained(edges: &Edges, folder: &tempfile::TempDir, name: &str, rng: &mut StdRng) -> Engine {
    let engine = engine_of(edges, folder, name, rng);
    let cancel = CancelToken::new();
    engine.training(&options()).run(&cancel).expect("a training");
    let mut model = engine.export_embeddings(&cancel).expect("an export").model();
    model.recipe = model.recipe.replace("\"embeddings\":0.0", "\"embeddings\":0.25");
    assert!(model.recipe.contains("\"embeddings\":0.25"), "{}", model.recipe);
    engine.install(&model, &cancel).expect("installed");
    engine
}

fn bits(ranked: &Ranked) -> Vec<(NodeName, u32)> {
    ranked.items.iter().map(|item| (item.node.clone(), item.score.to_bits())).collect()
}

/// Every score of every user, of some histories and of every item. A node that has no answer gives none.
fn all_scores(engine: &Engine) -> Vec<Vec<(NodeName, u32)>> {
    let query = Query { k: 1000, ..Query::default() };
    let mut recipients: Vec<Recipient> = (0..USERS + 10).map(|key| Recipient::Node(user(key))).collect();
    recipients.extend((0..ITEMS).map(|key| Recipient::History(vec![item(key), item((key * 7 + 1) % ITEMS)])));
    let recommended =
        recipients.iter().map(|recipient| engine.recommend(recipient, &query, &CancelToken::new()));
    let similar = (0..ITEMS + 10).map(|key| {
        let name = item(key);
        engine.similar(name.as_ref(), &query, &CancelToken::new())
    });
    recommended
        .chain(similar)
        .map(|ranked| ranked.map_or_else(|_| Vec::new(), |ranked| bits(&ranked)))
        .collect()
}

/// A random change: edges that come and go, new users and items, and nodes that are removed.
fn change(edges: &mut Edges, engine: &Engine, rng: &mut StdRng) {
    let mut batch = Batch::new();
    for _ in 0..rng.random_range(1..6) {
        match rng.random_range(0..10) {
            0 => {
                let gone = rng.random_range(0..ITEMS);
                let name = item(gone);
                if engine.store().snapshot().lookup(name.as_ref()).is_some() {
                    edges.retain(|&(_, item)| item != gone);
                    batch.remove(name.as_ref()).expect("a node");
                    break;
                }
            }
            1..4 => {
                let all: Vec<_> = edges.iter().copied().collect();
                if let Some(&edge) = all.choose(rng) {
                    edges.remove(&edge);
                    let (user, item) = (user(edge.0), item(edge.1));
                    batch.unlink(user.as_ref(), item.as_ref(), relation(edge)).expect("an edge");
                }
            }
            _ => {
                let edge = (rng.random_range(0..USERS + 10), rng.random_range(0..ITEMS + 10));
                edges.insert(edge);
                link(&mut batch, edge);
            }
        }
    }
    engine.store().commit(&batch).expect("a commit");
}

/// The promise is about answers, not only about rows: two stores with one content and one model give the same scores, although one
/// has refreshed after every few changes and the other was made anew.
#[test]
fn scores_are_those_of_a_store_made_anew_with_the_same_model() {
    for seed in 0..6 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let mut edges = edges(rng);
        let engine = trained(&edges, &folder, "changed", rng);
        let cancel = CancelToken::new();
        for round in 0..4 {
            for _ in 0..rng.random_range(1..5) {
                change(&mut edges, &engine, rng);
            }
            engine.refresh(false, &cancel).expect("a refresh");
            let model = engine.export_embeddings(&cancel).expect("an export").model();
            let anew = engine_of(&edges, &folder, &format!("anew-{round}"), rng);
            // Nodes that lost all edges stay; a store made of edges alone needs them too.
            let mut lonely = Batch::new();
            let snapshot = engine.store().snapshot();
            let kinds = (0..snapshot.kind_count()).map(|kind| KindIx::new(kind as u8));
            for name in kinds.flat_map(|kind| snapshot.nodes_of(kind)).map(|node| snapshot.name(node)) {
                if anew.store().snapshot().lookup(name.as_ref()).is_none() {
                    lonely.add_node(name.as_ref()).expect("a node");
                }
            }
            anew.store().commit(&lonely).expect("a commit");
            anew.install(&model, &cancel).expect("installed");
            assert_eq!(all_scores(&anew), all_scores(&engine), "seed {seed}, round {round}");
            let digest = |engine: &Engine| engine.digest(&cancel).expect("a digest").digest;
            assert_eq!(digest(&anew), digest(&engine), "seed {seed}, round {round}");
        }
    }
}

/// The factors and constants are stored with the model: a reopened store answers alike.
#[test]
fn scores_are_the_same_after_the_store_is_opened_again() {
    let rng = &mut StdRng::seed_from_u64(20);
    let folder = tempfile::tempdir().expect("a folder");
    let edges = edges(rng);
    let engine = trained(&edges, &folder, "store", rng);
    let before = all_scores(&engine);
    drop(engine);
    assert_eq!(all_scores(&open(&folder, "store")), before);
}

/// Two hops read the graph as it is now: a user who came after the refresh gets answers from the first edge on, and an edge that two
/// others get in common makes their items related at once.
#[test]
fn a_commit_is_in_the_next_answer_without_a_refresh() {
    let rng = &mut StdRng::seed_from_u64(21);
    let folder = tempfile::tempdir().expect("a folder");
    let edges = edges(rng);
    let engine = trained(&edges, &folder, "store", rng);
    let query = Query { k: 5, ..Query::default() };
    let new = Recipient::Node(user(1000));
    assert!(engine.recommend(&new, &query, &CancelToken::new()).is_err(), "nobody knows the user");

    let mut batch = Batch::new();
    for item in [0, 3, 6] {
        link(&mut batch, (1000, item));
    }
    engine.store().commit(&batch).expect("a commit");
    let first = engine.recommend(&new, &query, &CancelToken::new()).expect("an answer");
    assert_eq!(first.source, AnswerSource::Graph);
    assert!(first.dirty_nodes > 0, "nothing was refreshed");
    let liked =
        first.items.iter().filter(|found| found.node.key.parse::<usize>().expect("a number") % 3 == 0);
    assert!(liked.count() >= 3, "a third of all items would be fewer: {first}");

    // Two items that no list has in common, until ten new users have both.
    let score = |ranked: &Ranked, key: usize| {
        let found = ranked.items.iter().find(|found| found.node == item(key));
        found.map_or(0.0, |found| found.score)
    };
    let all = Query { k: 1000, ..Query::default() };
    let before = score(&engine.similar(("item", "0"), &all, &CancelToken::new()).expect("an answer"), 1);
    let mut batch = Batch::new();
    for user in 2000..2010 {
        link(&mut batch, (user, 0));
        link(&mut batch, (user, 1));
    }
    engine.store().commit(&batch).expect("a commit");
    let after = score(&engine.similar(("item", "0"), &all, &CancelToken::new()).expect("an answer"), 1);
    assert!(after > 2.0 * before, "{before} {after}");
}

/// An explanation has the parts of the score and the item of the history that most of it came from.
#[test]
fn an_explanation_names_parts_that_add_up_to_the_score() {
    let rng = &mut StdRng::seed_from_u64(22);
    let folder = tempfile::tempdir().expect("a folder");
    let edges = edges(rng);
    let engine = trained(&edges, &folder, "store", rng);
    let query = Query { k: 10, explain: true, ..Query::default() };
    let mut with_embeddings = 0;
    for key in 0..10 {
        let ranked =
            engine.recommend(&Recipient::Node(user(key)), &query, &CancelToken::new()).expect("an answer");
        assert_eq!(ranked.source, AnswerSource::Graph);
        for found in &ranked.items {
            let explanation = found.explanation.as_ref().expect("an explanation");
            let parts = [explanation.filter, explanation.factors, explanation.embeddings];
            let parts = parts.map(|part| part.expect("a part"));
            assert!(parts[2].abs() <= 0.25 + 2e-3, "a cosine times its weight, in eight bits: {}", parts[2]);
            let parts: f32 = parts.iter().sum();
            assert!((parts - found.score).abs() < 1e-5, "{parts} {}", found.score);
            with_embeddings += usize::from(explanation.embeddings != Some(0.0));
            let Some(connection) = &explanation.connection else {
                assert_eq!(explanation.filter, Some(0.0), "two hops reach it from some item");
                continue;
            };
            let start = connection.node.key.parse().expect("a number");
            assert!(edges.contains(&(key, start)), "it came from the user's own history");
            assert!(
                connection.shared > 0 && connection.share.is_some_and(|share| share > 0.0 && share <= 1.0)
            );
        }
    }
    assert!(with_embeddings > 50, "{with_embeddings}");
}

/// Users of a graph this large hold enough items out that embeddings are weighed, by edges that no part has learned.
#[test]
fn embeddings_are_weighed_by_held_out_edges() {
    let rng = &mut StdRng::seed_from_u64(25);
    let folder = tempfile::tempdir().expect("a folder");
    let mut edges = Edges::new();
    for user in 0..600 {
        for item in 0..ITEMS {
            if rng.random_bool(if user % 3 == item % 3 { 0.4 } else { 0.06 }) {
                edges.insert((user, item));
            }
        }
    }
    let engine = engine_of(&edges, &folder, "store", rng);
    let mut weighed = Vec::new();
    let mut observer = |event: &TrainEvent| {
        if let TrainEvent::Weighed(found) = event {
            weighed.push(found.clone());
        }
    };
    engine.training(&options()).observer(&mut observer).run(&CancelToken::new()).expect("a training");
    let [weighed] = &weighed[..] else { panic!("one kind: {weighed:?}") };
    assert_eq!(weighed.kind, "item");
    assert!((100..200).contains(&weighed.lists), "a fourth of the users: {weighed:?}");
    assert!(weighed.recall_graph > 0.5 && weighed.recall > 0.5 && weighed.weight >= 0.0, "{weighed:?}");
    for alone in [weighed.recall_filter, weighed.recall_embeddings] {
        assert!(alone > 0.0 && alone <= 1.0, "{weighed:?}");
    }
    let recipe = engine.export_embeddings(&CancelToken::new()).expect("an export").model().recipe;
    assert!(recipe.contains(&format!("\"embeddings\":{:?}", weighed.weight)), "{recipe}");
}

/// The part of embeddings ranks as a model without factors does, and without embeddings filter and factors are the whole.
#[test]
fn an_evaluation_ranks_each_part_of_the_score_alone() {
    let rng = &mut StdRng::seed_from_u64(26);
    let folder = tempfile::tempdir().expect("a folder");
    let edges = edges(rng);
    let cancel = CancelToken::new();
    let engine = trained(&edges, &folder, "store", rng);
    let unknown =
        |key| (0..ITEMS).filter(|item| !edges.contains(&(key, *item))).step_by(3).map(item).collect();
    let users: Vec<(NodeName, Vec<NodeName>)> = (0..USERS).map(|key| (user(key), unknown(key))).collect();
    let evaluated = |engine: &Engine| {
        engine.evaluate_recommend(&users, &EvaluateOptions::default(), &cancel).expect("figures")
    };
    let found = evaluated(&engine);
    let parts: Vec<ScorePart> = found.parts.iter().map(|entry| entry.part).collect();
    assert_eq!(parts, [ScorePart::Filter, ScorePart::Graph, ScorePart::Embeddings]);
    for entry in &found.parts {
        let lead = found.compared.ndcg.mean - entry.quality.ndcg.mean;
        assert!((entry.lead.mean - lead).abs() < 1e-12, "{}", entry.part);
        assert_ne!(entry.quality, found.compared, "{} is not the whole", entry.part);
    }

    let mut model = engine.export_embeddings(&cancel).expect("an export").model();
    model.recipe = model.recipe.replace("\"embeddings\":0.25", "\"embeddings\":0.0");
    engine.install(&model, &cancel).expect("installed");
    let without_embeddings = evaluated(&engine);
    assert_eq!(without_embeddings.parts[1].quality, without_embeddings.compared);
    assert_eq!(without_embeddings.parts[1].quality, found.parts[1].quality);

    let options = TrainOptions { factors: false, ..options() };
    engine.training(&options).run(&cancel).expect("a training");
    let embeddings_alone = evaluated(&engine);
    assert!(embeddings_alone.parts.is_empty());
    assert_eq!(embeddings_alone.compared, found.parts[2].quality);
}

/// Filters, exclusions and seen items hold for scores from the graph as for others, and a batch answers as single questions do.
#[test]
fn options_of_a_question_hold_for_scores_from_the_graph() {
    let rng = &mut StdRng::seed_from_u64(23);
    let folder = tempfile::tempdir().expect("a folder");
    let edges = edges(rng);
    let engine = trained(&edges, &folder, "store", rng);
    let recipients: Vec<Recipient> = (0..USERS).map(|key| Recipient::Node(user(key))).collect();
    for (k, include_seen) in [(1, false), (7, false), (1000, false), (7, true)] {
        let query = Query { k, include_seen, exclude: vec![item(3), item(4)], ..Query::default() };
        let recommender = engine.recommender(&query).expect("a recommender");
        let batch = recommender.recommend(&recipients, &CancelToken::new()).expect("nobody cancels");
        for (key, (recipient, of_batch)) in recipients.iter().zip(batch).enumerate() {
            let ranked = engine.recommend(recipient, &query, &CancelToken::new()).expect("an answer");
            assert_eq!(bits(&of_batch.expect("an answer")), bits(&ranked), "user {key}");
            assert!(ranked.items.len() <= k && ranked.items.is_sorted_by(|a, b| a.score >= b.score));
            for found in &ranked.items {
                assert!(found.node != item(3) && found.node != item(4));
                let seen = edges.contains(&(key, found.node.key.parse().expect("a number")));
                assert!(include_seen || !seen, "user {key} has {} already", found.node);
            }
        }
    }
    let cosine = Query { cosine: true, ..Query::default() };
    assert_eq!(
        engine.recommend(&recipients[0], &cosine, &CancelToken::new()).expect("an answer").source,
        AnswerSource::Embeddings
    );
    let similar = engine.similar(("item", "0"), &cosine, &CancelToken::new()).expect("an answer");
    assert_eq!(similar.source, AnswerSource::Embeddings);
}

/// A fit is reported, and is made on request only.
#[test]
fn a_training_reports_its_fit_if_it_is_asked_for_one() {
    let rng = &mut StdRng::seed_from_u64(24);
    let folder = tempfile::tempdir().expect("a folder");
    let edges = edges(rng);
    let engine = engine_of(&edges, &folder, "store", rng);
    let fits = |options: &TrainOptions| {
        let mut fits = Vec::new();
        let mut observer = |event: &TrainEvent| {
            if let TrainEvent::Fitted(fitted) = event {
                fits.push(fitted.clone());
            }
        };
        engine.training(options).observer(&mut observer).run(&CancelToken::new()).expect("a training");
        fits
    };
    let fitted = fits(&options());
    let [fitted] = &fitted[..] else { panic!("one kind: {fitted:?}") };
    assert_eq!(fitted.kind, "item");
    assert!(fitted.recall > 0.5 && fitted.edges > 10, "{fitted:?}");
    assert!(fits(&TrainOptions { factors: false, ..options() }).is_empty());
    let ranked = engine
        .recommend(&Recipient::Node(user(0)), &Query::default(), &CancelToken::new())
        .expect("an answer");
    assert_eq!(ranked.source, AnswerSource::Embeddings);
}
