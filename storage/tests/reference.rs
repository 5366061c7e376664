//! Random operations against a plain reference model, with reopenings, checkpoints and publishes in between.
//! A failure prints the seed and the steps up to the first one after which store and model differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use hedgerow_storage::{
    Batch, CancelToken, Changes, Edge, Epoch, Error, Generation, KindIx, List, NodeIx, NodeName, Position,
    PropertyType, PropertyValue, Publish, RelationIx, RelationOptions, Repeat, SectionWriter, Snapshot,
    Store,
};
use hedgerow_test_support::Random;

#[derive(Clone, Debug)]
enum Change {
    Add(NodeName),
    Link(NodeName, NodeName, f32, Option<i64>, Option<String>, Repeat),
    Unlink(NodeName, NodeName, Option<String>),
    Remove(NodeName),
    Tokens(NodeName, Vec<String>),
    Dense(NodeName, String, Vec<f32>),
    Position(String, Option<Position>),
    /// A relation with a half-life of so many minutes.
    Relation(String, u64),
    Property(String, String, PropertyType),
    Label(String, Option<String>),
    Value(NodeName, String, Option<Value>),
}

/// A value of a property, owned.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Time(i64),
    List(Vec<String>),
}

impl Value {
    fn of(value: &PropertyValue<'_>) -> Self {
        match value {
            PropertyValue::Text(text) => Self::Text((*text).to_owned()),
            PropertyValue::Integer(value) => Self::Integer(*value),
            PropertyValue::Float(value) => Self::Float(*value),
            PropertyValue::Boolean(value) => Self::Boolean(*value),
            PropertyValue::Time(value) => Self::Time(*value),
            PropertyValue::List(items) => Self::List(items.iter().map(|item| (*item).to_owned()).collect()),
        }
    }

    fn as_property(&self) -> PropertyValue<'_> {
        match self {
            Self::Text(text) => PropertyValue::Text(text),
            Self::Integer(value) => PropertyValue::Integer(*value),
            Self::Float(value) => PropertyValue::Float(*value),
            Self::Boolean(value) => PropertyValue::Boolean(*value),
            Self::Time(value) => PropertyValue::Time(*value),
            Self::List(items) => PropertyValue::List(items.iter().map(String::as_str).collect()),
        }
    }

    /// The value that a property of this type gets; none where the store refuses it.
    fn converted(&self, of: PropertyType) -> Option<Self> {
        match (self, of) {
            (Self::Integer(value), PropertyType::Float) => Some(Self::Float(*value as f64)),
            (Self::Integer(value), PropertyType::Time) => Some(Self::Time(*value * 1_000_000)),
            (Self::Text(text), PropertyType::List) => Some(Self::List(vec![text.clone()])),
            (value, of) => (value.as_property().property_type() == of).then(|| value.clone()),
        }
    }
}

/// The names of derived sets.
const SETS: [&str; 2] = ["main", "tonight"];

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Change>),
    Checkpoint,
    Publish { set: &'static str, back: u64, generation: u64 },
    Default(&'static str),
    Discard(&'static str),
    LogEnd,
    Hold,
    Reopen,
}

type EdgeKey = (String, NodeName, NodeName);

#[derive(Clone, Debug, Default, PartialEq)]
struct Features {
    tokens: BTreeSet<String>,
    dense: BTreeMap<String, Vec<f32>>,
    values: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    nodes: BTreeMap<NodeName, Features>,
    edges: BTreeMap<EdgeKey, (f32, Option<i64>)>,
    positions: BTreeMap<String, Position>,
    properties: BTreeMap<(String, String), PropertyType>,
    labels: BTreeMap<String, String>,
    /// The half-lives of relations, in minutes.
    half_lives: BTreeMap<String, u64>,
    /// Relations that had an edge.
    linked: BTreeSet<String>,
}

fn edge_key(a: &NodeName, b: &NodeName, relation: Option<&String>) -> EdgeKey {
    let kinds = (a.kind.as_str().min(b.kind.as_str()), a.kind.as_str().max(b.kind.as_str()));
    let relation = relation.cloned().unwrap_or_else(|| format!("{}-{}", kinds.0, kinds.1));
    (relation, a.min(b).clone(), a.max(b).clone())
}

impl Model {
    /// True for a change that the store accepts.
    fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Add(node) => drop(self.nodes.entry(node.clone()).or_default()),
            Change::Link(a, b, weight, time, relation, repeat) => {
                let key = edge_key(a, b, relation.as_ref());
                if time.is_none() && self.half_lives.contains_key(&key.0) {
                    return false;
                }
                self.nodes.entry(a.clone()).or_default();
                self.nodes.entry(b.clone()).or_default();
                self.linked.insert(key.0.clone());
                let given = if *repeat == Repeat::Count { 1.0 } else { *weight };
                let (old_weight, old_time) = self.edges.get(&key).copied().unwrap_or((0.0, None));
                let edge = match repeat {
                    Repeat::Sum | Repeat::Count => (old_weight + given, old_time.max(*time)),
                    Repeat::Max => (old_weight.max(given), old_time.max(*time)),
                    Repeat::Last => (given, *time),
                };
                self.edges.insert(key, edge);
            }
            Change::Relation(name, minutes) => {
                let known = self.half_lives.get(name);
                if known != Some(minutes) && self.linked.contains(name) {
                    return false;
                }
                self.half_lives.insert(name.clone(), *minutes);
            }
            Change::Unlink(a, b, relation) => drop(self.edges.remove(&edge_key(a, b, relation.as_ref()))),
            Change::Remove(node) => {
                self.edges.retain(|(_, a, b), _| a != node && b != node);
                return self.nodes.remove(node).is_some();
            }
            Change::Tokens(node, tokens) => {
                self.nodes.entry(node.clone()).or_default().tokens = tokens.iter().cloned().collect();
            }
            Change::Dense(node, block, values) => {
                self.nodes.entry(node.clone()).or_default().dense.insert(block.clone(), values.clone());
            }
            Change::Position(source, Some(position)) => {
                self.positions.insert(source.clone(), *position);
            }
            Change::Position(source, None) => drop(self.positions.remove(source)),
            Change::Property(kind, name, of) => {
                return *self.properties.entry((kind.clone(), name.clone())).or_insert(*of) == *of;
            }
            Change::Label(kind, Some(name)) => {
                let is_known = self.properties.contains_key(&(kind.clone(), name.clone()));
                if is_known {
                    self.labels.insert(kind.clone(), name.clone());
                }
                return is_known;
            }
            Change::Label(kind, None) => drop(self.labels.remove(kind)),
            Change::Value(node, name, value) => {
                let property = (node.kind.clone(), name.clone());
                let known = self.properties.get(&property).copied();
                let given = value.as_ref().map(|value| value.as_property().property_type());
                let Some(of) = known.or(given) else { return false };
                let new = value.as_ref().map(|value| value.converted(of));
                if new == Some(None) {
                    return false;
                }
                self.properties.insert(property, of);
                let values = &mut self.nodes.entry(node.clone()).or_default().values;
                match new.flatten() {
                    Some(value) => drop(values.insert(name.clone(), value)),
                    None => drop(values.remove(name)),
                }
            }
        }
        true
    }
}

fn batch(changes: &[Change]) -> Result<Batch, Error> {
    let mut batch = Batch::new();
    for change in changes {
        match change {
            Change::Add(node) => batch.add_node(node)?,
            Change::Link(a, b, weight, time, relation, repeat) => {
                let relation = relation.as_deref();
                let edge = Edge { weight: *weight, time: *time, relation, repeat: *repeat };
                batch.link(a, b, edge)?;
            }
            Change::Unlink(a, b, relation) => batch.unlink(a, b, relation.as_deref())?,
            Change::Remove(node) => batch.remove(node)?,
            Change::Tokens(node, tokens) => batch.set_tokens(node, tokens)?,
            Change::Dense(node, block, values) => batch.set_dense(node, block, values)?,
            Change::Position(source, Some(position)) => batch.set_position(source, *position)?,
            Change::Position(source, None) => batch.forget_position(source)?,
            Change::Relation(name, minutes) => batch.declare_relation(name, fading(*minutes))?,
            Change::Property(kind, name, of) => batch.declare_property(kind, name, *of)?,
            Change::Label(kind, name) => batch.set_label(kind, name.as_deref())?,
            Change::Value(node, name, Some(value)) => batch.set_property(node, name, &value.as_property())?,
            Change::Value(node, name, None) => batch.remove_property(node, name)?,
        }
    }
    Ok(batch)
}

fn fading(minutes: u64) -> RelationOptions {
    RelationOptions { half_life: Some(Duration::from_mins(minutes)), is_dislike: false }
}

const PROPERTIES: [&str; 6] = ["title", "plays", "price", "in_stock", "released", "genres"];

fn random_type(random: &mut Random) -> PropertyType {
    PropertyType::ALL[random.below(6) as usize]
}

fn random_value(of: PropertyType, random: &mut Random) -> Value {
    let mut text = || "\u{e9}".repeat(1 + random.below(3) as usize);
    match of {
        PropertyType::Text => Value::Text(text()),
        PropertyType::List => {
            let items = vec![text(), text(), text()];
            Value::List(items.into_iter().take(random.below(4) as usize).collect())
        }
        PropertyType::Integer => Value::Integer(random.below(3_i64) - 1),
        PropertyType::Float => Value::Float(f64::from(random.below(3_u32)) / 2.0),
        PropertyType::Boolean => Value::Boolean(random.chance(50)),
        PropertyType::Time => Value::Time(random.below(3_i64) - 1),
    }
}

fn random_change(random: &mut Random) -> Change {
    let node = |random: &mut Random| {
        let kind = ["pin", "board", "user"][random.below(3) as usize];
        NodeName::new(kind, random.below(12).to_string()).expect("valid")
    };
    let relation = |random: &mut Random| random.chance(20).then(|| "likes".to_owned());
    let (a, b) = (node(random), node(random));
    match random.below(122) {
        0..5 => Change::Add(a),
        120.. => {
            let minutes = if random.chance(90) { 1 } else { 2 };
            Change::Relation(format!("fades-{}", random.below(2)), minutes)
        }
        100..102 => {
            Change::Property(a.kind, PROPERTIES[random.below(6) as usize].to_owned(), random_type(random))
        }
        102..104 => {
            let name = PROPERTIES[random.below(6) as usize].to_owned();
            Change::Label(a.kind, random.chance(70).then_some(name))
        }
        104..120 => {
            // Mostly the type that the property has by then, so that most batches are accepted.
            let at = random.below(6) as usize;
            let of = if random.chance(97) { PropertyType::ALL[at] } else { random_type(random) };
            let value = random.chance(85).then(|| random_value(of, random));
            Change::Value(a, PROPERTIES[at].to_owned(), value)
        }
        5..15 => {
            // Some of these are days apart.
            let time = random.chance(95).then(|| (random.below(5_i64) - 2) << (random.below(4) * 12));
            let weight = if random.chance(50) { 1.0 } else { 0.25 * (1 + random.below(9)) as f32 };
            let relation = Some(format!("fades-{}", random.below(2)));
            Change::Link(a, b, weight, time, relation, Repeat::Last)
        }
        15..60 => {
            let weight = if random.chance(70) { 1.0 } else { 0.25 * (1 + random.below(9)) as f32 };
            let time = random.chance(20).then(|| random.below(5_i64) - 2);
            let repeat = Repeat::ALL[random.below(4) as usize];
            Change::Link(a, b, weight, time, relation(random), repeat)
        }
        60..70 => Change::Unlink(a, b, relation(random)),
        70..80 => Change::Unlink(a, b, Some(format!("fades-{}", random.below(2)))),
        80..86 => Change::Remove(a),
        86..91 => {
            let count = random.below(4);
            Change::Tokens(a, (0..count).map(|_| format!("t{}", random.below(6))).collect())
        }
        91..95 => {
            let position = Position { offset: random.below(3), lines: random.below(2), check: random.next() };
            Change::Position(format!("input {}", random.below(3)), random.chance(80).then_some(position))
        }
        _ => {
            let block = ["photo", "text"][random.below(2) as usize];
            let width = if block == "photo" { 2 } else { 3 };
            Change::Dense(a, block.to_owned(), (0..width).map(|_| random.below(4) as f32 - 1.0).collect())
        }
    }
}

fn random_step(random: &mut Random) -> Step {
    match random.below(100) {
        0..70 => {
            let count = random.below(12);
            Step::Commit((0..count).map(|_| random_change(random)).collect())
        }
        70..78 => Step::Checkpoint,
        78..84 => {
            let set = SETS[random.below(2) as usize];
            Step::Publish { set, back: random.below(4), generation: random.below(2) }
        }
        84 => Step::Default(SETS[random.below(2) as usize]),
        85 => Step::Discard(SETS[random.below(2) as usize]),
        86..88 => Step::LogEnd,
        88..92 => Step::Hold,
        _ => Step::Reopen,
    }
}

/// The part of the content that names and values alone determine.
fn read(graph: &Snapshot) -> Model {
    let positions = graph.positions().map(|(source, position)| (source.to_owned(), position));
    let mut model = Model { positions: positions.collect(), ..Model::default() };
    for relation in (0..graph.relation_count()).map(|at| RelationIx::new(at as u16)) {
        let name = graph.relation_name(relation).to_owned();
        if let Some(half_life) = graph.relation_options(relation).half_life {
            model.half_lives.insert(name.clone(), half_life.as_secs() / 60);
        }
        if !graph.relation_kinds(relation).is_empty() {
            model.linked.insert(name);
        }
    }
    for (source, position) in &model.positions {
        assert_eq!(graph.position(source), Some(*position));
    }
    for node in (0..graph.bound()).map(NodeIx::new).filter(|&node| graph.is_alive(node)) {
        let name = graph.name(node);
        assert_eq!(graph.require(&name).expect("alive"), node);
        assert_eq!(graph.stable_id(node), name.as_ref().stable_id());
        let mut features = Features::default();
        let tokens = graph.tokens(node);
        assert!(tokens.is_sorted());
        features.tokens.extend(tokens.into_iter().map(str::to_owned));
        for (block, width) in graph.dense_blocks() {
            if let Some(row) = graph.dense(node, &block) {
                assert_eq!(row.len(), width);
                features.dense.insert(block, row.to_vec());
            }
        }
        for property in graph.properties_of(graph.kind(node)) {
            if let Some(value) = graph.value(node, property) {
                features.values.insert(graph.property(property).name.to_owned(), Value::of(&value));
            }
        }
        let mut degree = 0;
        for relation in (0..graph.relation_count()).map(|at| RelationIx::new(at as u16)) {
            let list = graph.list(relation, node);
            degree += list.degree() as u64;
            for (at, (neighbor, weight, time)) in list.iter().enumerate() {
                let other = graph.name(neighbor);
                assert_eq!(list.salt(), graph.stable_id(node).get() >> 24 & 0xf_ff00);
                assert_eq!(list.position(neighbor, graph.stable_id(neighbor)), Some(at));
                let relation_name = graph.relation_name(relation).to_owned();
                let key = edge_key(&name, &other, Some(&relation_name));
                let kinds = (graph.kind(node), graph.kind(neighbor));
                let pairs = graph.relation_kinds(relation);
                assert!(pairs.contains(&kinds) || pairs.contains(&(kinds.1, kinds.0)));
                if let Some(before) = model.edges.insert(key, (weight, time)) {
                    assert_eq!(before, (weight, time), "both sides of an edge are the same");
                }
            }
        }
        assert_eq!(graph.degree(node), degree);
        model.nodes.insert(name, features);
    }
    assert_eq!(graph.node_count(), model.nodes.len() as u64);
    for kind in (0..graph.kind_count()).map(|at| KindIx::new(at as u8)) {
        let kind_name = graph.kind_name(kind).to_owned();
        for at in graph.properties_of(kind) {
            let property = graph.property(at);
            assert_eq!((property.kind, graph.property_ix(kind, property.name)), (kind, Some(at)));
            let nodes = (0..graph.bound()).map(NodeIx::new);
            let with_value = nodes.filter(|&node| graph.value(node, at).is_some());
            let is_right = |&node: &NodeIx| graph.is_alive(node) && graph.kind(node) == kind;
            let (right, wrong): (Vec<_>, Vec<_>) = with_value.partition(is_right);
            assert_eq!((right.len() as u64, wrong), (property.count, Vec::new()), "{}", property.name);
            model.properties.insert((kind_name.clone(), property.name.to_owned()), property.of);
        }
        if let Some(label) = graph.label(kind) {
            model.labels.insert(kind_name, graph.property(label).name.to_owned());
        }
    }
    for relation in (0..graph.relation_count()).map(|at| RelationIx::new(at as u16)) {
        let count = model.edges.keys().filter(|(name, ..)| name == graph.relation_name(relation)).count();
        assert_eq!(graph.edge_count(relation), count as u64);
    }
    for kind in ["pin", "board", "user"] {
        let Some(ix) = graph.kind_ix(kind) else { continue };
        let names = || model.nodes.keys().filter(|name| name.kind == kind);
        let mut of_kind: Vec<_> = graph.nodes_of(ix).map(|node| graph.name(node)).collect();
        of_kind.sort();
        assert!(of_kind.iter().eq(names()));
        let keys: Vec<_> =
            names().map(|name| name.key.clone()).filter(|key| key.starts_with('1')).take(3).collect();
        assert_eq!(graph.keys_with_prefix(ix, "1", 3), keys);
    }
    model
}

/// Slots, neighbors by name, and weights as draws compare them; class by class where weights fade.
fn layout(graph: &Snapshot, list: List<'_>) -> Vec<Option<(NodeName, f64)>> {
    let slots = |list: List<'_>, weight: &dyn Fn(usize) -> f64| -> Vec<_> {
        let slots = if list.is_empty() { 0 } else { 1 << list.slot_bits() };
        let at = |slot| list.at_slot(slot).map(|at| (graph.name(list.neighbor(at)), weight(at)));
        (0..slots).map(at).collect()
    };
    match list.weight_classes() {
        None => slots(list, &|at| list.relative_weight(at)),
        Some(classes) => {
            classes.iter().flat_map(|class| slots(class.list(), &|at| class.share(at))).collect()
        }
    }
}

/// Compares changes with both states, read in full.
fn check_changes(old: &Snapshot, new: &Snapshot, changes: &Changes) {
    assert_eq!((changes.from, changes.to), (old.epoch(), new.epoch()));
    for node in (0..new.bound()).map(NodeIx::new) {
        let was = node.get() < old.bound() && old.is_alive(node);
        let features = |graph: &Snapshot| {
            let dense = |block: &str| graph.dense(node, block).map(<[f32]>::to_vec);
            let tokens: Vec<String> = graph.tokens(node).into_iter().map(str::to_owned).collect();
            (tokens, dense("photo"), dense("text"))
        };
        let differs = was != new.is_alive(node) || was && features(old) != features(new);
        assert!(!differs || changes.nodes.contains(&node), "{} changed", new.name(node));
        for relation in (0..new.relation_count()).map(|at| RelationIx::new(at as u16)) {
            let is_known = node.get() < old.bound() && relation.index() < old.relation_count();
            let before = if is_known { old.list(relation, node) } else { List::empty() };
            let after = new.list(relation, node);
            let values = |list: List<'_>| -> BTreeMap<NodeIx, (f32, Option<i64>)> {
                list.iter().map(|(n, w, t)| (n, (w, t))).collect()
            };
            let (before_values, after_values) = (values(before), values(after));
            // Draws depend on times only where weights fade.
            let fades = new.relation_options(relation).half_life.is_some();
            let drawn = |value: Option<(f32, Option<i64>)>| value.map(|(w, t)| (w, t.filter(|_| fades)));
            let mut expected: BTreeMap<NodeIx, Option<(f32, Option<i64>)>> = BTreeMap::new();
            for neighbor in before_values.keys().chain(after_values.keys()) {
                let old = before_values.get(neighbor).copied();
                if drawn(old) != drawn(after_values.get(neighbor).copied()) {
                    expected.insert(*neighbor, old);
                }
            }
            let found = changes.lists.get(&(relation, node)).cloned().unwrap_or_default();
            assert_eq!(found, expected, "list of {}", new.name(node));
            let rebuilt = changes.old_list(new, relation, node);
            assert_eq!(layout(new, rebuilt.as_list()), layout(new, before));
        }
    }
}

fn names(sets: &[&str]) -> Vec<String> {
    sets.iter().map(|set| (*set).to_owned()).collect()
}

fn open(path: &Path) -> Store {
    Store::options().create(true).open(path).expect("opens")
}

#[expect(clippy::too_many_lines, reason = "one arm for each step, then what holds after each")]
fn run(seed: u64, steps: &[Step]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut store = open(&path);
    let mut model = Model::default();
    // Every state that was ever shown, to compare changes with; only some of them are held.
    let mut shown: BTreeMap<Epoch, Model> = BTreeMap::from([(Epoch::new(0), Model::default())]);
    let mut held: Vec<Snapshot> = Vec::new();
    let mut history: BTreeMap<Epoch, Snapshot> = BTreeMap::from([(Epoch::new(0), store.snapshot())]);
    // Generation and epoch of each derived set, and the default one.
    let mut published: BTreeMap<&str, (Generation, Epoch)> = BTreeMap::new();
    let mut default = "main";
    for (at, step) in steps.iter().enumerate() {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            match step {
                Step::Commit(changes) => {
                    let mut next = model.clone();
                    let possible = changes.iter().all(|change| next.apply(change));
                    let before = store.snapshot();
                    let result = store.commit(&batch(changes).expect("valid"));
                    assert_eq!(result.is_ok(), possible, "{result:?}");
                    // A batch leaves an edge or not. Within the batch it counts anyway.
                    next.linked.clone_from(&model.linked);
                    next.linked.extend(next.edges.keys().map(|(relation, ..)| relation.clone()));
                    if let Ok(commit) = result {
                        let gone = |new: &Model, old: &Model| {
                            old.edges.keys().filter(|key| !new.edges.contains_key(*key)).count() as u64
                        };
                        assert_eq!(commit.edges_added, gone(&model, &next));
                        assert_eq!(commit.edges_removed, gone(&next, &model));
                        assert_eq!(commit.epoch, store.snapshot().epoch());
                        assert!(next == model || commit.epoch > before.epoch());
                        model = next;
                    }
                }
                Step::Checkpoint => store.checkpoint(&CancelToken::new()).expect("written"),
                Step::Publish { set, back, generation } => {
                    let epoch = store.snapshot().epoch().get();
                    let floor = published.get(set).map_or(0, |(_, refreshed)| refreshed.get());
                    let refreshed = Epoch::new(epoch.saturating_sub(*back).max(floor));
                    let mut writer = SectionWriter::new(*b"TEST", 1);
                    writer.section(*b"epoch\0\0\0", vec![refreshed.get()]);
                    let files = vec![("embeddings", Some(writer))];
                    let generation = Generation::new(*generation);
                    let publish = Publish { generation, refreshed, files };
                    match store.derived_set(set).publish(publish, &CancelToken::new()) {
                        Ok(()) => {
                            if published.is_empty() {
                                default = set;
                            }
                            published.insert(set, (generation, refreshed));
                        }
                        // Without an earlier publish, the log may not reach back.
                        Err(error) => assert!(!published.contains_key(set) && *back > 0, "{error}"),
                    }
                }
                Step::Default(set) => {
                    let is_there = published.contains_key(set);
                    assert_eq!(store.derived_set(set).make_default().is_ok(), is_there);
                    default = if is_there { set } else { default };
                }
                Step::Discard(set) => {
                    store.derived_set(set).discard().expect("discarded");
                    published.remove(set);
                    if !published.contains_key(default) {
                        default = published.keys().next().copied().unwrap_or("main");
                    }
                }
                Step::LogEnd => store.mark_refreshed(store.snapshot().epoch()),
                Step::Hold => held.push(store.snapshot()),
                Step::Reopen => {
                    held.clear();
                    drop(std::mem::replace(&mut store, open(&folder.path().join("other"))));
                    store = open(&path);
                }
            }
            let now = store.snapshot();
            assert_eq!(read(&now), model);
            history.insert(now.epoch(), now.clone());
            shown.insert(now.epoch(), model.clone());
            for snapshot in &held {
                assert_eq!(read(snapshot), shown[&snapshot.epoch()], "a held snapshot stays");
                let changes = store.changes(snapshot.epoch(), &now, &CancelToken::new()).expect("held");
                check_changes(snapshot, &now, &changes);
            }
            let sets: Vec<&str> = published.keys().copied().collect();
            assert_eq!((store.derived_sets(), store.default_set()), (names(&sets), default.to_owned()));
            for (&set, &(generation, refreshed)) in &published {
                let derived = store.derived_set(set).derived().expect("published");
                assert_eq!((derived.generation, derived.refreshed), (generation, refreshed));
                let file = derived.file("embeddings").expect("published");
                assert_eq!(file.section_u64(*b"epoch\0\0\0").expect("there"), [refreshed.get()]);
                let changes =
                    store.changes(refreshed, &now, &CancelToken::new()).expect("kept for the watermark");
                check_changes(&history[&refreshed], &now, &changes);
                let mut touched = changes.nodes.clone();
                touched.extend(changes.lists.keys().map(|(_, node)| *node));
                if matches!(step, Step::Reopen) {
                    let dirty = store.derived_set(set).dirty_nodes();
                    assert!(dirty >= touched.len() as u64, "no mark is lost");
                    assert!(refreshed < now.epoch() || dirty == 0);
                }
            }
            // A reader sees some state that was shown, and the derived files that belong to it.
            let reader = Store::options().read_only(true).open(&path).expect("opens");
            let seen = reader.snapshot();
            assert_eq!(read(&seen), shown[&seen.epoch()]);
            assert_eq!((reader.derived_sets(), reader.default_set()), (names(&sets), default.to_owned()));
            for &set in &sets {
                let of_reader = reader.derived_set(set);
                let refreshed = of_reader.derived().expect("published").refreshed;
                assert!(refreshed <= seen.epoch());
                let changes = store.changes(refreshed, &seen, &CancelToken::new()).expect("kept");
                let mut touched = changes.nodes.clone();
                touched.extend(changes.lists.keys().map(|(_, node)| *node));
                assert!(of_reader.dirty_nodes() >= touched.len() as u64, "a reader misses no mark");
                assert!(refreshed < seen.epoch() || of_reader.dirty_nodes() == 0);
            }
        }));
        assert!(outcome.is_ok(), "seed {seed}: differs after step {at} of {:#?}", &steps[..=at]);
    }
}

#[test]
fn the_store_does_what_the_reference_model_does() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let steps: Vec<Step> = (0..60).map(|_| random_step(&mut random)).collect();
        run(seed, &steps);
    }
}

#[test]
fn stores_with_the_same_content_have_the_same_lists_however_they_came_to_be() {
    let mut random = Random::new(77);
    let changes: Vec<Change> = (0..3000).map(|_| random_change(&mut random)).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = Model::default();
    let first = open(&folder.path().join("first"));
    for some in changes.chunks(40) {
        let possible: Vec<Change> = some.iter().filter(|&change| model.apply(change)).cloned().collect();
        // An impossible removal was left out, so the rest of the batch is possible.
        first.commit(&batch(&possible).expect("valid")).expect("possible");
    }
    first.checkpoint(&CancelToken::new()).expect("written");
    let second = open(&folder.path().join("second"));
    let half_lives = model.half_lives.iter();
    let mut anew: Vec<Change> =
        half_lives.map(|(name, minutes)| Change::Relation(name.clone(), *minutes)).collect();
    for ((relation, a, b), (weight, time)) in model.edges.iter().rev() {
        anew.push(Change::Link(b.clone(), a.clone(), *weight, *time, Some(relation.clone()), Repeat::Last));
    }
    anew.extend(model.nodes.keys().map(|node| Change::Add(node.clone())));
    second.commit(&batch(&anew).expect("valid")).expect("possible");
    let (one, other) = (first.snapshot(), second.snapshot());
    for name in model.nodes.keys() {
        for relation in ["board-pin", "pin-pin", "user-user", "likes", "fades-0", "fades-1"] {
            let of = |graph: &Snapshot| {
                let relation = graph.relation_ix(relation).expect("used");
                layout(graph, graph.list(relation, graph.require(name).expect("alive")))
            };
            assert_eq!(of(&one), of(&other), "{name} in {relation}");
        }
    }
}
