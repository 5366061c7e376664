//! Items without lists: their tokens lead to items that go with them, and after a refresh every score has the bits that a store made
//! anew gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hedgerow::{
    AnswerSource, Batch, CancelToken, Edge, Engine, NodeName, Query, Ranked, Recipient, Store, TrainEvent,
    TrainOptions,
};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

const USERS: usize = 80;
const ITEMS: usize = 120;
const TOPICS: usize = 4;

fn user(key: usize) -> NodeName {
    NodeName::new("user", key.to_string()).expect("a name")
}

fn item(key: usize) -> NodeName {
    NodeName::new("item", key.to_string()).expect("a name")
}

/// The content that the store should have: the tokens of each item, and edges.
#[derive(Default)]
struct Content {
    tokens: BTreeMap<usize, Vec<String>>,
    users: BTreeSet<usize>,
    edges: BTreeSet<(usize, usize)>,
}

impl Content {
    /// Users take items of their topic. A tenth of the items has no edge.
    fn planted(rng: &mut StdRng) -> Self {
        let mut content = Self { users: (0..USERS).collect(), ..Self::default() };
        for item in 0..ITEMS {
            content.tokens.insert(item, tokens(item % TOPICS, rng));
            for user in (0..USERS).filter(|_| item % 10 != 9) {
                if rng.random_bool(if user % TOPICS == item % TOPICS { 0.3 } else { 0.02 }) {
                    content.edges.insert((user, item));
                }
            }
        }
        content
    }

    /// A store of this content, which comes in random order.
    fn engine(&self, folder: &tempfile::TempDir, name: &str, rng: &mut StdRng) -> Engine {
        let engine = open(folder, name);
        let mut edges: Vec<_> = self.edges.iter().copied().collect();
        let mut items: Vec<_> = self.tokens.iter().collect();
        edges.shuffle(rng);
        items.shuffle(rng);
        let mut batch = Batch::new();
        for (key, tokens) in items {
            batch.set_tokens(item(*key).as_ref(), tokens).expect("tokens");
        }
        for &key in &self.users {
            batch.add_node(user(key).as_ref()).expect("a node");
        }
        engine.store().commit(&batch).expect("a commit");
        let mut batch = Batch::new();
        for (user_key, item_key) in edges {
            batch.link(user(user_key).as_ref(), item(item_key).as_ref(), Edge::default()).expect("an edge");
        }
        engine.store().commit(&batch).expect("a commit");
        engine
    }

    /// A random change: new items, other tokens, edges that come, items that lose all edges, and items that go.
    fn change(&mut self, engine: &Engine, rng: &mut StdRng) {
        let mut batch = Batch::new();
        let known: Vec<usize> = self.tokens.keys().copied().collect();
        let &some = known.choose(rng).expect("an item");
        let name = item(some);
        match rng.random_range(0..5) {
            0 => {
                self.tokens.remove(&some);
                self.edges.retain(|&(_, item)| item != some);
                batch.remove(name.as_ref()).expect("a node");
            }
            1 => {
                for &(user_key, _) in self.edges.iter().filter(|(_, item)| *item == some) {
                    batch.unlink(user(user_key).as_ref(), name.as_ref(), None).expect("an edge");
                }
                self.edges.retain(|&(_, item)| item != some);
            }
            2 => {
                let edge = (rng.random_range(0..USERS + 5), some);
                self.users.insert(edge.0);
                self.edges.insert(edge);
                batch.link(user(edge.0).as_ref(), name.as_ref(), Edge::default()).expect("an edge");
            }
            kind => {
                let key = if kind == 3 { some } else { rng.random_range(0..ITEMS + 20) };
                let of_item =
                    if rng.random_bool(0.2) { Vec::new() } else { tokens(rng.random_range(0..TOPICS), rng) };
                batch.set_tokens(item(key).as_ref(), &of_item).expect("tokens");
                self.tokens.insert(key, of_item);
            }
        }
        engine.store().commit(&batch).expect("a commit");
    }
}

/// A token that a topic's items have in common, and some that anyone may have.
fn tokens(topic: usize, rng: &mut StdRng) -> Vec<String> {
    let mut tokens = vec![format!("topic{topic}")];
    tokens.extend((0..12).filter(|_| rng.random_bool(0.2)).map(|token| format!("word{token}")));
    tokens
}

fn open(folder: &tempfile::TempDir, name: &str) -> Engine {
    let store = Store::options().create(true).open(folder.path().join(name)).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

/// An engine whose first answers make what they read.
fn open_mapped(folder: &tempfile::TempDir, name: &str) -> Engine {
    let store = Store::options().map_files(true).open(folder.path().join(name)).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

fn options() -> TrainOptions {
    TrainOptions { dim: 8, epochs: 1, batch: 32, negatives: 8, ..TrainOptions::new(["item"]) }
}

fn trained(content: &Content, folder: &tempfile::TempDir, rng: &mut StdRng) -> Engine {
    let engine = content.engine(folder, "trained", rng);
    engine.training(&options()).run(&CancelToken::new()).expect("a training");
    engine
}

fn bits(ranked: &Ranked) -> Vec<(NodeName, u32)> {
    ranked.items.iter().map(|item| (item.node.clone(), item.score.to_bits())).collect()
}

/// Every score for every item, and for some histories. An item without an answer gives none.
fn all_scores(engine: &Engine) -> Vec<Vec<(NodeName, u32)>> {
    let query = Query { k: 1000, ..Query::default() };
    let keys = 0..ITEMS + 20;
    let similar = keys.clone().map(|key| engine.similar(item(key).as_ref(), &query, &CancelToken::new()));
    let recommended = keys.map(|key| {
        engine.recommend(
            &Recipient::History(vec![item(key), item((key * 7 + 9) % ITEMS)]),
            &query,
            &CancelToken::new(),
        )
    });
    similar
        .chain(recommended)
        .map(|ranked| ranked.map_or_else(|_| Vec::new(), |found| bits(&found)))
        .collect()
}

/// The share of the first ten answers that have the topic of the question.
fn of_topic(ranked: &Ranked, topic: usize) -> f64 {
    let has_topic = |key: &str| key.parse::<usize>().expect("a number") % TOPICS == topic;
    let found = ranked.items.iter().filter(|found| has_topic(&found.node.key)).count();
    found as f64 / ranked.items.len().max(1) as f64
}

#[test]
fn an_item_without_lists_is_answered_by_what_goes_with_items_of_similar_tokens() {
    let rng = &mut StdRng::seed_from_u64(30);
    let folder = tempfile::tempdir().expect("a folder");
    let content = Content::planted(rng);
    let engine = content.engine(&folder, "store", rng);
    let mut gains = Vec::new();
    let mut observer = |event: &TrainEvent| {
        if let TrainEvent::Fitted(fitted) = event {
            gains.push(fitted.cold);
        }
    };
    engine.training(&options()).observer(&mut observer).run(&CancelToken::new()).expect("a training");
    assert!(matches!(gains[..], [Some(gain)] if gain > 0.1), "{gains:?}");

    let query = Query { k: 10, ..Query::default() };
    let mut shares = Vec::new();
    for key in (9..ITEMS).step_by(10) {
        let similar = engine.similar(item(key).as_ref(), &query, &CancelToken::new()).expect("an answer");
        let recommended = engine
            .recommend(&Recipient::History(vec![item(key)]), &query, &CancelToken::new())
            .expect("an answer");
        assert_eq!([similar.source, recommended.source], [AnswerSource::Graph; 2]);
        shares.extend([of_topic(&similar, key % TOPICS), of_topic(&recommended, key % TOPICS)]);
    }
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    assert!(mean > 0.8, "chance gives a quarter: {mean}");
    let warm = engine.similar(item(0).as_ref(), &query, &CancelToken::new()).expect("an answer");
    assert_eq!(warm.source, AnswerSource::Embeddings, "items with features and lists keep embeddings");
    let cosine = Query { cosine: true, ..query };
    let by_cosine = engine.similar(item(9).as_ref(), &cosine, &CancelToken::new()).expect("an answer");
    assert_eq!(by_cosine.source, AnswerSource::Embeddings);
}

/// A history of items without lists leads to its answers by tokens, so an explanation names those.
#[test]
fn explanations_name_the_tokens_in_common() {
    let rng = &mut StdRng::seed_from_u64(32);
    let folder = tempfile::tempdir().expect("a folder");
    let content = Content::planted(rng);
    let engine = trained(&content, &folder, rng);
    let history = [9, 19];
    let query = Query { k: 10, explain: true, ..Query::default() };
    let ranked = engine
        .recommend(&Recipient::History(history.map(item).to_vec()), &query, &CancelToken::new())
        .expect("an answer");
    assert_eq!(ranked.source, AnswerSource::Graph);
    let mut explained = 0;
    for found in &ranked.items {
        let shared = |other: usize| -> Vec<String> {
            let of_answer = &content.tokens[&found.node.key.parse().expect("a number")];
            let both = content.tokens[&other].iter().filter(|token| of_answer.contains(token)).cloned();
            both.collect::<BTreeSet<_>>().into_iter().collect()
        };
        let most = history.map(shared).into_iter().map(|tokens| tokens.len()).max();
        let connection = found.explanation.as_ref().and_then(|explanation| explanation.connection.as_ref());
        assert_eq!(connection.map(|connection| connection.shared_tokens.len()).or(Some(0)), most);
        if let Some(connection) = connection {
            assert_eq!(connection.shared_tokens, shared(connection.node.key.parse().expect("a number")));
            assert_eq!(connection.share, None);
            explained += 1;
        }
    }
    assert!(explained > 0, "{ranked:?}");
}

/// An item that loses its last edge is answered by its tokens at once, and one that gets a first edge no longer.
#[test]
fn the_present_graph_decides_which_items_are_cold() {
    let rng = &mut StdRng::seed_from_u64(31);
    let folder = tempfile::tempdir().expect("a folder");
    let content = Content::planted(rng);
    let engine = trained(&content, &folder, rng);
    let source = |key| {
        engine.similar(item(key).as_ref(), &Query::default(), &CancelToken::new()).expect("an answer").source
    };
    assert_eq!([source(0), source(9)], [AnswerSource::Embeddings, AnswerSource::Graph]);
    let mut batch = Batch::new();
    for &(user_key, _) in content.edges.iter().filter(|(_, item)| *item == 0) {
        batch.unlink(user(user_key).as_ref(), item(0).as_ref(), None).expect("an edge");
    }
    batch.link(user(1).as_ref(), item(9).as_ref(), Edge::default()).expect("an edge");
    engine.store().commit(&batch).expect("a commit");
    assert_eq!([source(0), source(9)], [AnswerSource::Graph, AnswerSource::Embeddings]);
}

#[test]
fn scores_are_those_of_a_store_made_anew_with_the_same_model() {
    let cancel = CancelToken::new();
    for seed in 0..5 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let mut content = Content::planted(rng);
        let mut engine = trained(&content, &folder, rng);
        for round in 0..4 {
            if seed % 2 == 1 {
                engine.persist(&cancel).expect("stored");
                drop(engine);
                engine = open_mapped(&folder, "trained");
                // In every other round the first answers come after the refresh.
                if round % 2 == 0 {
                    all_scores(&engine);
                }
            }
            for _ in 0..rng.random_range(1..8) {
                content.change(&engine, rng);
            }
            let report = engine.refresh(false, &cancel).expect("a refresh");
            let model = engine.export_embeddings(&cancel).expect("an export").model();
            let anew = content.engine(&folder, &format!("anew-{round}"), rng);
            anew.install(&model, &cancel).expect("installed");
            let place = format!("seed {seed}, round {round}, rebuilt {}", report.full);
            assert_eq!(all_scores(&anew), all_scores(&engine), "{place}");
        }
        engine.persist(&cancel).expect("stored");
        let before = all_scores(&engine);
        drop(engine);
        assert_eq!(all_scores(&open(&folder, "trained")), before, "seed {seed}: opened again");
    }
}
