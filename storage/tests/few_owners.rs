//! Relations in which few nodes have lists, beside relations in which many have: lists, copies of lists and files are the same as
//! with records of all nodes, and nodes without edges take no bytes.

use std::collections::BTreeMap;
use std::path::Path;

use hedgerow_storage::{
    Batch, BulkLoad, CancelToken, Edge, FlattenedLists, Lists, NeighborOffsets, NodeIx, NodeName, RelationIx,
    Snapshot, Store,
};
use hedgerow_test_support::{Random, fuzz_config};

const RELATIONS: [&str; 4] = ["r0", "r1", "r2", "r3"];

/// Weight by relation and ends, the smaller end first.
type Edges = BTreeMap<(usize, u32, u32), f32>;

fn open(path: &Path, is_mapped: bool) -> Store {
    Store::options().create(true).map_files(is_mapped).open(path).expect("opens")
}

fn name(node: u32) -> NodeName {
    NodeName::new("pin", node.to_string()).expect("valid")
}

fn link(batch: &mut Batch, &(relation, a, b): &(usize, u32, u32), weight: f32) {
    let edge = Edge { weight, relation: Some(RELATIONS[relation]), ..Edge::default() };
    batch.link(&name(a), &name(b), edge).expect("valid");
}

fn unlink(batch: &mut Batch, &(relation, a, b): &(usize, u32, u32)) {
    batch.unlink(&name(a), &name(b), Some(RELATIONS[relation])).expect("valid");
}

/// A store with these nodes and all relations, of which none has an edge.
fn without_edges(path: &Path, nodes: u32) -> Store {
    let store = open(path, false);
    let mut batch = Batch::new();
    for node in 0..nodes {
        batch.add_node(&name(node)).expect("valid");
    }
    let loops: Vec<_> = (0..RELATIONS.len()).map(|relation| (relation, 0, 0)).collect();
    for edge in &loops {
        link(&mut batch, edge, 1.0);
    }
    store.commit(&batch).expect("possible");
    batch.clear();
    for edge in &loops {
        unlink(&mut batch, edge);
    }
    store.commit(&batch).expect("possible");
    store
}

/// The bytes of the newest topology file after its header, which has the identity of the store.
fn topology(store: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(store).expect("a folder").map(|entry| entry.expect("an entry").path());
    let number = |path: &Path| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("topology.")?.strip_suffix(".hg")?.parse().ok()
    };
    let newest = files.filter_map(|path| Some((number(&path)?, path))).max().expect("written");
    std::fs::read(newest.1).expect("readable").split_off(64)
}

/// Compares the lists of a relation, those of its copy, and the offsets of both.
fn assert_lists(graph: &Snapshot, relation: usize, edges: &Edges, when: &str) {
    let mut expected: BTreeMap<u32, BTreeMap<u32, u32>> = BTreeMap::new();
    for (&(_, a, b), weight) in edges.range((relation, 0, 0)..(relation + 1, 0, 0)) {
        expected.entry(a).or_default().insert(b, weight.to_bits());
        expected.entry(b).or_default().insert(a, weight.to_bits());
    }
    let ix = RelationIx::new(relation as u16);
    let flattened = FlattenedLists::of(graph, ix).expect("memory");
    let flattened = flattened.as_ref().map(|flattened| flattened.lists(graph, ix));
    for lists in [Some(graph.lists(ix)), flattened].into_iter().flatten() {
        let offsets = NeighborOffsets::of(&lists, graph.bound()).expect("memory");
        for node in 0..graph.bound() + 3 {
            lists.prefetch(NodeIx::new(node));
            let list = lists.get(NodeIx::new(node));
            let found: BTreeMap<u32, u32> =
                list.iter().map(|(other, weight, _)| (other.get(), weight.to_bits())).collect();
            assert_eq!(found.len(), list.degree(), "{when}: list of {node} in {relation}");
            let expected = expected.get(&node).cloned().unwrap_or_default();
            assert_eq!(found, expected, "{when}: list of {node} in {relation}");
            assert_first(&lists, &offsets, node, when);
        }
    }
}

/// Offsets lead to the first neighbor of a list, or know that there is none.
fn assert_first(lists: &Lists<'_>, offsets: &NeighborOffsets, node: u32, when: &str) {
    let list = lists.get(NodeIx::new(node));
    let first = (!list.is_empty()).then(|| list.neighbor(0));
    if let Ok(place) = offsets.place(lists, NodeIx::new(node), 0) {
        assert_eq!(place.neighbor(), first, "{when}: offsets of {node}");
    }
}

/// A store whose relations gain and lose owners, with all that must hold for it.
struct Case {
    random: Random,
    nodes: u32,
    edges: Edges,
}

impl Case {
    /// A batch that brings a relation nearer to a share of owners: none, few, about one in eight, or many.
    fn change(&mut self) -> Batch {
        let mut batch = Batch::new();
        let relation = self.random.below(RELATIONS.len());
        let target = [0, 1, self.nodes / 8, self.nodes / 8 + 1, self.nodes][self.random.below(5)];
        for _ in 0..self.random.below(self.nodes) {
            let of_relation: Vec<_> =
                self.edges.range((relation, 0, 0)..(relation + 1, 0, 0)).map(|(&edge, _)| edge).collect();
            let mut owners: Vec<u32> = of_relation.iter().flat_map(|&(_, a, b)| [a, b]).collect();
            owners.sort_unstable();
            owners.dedup();
            if owners.len() as u32 >= target && !of_relation.is_empty() {
                let edge = of_relation[self.random.below(of_relation.len())];
                self.edges.remove(&edge);
                unlink(&mut batch, &edge);
            } else if target > 0 {
                let (a, b) = (self.random.below(self.nodes), self.random.below(self.nodes));
                let edge = (relation, a.min(b), a.max(b));
                let weight = [1.0, 1.0, 2.5][self.random.below(3)];
                self.edges.insert(edge, weight);
                link(&mut batch, &edge, weight);
            }
        }
        // Sometimes a node without edges, which makes owners fewer in eight.
        if self.random.chance(30) {
            batch.add_node(&name(self.nodes)).expect("valid");
            self.nodes += 1;
        }
        batch
    }

    /// The topology of a store that gets the same edges at once.
    fn written_at_once(&self, path: &Path) -> Vec<u8> {
        let store = without_edges(path, self.nodes);
        let mut batch = Batch::new();
        for (edge, &weight) in &self.edges {
            link(&mut batch, edge, weight);
        }
        store.commit(&batch).expect("possible");
        store.checkpoint(&CancelToken::new()).expect("written");
        topology(path)
    }

    /// The topology of a bulk load of the same graph; `None` if a relation has no edges, which a load does not have.
    fn loaded(&self, path: &Path) -> Option<Vec<u8>> {
        let mut load = BulkLoad::new();
        load.nodes("pin", (0..self.nodes).map(|node| node.to_string())).expect("valid");
        for (relation, name) in RELATIONS.into_iter().enumerate() {
            let of_relation = self.edges.range((relation, 0, 0)..(relation + 1, 0, 0));
            let (edges, weights): (Vec<_>, Vec<_>) =
                of_relation.map(|(&(_, a, b), &weight)| ((NodeIx::new(a), NodeIx::new(b)), weight)).unzip();
            if edges.is_empty() {
                return None;
            }
            load.edges(Some(name), edges, Some(weights)).expect("valid");
        }
        open(path, false).load(load, &CancelToken::new()).expect("written");
        Some(topology(path))
    }

    fn assert_equal(&self, store: &Store, when: &str) {
        let graph = store.snapshot();
        assert_eq!(graph.bound(), self.nodes, "{when}");
        for relation in 0..RELATIONS.len() {
            assert_lists(&graph, relation, &self.edges, when);
        }
    }
}

#[test]
fn lists_and_files_are_the_same_however_many_owners_came_and_went() {
    let (seed, rounds) = (fuzz_config::seed(11), fuzz_config::rounds(1) * 8);
    for round in 0..rounds {
        let random = Random::new(seed.wrapping_add(round));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        let mut case = Case { random, nodes: 40 + 30 * (round as u32 % 5), edges: Edges::new() };
        let mut store = without_edges(&path, case.nodes);
        for step in 0..24 {
            let when = format!("seed {}, step {step}", seed.wrapping_add(round));
            let batch = case.change();
            store.commit(&batch).expect("possible");
            case.assert_equal(&store, &when);
            if case.random.chance(40) {
                store.checkpoint(&CancelToken::new()).expect("written");
                case.assert_equal(&store, &format!("{when}, checkpoint"));
            }
            if case.random.chance(40) {
                drop(store);
                let is_mapped = case.random.chance(50);
                store = open(&path, is_mapped);
                case.assert_equal(&store, &format!("{when}, mapped {is_mapped}"));
            }
            if step % 6 == 5 {
                // A commit that changes each relation, so that the file is written anew for all nodes.
                let mut batch = Batch::new();
                for relation in 0..RELATIONS.len() {
                    case.edges.insert((relation, 0, 1), 1.0);
                    link(&mut batch, &(relation, 0, 1), 1.0);
                }
                store.commit(&batch).expect("possible");
                store.checkpoint(&CancelToken::new()).expect("written");
                let found = topology(&path);
                let at_once = case.written_at_once(&folder.path().join(format!("at-once-{step}")));
                assert!(found == at_once, "{when}: the files of commits differ");
                let loaded = case.loaded(&folder.path().join(format!("loaded-{step}")));
                assert!(loaded.is_none_or(|loaded| found == loaded), "{when}: the file of a load differs");
            }
        }
    }
}

/// Each relation took 16 bytes for every node of the store. With 300 relations over 5000 nodes the file had 24 MB.
#[test]
fn nodes_without_edges_in_a_relation_take_no_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut load = BulkLoad::new();
    load.nodes("pin", (0..5000).map(|node| node.to_string())).expect("valid");
    for relation in 0..300_u32 {
        let edge = (NodeIx::new(relation * 7), NodeIx::new(relation * 7 + 1));
        load.edges(Some(&format!("r{relation}")), vec![edge], None).expect("valid");
    }
    let store = open(folder.path(), false);
    store.load(load, &CancelToken::new()).expect("written");
    let loaded = topology(folder.path());
    // Three entries of the table, three sections at multiples of 64, and the checksum of a block of each.
    assert!(loaded.len() < 300 * 400, "{} bytes", loaded.len());
    let mut batch = Batch::new();
    let edge = Edge { relation: Some("r3"), ..Edge::default() };
    batch.link(&name(17), &name(4999), edge).expect("valid");
    store.commit(&batch).expect("possible");
    store.checkpoint(&CancelToken::new()).expect("written");
    assert!(topology(folder.path()).len() < loaded.len() + 200);
    assert_eq!(store.snapshot().degree(NodeIx::new(4999)), 1);
}
