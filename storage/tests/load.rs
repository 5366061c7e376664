//! Bulk loads: the files equal those that commits make, the store works as usual afterwards, and an incomplete load
//! leaves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hedgerow_storage::{
    Batch, BulkLoad, CancelToken, Edge, EdgeBuffer, Epoch, Error, Generation, NodeIx, NodeName, NodeRef,
    PropertyType, PropertyValue, Publish, Repeat, Store,
};
use hedgerow_test_support::Random;

/// Input that both a load and commits accept.
#[derive(Default)]
struct Graph {
    nodes: Vec<NodeName>,
    calls: Vec<Call>,
}

struct Call {
    relation: Option<&'static str>,
    edges: Vec<(usize, usize)>,
    weights: Option<Vec<f32>>,
}

impl Graph {
    /// Kinds that come back, edges of nodes to themselves, repeated edges with other weights, and nodes without edges.
    fn random(seed: u64, size: usize) -> Self {
        let mut random = Random::new(seed);
        let mut graph = Self::default();
        for run in 0..4 {
            let kind = ["pin", "board", "pin", "user"][run];
            let key = |at| format!("{}{run}-{at}", ["", "a", "https://example.org/"][at % 3]);
            let count = random.below(size) + 1;
            graph.nodes.extend((0..count).map(|at| NodeName::new(kind, key(at)).expect("valid")));
        }
        for _ in 0..random.below(6) {
            let relation = [None, Some("likes"), Some("board-pin")][random.below(3)];
            let kinds = [["pin", "board"], ["user", "user"], ["board", "user"]][random.below(3)];
            let of = |kind: &str| -> Vec<usize> {
                (0..graph.nodes.len()).filter(|&at| graph.nodes[at].kind == kind).collect()
            };
            let (some, others) = (of(kinds[0]), of(kinds[1]));
            let mut edge = || {
                // A few nodes have most of the edges.
                let a = some[random.below(some.len()).min(random.below(some.len()))];
                let b = others[random.below(others.len()).min(random.below(others.len()))];
                if random.below(2) == 0 { (a, b) } else { (b, a) }
            };
            let edges: Vec<(usize, usize)> = (0..size * 3).map(|_| edge()).collect();
            let weight = |_| if random.below(2) == 0 { 1.0 } else { 0.25 * (1 + random.below(9)) as f32 };
            let weights: Vec<f32> = edges.iter().map(weight).collect();
            let weights = (random.below(2) == 0).then_some(weights);
            graph.calls.push(Call { relation, edges, weights });
        }
        graph
    }

    fn load(&self) -> BulkLoad {
        let mut load = BulkLoad::new();
        for run in self.nodes.chunk_by(|one, other| one.kind == other.kind) {
            load.nodes(&run[0].kind, run.iter().map(|node| &node.key)).expect("valid");
        }
        for Call { relation, edges, weights } in &self.calls {
            let ix = |at: usize| NodeIx::new(at as u32);
            let edges = edges.iter().map(|&(a, b)| (ix(a), ix(b))).collect();
            load.edges(*relation, edges, weights.clone()).expect("valid");
        }
        load
    }

    fn commit(&self, store: &Store) {
        let mut batch = Batch::new();
        self.nodes.iter().try_for_each(|node| batch.add_node(node)).expect("valid");
        store.commit(&batch).expect("committed");
        for Call { relation, edges, weights } in &self.calls {
            batch.clear();
            for (at, &(a, b)) in edges.iter().enumerate() {
                let weight = weights.as_ref().map_or(1.0, |weights| weights[at]);
                let edge = Edge { weight, relation: *relation, ..Edge::default() };
                batch.link(&self.nodes[a], &self.nodes[b], edge).expect("valid");
            }
            store.commit(&batch).expect("committed");
        }
    }
}

fn create(path: &Path) -> Store {
    Store::options().create(true).open(path).expect("created")
}

fn node(text: &str) -> NodeRef<'_> {
    NodeRef::parse(text).expect("valid")
}

fn link(store: &Store, a: &str, b: &str) -> Result<Epoch, Error> {
    let mut batch = Batch::new();
    batch.link(node(a), node(b), Edge::default())?;
    Ok(store.commit(&batch)?.epoch)
}

/// The bytes of the segment files after their headers, which have the identity of the store; the newest of each.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut newest: BTreeMap<String, (u64, Vec<u8>)> = BTreeMap::new();
    for entry in fs::read_dir(path).expect("there") {
        let file = entry.expect("readable").path();
        let name = file.file_name().and_then(|name| name.to_str()).expect("text");
        let Some((what, number)) = name.strip_suffix(".hg").and_then(|name| name.split_once('.')) else {
            continue;
        };
        let number: u64 = number.parse().expect("a number");
        if newest.get(what).is_none_or(|(other, _)| *other < number) {
            newest.insert(what.to_owned(), (number, fs::read(&file).expect("readable").split_off(64)));
        }
    }
    newest.into_iter().map(|(what, (_, bytes))| (what, bytes)).collect()
}

fn names(path: &Path) -> BTreeSet<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("readable").file_name();
    fs::read_dir(path).expect("there").map(|entry| name(entry).into_string().expect("text")).collect()
}

/// Two boards and three pins; `board:2 - pin:3` is added later.
fn small() -> BulkLoad {
    let mut load = BulkLoad::new();
    let pins = load.nodes("pin", ["1", "2", "3"]).expect("valid");
    let boards = load.nodes("board", ["1", "2"]).expect("valid");
    assert_eq!((pins, boards), (0..3, 3..5));
    let ix = NodeIx::new;
    load.edges(None, vec![(ix(0), ix(3)), (ix(1), ix(3)), (ix(4), ix(1))], None).expect("valid");
    load
}

#[test]
fn a_load_makes_byte_for_byte_the_files_that_commits_and_a_checkpoint_make() {
    for seed in 0..30 {
        let folder = tempfile::tempdir().expect("a folder");
        // The last graph is large enough to use several threads.
        let graph = Graph::random(seed, if seed == 29 { 30_000 } else { 60 });
        let slow = create(&folder.path().join("slow"));
        graph.commit(&slow);
        slow.checkpoint(&CancelToken::new()).expect("written");
        let expected = files(slow.path());
        let counts = |store: &Store| {
            let graph = store.snapshot();
            let relations =
                (0..graph.relation_count()).map(|at| hedgerow_storage::RelationIx::new(at as u16));
            let edges: u64 = relations.map(|relation| graph.edge_count(relation)).sum();
            (graph.node_count(), edges)
        };
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let fast = create(&folder.path().join(format!("fast{threads}")));
            let loaded = pool.install(|| fast.load(graph.load(), &CancelToken::new())).expect("loaded");
            assert_eq!(files(fast.path()), expected, "seed {seed}, {threads} threads");
            assert_eq!((loaded.nodes_added, loaded.edges_added), counts(&slow), "seed {seed}");
            assert_eq!(counts(&fast), counts(&slow), "seed {seed}");
            assert_eq!((loaded.epoch, fast.snapshot().epoch()), (Epoch::new(1), Epoch::new(1)));
        }
    }
}

/// A row of an input file: two names with the values of their edge, or one name.
type Row = (NodeName, Option<(NodeName, Edge<'static>)>);

/// Rows of few nodes with many edges: several kinds and relations, repeated edges with other weights and times, edges
/// of nodes to themselves, and single nodes. The rows of some graphs have no weights, no times, or no repeats.
fn random_rows(random: &mut Random, size: usize) -> Vec<Row> {
    let (is_weighted, is_timed, kinds) = (random.below(2) == 0, random.below(2) == 0, 1 + random.below(4));
    let is_repeated = random.below(2) == 0;
    let name = |random: &mut Random| {
        let kind = ["pin", "board", "user", "a"][random.below(kinds)];
        NodeName::new(kind, format!("k{}", random.below(size).min(random.below(size)))).expect("valid")
    };
    let row = |_| {
        let one = name(random);
        if random.below(20) == 0 {
            return (one, None);
        }
        let other = if random.below(30) == 0 { one.clone() } else { name(random) };
        let weight = if is_weighted { [1.0, 1.0, 0.1, 3e7][random.below(4)] } else { 1.0 };
        let time = if is_timed { [None, Some(-7), Some(0), Some(1 << 40)][random.below(4)] } else { None };
        let relation = [None, None, Some("likes"), Some("board-pin")][random.below(4)];
        let repeat = if is_repeated { Repeat::ALL[random.below(4)] } else { Repeat::Last };
        (one, Some((other, Edge { weight, time, relation, repeat })))
    };
    (0..size * 3).map(row).collect()
}

#[test]
fn links_make_byte_for_byte_the_files_that_batches_of_the_same_rows_make() {
    for seed in 0..30 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut random = Random::new(seed);
        let rows = random_rows(&mut random, if seed == 29 { 30_000 } else { 200 });
        let slow = create(&folder.path().join("slow"));
        let mut repeated = 0;
        for rows in rows.chunks(1 + random.below(rows.len())) {
            let mut batch = Batch::new();
            for (one, linked) in rows {
                let added = match linked {
                    None => batch.add_node(one),
                    &Some((ref other, edge)) => batch.link(one, other, edge),
                };
                added.expect("valid");
            }
            repeated += slow.commit(&batch).expect("committed").edges_repeated;
        }
        slow.checkpoint(&CancelToken::new()).expect("written");
        let expected = files(slow.path());
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let (mut load, mut links) = (BulkLoad::new(), EdgeBuffer::new());
            for rows in rows.chunks(1 + random.below(rows.len())) {
                links.clear();
                for (one, linked) in rows {
                    let added = match linked {
                        None => links.add_node(one),
                        &Some((ref other, edge)) => links.link(one, other, edge),
                    };
                    added.expect("valid");
                }
                assert_eq!(links.len(), rows.len());
                pool.install(|| load.links(&links)).expect("valid");
            }
            let fast = create(&folder.path().join(format!("fast{threads}")));
            let loaded = pool.install(|| fast.load(load, &CancelToken::new())).expect("loaded");
            assert_eq!(files(fast.path()), expected, "seed {seed}, {threads} threads");
            assert_eq!(loaded.nodes_added, slow.snapshot().node_count(), "seed {seed}");
            assert_eq!(loaded.edges_repeated, repeated, "seed {seed}");
        }
    }
}

/// A batch of nodes, properties and labels of few names, whose types now and then contradict those of before.
fn random_values(random: &mut Random) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..random.below(40) {
        let (kind, key) = (["pin", "board"][random.below(2)], random.below(60).to_string());
        let node = NodeName::new(kind, key).expect("valid");
        let at = random.below(6);
        let name = ["title", "plays", "price", "in_stock", "released", "genres"][at];
        let of = if random.chance(98) { at } else { random.below(6) };
        let text = "\u{e9}x".repeat(1 + random.below(40));
        let value = match of {
            0 => PropertyValue::Text(&text),
            1 => PropertyValue::Integer(random.below(1000_i64) - 500),
            2 => PropertyValue::Float(f64::from(random.below(1000_u32)) / 8.0),
            3 => PropertyValue::Boolean(random.chance(50)),
            4 => PropertyValue::Time(random.next().cast_signed()),
            _ => PropertyValue::List(vec![&text, "b"]),
        };
        let added = match random.below(40) {
            0 => batch.add_node(&node),
            1 => batch.declare_property(kind, name, PropertyType::ALL[of]),
            2 => batch.set_label(kind, random.chance(70).then_some(name)),
            3 => batch.remove_property(&node, name),
            4 if at == 2 => batch.set_property(&node, name, &PropertyValue::Integer(7)),
            _ => batch.set_property(&node, name, &value),
        };
        added.expect("valid");
    }
    batch
}

#[test]
fn values_make_byte_for_byte_the_files_that_commits_of_the_same_batches_make() {
    let mut refused = 0;
    for seed in 0..40 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut random = Random::new(seed);
        let (slow, mut load) = (create(&folder.path().join("slow")), BulkLoad::new());
        let rounds = if seed == 39 { 1000 } else { 1 + random.below(20) };
        let mut nodes = 0;
        for _ in 0..rounds {
            let batch = random_values(&mut random);
            match (slow.commit(&batch), load.values(&batch)) {
                (Ok(commit), Ok(())) => nodes += commit.nodes_added,
                (Err(one), Err(other)) => {
                    assert_eq!(one.to_string(), other.to_string(), "seed {seed}");
                    refused += 1;
                }
                (one, other) => panic!("seed {seed}: {one:?} and {other:?}"),
            }
        }
        if nodes == 0 {
            continue;
        }
        slow.checkpoint(&CancelToken::new()).expect("written");
        let fast = create(&folder.path().join("fast"));
        let loaded = fast.load(load, &CancelToken::new()).expect("loaded");
        assert_eq!(files(fast.path()), files(slow.path()), "seed {seed}");
        assert_eq!(loaded.nodes_added, nodes, "seed {seed}");
    }
    assert!(refused > 20, "{refused} batches were refused");
}

#[test]
fn a_batch_of_a_load_has_nodes_and_properties_only() {
    let mut load = BulkLoad::new();
    let refused = |load: &mut BulkLoad, batch: &Batch| {
        assert!(matches!(load.values(batch), Err(Error::Invalid { what: "change of a load", .. })));
    };
    let mut batch = Batch::new();
    batch.set_tokens(node("pin:1"), &["a"]).expect("valid");
    refused(&mut load, &batch);
    batch.clear();
    batch.add_node(node("pin:1")).expect("valid");
    batch.link(node("pin:1"), node("board:1"), Edge::default()).expect("valid");
    refused(&mut load, &batch);
    batch.clear();
    batch.set_position("input", 1.into()).expect("valid");
    refused(&mut load, &batch);
    assert!(load.is_empty());
}

#[test]
fn links_that_are_refused_are_not_in_the_load() {
    let mut load = BulkLoad::new();
    let mut links = EdgeBuffer::new();
    links.link(node("pin:1"), node("board:1"), Edge::default()).expect("valid");
    load.links(&links).expect("valid");
    links.clear();
    for kind in 0..260 {
        let name = format!("k{kind}:1");
        links.link(node("pin:2"), node(&name), Edge::default()).expect("valid");
    }
    assert!(matches!(load.links(&links), Err(Error::Limit { what: "kinds", limit: 255, .. })));
    links.clear();
    links.link(node("pin:2"), node("pin:1"), Edge::default()).expect("valid");
    load.links(&links).expect("valid");
    // Numbers continue where they were, and edges between numbers may follow.
    assert_eq!(load.nodes("pin", ["9"]).expect("valid"), 3..4);
    load.edges(None, vec![(NodeIx::new(3), NodeIx::new(1))], None).expect("valid");
    let folder = tempfile::tempdir().expect("a folder");
    let store = create(folder.path());
    let loaded = store.load(load, &CancelToken::new()).expect("loaded");
    assert_eq!((loaded.nodes_added, loaded.edges_added), (4, 3));
    assert_eq!((store.snapshot().kind_count(), store.snapshot().relation_count()), (2, 2));
}

#[test]
fn after_a_load_commits_changes_publishes_and_reopenings_work_as_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = create(folder.path());
    let empty = store.snapshot();
    assert_eq!(store.load(small(), &CancelToken::new()).expect("loaded").epoch, Epoch::new(1));
    for round in 0..3_u64 {
        // Once with an empty log, once with a record in it, once with a checkpoint that covers it.
        let graph = store.snapshot();
        assert_eq!((graph.epoch(), graph.node_count()), (Epoch::new(1 + round), 5 + round));
        let reader = Store::options().read_only(true).open(folder.path()).expect("opens");
        assert_eq!(reader.snapshot().epoch(), Epoch::new(if round == 2 { 3 } else { 1 }));
        let derived = |refreshed| Publish { generation: Generation::new(1), refreshed, files: Vec::new() };
        assert!(matches!(
            store.publish(derived(empty.epoch()), &CancelToken::new()),
            Err(Error::Invalid { .. })
        ));
        let next = link(&store, "board:2", &format!("pin:new{round}")).expect("committed");
        assert_eq!(next, Epoch::new(2 + round));
        let now = store.snapshot();
        assert_eq!(
            store.changes(graph.epoch(), &now, &CancelToken::new()).expect("in the log").lists.len(),
            2
        );
        assert!(matches!(
            store.changes(empty.epoch(), &now, &CancelToken::new()),
            Err(Error::Invalid { .. })
        ));
        if round == 1 {
            store.checkpoint(&CancelToken::new()).expect("written");
        }
        drop(store);
        store = Store::options().open(folder.path()).expect("opens");
    }
    let refreshed = store.snapshot().epoch();
    let derived = Publish { generation: Generation::new(1), refreshed, files: Vec::new() };
    store.publish(derived, &CancelToken::new()).expect("published");
    link(&store, "board:1", "pin:3").expect("committed");
    assert_eq!(store.dirty_nodes(), 2);
    let board = store.snapshot().require(node("board:2")).expect("loaded");
    assert_eq!(store.snapshot().degree(board), 4);
}

#[test]
fn what_a_load_brought_can_be_published_from_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create(folder.path());
    let refreshed = store.load(small(), &CancelToken::new()).expect("loaded").epoch;
    let derived = Publish { generation: Generation::new(1), refreshed, files: Vec::new() };
    store.publish(derived, &CancelToken::new()).expect("published");
    link(&store, "board:2", "pin:3").expect("committed");
    drop(store);
    let store = Store::options().open(folder.path()).expect("opens");
    let now = store.snapshot();
    assert_eq!(store.changes(refreshed, &now, &CancelToken::new()).expect("kept").lists.len(), 2);
    assert_eq!(store.dirty_nodes(), 2);
}

#[test]
fn only_a_store_in_which_nothing_was_committed_or_published_takes_a_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |store: &Store| {
        let (before, epoch) = (names(store.path()), store.snapshot().epoch());
        let result = store.load(small(), &CancelToken::new());
        assert!(matches!(result, Err(Error::NotEmpty { .. })), "{result:?}");
        assert_eq!((names(store.path()), store.snapshot().epoch()), (before, epoch));
    };
    let committed = create(&folder.path().join("committed"));
    link(&committed, "pin:1", "board:1").expect("committed");
    refused(&committed);
    committed.checkpoint(&CancelToken::new()).expect("written");
    refused(&committed);
    let published = create(&folder.path().join("published"));
    let derived = Publish { generation: Generation::new(1), refreshed: Epoch::new(0), files: Vec::new() };
    published.publish(derived, &CancelToken::new()).expect("published");
    refused(&published);
    let loaded = create(&folder.path().join("loaded"));
    assert_eq!(
        loaded.load(BulkLoad::new(), &CancelToken::new()).expect("nothing to do").epoch,
        Epoch::new(0)
    );
    loaded.load(small(), &CancelToken::new()).expect("loaded");
    refused(&loaded);
    let reader = Store::options().read_only(true).open(loaded.path()).expect("opens");
    assert!(matches!(reader.load(small(), &CancelToken::new()), Err(Error::ReadOnly { .. })));
}

#[test]
fn what_is_refused_is_not_in_the_load() {
    let mut load = BulkLoad::new();
    let ix = NodeIx::new;
    load.nodes("pin", ["1", "2"]).expect("valid");
    let long = "1".repeat(513);
    for (kind, keys) in
        [("p n", ["3", "4"]), ("pin", ["3", ""]), ("board", ["3", &long]), ("user", ["3", "3"])]
    {
        assert!(matches!(load.nodes(kind, keys), Err(Error::Invalid { .. })), "{kind} {keys:?}");
    }
    assert!(matches!(load.nodes("pin", ["3", "1"]), Err(Error::Invalid { .. })), "given before");
    let few = load.clone();
    for at in 0..300 {
        match load.nodes(&format!("k{at}"), ["1"]) {
            Ok(numbers) => assert_eq!(numbers, 2 + at..3 + at),
            Err(error) => assert!(matches!(error, Error::Limit { limit: 255, .. }) && at >= 254, "{error}"),
        }
    }
    let mut load = few;
    assert_eq!(load.nodes("pin", ["3"]).expect("nobody of the others is there"), 2..3);
    assert_eq!(load.nodes("board", Vec::<String>::new()).expect("nobody"), 3..3);
    assert_eq!(load.nodes("user", ["1"]).expect("valid"), 3..4);
    let edges = || vec![(ix(0), ix(1)), (ix(2), ix(2))];
    let is_invalid = |result: Result<(), Error>| matches!(result, Err(Error::Invalid { .. }));
    assert!(is_invalid(load.edges(Some("a b"), edges(), None)));
    assert!(is_invalid(load.edges(None, vec![(ix(0), ix(4))], None)), "no such node");
    assert!(is_invalid(load.edges(None, edges(), Some(vec![1.0]))), "too few weights");
    for weight in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(is_invalid(load.edges(None, edges(), Some(vec![1.0, weight]))), "{weight}");
    }
    assert!(is_invalid(load.edges(None, vec![(ix(0), ix(1)), (ix(0), ix(3))], None)), "two relations");
    load.edges(Some("likes"), Vec::new(), None).expect("nothing");
    load.edges(None, edges(), None).expect("valid");
    let folder = tempfile::tempdir().expect("a folder");
    let store = create(folder.path());
    let loaded = store.load(load, &CancelToken::new()).expect("loaded");
    assert_eq!((loaded.nodes_added, loaded.edges_added), (4, 2));
    let graph = store.snapshot();
    assert_eq!((graph.kind_count(), graph.relation_count()), (2, 1));
    assert!(graph.relation_ix("pin-pin").is_some());
}

#[test]
fn a_load_that_was_cancelled_or_killed_leaves_an_empty_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let store = create(path);
    let before = names(path);
    let files = before.iter().filter(|name| path.join(name).is_file());
    let contents: Vec<_> =
        files.map(|name| (name.clone(), fs::read(path.join(name)).expect("readable"))).collect();
    let cancel = CancelToken::new();
    cancel.cancel();
    assert!(matches!(store.load(small(), &cancel), Err(Error::Cancelled)));
    assert_eq!(names(path), before);
    store.load(small(), &CancelToken::new()).expect("loaded");
    drop(store);
    // Killed right before the manifest was swapped: the new files exist, and no manifest names them.
    for (name, content) in contents {
        fs::write(path.join(name), content).expect("written");
    }
    fs::remove_file(path.join("MANIFEST.previous")).expect("removed");
    let store = Store::options().open(path).expect("opens");
    assert_eq!((store.snapshot().epoch(), store.snapshot().bound()), (Epoch::new(0), 0));
    assert_eq!(names(path), before);
    store.load(small(), &CancelToken::new()).expect("loaded");
    assert_eq!(store.snapshot().node_count(), 5);
}

#[test]
fn damage_to_what_was_loaded_is_named_and_no_manifest_leads_to_the_empty_store_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let store = create(path);
    store.load(small(), &CancelToken::new()).expect("loaded");
    link(&store, "board:2", "pin:3").expect("committed");
    drop(store);
    let topology = path.join("topology.1.hg");
    let intact = fs::read(&topology).expect("readable");
    let mut torn = intact.clone();
    torn[200] ^= 1;
    fs::write(&topology, torn).expect("written");
    match Store::options().open(path) {
        Err(Error::Damaged { path: named, .. }) => assert_eq!(named, topology),
        other => panic!("{other:?}"),
    }
    fs::write(&topology, intact).expect("written");
    drop(Store::options().open(path).expect("intact again"));
    let manifest = |name: &str| fs::read(path.join(name)).expect("readable");
    assert_eq!(manifest("MANIFEST.previous"), manifest("MANIFEST"));
    for name in ["MANIFEST", "MANIFEST.copy"] {
        fs::write(path.join(name), "damaged").expect("written");
    }
    assert_eq!(Store::options().open(path).expect("by the one before").snapshot().node_count(), 5);
}

/// A checkpoint sorted keys in the shared pool, whose threads all waited for the checkpoint to let their commits
/// through.
#[test]
fn commits_from_every_thread_of_the_shared_pool_do_not_stop_a_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create(folder.path());
    let mut load = BulkLoad::new();
    load.nodes("user", (0..40_000).map(|at| at.to_string())).expect("valid");
    store.load(load, &CancelToken::new()).expect("loaded");
    let commit = &|task: usize| {
        let pins = (0..20).map(|at| format!("pin:{task}-{at}"));
        pins.for_each(|pin| assert!(link(&store, &pin, "board:1").is_ok()));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| (0..10).for_each(|_| store.checkpoint(&CancelToken::new()).expect("written")));
        rayon::scope(|tasks| {
            (0..2 * rayon::current_num_threads()).for_each(|task| tasks.spawn(move |_| commit(task)));
        });
    });
    let tasks = 2 * rayon::current_num_threads() as u64;
    assert_eq!(store.snapshot().node_count(), 40_001 + 20 * tasks);
}
