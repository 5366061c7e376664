//! Co-occurrence: the similarity of two nodes by the neighbors that they share. It is the baseline for other methods.
//! Owns the counting; it ignores weights and times of edges, and knows neither walks nor models.

use hedgerow_storage::{CancelToken, NodeIx, Snapshot};

use crate::error::Error;
use crate::policies::relation_weights::{CountedRelations, RelationWeights};

/// Cosines of neighbor sets over all relations but those of dislikes: `|A and B| / sqrt(|A| |B|)` for the neighbor sets A and B of two nodes.
///
/// # Shapes
/// 20 bytes per node of the graph. The system provides memory only for the parts that a question touches.
///
/// # Determinism
/// Canonical: stores of equal content give equal bits, in whatever order the edges came.
///
/// # Source
/// Sarwar et al., "Item-based collaborative filtering recommendation algorithms" (WWW 2001), section 3.1, with all weights 1.
#[derive(Debug)]
pub struct Cooccurrence<'s> {
    snapshot: &'s Snapshot,
    relations: CountedRelations,
    /// By node: the sum of the weights of the starts linked to it. All zeros between two calls, like `sums`.
    weights: Vec<f64>,
    /// By node: the sum of the weights of its neighbors.
    sums: Vec<f64>,
    /// By node; 0 until the degree is first needed.
    degrees: Vec<u32>,
}

impl<'s> Cooccurrence<'s> {
    /// A counter over a snapshot.
    ///
    /// # Cost
    /// Address space for [`Cooccurrence`]'s vectors, and sorting the relations' names.
    pub fn new(snapshot: &'s Snapshot) -> Self {
        let relations = CountedRelations::new(snapshot, &RelationWeights::default());
        let bound = snapshot.bound() as usize;
        let (weights, sums) = (vec![0.0; bound], vec![0.0; bound]);
        Self { snapshot, relations, weights, sums, degrees: vec![0; bound] }
    }

    /// The other nodes of the same kind that share a neighbor with `node`, with their cosines, in no promised order.
    ///
    /// # Errors
    /// [`Error::Store`] with the cancellation.
    ///
    /// # Panics
    /// As [`Snapshot`] does, for a node that the store never numbered.
    ///
    /// # Cost
    /// The neighbors of all neighbors.
    pub fn cosines(&mut self, node: NodeIx, cancel: &CancelToken) -> Result<Vec<(NodeIx, f64)>, Error> {
        let shared = self.sums(&[(node, 1.0)], cancel)?;
        let own = self.degree(node);
        Ok(shared
            .into_iter()
            .map(|(other, shared)| (other, shared / (own * self.degree(other)).sqrt()))
            .collect())
    }

    /// The nodes of the history's kind that are not in it, with the sum of their cosines with the history, in no
    /// promised order.
    ///
    /// The kind is that of the history's node with the smallest stable id. A repeated node counts once.
    ///
    /// # Errors
    /// [`Error::Store`] with the cancellation.
    ///
    /// # Panics
    /// As [`Snapshot`] does, for a node that the store never numbered.
    ///
    /// # Cost
    /// The neighbors of all neighbors of the history, each neighbor of the history once.
    pub fn cosine_sums(
        &mut self,
        history: &[NodeIx],
        cancel: &CancelToken,
    ) -> Result<Vec<(NodeIx, f64)>, Error> {
        let mut starts: Vec<NodeIx> = history.to_vec();
        starts.sort_by_key(|node| self.snapshot.stable_id(*node));
        starts.dedup();
        if let [one] = starts[..] {
            return self.cosines(one, cancel);
        }
        // The sum of `shared / sqrt(d d')` over the history. The factor `1 / sqrt(d')` of the other node is taken out
        // of the sum.
        let starts: Vec<(NodeIx, f64)> =
            starts.into_iter().map(|node| (node, self.degree(node).sqrt().recip())).collect();
        let sums = self.sums(&starts, cancel)?;
        Ok(sums.into_iter().map(|(node, sum)| (node, sum / self.degree(node).sqrt())).collect())
    }

    /// The `k` nodes with the largest [`Cooccurrence::cosines`], the largest first, ties by stable id.
    ///
    /// # Errors
    /// [`Error::Store`] with the cancellation.
    ///
    /// # Cost
    /// As [`Cooccurrence::cosines`], and sorting the nodes found.
    pub fn nearest(
        &mut self,
        node: NodeIx,
        k: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<(NodeIx, f64)>, Error> {
        let mut ranked = self.cosines(node, cancel)?;
        let id = |node: NodeIx| self.snapshot.stable_id(node);
        ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| id(a.0).cmp(&id(b.0))));
        ranked.truncate(k);
        Ok(ranked)
    }

    /// The other nodes of the first start's kind, each with a sum over the starts: the start's weight times the
    /// neighbors shared.
    fn sums(&mut self, starts: &[(NodeIx, f64)], cancel: &CancelToken) -> Result<Vec<(NodeIx, f64)>, Error> {
        let Self { snapshot, relations, weights, sums, .. } = self;
        let snapshot: &Snapshot = snapshot;
        let (mut linked, mut found) = (Vec::new(), Vec::new());
        // Add the weight of each start to its neighbors.
        for &(node, weight) in starts {
            for (relation, _) in relations.iter() {
                snapshot.list(relation, node).runs().for_each(|run| add(weight, run, weights, &mut linked));
            }
        }
        // Add the weight of each neighbor to its own neighbors. After a cancellation the rest is only reset to zero.
        for node in linked {
            let weight = std::mem::take(&mut weights[node as usize]);
            for (relation, _) in relations.iter().filter(|_| !cancel.is_cancelled()) {
                let list = snapshot.list(relation, NodeIx::new(node));
                list.runs().for_each(|run| add(weight, run, sums, &mut found));
            }
        }
        // Leave out the starts and the nodes of other kinds, and reset the sums to zero.
        for (node, _) in starts {
            sums[node.index()] = 0.0;
        }
        let kind = starts.first().map(|&(node, _)| snapshot.kind(node));
        let mut others = Vec::with_capacity(found.len());
        for node in found {
            let sum = std::mem::take(&mut sums[node as usize]);
            let node = NodeIx::new(node);
            if sum > 0.0 && Some(snapshot.kind(node)) == kind {
                others.push((node, sum));
            }
        }
        cancel.check()?;
        Ok(others)
    }

    /// The degree over the relations, stored once it was needed.
    fn degree(&mut self, node: NodeIx) -> f64 {
        let degree = &mut self.degrees[node.index()];
        if *degree == 0 {
            *degree = u32::try_from(self.relations.degree(self.snapshot, node)).unwrap_or(u32::MAX);
        }
        f64::from(*degree)
    }
}

/// Adds to the sums of some nodes, and lists those whose sum was 0.
fn add(amount: f64, nodes: &[u32], sums: &mut [f64], listed: &mut Vec<u32>) {
    for &node in nodes {
        let sum = &mut sums[node as usize];
        if *sum == 0.0 {
            listed.push(node);
        }
        *sum += amount;
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::{Batch, CancelToken, Edge, NodeIx, NodeRef, Snapshot, Store};

    use super::Cooccurrence;

    fn pin(key: &str) -> NodeRef<'_> {
        NodeRef { kind: "pin", key }
    }

    /// Boards and their pins: x holds a, b, c; y holds a, b; z holds c, d; w holds d, e.
    fn boards() -> (tempfile::TempDir, Snapshot) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("store")).expect("it opens");
        let mut batch = Batch::new();
        for (board, pins) in [("x", "abc"), ("y", "ab"), ("z", "cd"), ("w", "de")] {
            for at in 0..pins.len() {
                let board = NodeRef { kind: "board", key: board };
                batch.link(board, pin(&pins[at..=at]), Edge::default()).expect("an edge");
            }
        }
        batch.add_node(pin("lone")).expect("a node");
        store.commit(&batch).expect("a commit");
        (folder, store.snapshot())
    }

    /// Pins a and b share both of their boards: 2 / sqrt(2 * 2). Pins a and c share x: 1 / sqrt(2 * 2).
    /// For the history a, c: b has 1 + 1/2; d shares z with c and has 1/2.
    #[test]
    fn cosines_of_neighbor_sets_are_the_hand_worked_numbers() {
        let (_folder, snapshot) = boards();
        let (mut cooccurrence, cancel) = (Cooccurrence::new(&snapshot), CancelToken::new());
        let node = |key| snapshot.require(pin(key)).expect("it is there");
        let sorted = |mut found: Vec<(NodeIx, f64)>| {
            found.sort_by_key(|(node, _)| snapshot.name(*node));
            found.into_iter().map(|(node, value)| (snapshot.name(node).key, value)).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            let of = sorted(cooccurrence.cosines(node("a"), &cancel).expect("it is not cancelled"));
            assert_eq!(of, [("b".to_owned(), 1.0), ("c".to_owned(), 0.5)]);
            let history = [node("c"), node("a"), node("c")];
            let of = sorted(cooccurrence.cosine_sums(&history, &cancel).expect("it is not cancelled"));
            let names: Vec<&str> = of.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(names, ["b", "d"]);
            assert!((of[0].1 - 1.5).abs() < 1e-12 && (of[1].1 - 0.5).abs() < 1e-12, "{of:?}");
        }
        assert_eq!(cooccurrence.nearest(node("a"), 1, &cancel).expect("not cancelled"), [(node("b"), 1.0)]);
        assert!(cooccurrence.cosines(node("lone"), &cancel).expect("not cancelled").is_empty());
        assert!(cooccurrence.cosine_sums(&[], &cancel).expect("not cancelled").is_empty());
    }

    #[test]
    fn a_cancelled_call_does_not_change_the_next_one() {
        let (_folder, snapshot) = boards();
        let (mut cooccurrence, cancelled) = (Cooccurrence::new(&snapshot), CancelToken::new());
        cancelled.cancel();
        let a = snapshot.require(pin("a")).expect("it is there");
        assert!(cooccurrence.cosines(a, &cancelled).is_err());
        let found = cooccurrence.cosines(a, &CancelToken::new()).expect("it is not cancelled");
        assert_eq!(
            found,
            Cooccurrence::new(&snapshot).cosines(a, &CancelToken::new()).expect("not cancelled")
        );
    }
}
