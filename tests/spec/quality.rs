//! Promise: figures of quality are what their definitions say, for the model and for what it is compared with, the same for any number
//! of threads; and a model that is no better than what needs no training is said not to be.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use hedgerow::{
    Baseline, BaselineQuality, Batch, CancelToken, Comparison, Edge, Engine, ErrorKind, EvaluateOptions,
    NodeName, NodeRef, Query, Recipient, RecommendQuality, RelatedQuality, Store, TrainOptions, Verdict,
};
use tempfile::TempDir;

use crate::fixtures::graph_model::GraphModel;

fn pin(key: &str) -> NodeName {
    NodeName::new("pin", key).expect("a name")
}

fn board(key: &str) -> NodeName {
    NodeName::new("board", key).expect("a name")
}

/// An engine over a batch; without epochs its vectors are random.
fn engine(folder: &TempDir, batch: &Batch, epochs: u32) -> Engine {
    let store = Store::options().create(true).open(folder.path().join("s")).expect("the store opens");
    store.commit(batch).expect("a commit");
    let engine = Engine::open(Arc::new(store)).expect("an engine");
    let options = TrainOptions { targets: vec!["pin".into()], epochs, dim: 12, ..TrainOptions::default() };
    engine.training(&options).run(&CancelToken::new()).expect("a training");
    engine
}

/// Boards with a pin for each letter.
fn boards(lists: &[(&str, &str)]) -> Batch {
    let mut batch = Batch::new();
    for (board, pins) in lists {
        for at in 0..pins.len() {
            let ends = [NodeRef { kind: "board", key: board }, NodeRef { kind: "pin", key: &pins[at..=at] }];
            batch.link(ends[0], ends[1], Edge::default()).expect("an edge");
        }
    }
    batch
}

fn recommend(
    engine: &Engine,
    users: &[(NodeName, Vec<NodeName>)],
    options: &EvaluateOptions,
) -> Comparison<RecommendQuality> {
    engine.evaluate_recommend(users, options, &CancelToken::new()).expect("figures")
}

fn related(engine: &Engine, pairs: &[(NodeName, NodeName)]) -> Comparison<RelatedQuality> {
    let options = EvaluateOptions::default();
    engine.evaluate_related(pairs, &options, &CancelToken::new()).expect("figures")
}

fn of<Q>(found: &Comparison<Q>, baseline: Baseline) -> &BaselineQuality<Q> {
    found.baselines.iter().find(|beside| beside.baseline == baseline).expect("it ranked")
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
}

/// Degrees: a 4, b 3, c 2, d 1, e 0.
///
/// ```text
///   1: a b    2: a b c    3: a c    4: a    5: d    6: b           e
/// ```
fn shelves() -> Batch {
    let mut batch = boards(&[("1", "ab"), ("2", "abc"), ("3", "ac"), ("4", "a"), ("5", "d"), ("6", "b")]);
    batch.add_node(pin("e").as_ref()).expect("a node");
    batch.add_node(board("7").as_ref()).expect("a node");
    batch
}

/// k = 1. Board 4, which has a, wants b; board 5, which has d, wants a and a pin that nobody knows.
///
/// Popularity shows b and a: recall (1 + 1/2) / 2, ndcg 1; of five pins two are shown, each once; they have degrees 3 and 4 where the
/// boards' own have 4 and 1: 3.5 / 2.5 - 1.
/// Co-occurrence: b has 2 / sqrt(4 * 3) with a, c has 2 / sqrt(4 * 2), so board 4 is shown c, in vain; nothing has anything
/// with d, so board 5 is shown the most popular, a. Recall (0 + 1/2) / 2, ndcg 1/2, lift (2 + 4) / 2 / 2.5 - 1.
/// The margin of two values x and y is t(1) |x - y| / 2.
#[test]
fn figures_of_recommendations_are_the_hand_worked_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, &shelves(), 0);
    let users = [(board("4"), vec![pin("b")]), (board("5"), vec![pin("a"), pin("nobody")])];
    let found = recommend(&engine, &users, &EvaluateOptions { k: 1, ..EvaluateOptions::default() });
    let popular = &of(&found, Baseline::Popularity).quality;
    close(popular.recall.mean, 0.75);
    close(popular.recall.margin.expect("two users"), 12.7062 * 0.25);
    close(popular.ndcg.mean, 1.0);
    close(popular.ndcg.margin.expect("two users"), 0.0);
    assert_eq!(popular.users, 2);
    close(popular.coverage, 0.4);
    close(popular.effective_items, 2.0);
    close(popular.popularity_lift.expect("both have a history"), 0.4);
    let counted = &of(&found, Baseline::Cooccurrence).quality;
    close(counted.recall.mean, 0.25);
    close(counted.ndcg.mean, 0.5);
    close(counted.coverage, 0.4);
    close(counted.popularity_lift.expect("both have a history"), 0.2);
    for beside in &found.baselines {
        close(beside.lead.mean, found.compared.ndcg.mean - beside.quality.ndcg.mean);
    }
    assert_eq!(found.model, found.compared);
}

/// ```text
///   x: a b c    y: a b    z: c d    w: d e
/// ```
///
/// Of a and b: popularity has c and d as high as b, rank 2; b is alone on top by co-occurrence and by walks.
/// Of a and e: popularity has b, c, d above, rank 4; co-occurrence and walks have b and c above, and d, which they do not reach
/// either, the same: rank 1 + 2 + 1/2.
#[test]
fn ranks_of_related_items_are_the_hand_worked_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, &boards(&[("x", "abc"), ("y", "ab"), ("z", "cd"), ("w", "de")]), 0);
    let found = related(&engine, &[(pin("a"), pin("b")), (pin("a"), pin("e"))]);
    close(of(&found, Baseline::Popularity).quality.mrr.mean, f64::midpoint(1.0 / 2.0, 1.0 / 4.0));
    for baseline in [Baseline::Cooccurrence, Baseline::Walks] {
        let quality = &of(&found, baseline).quality;
        close(quality.mrr.mean, f64::midpoint(1.0, 1.0 / 3.5));
        assert_eq!((quality.hr10.mean, quality.mrr100.mean, quality.pairs), (1.0, 1.0, 2));
        assert_eq!(quality.mrr.margin, None, "one query asks both");
    }
}

/// The rank by definition, from all scores that `similar` gives.
#[test]
fn the_model_s_ranks_are_those_of_its_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(91, 60);
    let engine = engine(&folder, &model_graph.initial_batch(), 1);
    let pins: Vec<NodeName> = model_graph.nodes.keys().filter(|node| node.kind == "pin").cloned().collect();
    let pairs: Vec<(NodeName, NodeName)> =
        pins.iter().zip(pins.iter().cycle().skip(7)).map(|(a, b)| (a.clone(), b.clone())).collect();
    let all = Query { k: usize::MAX, ..Query::default() };
    let ranks = pairs.iter().map(|(query, item)| {
        let answer = engine.similar(query.as_ref(), &all).expect("an answer").items;
        let score = answer.iter().find(|scored| scored.node == *item).expect("it is ranked").score;
        let count =
            |fits: &dyn Fn(f32) -> bool| answer.iter().filter(|scored| fits(scored.score)).count() as f64;
        1.0 + count(&|other| other > score) + (count(&|other| other == score) - 1.0) / 2.0
    });
    let ranks: Vec<f64> = ranks.collect();
    let found = related(&engine, &pairs).model;
    let mean = |of: &dyn Fn(f64) -> f64| ranks.iter().map(|&rank| of(rank)).sum::<f64>() / ranks.len() as f64;
    assert_eq!(found.mrr.mean, mean(&|rank| 1.0 / rank));
    assert_eq!(found.hr10.mean, mean(&|rank| f64::from(u8::from(rank <= 10.0))));
}

/// What `recommend` answers, judged by hand.
#[test]
fn the_model_s_recall_is_that_of_its_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(92, 60);
    let engine = engine(&folder, &model_graph.initial_batch(), 1);
    let users = users(&model_graph);
    let options = EvaluateOptions { k: 7, ..EvaluateOptions::default() };
    let query = Query { k: 7, kind: Some("pin".into()), ..Query::default() };
    let recalls = users.iter().map(|(user, items)| {
        let answer = engine.recommend(&Recipient::Node(user.clone()), &query).expect("an answer").items;
        answer.iter().filter(|scored| items.contains(&scored.node)).count() as f64 / items.len() as f64
    });
    let recall = recalls.sum::<f64>() / users.len() as f64;
    assert_eq!(recommend(&engine, &users, &options).model.recall.mean, recall);
    assert!(recall > 0.0);
}

/// The share of all pins that `recommend` shows to some of the users.
fn coverage_by_answers(engine: &Engine, users: &[(NodeName, Vec<NodeName>)], k: usize, pins: usize) -> f64 {
    let query = Query { k, kind: Some("pin".into()), ..Query::default() };
    let answers = users.iter().flat_map(|(user, _)| {
        engine.recommend(&Recipient::Node(user.clone()), &query).expect("an answer").items
    });
    answers.map(|scored| scored.node).collect::<BTreeSet<_>>().len() as f64 / pins as f64
}

/// Every board of a world, with pins to find of which some are linked to it and some are not there.
fn users(model_graph: &GraphModel) -> Vec<(NodeName, Vec<NodeName>)> {
    let boards = model_graph.nodes.keys().filter(|node| node.kind == "board");
    let wanted = |at: usize| (0..5).map(|nth| pin(&((at * 7 + nth * 13) % 70).to_string())).collect();
    boards.enumerate().map(|(at, board)| (board.clone(), wanted(at))).collect()
}

#[test]
fn figures_are_the_same_for_any_number_of_threads_and_a_sample_for_any_order_of_users() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(93, 90);
    let engine = engine(&folder, &model_graph.initial_batch(), 1);
    let users = users(&model_graph);
    let pairs: Vec<(NodeName, NodeName)> = users
        .iter()
        .flat_map(|(_, items)| items.windows(2))
        .map(|two| (two[0].clone(), two[1].clone()))
        .collect();
    let pairs: Vec<_> = pairs
        .into_iter()
        .filter(|(a, b)| model_graph.nodes.contains_key(a) && model_graph.nodes.contains_key(b))
        .collect();
    let options = EvaluateOptions { k: 5, compared: users.len() / 2, ..EvaluateOptions::default() };
    let found = [1, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| (recommend(&engine, &users, &options), related(&engine, &pairs)))
    });
    assert_eq!(found[0], found[1]);
    let compared = &found[0].0.compared;
    assert_eq!((compared.users, found[0].0.model.users), (users.len() as u64 / 2, users.len() as u64));
    let backwards: Vec<_> = users.iter().rev().cloned().collect();
    let turned = recommend(&engine, &backwards, &options);
    close(turned.compared.recall.mean, compared.recall.mean);
    assert_eq!(turned.compared.coverage, compared.coverage);
    close(of(&turned, Baseline::Walks).lead.mean, of(&found[0].0, Baseline::Walks).lead.mean);
}

/// Everybody wants the star. Board 2n has n and m, board 2n + 1 has n alone: co-occurrence and walks show it m, popularity the star, and
/// random vectors anything.
#[test]
fn where_popularity_is_the_truth_a_model_that_learned_nothing_does_not_earn_its_keep() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut batch = Batch::new();
    let mut link = |board: String, pin: String| {
        let ends = [NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin }];
        batch.link(ends[0], ends[1], Edge::default()).expect("an edge");
    };
    for n in 0..30 {
        link(format!("{}", 2 * n), format!("n{n}"));
        link(format!("{}", 2 * n), format!("m{n}"));
        link(format!("{}", 2 * n + 1), format!("n{n}"));
        link(format!("crowd{n}"), "star".to_owned());
    }
    let engine = engine(&folder, &batch, 0);
    let users: Vec<(NodeName, Vec<NodeName>)> =
        (0..30).map(|n| (board(&(2 * n + 1).to_string()), vec![pin("star")])).collect();
    let found = recommend(&engine, &users, &EvaluateOptions { k: 1, ..EvaluateOptions::default() });
    assert_eq!(of(&found, Baseline::Popularity).quality.recall.mean, 1.0);
    for misled in [Baseline::Cooccurrence, Baseline::Walks] {
        assert_eq!(of(&found, misled).quality.recall.mean, 0.0);
    }
    assert_eq!(found.best().map(|best| best.baseline), Some(Baseline::Popularity));
    assert_eq!(found.verdict(), Some(Verdict::Worse));
}

/// With k = 1, each board is shown another pin. Board 7 has no history and gets the most popular, a. Board 1 has a and b, and gets c,
/// which is next by degree, by co-occurrence and by walks. Board 2 has a, b and c, and gets d by its degree; nothing else reaches a
/// pin that is new to it. So baselines cover 3 of 5 pins.
#[test]
fn who_has_no_history_wants_nothing_known_or_more_than_there_is_gets_figures_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, &shelves(), 0);
    let users = [(board("7"), vec![pin("a")]), (board("1"), vec![pin("nobody")]), (board("2"), Vec::new())];
    for (k, covered) in [(0, 0.0), (1, 0.6), (1000, 1.0), (usize::MAX, 1.0)] {
        let found = recommend(&engine, &users, &EvaluateOptions { k, ..EvaluateOptions::default() });
        for (quality, name) in found
            .baselines
            .iter()
            .map(|beside| (&beside.quality, beside.baseline.name()))
            .chain([(&found.model, "model")])
        {
            // Who has no history is shown what is popular by everyone, and most so a.
            close(quality.recall.mean, if k == 0 { 0.0 } else { 1.0 / 3.0 });
            assert_eq!(quality.users, 3);
            assert!(quality.effective_items.is_finite(), "{name}");
        }
        for beside in &found.baselines {
            assert_eq!(beside.quality.coverage, covered, "{}, k {k}", beside.baseline.name());
        }
        assert_eq!(found.model.coverage, coverage_by_answers(&engine, &users, k, 5), "model, k {k}");
        if k >= 1000 {
            assert_eq!(found.model.coverage, covered, "the model shows all that there is");
        }
    }
    let lonely = [(board("7"), vec![pin("a")])];
    let found = recommend(&engine, &lonely, &EvaluateOptions { k: 2, ..EvaluateOptions::default() });
    assert_eq!((found.model.recall.margin, found.model.popularity_lift), (None, None));
    assert_eq!(found.verdict(), Some(Verdict::Unclear));
    let nobody = recommend(&engine, &[], &EvaluateOptions::default());
    assert_eq!((nobody.model.users, nobody.baselines.len(), nobody.verdict()), (0, 0, None));
}

#[test]
fn an_evaluation_tells_how_far_it_is_and_can_be_cancelled_anywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, &shelves(), 0);
    let users = [(board("1"), vec![pin("c")]), (board("3"), vec![pin("b")])];
    let pairs = [(pin("a"), pin("b"))];
    let options = EvaluateOptions::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&seen);
    let watched = CancelToken::new().observed(move |at| hears.lock().expect("one at a time").push(at));
    engine.evaluate_recommend(&users, &options, &watched).expect("figures");
    let told: Vec<_> =
        seen.lock().expect("one at a time").iter().map(|at| (at.stage, at.done, at.of)).collect();
    // Two users, each time; before them walks from the three pins of their histories.
    let stages = [("model", 2), ("popularity", 2), ("cooccurrence", 2), ("walks", 3), ("walks", 2)];
    assert_eq!(told, stages.map(|(stage, of)| [(stage, 0, of), (stage, of, of)]).concat());
    for steps in 0..3 {
        let cancel = CancelToken::new();
        let (raised, mut left) = (cancel.clone(), steps);
        let watched = cancel.observed(move |_| {
            if left == 0 {
                raised.cancel();
            }
            left -= 1;
        });
        let ended = [
            engine.evaluate_recommend(&users, &options, &watched).map(drop),
            engine.evaluate_related(&pairs, &options, &watched).map(drop),
        ];
        for ended in ended {
            let error = hedgerow::Error::from(ended.expect_err("it was cancelled"));
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{steps}");
        }
    }
}
