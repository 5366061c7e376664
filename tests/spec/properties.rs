//! Promise: properties of nodes are typed, no embedding depends on them, and a filter admits the nodes that its terms describe.

use std::sync::Arc;

use hedgerow::{
    Batch, CancelToken, Edge, Engine, Error, ErrorKind, Filter, NodeName, PropertyType, PropertyValue, Query,
    Recipient, RowComparison, Store, TrainOptions,
};
use hedgerow_test_support::Random;
use tempfile::TempDir;

const USERS: usize = 30;
const ITEMS: usize = 120;

fn item(key: usize) -> NodeName {
    NodeName::new("item", key.to_string()).expect("a name")
}

fn commit(engine: &Engine, fill: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::new();
    fill(&mut batch);
    engine.store().commit(&batch).expect("a commit");
}

/// A trained store of users who like items at random. Items have tokens and no properties yet.
fn engine(folder: &TempDir, factors: bool) -> Engine {
    let store = Store::options().create(true).open(folder.path().join("store")).expect("the store opens");
    let engine = Engine::open(Arc::new(store)).expect("an engine");
    let mut random = Random::new(3);
    commit(&engine, |batch| {
        for key in 0..ITEMS {
            let words = ["word=live", "word=studio", "mood=calm"];
            let tokens: Vec<&str> = words.into_iter().filter(|_| random.chance(40)).collect();
            batch.set_tokens(&item(key), &tokens).expect("tokens");
        }
        for user in 0..USERS {
            let user = NodeName::new("user", user.to_string()).expect("a name");
            for _ in 0..12 {
                batch.link(&user, &item(random.below(ITEMS)), Edge::default()).expect("an edge");
            }
        }
    });
    let options = TrainOptions { dim: 8, epochs: 1, batch: 32, factors, ..TrainOptions::new(["item"]) };
    engine.training(&options).run(&CancelToken::new()).expect("a training");
    engine
}

/// The properties of an item, as the test draws them.
#[derive(Clone, Debug, Default)]
struct Item {
    price: Option<f64>,
    pages: Option<i64>,
    in_stock: Option<bool>,
    released: Option<i64>,
    title: Option<&'static str>,
    genres: Option<Vec<&'static str>>,
    tokens: Vec<String>,
}

const TITLES: [&str; 4] = ["Night Train", "night train", "\u{c9}t\u{e9} Live", "Alive"];
const GENRES: [&str; 3] = ["Film Noir", "comedy", "\u{e9}pop\u{e9}e"];
const DAY: i64 = 86_400_000_000;

fn random_item(random: &mut Random, tokens: Vec<String>) -> Item {
    let genres = GENRES.into_iter().filter(|_| random.chance(50)).collect();
    Item {
        price: random.chance(80).then(|| f64::from(random.below(8_u32)) / 2.0),
        pages: random.chance(80).then(|| random.below(6_i64) - 2),
        in_stock: random.chance(80).then(|| random.chance(50)),
        released: random.chance(80).then(|| random.below(5_i64) * DAY),
        title: random.chance(80).then(|| TITLES[random.below(4)]),
        genres: random.chance(80).then_some(genres),
        tokens,
    }
}

fn stage(batch: &mut Batch, name: &NodeName, item: &Item) {
    let mut set = |property: &str, value: Option<PropertyValue<'_>>| match value {
        Some(value) => batch.set_property(name, property, &value).expect("a value"),
        None => batch.remove_property(name, property).expect("a property"),
    };
    set("price", item.price.map(PropertyValue::Float));
    set("pages", item.pages.map(PropertyValue::Integer));
    set("in_stock", item.in_stock.map(PropertyValue::Boolean));
    set("released", item.released.map(PropertyValue::Time));
    set("title", item.title.map(PropertyValue::Text));
    set("genres", item.genres.clone().map(PropertyValue::List));
}

fn declare(batch: &mut Batch) {
    for (name, of) in [
        ("price", PropertyType::Float),
        ("pages", PropertyType::Integer),
        ("in_stock", PropertyType::Boolean),
        ("released", PropertyType::Time),
        ("title", PropertyType::Text),
        ("genres", PropertyType::List),
    ] {
        batch.declare_property("item", name, of).expect("a property");
    }
}

/// An expression as text, and whether it holds for an item.
type Described = (String, Box<dyn Fn(&Item) -> bool>);

/// A random term: its text, and whether it holds for an item.
fn random_term(random: &mut Random) -> Described {
    let sign = random.below(6);
    let signs = ["=", "!=", "<", "<=", ">", ">="];
    let order = move |found: std::cmp::Ordering| {
        [found.is_eq(), found.is_ne(), found.is_lt(), found.is_le(), found.is_gt(), found.is_ge()][sign]
    };
    let sign = signs[sign];
    match random.below(9) {
        0 => {
            let with = f64::from(random.below(8_u32)) / 2.0;
            let holds = move |item: &Item| item.price.is_some_and(|price| order(price.total_cmp(&with)));
            (format!("price {sign} {with}"), Box::new(holds))
        }
        1 => {
            let with = random.below(6_i64) - 2;
            let holds = move |item: &Item| item.pages.is_some_and(|pages| order(pages.cmp(&with)));
            (format!("pages{sign}{with}"), Box::new(holds))
        }
        2 => {
            let with = random.below(6_i64) - 2;
            let holds = move |item: &Item| {
                item.pages.is_some_and(|pages| order((pages as f64).total_cmp(&(with as f64 + 0.5))))
            };
            (format!("pages {sign} {}", with as f64 + 0.5), Box::new(holds))
        }
        3 => {
            let days = random.below(5_i64);
            let holds = move |item: &Item| item.released.is_some_and(|time| order(time.cmp(&(days * DAY))));
            (format!("released {sign} 1970-01-0{}", days + 1), Box::new(holds))
        }
        4 => ("in_stock".to_owned(), Box::new(|item| item.in_stock == Some(true))),
        5 => ("in_stock = no".to_owned(), Box::new(|item| item.in_stock == Some(false))),
        6 => {
            let genre = GENRES[random.below(3)];
            let is_equal = random.chance(50);
            let holds = move |item: &Item| {
                item.genres.as_ref().is_some_and(|genres| genres.contains(&genre) == is_equal)
            };
            let sign = if is_equal { "=" } else { "!=" };
            (format!("genres {sign} \"{}\"", genre.to_uppercase()), Box::new(holds))
        }
        7 => {
            let part = ["LIVE", "train", "\u{e9}t\u{c9}"][random.below(3)];
            let holds = move |item: &Item| {
                item.title.is_some_and(|title| title.to_lowercase().contains(&part.to_lowercase()))
            };
            (format!("title ~ {part}"), Box::new(holds))
        }
        _ => {
            let word = ["live", "studio", "none"][random.below(3)];
            let token = format!("word={word}");
            let text =
                [token.clone(), format!("\"{token}\""), format!("word ~ {word}")][random.below(3)].clone();
            (text, Box::new(move |item: &Item| item.tokens.contains(&token)))
        }
    }
}

/// A random expression of terms: its text, and whether it holds for an item.
fn random_expression(random: &mut Random, depth: usize) -> Described {
    match if depth == 0 { 0 } else { random.below(4) } {
        0 => random_term(random),
        1 => {
            let (text, holds) = random_expression(random, depth - 1);
            (format!("not ({text})"), Box::new(move |item| !holds(item)))
        }
        2 => {
            let (one, other) = (random_expression(random, depth - 1), random_expression(random, depth - 1));
            let text = format!("({}) and ({})", one.0, other.0);
            (text, Box::new(move |item| one.1(item) && other.1(item)))
        }
        _ => {
            let (one, other) = (random_expression(random, depth - 1), random_expression(random, depth - 1));
            (format!("({}) or {}", one.0, other.0), Box::new(move |item| one.1(item) || other.1(item)))
        }
    }
}

fn answers(engine: &Engine, filter: Option<Filter>, by_history: bool) -> Vec<(NodeName, u32)> {
    let query = Query { k: 1000, filter, include_seen: true, ..Query::default() };
    let ranked = if by_history {
        engine.recommend(&Recipient::History(vec![item(1), item(2)]), &query, &CancelToken::new())
    } else {
        engine.similar(item(0).as_ref(), &query, &CancelToken::new())
    };
    let ranked = ranked.expect("an answer");
    ranked.items.into_iter().map(|item| (item.node, item.score.to_bits())).collect()
}

/// Before and after a checkpoint, and with changes on top of one, a filtered answer is the whole answer without the nodes that an
/// evaluation by the test refuses.
#[test]
fn a_filtered_answer_is_the_whole_answer_without_the_nodes_that_do_not_match() {
    for factors in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = engine(&folder, factors);
        let mut random = Random::new(11);
        let snapshot = engine.store().snapshot();
        let tokens = |key: usize| -> Vec<String> {
            let node = snapshot.require(&item(key)).expect("there");
            snapshot.tokens(node).into_iter().map(str::to_owned).collect()
        };
        let mut items: Vec<Item> = (0..ITEMS).map(|key| random_item(&mut random, tokens(key))).collect();
        commit(&engine, |batch| {
            declare(batch);
            items.iter().enumerate().for_each(|(key, drawn)| stage(batch, &item(key), drawn));
        });
        let mut some = 0;
        for round in 0..3 {
            let whole = [false, true].map(|by_history| answers(&engine, None, by_history));
            for _ in 0..150 {
                let (text, holds) = random_expression(&mut random, 3);
                let filter: Filter = text.parse().expect("an expression");
                for by_history in [false, true] {
                    let mut expected = whole[usize::from(by_history)].clone();
                    expected.retain(|(node, _)| holds(&items[node.key.parse::<usize>().expect("a number")]));
                    assert_eq!(answers(&engine, Some(filter.clone()), by_history), expected, "{text}");
                    some += usize::from(!expected.is_empty() && expected.len() < whole[0].len());
                }
            }
            if round == 0 {
                engine.store().checkpoint(&CancelToken::new()).expect("a checkpoint");
            } else {
                commit(&engine, |batch| {
                    for key in (0..ITEMS).step_by(3) {
                        items[key] = random_item(&mut random, items[key].tokens.clone());
                        stage(batch, &item(key), &items[key]);
                    }
                });
            }
        }
        assert!(some > 300, "{some} filters admitted some of the nodes");
    }
}

#[test]
fn a_changed_property_makes_nothing_dirty_and_changes_no_digest() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, true);
    let before = engine.digest(&CancelToken::new()).expect("a digest").digest;
    let scores = answers(&engine, None, true);
    for checkpoint in [false, true] {
        commit(&engine, |batch| {
            declare(batch);
            batch.set_label("item", checkpoint.then_some("title")).expect("a label");
            for key in 0..ITEMS {
                let price = if checkpoint { 1.0 } else { 2.0 };
                batch.set_property(&item(key), "price", &PropertyValue::Float(price)).expect("a value");
            }
        });
        if checkpoint {
            engine.store().checkpoint(&CancelToken::new()).expect("a checkpoint");
        }
        let node = engine.store().snapshot().require(&item(3)).expect("there");
        assert_eq!((engine.store().dirty_nodes(), engine.store().is_dirty(node)), (0, Some(false)));
        let report = engine.refresh(false, &CancelToken::new()).expect("a refresh");
        assert_eq!((report.dirty_nodes, report.rows.iter().sum::<u64>()), (0, 0));
        assert_eq!(engine.digest(&CancelToken::new()).expect("a digest").digest, before);
        assert_eq!(answers(&engine, None, true), scores);
        let compared = engine.verify(&CancelToken::new()).expect("a comparison");
        assert!(matches!(compared.comparison, RowComparison::Equal { .. }), "{compared}");
    }
    // A new node is dirty, whatever brought it.
    commit(&engine, |batch| {
        batch.set_property(("item", "new"), "price", &PropertyValue::Float(1.0)).expect("a value");
    });
    assert_eq!(engine.store().dirty_nodes(), 1);
}

#[test]
fn a_removed_node_loses_its_values_and_does_not_get_them_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, false);
    let store = engine.store();
    for checkpoint in [false, true] {
        commit(&engine, |batch| {
            batch.set_property(&item(5), "title", &PropertyValue::Text("a")).expect("a value");
        });
        if checkpoint {
            store.checkpoint(&CancelToken::new()).expect("a checkpoint");
        }
        commit(&engine, |batch| batch.remove(&item(5)).expect("a node"));
        commit(&engine, |batch| batch.add_node(&item(5)).expect("a node"));
        let snapshot = store.snapshot();
        let node = snapshot.require(&item(5)).expect("restored");
        let title = snapshot.property_ix(snapshot.kind(node), "title").expect("declared");
        assert_eq!(snapshot.value(node, title), None);
        assert_eq!(snapshot.property(title).count, 0);
    }
}

/// A batch that is refused for one value changes nothing at all.
#[test]
fn a_value_of_another_type_refuses_the_whole_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, false);
    commit(&engine, declare);
    let before = engine.store().snapshot().epoch();
    let long = "x".repeat(16_384);
    for (property, value, problem) in [
        (
            "price",
            PropertyValue::Text("cheap"),
            "found 'cheap', expected a finite number, because property price of kind item has type f64",
        ),
        // It fits a text, and a list has no room for the end of the item.
        ("genres", PropertyValue::Text(&long), "expected texts separated by |"),
        ("in_stock", PropertyValue::Integer(1), "expected true or false"),
        ("pages", PropertyValue::Float(1.0), "expected an integer"),
        ("price", PropertyValue::Integer(1 << 60), "expected a finite number"),
    ] {
        let mut batch = Batch::new();
        batch.set_property(&item(1), "title", &PropertyValue::Text("fine")).expect("a value");
        batch.set_property(&item(1), property, &value).expect("a value");
        let error = Error::from(engine.store().commit(&batch).expect_err("refused"));
        assert!(error.to_string().contains(problem), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let mut batch = Batch::new();
    batch.declare_property("item", "price", PropertyType::Text).expect("a property");
    let error = engine.store().commit(&batch).expect_err("refused").to_string();
    assert!(error.contains("expected f64, the type of property price of kind item"), "{error}");
    batch.clear();
    batch.set_label("item", Some("name")).expect("a label");
    assert!(engine.store().commit(&batch).is_err());
    assert_eq!(engine.store().snapshot().epoch(), before);
    assert!(batch.set_property(&item(1), "price", &PropertyValue::Float(f64::NAN)).is_err());
    assert!(batch.set_property(&item(1), "title", &PropertyValue::Text("")).is_err());
    assert!(batch.set_property(&item(1), "title", &PropertyValue::Text(&"x".repeat(16_385))).is_err());
    assert!(batch.set_property(&item(1), "a b", &PropertyValue::Integer(1)).is_err());
}

#[test]
fn values_as_long_as_allowed_come_back_after_a_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Store::options().create(true).open(folder.path().join("store")).expect("the store opens");
    let long = "\u{e9}".repeat(8192);
    let items: Vec<String> = (0..1000).map(|at| format!("item {at}")).collect();
    let list: Vec<&str> = items.iter().map(String::as_str).collect();
    let mut batch = Batch::new();
    for name in ["a", "b", "c"] {
        batch.set_property(&item(1), name, &PropertyValue::Text(&long)).expect("a value");
    }
    batch.set_property(&item(1), "list", &PropertyValue::List(list.clone())).expect("a value");
    open().commit(&batch).expect("a commit");
    for checkpoint in [false, true] {
        let store = open();
        if checkpoint {
            store.checkpoint(&CancelToken::new()).expect("a checkpoint");
        }
        let snapshot = store.snapshot();
        let node = snapshot.require(&item(1)).expect("there");
        let value = |name: &str| {
            let property = snapshot.property_ix(snapshot.kind(node), name).expect("declared");
            snapshot.value(node, property)
        };
        assert_eq!(value("b"), Some(PropertyValue::Text(&long)));
        assert_eq!(value("list"), Some(PropertyValue::List(list.clone())));
    }
}

#[test]
fn a_filter_that_the_properties_contradict_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, true);
    commit(&engine, declare);
    for (filter, problem) in [
        (
            "prise < 5",
            "kind item has no property prise, it has price, pages, in_stock, released, title, genres",
        ),
        ("price < cheap", "found \"cheap\", expected a finite number: property price has type f64"),
        ("title < 5", "property title has type text, which has no order: compare it with =, != or ~"),
        ("price ~ 5", "property price has type f64, and ~ is for texts and lists"),
        ("released > soon", "expected a time"),
        ("title", "property title has type text: compare it with a value"),
        ("in_stock = perhaps", "expected true or false"),
    ] {
        let query = Query { filter: Some(filter.parse().expect("an expression")), ..Query::default() };
        let refused = |error: String| assert!(error.contains(problem), "{filter}: {error}");
        let (cancel, recipient) = (CancelToken::new(), Recipient::History(vec![item(1)]));
        let error = Error::from(engine.similar(item(0).as_ref(), &query, &cancel).expect_err("refused"));
        assert_eq!(error.kind(), ErrorKind::Invalid);
        refused(error.to_string());
        refused(engine.recommend(&recipient, &query, &cancel).expect_err("refused").to_string());
        // Of many questions at once each is refused.
        let recommender = engine.recommender(&query).expect("a recommender");
        let answers = recommender.recommend(&[recipient.clone(), recipient], &cancel).expect("not cancelled");
        assert_eq!(answers.len(), 2);
        for answer in answers {
            refused(answer.expect_err("refused").to_string());
        }
        let finder = engine.similar_finder(&query).expect("a finder");
        let answers = finder.similar(&[item(0), item(1)], &cancel).expect("not cancelled");
        for answer in answers {
            refused(answer.expect_err("refused").to_string());
        }
    }
}
