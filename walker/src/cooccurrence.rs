//! What is linked to what a node is linked to: the plainest way to say which nodes belong together, and what others are judged by.
//! Owns the counting; weights and times of edges, walks and models are nothing to it.

use hedgerow_storage::{CancelToken, NodeIx, RelationIx, Snapshot};

use crate::error::Error;

/// Cosines of neighbor sets, through all relations: of A and B, `|A and B| / sqrt(|A| |B|)`.
///
/// Size: 20 bytes a node of the graph, of which only what is touched comes into memory.
/// Determinism: stores of equal content give equal bits, in whatever order edges came.
/// Source: Sarwar et al., "Item-based collaborative filtering recommendation algorithms" (WWW 2001), section 3.1, for edges without
/// weights.
#[derive(Debug)]
pub struct Cooccurrence<'s> {
    snapshot: &'s Snapshot,
    /// By name.
    relations: Vec<RelationIx>,
    /// By node, what came to it from where the question starts; all zeros between two questions, as `sums` are.
    shares: Vec<f64>,
    /// By node, what came from there.
    sums: Vec<f64>,
    /// By node; 0 where nobody has asked yet.
    degrees: Vec<u32>,
}

impl<'s> Cooccurrence<'s> {
    /// Cost: none until it is asked.
    pub fn new(snapshot: &'s Snapshot) -> Self {
        let mut relations: Vec<RelationIx> =
            (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16)).collect();
        relations.sort_by_key(|relation| snapshot.relation_name(*relation));
        let bound = snapshot.bound() as usize;
        let (shares, sums) = (vec![0.0; bound], vec![0.0; bound]);
        Self { snapshot, relations, shares, sums, degrees: vec![0; bound] }
    }

    /// The other nodes of the same kind that share a neighbor with `node`, in no promised order.
    ///
    /// # Errors
    /// A cancellation.
    /// # Panics
    /// As [`Snapshot`] does, for a number that the store never gave out.
    /// # Cost
    /// The neighbors of all neighbors.
    pub fn of(&mut self, node: NodeIx, cancel: &CancelToken) -> Result<Vec<(NodeIx, f64)>, Error> {
        let shared = self.sums(&[(node, 1.0)], cancel)?;
        let own = self.degree(node);
        Ok(shared
            .into_iter()
            .map(|(other, shared)| (other, shared / (own * self.degree(other)).sqrt()))
            .collect())
    }

    /// The nodes of the history's kind, without those in it, each with the sum of its cosines with them; in no promised order.
    ///
    /// # Errors
    /// A cancellation.
    /// # Panics
    /// As [`Snapshot`] does, for a number that the store never gave out.
    /// # Cost
    /// The neighbors of all that are linked to something of the history, each once.
    pub fn of_history(
        &mut self,
        history: &[NodeIx],
        cancel: &CancelToken,
    ) -> Result<Vec<(NodeIx, f64)>, Error> {
        let mut starts: Vec<NodeIx> = history.to_vec();
        starts.sort_by_key(|node| self.snapshot.stable_id(*node));
        starts.dedup();
        if let [one] = starts[..] {
            return self.of(one, cancel);
        }
        // The sum of `shared / sqrt(d d')` over the history, with what is the same for all of a sum taken out of it.
        let starts: Vec<(NodeIx, f64)> =
            starts.into_iter().map(|node| (node, self.degree(node).sqrt().recip())).collect();
        let sums = self.sums(&starts, cancel)?;
        Ok(sums.into_iter().map(|(node, sum)| (node, sum / self.degree(node).sqrt())).collect())
    }

    /// The first `most` of [`Cooccurrence::of`]: largest cosine first, ties by stable id.
    ///
    /// # Errors
    /// A cancellation.
    pub fn nearest(
        &mut self,
        node: NodeIx,
        most: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<(NodeIx, f64)>, Error> {
        let mut ranked = self.of(node, cancel)?;
        let id = |node: NodeIx| self.snapshot.stable_id(node);
        ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| id(a.0).cmp(&id(b.0))));
        ranked.truncate(most);
        Ok(ranked)
    }

    /// The other nodes of the kind of the first start, each with the weights of the starts times the neighbors that it shares with
    /// them.
    fn sums(&mut self, starts: &[(NodeIx, f64)], cancel: &CancelToken) -> Result<Vec<(NodeIx, f64)>, Error> {
        let Self { snapshot, relations, shares, sums, .. } = self;
        let snapshot: &Snapshot = snapshot;
        let (mut between, mut found) = (Vec::new(), Vec::new());
        for &(node, weight) in starts {
            for &relation in &*relations {
                snapshot.list(relation, node).runs().for_each(|run| add(weight, run, shares, &mut between));
            }
        }
        for list in between {
            let share = std::mem::take(&mut shares[list as usize]);
            // Once cancelled, what is left is only put back to zero.
            for &relation in relations.iter().filter(|_| !cancel.is_cancelled()) {
                let list = snapshot.list(relation, NodeIx::new(list));
                list.runs().for_each(|run| add(share, run, sums, &mut found));
            }
        }
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

    fn degree(&mut self, node: NodeIx) -> f64 {
        let degree = &mut self.degrees[node.index()];
        if *degree == 0 {
            *degree = u32::try_from(self.snapshot.degree(node)).unwrap_or(u32::MAX);
        }
        f64::from(*degree)
    }
}

/// Adds to the sums of some nodes, and lists those that had none.
fn add(share: f64, nodes: &[u32], sums: &mut [f64], listed: &mut Vec<u32>) {
    for &node in nodes {
        let sum = &mut sums[node as usize];
        if *sum == 0.0 {
            listed.push(node);
        }
        *sum += share;
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::{Batch, CancelToken, Edge, NodeIx, NodeRef, Snapshot, Store};

    use super::Cooccurrence;

    fn pin(key: &str) -> NodeRef<'_> {
        NodeRef { kind: "pin", key }
    }

    /// Boards and what is on them: x holds a, b, c; y holds a, b; z holds c, d; w holds d, e.
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

    /// a and b share both boards of theirs: 2 / sqrt(2 * 2). a and c share x: 1 / sqrt(2 * 2).
    /// To the history a, c: b has 1 + 1/2; d shares z with c: 1/2.
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
            let of = sorted(cooccurrence.of(node("a"), &cancel).expect("it is not cancelled"));
            assert_eq!(of, [("b".to_owned(), 1.0), ("c".to_owned(), 0.5)]);
            let history = [node("c"), node("a"), node("c")];
            let of = sorted(cooccurrence.of_history(&history, &cancel).expect("it is not cancelled"));
            let names: Vec<&str> = of.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(names, ["b", "d"]);
            assert!((of[0].1 - 1.5).abs() < 1e-12 && (of[1].1 - 0.5).abs() < 1e-12, "{of:?}");
        }
        assert_eq!(cooccurrence.nearest(node("a"), 1, &cancel).expect("not cancelled"), [(node("b"), 1.0)]);
        assert!(cooccurrence.of(node("lone"), &cancel).expect("not cancelled").is_empty());
        assert!(cooccurrence.of_history(&[], &cancel).expect("not cancelled").is_empty());
    }

    #[test]
    fn a_cancelled_question_leaves_nothing_behind_for_the_next() {
        let (_folder, snapshot) = boards();
        let (mut cooccurrence, cancelled) = (Cooccurrence::new(&snapshot), CancelToken::new());
        cancelled.cancel();
        let a = snapshot.require(pin("a")).expect("it is there");
        assert!(cooccurrence.of(a, &cancelled).is_err());
        let found = cooccurrence.of(a, &CancelToken::new()).expect("it is not cancelled");
        assert_eq!(found, Cooccurrence::new(&snapshot).of(a, &CancelToken::new()).expect("not cancelled"));
    }
}
