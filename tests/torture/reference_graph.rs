//! The reference graph: maps of boards, pins, the edges between them, and the tokens of pins.

use std::collections::{BTreeMap, BTreeSet};

use hedgerow::{KindIx, NodeIx, RelationIx, Snapshot};

/// A node by its kind and the number that is its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Board(u32),
    Pin(u32),
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Board(key) => write!(f, "board:{key}"),
            Self::Pin(key) => write!(f, "pin:{key}"),
        }
    }
}

/// The keys of an edge's board and pin.
pub(crate) type Ends = (u32, u32);
/// Weight and time of an edge.
type WeightAndTime = (f32, Option<i64>);

/// One operation of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Link(Ends, WeightAndTime),
    Unlink(Ends),
    Remove(Node),
    SetTokens(u32, BTreeSet<String>),
}

/// The tokens of each node, and the weight and time of each edge.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Graph {
    pub(crate) nodes: BTreeMap<Node, BTreeSet<String>>,
    pub(crate) edges: BTreeMap<Ends, WeightAndTime>,
}

impl Graph {
    /// Applies the changes of one batch, and returns the nodes that differ after it.
    pub(crate) fn apply(&mut self, step: &[Change]) -> BTreeSet<Node> {
        // Apply the changes, and remember the first value of each edge and node.
        let (mut edges, mut nodes) = (BTreeMap::new(), BTreeMap::new());
        for change in step {
            match change {
                Change::Link(ends, weight_and_time) => {
                    for node in [Node::Board(ends.0), Node::Pin(ends.1)] {
                        nodes.entry(node).or_insert_with(|| self.nodes.get(&node).cloned());
                        self.nodes.entry(node).or_default();
                    }
                    let before = self.edges.insert(*ends, *weight_and_time);
                    edges.entry(*ends).or_insert(before);
                }
                Change::Unlink(ends) => {
                    let before = self.edges.remove(ends);
                    edges.entry(*ends).or_insert(before);
                }
                Change::Remove(node) => {
                    let before = self.nodes.remove(node);
                    nodes.entry(*node).or_insert(before);
                    let is_end = |ends: &Ends| Node::Board(ends.0) == *node || Node::Pin(ends.1) == *node;
                    let gone: Vec<Ends> = self.edges.keys().copied().filter(is_end).collect();
                    for ends in gone {
                        let before = self.edges.remove(&ends);
                        edges.entry(ends).or_insert(before);
                    }
                }
                Change::SetTokens(pin, words) => {
                    let before = self.nodes.insert(Node::Pin(*pin), words.clone());
                    nodes.entry(Node::Pin(*pin)).or_insert(before);
                }
            }
        }
        // The nodes whose edges or tokens differ from the first values.
        let linked = edges.iter().filter(|(ends, before)| self.edges.get(ends) != before.as_ref());
        let linked = linked.flat_map(|(ends, _)| [Node::Board(ends.0), Node::Pin(ends.1)]);
        let other = nodes.iter().filter(|(node, before)| self.nodes.get(node) != before.as_ref());
        linked.chain(other.map(|(node, _)| *node)).collect()
    }

    /// Reads a snapshot through the public API. An inconsistent snapshot is an error.
    pub(crate) fn read(snapshot: &Snapshot) -> Result<Self, String> {
        let mut graph = Self::default();
        let mut names = BTreeMap::new();
        for kind in (0..snapshot.kind_count()).map(|kind| KindIx::new(kind as u8)) {
            for node in snapshot.nodes_of(kind) {
                let name = parse_node(snapshot, node)?;
                names.insert(node.get(), name);
                graph.nodes.insert(name, snapshot.tokens(node).into_iter().map(str::to_owned).collect());
            }
        }
        // Each edge is in the lists of both of its nodes.
        let mut ends = 0;
        let mut edges = 0;
        for relation in (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16)) {
            edges += snapshot.edge_count(relation);
            for node in (0..snapshot.bound()).map(NodeIx::new) {
                for (to, weight, time) in snapshot.list(relation, node).iter() {
                    let pair = (names.get(&node.get()).copied(), names.get(&to.get()).copied());
                    let key = match pair {
                        (Some(Node::Board(board)), Some(Node::Pin(pin)))
                        | (Some(Node::Pin(pin)), Some(Node::Board(board))) => (board, pin),
                        _ => return Err(format!("an edge between {pair:?}")),
                    };
                    let before = graph.edges.insert(key, (weight, time));
                    if before.is_some_and(|before| before != (weight, time)) {
                        return Err(format!(
                            "the ends of edge {key:?} say {before:?} and {weight}, {time:?}"
                        ));
                    }
                    ends += 1;
                }
            }
        }
        if ends != 2 * edges || edges != graph.edges.len() as u64 {
            return Err(format!("{ends} ends of {edges} edges, {} of them different", graph.edges.len()));
        }
        Ok(graph)
    }

    /// A description of the differences between this graph and another one.
    pub(crate) fn difference(&self, found: &Self) -> String {
        let missing: Vec<&Ends> = self.edges.keys().filter(|ends| !found.edges.contains_key(ends)).collect();
        let extra: Vec<&Ends> = found.edges.keys().filter(|ends| !self.edges.contains_key(ends)).collect();
        let other = self
            .edges
            .iter()
            .filter(|(ends, weight_and_time)| found.edges.get(ends).is_some_and(|w| w != *weight_and_time));
        let nodes = self.nodes.iter().filter(|(node, words)| found.nodes.get(node) != Some(words));
        let newer = found.nodes.keys().filter(|node| !self.nodes.contains_key(node));
        format!(
            "{} edges missing {:?}, {} too many {:?}, {} with another weight or time, {} nodes missing or with \
             other tokens, {} nodes too many",
            missing.len(),
            &missing[..missing.len().min(3)],
            extra.len(),
            &extra[..extra.len().min(3)],
            other.count(),
            nodes.count(),
            newer.count()
        )
    }
}

/// The kind and number of a node.
fn parse_node(snapshot: &Snapshot, node: NodeIx) -> Result<Node, String> {
    let name = snapshot.name(node);
    let key = name.key.parse().map_err(|_| format!("a node {}:{}", name.kind, name.key))?;
    match name.kind.as_str() {
        "board" => Ok(Node::Board(key)),
        "pin" => Ok(Node::Pin(key)),
        _ => Err(format!("a node {}:{}", name.kind, name.key)),
    }
}
