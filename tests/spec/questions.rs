//! Promise: the options of a question do what they say. A score does not depend on them, pages put together are the whole answer, and
//! many questions at once have the answers that each has alone.

use std::sync::Arc;
use std::time::Instant;

use hedgerow::{
    AnswerSource, Batch, CancelToken, Edge, Engine, Error, ErrorKind, Interests, NodeName, OnlyNew,
    PropertyValue, Query, Ranked, Recipient, Store, TrainOptions,
};
use tempfile::TempDir;

const USERS: usize = 50;
const ITEMS: usize = 70;

fn user(key: impl ToString + Copy) -> NodeName {
    NodeName::new("user", key.to_string()).expect("a name")
}

fn item(key: impl ToString + Copy) -> NodeName {
    NodeName::new("item", key.to_string()).expect("a name")
}

fn link(engine: &Engine, edges: &[(&NodeName, &NodeName, Option<&str>)]) {
    let mut batch = Batch::new();
    for (a, b, relation) in edges {
        let edge = Edge { relation: *relation, ..Edge::default() };
        batch.link(a.as_ref(), b.as_ref(), edge).expect("an edge");
    }
    engine.store().commit(&batch).expect("a commit");
}

/// Users like the items of their third more than others, and no user likes ten of the items. After the training two nodes come that have no embedding:
///
/// ```text
///   user:walker --- item:late --- user:1, user:4        user:alone
/// ```
fn engine(folder: &TempDir, factors: bool) -> Engine {
    let name = if factors { "graph" } else { "embeddings" };
    let store = Store::options().create(true).open(folder.path().join(name)).expect("the store opens");
    let engine = Engine::open(Arc::new(store)).expect("an engine");
    let mut batch = Batch::new();
    for (user_key, item_key) in (0..USERS).flat_map(|user| (0..ITEMS).map(move |item| (user, item))) {
        let drawn = (user_key * 7919 + item_key * 104_729 + user_key * item_key) % 100;
        if drawn < if user_key % 3 == item_key % 3 { 40 } else { 6 } {
            let (user, item) = (user(user_key), item(item_key));
            batch.link(user.as_ref(), item.as_ref(), Edge::default()).expect("an edge");
        }
    }
    for node in (0..10).map(|key| item(format!("unliked-{key}").as_str())).chain([user("alone")]) {
        batch.add_node(node.as_ref()).expect("a node");
    }
    engine.store().commit(&batch).expect("a commit");
    let options =
        TrainOptions { dim: 8, epochs: 1, batch: 32, negatives: 8, factors, ..TrainOptions::new(["item"]) };
    engine.training(&options).run(&CancelToken::new()).expect("a training");
    let (late, walker) = (item("late"), user("walker"));
    link(&engine, &[(&walker, &late, None), (&user(1), &late, None), (&user(4), &late, None)]);
    engine
}

/// A model whose graph answers, and one whose embeddings do.
fn engines(folder: &TempDir) -> [Engine; 2] {
    [true, false].map(|factors| engine(folder, factors))
}

/// A question for a node or a recipient.
#[derive(Clone, Debug)]
enum Question {
    Similar(NodeName),
    Recommend(Recipient),
}

impl Question {
    fn ask(&self, engine: &Engine, query: &Query) -> Result<Ranked, Error> {
        let cancel = CancelToken::new();
        Ok(match self {
            Self::Similar(node) => engine.similar(node.as_ref(), query, &cancel)?,
            Self::Recommend(recipient) => engine.recommend(recipient, query, &cancel)?,
        })
    }

    fn answer(&self, engine: &Engine, query: &Query) -> Ranked {
        self.ask(engine, query).unwrap_or_else(|error| panic!("{self:?} {query:?}: {error}"))
    }
}

/// Questions that the graph or embeddings, walks, and popularity answer.
fn questions() -> Vec<Question> {
    let users = [user(0), user(1), user("walker"), user("alone")];
    let recommend = users.map(|user| Question::Recommend(Recipient::Node(user)));
    let history = Question::Recommend(Recipient::History(vec![item(1), item(5), item(33)]));
    let similar = [item(0), item(17), item(69), item("unliked-3")].map(Question::Similar);
    recommend.into_iter().chain([history]).chain(similar).collect()
}

/// All answers.
fn all() -> Query {
    Query { k: 1000, ..Query::default() }
}

fn bits(ranked: &Ranked) -> Vec<(NodeName, u32)> {
    ranked.items.iter().map(|item| (item.node.clone(), item.score.to_bits())).collect()
}

fn refusal(result: Result<Ranked, Error>) -> (ErrorKind, String) {
    let error = result.map(|ranked| ranked.to_string()).expect_err("a refusal");
    (error.kind(), error.to_string())
}

#[test]
fn every_source_of_answers_is_among_the_questions() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut sources = Vec::new();
    for engine in engines(&folder) {
        sources.extend(questions().iter().map(|question| question.answer(&engine, &all()).source));
    }
    let all = [AnswerSource::Embeddings, AnswerSource::Graph, AnswerSource::Popular, AnswerSource::Walks];
    for source in all {
        assert!(sources.contains(&source), "no answer from {source}");
    }
}

#[test]
fn pages_put_together_are_the_answer_of_one_large_k() {
    let folder = tempfile::tempdir().expect("a folder");
    for engine in engines(&folder) {
        for question in questions() {
            let whole = question.answer(&engine, &all());
            assert_eq!(whole.next, None, "no page follows the last answer");
            for k in [1, 7, whole.items.len()] {
                let (mut pages, mut after) = (Vec::new(), None);
                loop {
                    let page = question.answer(&engine, &Query { k, after, ..Query::default() });
                    assert_eq!(page.next.is_some(), page.items.len() == k, "a full page may have a next one");
                    pages.extend(bits(&page));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(pages, bits(&whole), "{question:?} in pages of {k}");
            }
        }
    }
}

#[test]
fn a_cursor_is_refused_after_a_commit_and_after_a_refresh() {
    let folder = tempfile::tempdir().expect("a folder");
    for engine in engines(&folder) {
        let question = Question::Similar(item(0));
        let after = question.answer(&engine, &Query::default()).next;
        let next = Query { after, ..Query::default() };
        assert!(question.answer(&engine, &next).items.len() == 10);
        for change in ["commit", "refresh"] {
            let after = question.answer(&engine, &Query::default()).next;
            match change {
                "commit" => link(&engine, &[(&user(0), &item("other"), None)]),
                _ => drop(engine.refresh(false, &CancelToken::new()).expect("a refresh")),
            }
            let (kind, text) = refusal(question.ask(&engine, &Query { after, ..Query::default() }));
            assert_eq!(kind, ErrorKind::Refused, "{text}");
            assert!(text.contains("ask for the first page again"), "{text}");
        }
    }
}

#[test]
fn a_candidate_has_the_score_that_it_has_among_all_nodes() {
    let folder = tempfile::tempdir().expect("a folder");
    for engine in engines(&folder) {
        // Every third item twice, an item without an embedding, an unknown one, and a user.
        let known: Vec<NodeName> = (0..ITEMS).step_by(3).map(item).collect();
        let others = [item("late"), item("nowhere"), user(3)];
        let candidates = [&known[..], &known, &others].concat();
        for question in questions() {
            for options in [
                all(),
                Query { include_seen: true, exclude: vec![item(3), item(6)], ..all() },
                Query { cosine: true, min_score: Some(0.0), ..all() },
                Query { k: 4, ..all() },
            ] {
                let whole = question.answer(&engine, &Query { k: 1000, ..options.clone() });
                let query = Query { candidates: Some(candidates.clone()), ..options };
                let some = question.answer(&engine, &query);
                let expected = bits(&whole).into_iter().filter(|(node, _)| known.contains(node));
                assert_eq!(bits(&some), expected.take(query.k).collect::<Vec<_>>(), "{question:?} {query:?}");
                assert!(others.iter().all(|other| some.ignored.contains(other)), "{:?}", some.ignored);
                assert_eq!(some.ignored.len(), whole.ignored.len() + others.len());
                if let Question::Recommend(recipient) = &question {
                    let rest = Query { candidates: None, k: 1, ..query };
                    let scored = engine.score(recipient, &candidates, &rest, &CancelToken::new());
                    let expected = bits(&whole).into_iter().filter(|(node, _)| known.contains(node));
                    assert_eq!(bits(&scored.expect("scores")), expected.collect::<Vec<_>>());
                }
            }
            let none = Query { candidates: Some(Vec::new()), ..all() };
            assert!(question.answer(&engine, &none).items.is_empty(), "no candidate is ranked");
        }
    }
}

/// ```text
///   user:0 --bought-- item:2, item:5      user:0 --hidden-- item:8      item:0 --variant-- item:9
/// ```
#[test]
fn nodes_that_an_excluded_relation_links_are_no_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    for engine in engines(&folder) {
        let (bought, hidden) = (Some("bought"), Some("hidden"));
        link(&engine, &[(&user(0), &item(2), bought), (&user(0), &item(5), bought)]);
        link(&engine, &[(&user(0), &item(8), hidden), (&item(0), &item(9), Some("variant"))]);
        let relations = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let for_user = Question::Recommend(Recipient::Node(user(0)));
        let history = Question::Recommend(Recipient::History(vec![item(0)]));
        for (question, names, absent) in [
            (&for_user, &["bought"][..], &[2, 5][..]),
            (&for_user, &["bought", "hidden"], &[2, 5, 8]),
            (&for_user, &["variant"], &[]),
            (&Question::Similar(item(0)), &["variant"], &[9]),
            (&history, &["variant"], &[]),
        ] {
            let query = Query { include_seen: true, ..all() };
            let whole = bits(&question.answer(&engine, &query));
            let expected: Vec<_> =
                whole.into_iter().filter(|(node, _)| absent.iter().all(|&key| item(key) != *node)).collect();
            let query = Query { exclude_relations: relations(names), ..query };
            assert_eq!(bits(&question.answer(&engine, &query)), expected, "{question:?} without {names:?}");
            if let Question::Recommend(recipient) = question {
                let recommender = engine.recommender(&query).expect("a recommender");
                let many = recommender.recommend(std::slice::from_ref(recipient), &CancelToken::new());
                let many = many.expect("nobody cancels").pop().expect("one answer").expect("an answer");
                assert_eq!(bits(&many), expected, "{question:?} in a batch");
            }
        }
        let unknown = Query { exclude_relations: relations(&["bougth"]), ..all() };
        let error = for_user.ask(&engine, &unknown).map(drop).expect_err("no such relation");
        assert_eq!((error.kind(), error.missing_relation()), (ErrorKind::NotFound, Some("bougth")));
        assert!(error.to_string().contains("bought, hidden"), "{error}");
    }
}

/// A user who is only linked by `bought` gets an answer from walks or popularity; what was bought is not in it.
#[test]
fn excluded_relations_hold_where_embeddings_do_not_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, true);
    link(&engine, &[(&user("walker"), &item(3), Some("bought"))]);
    let question = Question::Recommend(Recipient::Node(user("walker")));
    let query = Query { include_seen: true, exclude_relations: vec!["bought".to_owned()], ..all() };
    let nodes: Vec<NodeName> =
        question.answer(&engine, &query).items.into_iter().map(|found| found.node).collect();
    assert!(!nodes.contains(&item(3)) && nodes.contains(&item(6)), "{nodes:?}");
}

#[test]
fn answers_below_the_lowest_score_are_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    for engine in engines(&folder) {
        for question in questions() {
            let whole = question.answer(&engine, &all());
            for place in [0, whole.items.len() / 2, whole.items.len() - 1] {
                let least = whole.items[place].score;
                let high = question.answer(&engine, &Query { min_score: Some(least), ..all() });
                let expected: Vec<_> =
                    bits(&whole).into_iter().filter(|(_, score)| f32::from_bits(*score) >= least).collect();
                assert_eq!(bits(&high), expected, "{question:?} down to {least}");
            }
            let none = Query { min_score: Some(f32::MAX), ..all() };
            assert!(question.answer(&engine, &none).items.is_empty());
        }
    }
}

/// The cosine of two nodes; 0 where one has no embedding.
fn cosine(engine: &Engine, a: &NodeName, b: &NodeName) -> f64 {
    let vector = |node: &NodeName| engine.embedding(node.as_ref()).map(|embedded| embedded.vector);
    let (Ok(a), Ok(b)) = (vector(a), vector(b)) else { return 0.0 };
    a.iter().zip(&b).take(a.len() - 1).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Each choice has the largest value of the pool, computed from the definition; rounding leaves a thousandth open.
#[test]
fn different_answers_are_chosen_by_maximal_marginal_relevance() {
    let folder = tempfile::tempdir().expect("a folder");
    for engine in engines(&folder) {
        for question in questions() {
            let pool = question.answer(&engine, &Query { k: 100, ..Query::default() }).items;
            let scores = pool.iter().map(|found| f64::from(found.score));
            let (low, high) =
                scores.fold((f64::MAX, f64::MIN), |(low, high), score| (low.min(score), high.max(score)));
            for diverse in [0.3f32, 0.8, 1.0] {
                let query = Query { k: 8, diverse, ..Query::default() };
                let chosen = question.answer(&engine, &query);
                assert_eq!(bits(&question.answer(&engine, &query)), bits(&chosen), "twice the same");
                assert_eq!((chosen.items.len(), chosen.next), (8, None));
                assert_eq!(chosen.items[0].node, pool[0].node, "the best answer is first");
                for (place, next) in chosen.items.iter().enumerate().skip(1) {
                    let before = &chosen.items[..place];
                    let value = |node: &NodeName, score: f32| {
                        let relevance = (f64::from(score) - low) / (high - low).max(f64::MIN_POSITIVE);
                        let cosines = before.iter().map(|other| cosine(&engine, &other.node, node));
                        let similarity = cosines.fold(f64::MIN, f64::max);
                        (1.0 - f64::from(diverse)) * relevance - f64::from(diverse) * similarity
                    };
                    let left =
                        pool.iter().filter(|found| before.iter().all(|other| other.node != found.node));
                    let best = left.map(|found| value(&found.node, found.score)).fold(f64::MIN, f64::max);
                    let found = value(&next.node, next.score);
                    assert!(found > best - 1e-3, "{question:?} {diverse} at {place}: {found} {best}");
                    assert!(pool.iter().any(|found| found.node == next.node && found.score == next.score));
                }
            }
            let off = question.answer(&engine, &Query { diverse: 0.0, ..all() });
            assert_eq!(bits(&off), bits(&question.answer(&engine, &all())));
        }
    }
}

#[test]
fn options_hold_for_many_questions_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let cancel = CancelToken::new();
    for engine in engines(&folder) {
        let nodes: Vec<NodeName> = (0..ITEMS).map(item).chain([item("nowhere"), user(1), item(3)]).collect();
        let users: Vec<Recipient> = (0..USERS)
            .map(user)
            .chain([user("walker"), user("alone"), user("nobody")])
            .map(Recipient::Node)
            .collect();
        for query in [
            Query::default(),
            Query { explain: true, cosine: true, ..all() },
            Query { diverse: 0.5, explain: true, ..Query::default() },
            Query { min_score: Some(1e-3), exclude: vec![item(1)], ..all() },
            Query { candidates: Some((0..ITEMS).step_by(4).map(item).collect()), ..Query::default() },
        ] {
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                let (similar, recommended) = pool.install(|| {
                    let recommender = engine.recommender(&query).expect("a recommender");
                    let similar = engine.similar_many(&nodes, &query, &cancel);
                    (similar.expect("answers"), recommender.recommend(&users, &cancel).expect("answers"))
                });
                assert_eq!((similar.len(), recommended.len()), (nodes.len(), users.len()));
                let questions = nodes.iter().cloned().map(Question::Similar);
                let questions = questions.chain(users.iter().cloned().map(Question::Recommend));
                for (question, many) in questions.zip(similar.into_iter().chain(recommended)) {
                    match (question.ask(&engine, &query), many) {
                        (Ok(alone), Ok(many)) => assert!(many == alone, "{question:?} {query:?}"),
                        (Err(alone), Err(many)) => assert_eq!(many.to_string(), alone.to_string()),
                        (alone, many) => panic!("{question:?} {query:?}: {alone:?} {many:?}"),
                    }
                }
            }
        }
        let after = Question::Similar(item(0)).answer(&engine, &Query::default()).next;
        let paged = Query { after, ..Query::default() };
        for refused in [engine.similar_finder(&paged).map(drop), engine.recommender(&paged).map(drop)] {
            let text = refused.expect_err("each answer has a cursor of its own").to_string();
            assert!(text.contains("invalid option after: found a cursor"), "{text}");
        }
    }
}

#[test]
fn options_out_of_their_range_and_that_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, true);
    let after = Question::Similar(item(0)).answer(&engine, &Query::default()).next;
    let several = Query { interests: Interests::AtMost(3), ..Query::default() };
    let default = Query::default;
    for (query, message) in [
        (Query { k: 0, ..default() }, "invalid option k: found 0, expected 1 or more"),
        (Query { min_score: Some(f32::NAN), ..default() }, "min_score: found NaN, expected a finite number"),
        (Query { min_score: Some(f32::INFINITY), ..default() }, "min_score: found inf"),
        (Query { diverse: -0.1, ..default() }, "diverse: found -0.1, expected a number from 0 to 1"),
        (Query { diverse: f32::NAN, ..default() }, "diverse: found NaN"),
        (Query { after, diverse: 0.5, ..default() }, "after: found diverse above 0"),
        (Query { after, ..several.clone() }, "after: found several interests, expected one interest"),
        (Query { candidates: Some(vec![item(1)]), ..several.clone() }, "candidates: found several interests"),
        (Query { diverse: 0.5, ..several }, "diverse: found several interests"),
    ] {
        let recommend = Question::Recommend(Recipient::Node(user(0)));
        for result in [
            Question::Similar(item(0)).ask(&engine, &query),
            recommend.ask(&engine, &query),
            engine.recommender(&query).map_err(Error::from).map(|_| unreachable!("{message}")),
            engine.similar_finder(&query).map_err(Error::from).map(|_| unreachable!("{message}")),
        ] {
            let (kind, text) = refusal(result);
            assert_eq!(kind, ErrorKind::Invalid, "{text}");
            assert!(text.contains(message), "{text}, expected {message}");
        }
    }
    assert!(engine.neighborhood(item(0).as_ref(), 0).is_err(), "a neighborhood of no node");
    let options = hedgerow::EvaluateOptions { k: 0, ..hedgerow::EvaluateOptions::default() };
    let users = [(user(0), vec![item(1)])];
    assert!(engine.evaluate_recommend(&users, &options, &CancelToken::new()).is_err());
}

#[test]
fn a_question_whose_deadline_has_passed_has_no_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let late = CancelToken::new().with_deadline(Instant::now());
    for engine in engines(&folder) {
        let query = Query::default();
        for recipient in questions() {
            let stopped = match &recipient {
                Question::Similar(node) => engine.similar(node.as_ref(), &query, &late),
                Question::Recommend(recipient) => engine.recommend(recipient, &query, &late),
            };
            let (kind, text) = refusal(stopped.map_err(Error::from));
            assert_eq!(kind, ErrorKind::Cancelled, "{recipient:?}: {text}");
            assert!(text.contains("the deadline passed"), "{text}");
        }
        let recommender = engine.recommender(&query).expect("a recommender");
        let users = [Recipient::Node(user(0)), Recipient::Node(user("alone"))];
        assert!(recommender.recommend(&users, &late).expect_err("too late").is_cancelled());
        assert!(engine.similar_many(&[item(0)], &query, &late).expect_err("too late").is_cancelled());
    }
}

#[test]
fn only_new_leaves_the_answers_whose_first_edge_or_property_is_not_too_old() {
    let folder = tempfile::tempdir().expect("a folder");
    for engine in engines(&folder) {
        // Given: items with an early edge, a late one, both, or none with a time; and a date of each.
        let is_old = |key: usize| key % 4 == 1 || key % 4 == 2;
        let mut batch = Batch::new();
        for key in 0..ITEMS {
            let times = [&[500][..], &[99], &[500, 99], &[]][key % 4];
            for (nth, time) in times.iter().enumerate() {
                let edge = Edge { time: Some(*time), relation: Some("shown"), ..Edge::default() };
                batch.link(user(nth).as_ref(), item(key).as_ref(), edge).expect("an edge");
            }
            let released = PropertyValue::Time(key as i64);
            batch.set_property(item(key).as_ref(), "released", &released).expect("a value");
            batch.set_property(item(key).as_ref(), "plays", &PropertyValue::Integer(1)).expect("a value");
        }
        engine.store().commit(&batch).expect("a commit");
        let key = |node: &NodeName| node.key.parse::<usize>().ok();
        for question in questions() {
            let kept = |is_new: &dyn Fn(usize) -> bool| {
                let mut all = bits(&question.answer(&engine, &all()));
                all.retain(|(node, _)| key(node).is_some_and(is_new));
                all
            };
            // When: only new items may be answers, by edges and by the property.
            let only_new = OnlyNew { since: 100, property: None };
            let by_edge = question.answer(&engine, &Query { only_new: Some(only_new), ..all() });
            let only_new = OnlyNew { since: 40, property: Some("released".to_owned()) };
            let by_date = question.answer(&engine, &Query { only_new: Some(only_new), ..all() });
            // Then: they are those of all answers, with the same scores.
            assert_eq!(bits(&by_edge), kept(&|key| key % 4 != 3 && !is_old(key)), "{question:?}");
            assert_eq!(bits(&by_date), kept(&|key| key >= 40), "{question:?}");
        }
        for name in ["plays", "unknown"] {
            let only_new = OnlyNew { since: 0, property: Some(name.to_owned()) };
            let query = Query { only_new: Some(only_new), ..all() };
            let (_, message) = refusal(Question::Similar(item(0)).ask(&engine, &query));
            assert!(message.contains("a property of type time"), "{message}");
        }
    }
}
