//! The nodes that have a list in a relation: all of them, or few.
//! Owns the choice between both, and the search for a node among few; knows nothing of lists.

use crate::types::ids::NodeIx;

/// Records stand by node unless fewer than one node in this many has a list. A record by node is found by one read in 6 ns, a record
/// by owner by three in 9 ns. At this share records by node take 128 bytes a list, records by owner at most 24.
const NODES_PER_OWNER: u32 = 8;

/// The nodes whose records a relation keeps.
#[derive(Debug)]
pub(crate) enum Owners {
    /// Every node below this number, with a list or without.
    All(u32),
    /// The nodes with a list, ascending.
    Few(Vec<u32>, OwnerIndex),
}

impl Owners {
    /// The owners in a relation where these nodes have a list, each given once, in any order. All are below `bound`.
    ///
    /// # Determinism
    /// A function of the set of nodes and the bound.
    ///
    /// # Cost
    /// Takes no more nodes once they are not few.
    pub(crate) fn new(nodes: impl Iterator<Item = u32>, bound: u32) -> Self {
        let many = bound.div_ceil(NODES_PER_OWNER) as usize;
        let mut few: Vec<u32> = nodes.take(many).collect();
        if few.len() == many {
            return Self::All(bound);
        }
        few.sort_unstable();
        few.shrink_to_fit();
        let index = OwnerIndex::new(&few, bound);
        Self::Few(few, index)
    }

    /// The number of records; they are numbered from 0 on.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::All(bound) => *bound as usize,
            Self::Few(nodes, _) => nodes.len(),
        }
    }

    /// The node of a record.
    pub(crate) fn node(&self, record: usize) -> NodeIx {
        match self {
            Self::All(_) => NodeIx::new(record as u32),
            Self::Few(nodes, _) => NodeIx::new(nodes[record]),
        }
    }

    /// The nodes of all records, ascending.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeIx> + '_ {
        (0..self.count()).map(|record| self.node(record))
    }

    /// The record of a node below the bound.
    #[inline]
    pub(crate) fn record(&self, node: NodeIx) -> Option<usize> {
        match self {
            Self::All(_) => Some(node.index()),
            Self::Few(nodes, index) => index.find(nodes, node.get()),
        }
    }
}

/// Finds a node among few, of which it has the places and not the numbers. Size: at most 4 bytes an owner, and 8.
///
/// Node numbers are divided by their high bits into no more buckets than there are owners, so a bucket holds about one.
#[derive(Debug)]
pub(crate) struct OwnerIndex {
    shift: u32,
    /// For each bucket and one more the number of owners in the buckets before it.
    starts: Vec<u32>,
}

impl OwnerIndex {
    /// An index of nodes that pass [`Self::check`].
    pub(crate) fn new(nodes: &[u32], bound: u32) -> Self {
        let last = bound.saturating_sub(1);
        let shift = (0..31).find(|&shift| (last >> shift) as usize <= nodes.len()).unwrap_or(31);
        let mut starts = vec![0; (last >> shift) as usize + 2];
        for node in nodes {
            starts[(node >> shift) as usize + 1] += 1;
        }
        let mut before = 0;
        for start in &mut starts {
            before += *start;
            *start = before;
        }
        Self { shift, starts }
    }

    /// Validates the nodes of a file.
    ///
    /// # Errors
    /// A description of the damage.
    pub(crate) fn check(nodes: &[u32], bound: u32) -> Result<(), &'static str> {
        if !nodes.is_sorted_by(|one, other| one < other) {
            return Err("nodes that are not in ascending order");
        }
        if nodes.last().is_some_and(|&last| last >= bound) {
            return Err("a node that does not exist");
        }
        Ok(())
    }

    /// The place of a node among the nodes that the index was made from; `None` for any other number.
    pub(crate) fn find(&self, nodes: &[u32], node: u32) -> Option<usize> {
        let bucket = (node >> self.shift) as usize;
        let (&start, &end) = (self.starts.get(bucket)?, self.starts.get(bucket + 1)?);
        let found = nodes[start as usize..end as usize].binary_search(&node).ok()?;
        Some(start as usize + found)
    }

    /// The value that [`Self::find`] reads first.
    pub(crate) fn first_read(&self, node: u32) -> (&[u32], usize) {
        (&self.starts, (node >> self.shift) as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hedgerow_test_support::{Random, fuzz_config};

    use super::*;

    #[test]
    fn an_index_finds_its_nodes_and_no_others() {
        let (seed, rounds) = (fuzz_config::seed(5), fuzz_config::rounds(1) * 300);
        let mut random = Random::new(seed);
        for round in 0..rounds {
            let bound = 1 + random.below(2000_u32);
            // Nodes from everywhere, or from a part of the numbers.
            let (first, most) = (random.below(bound), random.below(bound));
            let mut node =
                || if round % 2 == 0 { random.below(bound) } else { first + random.below(bound - first) };
            let nodes: BTreeSet<u32> = (0..most).map(|_| node()).collect();
            let nodes: Vec<u32> = nodes.into_iter().collect();
            OwnerIndex::check(&nodes, bound).expect("ascending and below the bound");
            let index = OwnerIndex::new(&nodes, bound);
            assert!(index.starts.len() <= nodes.len() + 2, "seed {seed}, round {round}: {index:?}");
            for node in (0..bound + 300).chain([u32::MAX]) {
                let expected = nodes.binary_search(&node).ok();
                assert_eq!(index.find(&nodes, node), expected, "seed {seed}, round {round}, node {node}");
            }
        }
    }

    #[test]
    fn numbers_up_to_the_largest_are_found() {
        let nodes = [0, 1 << 31, u32::MAX - 2];
        let index = OwnerIndex::new(&nodes, u32::MAX - 1);
        assert_eq!(
            [0, 1 << 31, u32::MAX - 2, 1, u32::MAX].map(|node| index.find(&nodes, node)),
            [Some(0), Some(1), Some(2), None, None]
        );
    }

    #[test]
    fn owners_are_few_below_one_in_eight_whatever_their_order() {
        let owners = |nodes: u32, bound| Owners::new((0..nodes).rev(), bound);
        for (nodes, bound) in [(0, 1), (1, 9), (7, 57), (99, 800)] {
            let few = owners(nodes, bound);
            assert!(matches!(&few, Owners::Few(found, _) if found.iter().copied().eq(0..nodes)), "{few:?}");
        }
        for (nodes, bound) in [(0, 0), (1, 1), (1, 8), (7, 56), (100, 800)] {
            let all = owners(nodes, bound);
            assert!(matches!(all, Owners::All(found) if found == bound), "{all:?}");
        }
    }
}
