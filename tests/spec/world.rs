//! A small random graph and its plain reference: what the store should hold, in maps.

use std::collections::{BTreeMap, BTreeSet};

use hedgerow::{Batch, Edge, KindIx, NodeIx, NodeName, RelationIx, Snapshot};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Two ends in order of their names, and the relation between them.
pub(crate) type EdgeName = (String, NodeName, NodeName);

/// Boards hold pins, users like pins, and pins lie near pins:
///
/// ```text
///   board ---board-pin--- pin ---pin-user--- user
///                          \_near_/
/// ```
pub(crate) struct World {
    rng: StdRng,
    size: usize,
    pub(crate) nodes: BTreeMap<NodeName, Features>,
    pub(crate) edges: BTreeMap<EdgeName, (f32, Option<i64>)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Features {
    pub(crate) tokens: BTreeSet<String>,
    pub(crate) dense: Option<Vec<f32>>,
}

pub(crate) const DENSE: &str = "image";
const WIDTH: usize = 3;

impl World {
    pub(crate) fn new(seed: u64, size: usize) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), size, nodes: BTreeMap::new(), edges: BTreeMap::new() }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound)
    }

    /// A batch that links enough for walks to go somewhere.
    pub(crate) fn founding(&mut self) -> Batch {
        let mut batch = Batch::new();
        for _ in 0..self.size * 4 {
            self.link(&mut batch);
        }
        for _ in 0..self.size / 2 {
            self.describe(&mut batch);
        }
        batch
    }

    /// A batch of up to `most` random operations.
    pub(crate) fn batch(&mut self, most: usize) -> Batch {
        let mut batch = Batch::new();
        for _ in 0..=self.below(most) {
            match self.below(20) {
                0..9 => self.link(&mut batch),
                9..14 => self.unlink(&mut batch),
                14..17 => self.describe(&mut batch),
                17 => self.remove(&mut batch),
                18 => self.unlink_absent(&mut batch),
                _ => {
                    let node = self.node("pin");
                    batch.add_node(node.as_ref()).expect("a valid node");
                    self.nodes.entry(node).or_default();
                }
            }
        }
        batch
    }

    /// A node that may be there, or not.
    pub(crate) fn node(&mut self, kind: &str) -> NodeName {
        let keys = if kind == "pin" { self.size } else { self.size / 3 + 1 };
        let key = self.below(keys).to_string();
        NodeName::new(kind, &key).expect("a valid name")
    }

    fn ends(&mut self) -> (NodeName, NodeName, Option<&'static str>) {
        match self.below(6) {
            0 => (self.node("user"), self.node("pin"), None),
            1 => (self.node("pin"), self.node("pin"), Some("near")),
            _ => (self.node("board"), self.node("pin"), None),
        }
    }

    fn link(&mut self, batch: &mut Batch) {
        let (a, b, relation) = self.ends();
        let weight = if self.below(3) == 0 { 0.25 + self.below(12) as f32 * 0.5 } else { 1.0 };
        let time = (self.below(4) == 0).then(|| self.below(1000) as i64);
        batch.link(a.as_ref(), b.as_ref(), Edge { weight, time, relation }).expect("a valid edge");
        self.nodes.entry(a.clone()).or_default();
        self.nodes.entry(b.clone()).or_default();
        self.edges.insert(edge_name(relation, a, b), (weight, time));
    }

    fn unlink(&mut self, batch: &mut Batch) {
        if self.edges.is_empty() {
            return;
        }
        let at = self.below(self.edges.len());
        let name = self.edges.keys().nth(at).expect("within the map").clone();
        batch.unlink(name.1.as_ref(), name.2.as_ref(), Some(&name.0)).expect("a valid edge");
        self.edges.remove(&name);
    }

    fn unlink_absent(&mut self, batch: &mut Batch) {
        let (a, b, relation) = self.ends();
        batch.unlink(a.as_ref(), b.as_ref(), relation).expect("a valid edge");
        self.edges.remove(&edge_name(relation, a, b));
    }

    fn remove(&mut self, batch: &mut Batch) {
        if self.nodes.is_empty() {
            return;
        }
        let at = self.below(self.nodes.len());
        let node = self.nodes.keys().nth(at).expect("within the map").clone();
        batch.remove(node.as_ref()).expect("a valid node");
        self.nodes.remove(&node);
        self.edges.retain(|(_, a, b), _| *a != node && *b != node);
    }

    fn describe(&mut self, batch: &mut Batch) {
        let node = self.node("pin");
        let features = self.nodes.entry(node.clone()).or_default();
        if self.rng.random_range(0..2) == 0 {
            let count = self.rng.random_range(0..4);
            let tokens: BTreeSet<String> =
                (0..count).map(|_| format!("word=w{}", self.rng.random_range(0..12))).collect();
            let listed: Vec<&String> = tokens.iter().collect();
            batch.set_tokens(node.as_ref(), &listed).expect("valid tokens");
            features.tokens = tokens;
        } else {
            let values: Vec<f32> = (0..WIDTH).map(|_| self.rng.random_range(-1.0..1.0)).collect();
            batch.set_dense(node.as_ref(), DENSE, &values).expect("valid numbers");
            features.dense = Some(values);
        }
    }

    /// The first difference between the reference and a snapshot, in words.
    pub(crate) fn difference(&self, snapshot: &Snapshot) -> Option<String> {
        let (nodes, edges) = read(snapshot);
        if nodes != self.nodes {
            let odd = self.nodes.iter().find(|&(name, features)| nodes.get(name) != Some(features));
            let extra = nodes.keys().find(|name| !self.nodes.contains_key(*name));
            return Some(format!("nodes: expected {odd:?}, or not at all {extra:?}"));
        }
        if edges != self.edges {
            let odd = self.edges.iter().find(|&(name, edge)| edges.get(name) != Some(edge));
            let extra = edges.keys().find(|name| !self.edges.contains_key(*name));
            return Some(format!("edges: expected {odd:?}, or not at all {extra:?}"));
        }
        (snapshot.node_count() != self.nodes.len() as u64).then(|| "the node count is off".to_owned())
    }
}

fn edge_name(relation: Option<&str>, a: NodeName, b: NodeName) -> EdgeName {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    (relation.map_or_else(|| format!("{}-{}", a.kind, b.kind), str::to_owned), a, b)
}

type Content = (BTreeMap<NodeName, Features>, BTreeMap<EdgeName, (f32, Option<i64>)>);

/// Everything in a snapshot, through its public face.
fn read(snapshot: &Snapshot) -> Content {
    let mut nodes = BTreeMap::new();
    let mut edges = BTreeMap::new();
    for kind in 0..snapshot.kind_count() {
        for node in snapshot.nodes_of(KindIx::new(kind as u8)) {
            let features = Features {
                tokens: snapshot.tokens(node).into_iter().map(str::to_owned).collect(),
                dense: snapshot.dense(node, DENSE).map(<[f32]>::to_vec),
            };
            nodes.insert(snapshot.name(node), features);
        }
    }
    for relation in (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16)) {
        let name = snapshot.relation_name(relation);
        let mut ends = 0;
        for node in (0..snapshot.bound()).map(NodeIx::new) {
            for (to, weight, time) in snapshot.list(relation, node).iter() {
                let key = edge_name(Some(name), snapshot.name(node), snapshot.name(to));
                let before = edges.insert(key, (weight, time));
                assert!(before.is_none_or(|before| before == (weight, time)), "both ends agree");
                ends += if node == to { 2 } else { 1 };
            }
        }
        assert_eq!(ends, 2 * snapshot.edge_count(relation), "the edge count of {name}");
    }
    (nodes, edges)
}
