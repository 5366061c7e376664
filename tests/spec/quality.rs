//! Promise: each figure of an evaluation equals the figure worked out by hand, for the model and for its baselines.
//!
//! Figures do not depend on the number of threads. A model that is no better than its baselines is reported as such.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use hedgerow::{
    Baseline, BaselineQuality, Batch, CancelToken, Comparison, Edge, Engine, ErrorKind, EvaluateOptions,
    NodeName, NodeRef, Query, Recipient, RecommendQuality, RelatedQuality, Store, TrainOptions, Verdict,
};
use tempfile::TempDir;

use crate::fixtures::graph_model::GraphModel;

/// An evaluation that a token can cancel.
type Evaluation<'a> = &'a dyn Fn(&CancelToken) -> Result<(), hedgerow::Error>;

fn pin(key: &str) -> NodeName {
    NodeName::new("pin", key).expect("a name")
}

fn board(key: &str) -> NodeName {
    NodeName::new("board", key).expect("a name")
}

/// An engine over the graph of a batch. With 0 epochs its vectors are random.
fn engine(folder: &TempDir, batch: &Batch, epochs: u32) -> Engine {
    let store = Store::options().create(true).open(folder.path().join("s")).expect("the store opens");
    store.commit(batch).expect("a commit");
    let engine = Engine::open(Arc::new(store)).expect("an engine");
    let options = TrainOptions { targets: vec!["pin".into()], epochs, dim: 12, ..TrainOptions::default() };
    engine.training(&options).run(&CancelToken::new()).expect("a training");
    engine
}

/// Boards, each with a pin for each letter of its text.
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

/// The figures of one baseline.
fn baseline_of<Q>(found: &Comparison<Q>, baseline: Baseline) -> &BaselineQuality<Q> {
    found.baselines.iter().find(|entry| entry.baseline == baseline).expect("its figures")
}

fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
}

/// Six boards with pins, a board without pins, and a pin without boards. Degrees: a 4, b 3, c 2, d 1, e 0.
///
/// ```text
///   1: a b    2: a b c    3: a c    4: a    5: d    6: b           e
/// ```
fn small_graph() -> Batch {
    let mut batch = boards(&[("1", "ab"), ("2", "abc"), ("3", "ac"), ("4", "a"), ("5", "d"), ("6", "b")]);
    batch.add_node(pin("e").as_ref()).expect("a node");
    batch.add_node(board("7").as_ref()).expect("a node");
    batch
}

/// With k = 1, board 4 (its pin is a) should get b. Board 5 (its pin is d) should get a and a pin that is not in the graph.
///
/// - Popularity answers b and a. Recall is (1 + 1/2) / 2, ndcg is 1. Two of five pins are shown, each once. Their degrees
///   are 3 and 4; the boards' own pins have degrees 4 and 1. So the lift is 3.5 / 2.5 - 1.
/// - Co-occurrence scores b with 2 / sqrt(4 * 3) and c with 2 / sqrt(4 * 2) for board 4, so it answers c, a miss. No pin
///   occurs with d, so board 5 gets the most popular pin, a. Recall is (0 + 1/2) / 2, ndcg is 1/2, and the lift is
///   (2 + 4) / 2 / 2.5 - 1.
/// - The margin of two values x and y is t(1) |x - y| / 2.
#[test]
fn figures_of_recommendations_equal_those_worked_out_by_hand() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, &small_graph(), 0);
    let users = [(board("4"), vec![pin("b")]), (board("5"), vec![pin("a"), pin("nobody")])];
    let found = recommend(&engine, &users, &EvaluateOptions { k: 1, ..EvaluateOptions::default() });
    // Popularity.
    let popular = &baseline_of(&found, Baseline::Popularity).quality;
    assert_close(popular.recall.mean, 0.75);
    assert_close(popular.recall.margin.expect("two users"), 12.7062 * 0.25);
    assert_close(popular.ndcg.mean, 1.0);
    assert_close(popular.ndcg.margin.expect("two users"), 0.0);
    assert_eq!(popular.users, 2);
    assert_close(popular.coverage, 0.4);
    assert_close(popular.effective_items, 2.0);
    assert_close(popular.popularity_lift.expect("both have a history"), 0.4);
    // Co-occurrence.
    let cooccurrence = &baseline_of(&found, Baseline::Cooccurrence).quality;
    assert_close(cooccurrence.recall.mean, 0.25);
    assert_close(cooccurrence.ndcg.mean, 0.5);
    assert_close(cooccurrence.coverage, 0.4);
    assert_close(cooccurrence.popularity_lift.expect("both have a history"), 0.2);
    // The model's lead over each baseline.
    for entry in &found.baselines {
        assert_close(entry.lead.mean, found.compared.ndcg.mean - entry.quality.ndcg.mean);
    }
    assert_eq!(found.model, found.compared);
}

/// ```text
///   x: a b c    y: a b    z: c d    w: d e
/// ```
///
/// - Query a, answer b: by popularity b, c and d are tied, so the mean rank is 2. By co-occurrence and by `RP3beta` b is first.
/// - Query a, answer e: by popularity b, c and d come first, so the rank is 4. By co-occurrence and by `RP3beta` b and c come
///   first, and d and e are tied at 0, so the mean rank is 1 + 2 + 1/2.
#[test]
fn ranks_of_related_items_equal_those_worked_out_by_hand() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, &boards(&[("x", "abc"), ("y", "ab"), ("z", "cd"), ("w", "de")]), 0);
    let found = related(&engine, &[(pin("a"), pin("b")), (pin("a"), pin("e"))]);
    assert_close(
        baseline_of(&found, Baseline::Popularity).quality.mrr.mean,
        f64::midpoint(1.0 / 2.0, 1.0 / 4.0),
    );
    for baseline in [Baseline::Cooccurrence, Baseline::Rp3Beta] {
        let quality = &baseline_of(&found, baseline).quality;
        assert_close(quality.mrr.mean, f64::midpoint(1.0, 1.0 / 3.5));
        assert_eq!((quality.hr10.mean, quality.mrr100.mean, quality.pairs), (1.0, 1.0, 2));
        assert_eq!(quality.mrr.margin, None, "both pairs have the same query, so there is no margin");
    }
}

/// The expected ranks are counted in the answers of `similar`, by definition.
#[test]
fn ranks_of_the_model_are_those_of_its_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(91, 60);
    let engine = engine(&folder, &model_graph.initial_batch(), 1);
    let pins: Vec<NodeName> = model_graph.nodes.keys().filter(|node| node.kind == "pin").cloned().collect();
    let pairs: Vec<(NodeName, NodeName)> =
        pins.iter().zip(pins.iter().cycle().skip(7)).map(|(a, b)| (a.clone(), b.clone())).collect();
    let all = Query { k: usize::MAX, ..Query::default() };
    let ranks = pairs.iter().map(|(query, item)| {
        let answer = engine.similar(query.as_ref(), &all, &CancelToken::new()).expect("an answer").items;
        let score = answer.iter().find(|scored| scored.node == *item).expect("it is ranked").score;
        let count = |matches: &dyn Fn(f32) -> bool| {
            answer.iter().filter(|scored| matches(scored.score)).count() as f64
        };
        1.0 + count(&|other| other > score) + (count(&|other| other == score) - 1.0) / 2.0
    });
    let ranks: Vec<f64> = ranks.collect();
    let found = related(&engine, &pairs).model;
    let mean = |of: &dyn Fn(f64) -> f64| ranks.iter().map(|&rank| of(rank)).sum::<f64>() / ranks.len() as f64;
    assert_eq!(found.mrr.mean, mean(&|rank| 1.0 / rank));
    assert_eq!(found.hr10.mean, mean(&|rank| f64::from(u8::from(rank <= 10.0))));
}

/// The expected recall is counted in the answers of `recommend`.
#[test]
fn the_recall_of_the_model_is_that_of_its_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model_graph = GraphModel::new(92, 60);
    let engine = engine(&folder, &model_graph.initial_batch(), 1);
    let users = users(&model_graph);
    let options = EvaluateOptions { k: 7, ..EvaluateOptions::default() };
    let query = Query { k: 7, kind: Some("pin".into()), ..Query::default() };
    let recalls = users.iter().map(|(user, items)| {
        let answer = engine
            .recommend(&Recipient::Node(user.clone()), &query, &CancelToken::new())
            .expect("an answer")
            .items;
        answer.iter().filter(|scored| items.contains(&scored.node)).count() as f64 / items.len() as f64
    });
    let recall = recalls.sum::<f64>() / users.len() as f64;
    assert_eq!(recommend(&engine, &users, &options).model.recall.mean, recall);
    assert!(recall > 0.0);
}

/// The share of all pins that `recommend` shows to at least one of the users.
fn coverage_by_answers(engine: &Engine, users: &[(NodeName, Vec<NodeName>)], k: usize, pins: usize) -> f64 {
    let query = Query { k, kind: Some("pin".into()), ..Query::default() };
    let answers = users.iter().flat_map(|(user, _)| {
        engine
            .recommend(&Recipient::Node(user.clone()), &query, &CancelToken::new())
            .expect("an answer")
            .items
    });
    answers.map(|scored| scored.node).collect::<BTreeSet<_>>().len() as f64 / pins as f64
}

/// All boards, each with five held-out pins. Some of those pins are linked to the board, and some are not in the graph.
fn users(model_graph: &GraphModel) -> Vec<(NodeName, Vec<NodeName>)> {
    let boards = model_graph.nodes.keys().filter(|node| node.kind == "board");
    let held_out = |at: usize| (0..5).map(|nth| pin(&((at * 7 + nth * 13) % 70).to_string())).collect();
    boards.enumerate().map(|(at, board)| (board.clone(), held_out(at))).collect()
}

/// Tokens of q, a and b: q has `rare` and `common`, a has `rare`, and b, c, d and e have `common`; two more pins have none. Five pins have
/// `common` of six that have tokens, so it says little, and the cosine of q with a is higher. b has three boards, c has one.
///
/// For q come a, b and c, in this order, then d and e with equal scores.
#[test]
fn token_cosine_ranks_by_rare_tokens_and_then_by_degree() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut batch = boards(&[("1", "bf"), ("2", "bg"), ("3", "bc")]);
    for (key, tokens) in
        [("q", &["rare", "common"][..]), ("a", &["rare"]), ("b", &["common"]), ("c", &["common"])]
            .into_iter()
            .chain(["d", "e"].map(|key| (key, &["common"][..])))
    {
        batch.set_tokens(pin(key).as_ref(), tokens).expect("tokens");
    }
    let engine = engine(&folder, &batch, 0);
    let pairs = ["a", "b", "c", "d"].map(|key| (pin("q"), pin(key)));
    let ranks = pairs.map(|pair| {
        let found = related(&engine, &[pair]);
        1.0 / baseline_of(&found, Baseline::TokenCosine).quality.mrr.mean
    });
    for (rank, expected) in ranks.into_iter().zip([1.0, 2.0, 3.0, 4.5]) {
        assert_close(rank, expected);
    }
    // Board 1 has b, whose only token c, d, e and q have too; c has the highest degree.
    let options = EvaluateOptions { k: 1, ..EvaluateOptions::default() };
    let found = recommend(&engine, &[(board("1"), vec![pin("c")])], &options);
    assert_close(baseline_of(&found, Baseline::TokenCosine).quality.recall.mean, 1.0);
}

#[test]
fn figures_depend_neither_on_threads_nor_on_the_order_of_users() {
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
    // Half of the users are the sample that is compared with the baselines.
    let options = EvaluateOptions { k: 5, compared: users.len() / 2, ..EvaluateOptions::default() };
    let found = [1, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| (recommend(&engine, &users, &options), related(&engine, &pairs)))
    });
    assert_eq!(found[0], found[1]);
    let compared = &found[0].0.compared;
    assert_eq!((compared.users, found[0].0.model.users), (users.len() as u64 / 2, users.len() as u64));
    // The sample is the same in another order of users.
    let reversed: Vec<_> = users.iter().rev().cloned().collect();
    let of_reversed = recommend(&engine, &reversed, &options);
    assert_close(of_reversed.compared.recall.mean, compared.recall.mean);
    assert_eq!(of_reversed.compared.coverage, compared.coverage);
    assert_close(
        baseline_of(&of_reversed, Baseline::ImplicitAls).lead.mean,
        baseline_of(&found[0].0, Baseline::ImplicitAls).lead.mean,
    );
}

/// The expected answer is always the pin `star`. Board 2n has pins n and m, board 2n + 1 has n only.
///
/// Popularity answers star. Co-occurrence and walks of two hops answer m. A model without training answers at random.
#[test]
fn a_random_model_is_reported_as_worse_where_popularity_is_right() {
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
    assert_eq!(baseline_of(&found, Baseline::Popularity).quality.recall.mean, 1.0);
    for wrong in [Baseline::Cooccurrence, Baseline::Rp3Beta, Baseline::Pixie] {
        assert_eq!(baseline_of(&found, wrong).quality.recall.mean, 0.0);
    }
    assert_eq!(found.best().map(|best| best.baseline), Some(Baseline::Popularity));
    assert_eq!(found.verdict(), Some(Verdict::Worse));
}

/// With k = 1, every baseline shows each board another pin, so baselines cover 3 of 5 pins:
///
/// - Board 7 has no history and gets the most popular pin, a.
/// - Board 1 has a and b, and gets c, which is next by every baseline.
/// - Board 2 has a, b and c. No list leads to a new pin, so d follows by its degree. Implicit ALS answers d or e.
#[test]
fn users_without_history_or_known_items_and_any_k_have_figures() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, &small_graph(), 0);
    let users = [(board("7"), vec![pin("a")]), (board("1"), vec![pin("nobody")]), (board("2"), Vec::new())];
    for (k, covered) in [(1, 0.6), (1000, 1.0), (usize::MAX, 1.0)] {
        let found = recommend(&engine, &users, &EvaluateOptions { k, ..EvaluateOptions::default() });
        for (quality, name) in found
            .baselines
            .iter()
            .map(|entry| (&entry.quality, entry.baseline.name()))
            .chain([(&found.model, "model")])
        {
            // The user without history gets a from the model and from every baseline.
            assert_close(quality.recall.mean, 1.0 / 3.0);
            assert_eq!(quality.users, 3);
            assert!(quality.effective_items.is_finite(), "{name}");
        }
        for entry in &found.baselines {
            assert_eq!(entry.quality.coverage, covered, "{}, k {k}", entry.baseline.name());
        }
        assert_eq!(found.model.coverage, coverage_by_answers(&engine, &users, k, 5), "model, k {k}");
        // A large k shows all pins.
        if k >= 1000 {
            assert_eq!(found.model.coverage, covered, "the model shows all pins");
        }
    }
    // One user has no margin and no verdict.
    let one_user = [(board("7"), vec![pin("a")])];
    let found = recommend(&engine, &one_user, &EvaluateOptions { k: 2, ..EvaluateOptions::default() });
    assert_eq!((found.model.recall.margin, found.model.popularity_lift), (None, None));
    assert_eq!(found.verdict(), Some(Verdict::Unclear));
    // No users.
    let no_users = recommend(&engine, &[], &EvaluateOptions::default());
    assert_eq!((no_users.model.users, no_users.baselines.len(), no_users.verdict()), (0, 0, None));
}

#[test]
fn an_evaluation_reports_its_progress_and_can_be_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, &small_graph(), 0);
    let users = [(board("1"), vec![pin("c")]), (board("3"), vec![pin("b")])];
    let pairs = [(pin("a"), pin("b"))];
    let options = EvaluateOptions::default();
    // An evaluation reports the start and the end of each stage.
    let reports = Arc::new(Mutex::new(Vec::new()));
    let shared_reports = Arc::clone(&reports);
    let observed = CancelToken::new()
        .observed(move |progress| shared_reports.lock().expect("no panic under the lock").push(progress));
    engine.evaluate_recommend(&users, &options, &observed).expect("figures");
    let reports: Vec<_> = reports
        .lock()
        .expect("no panic under the lock")
        .iter()
        .map(|progress| (progress.stage, progress.done, progress.of))
        .collect();
    // Each stage has the two users. The first stage of implicit ALS has the sweeps of up to eight trainings on held-out edges, and of the last.
    let stages = [
        ("model", 2),
        ("popularity", 2),
        ("cooccurrence", 2),
        ("rp3beta", 2),
        ("pixie", 2),
        ("implicit_als", 40),
        ("implicit_als", 2),
    ];
    let of_stages = reports.chunk_by(|a, b| (a.0, a.2) == (b.0, b.2));
    let ends: Vec<_> = of_stages.flat_map(|reports| [reports[0], reports[reports.len() - 1]]).collect();
    assert_eq!(ends, stages.map(|(stage, of)| [(stage, 0, of), (stage, of, of)]).concat());
    // Cancelled at one of its first three reports, each evaluation returns a cancellation.
    let evaluations: [Evaluation<'_>; 2] =
        [&|cancel| Ok(engine.evaluate_recommend(&users, &options, cancel).map(drop)?), &|cancel| {
            Ok(engine.evaluate_related(&pairs, &options, cancel).map(drop)?)
        }];
    for (evaluation, evaluate) in evaluations.into_iter().enumerate() {
        for reports in 0..3 {
            let cancel = CancelToken::new();
            let (canceller, mut left) = (cancel.clone(), reports);
            let observed = cancel.observed(move |_| {
                if left == 0 {
                    canceller.cancel();
                }
                left -= 1;
            });
            let error = evaluate(&observed).expect_err("it was cancelled");
            assert_eq!(error.kind(), ErrorKind::Cancelled, "evaluation {evaluation} after {reports} reports");
        }
    }
}
