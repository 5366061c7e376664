//! The visits of the walks of several sources, counted and ranked into neighborhoods.
//! Does not know how the walks were made.

#![expect(
    clippy::inline_always,
    reason = "a hop is a handful of these functions: calls between them make dense walks a sixth slower"
)]

use hedgerow_storage::{KindIx, NodeIx, Snapshot};

use crate::interleaved::ENDED;
use crate::options::WalkOptions;
use crate::stable_draw::GOLDEN;

/// Sources whose visits are read together: as many `u32` as a cache line of 64 bytes holds.
const SOURCES_PER_LINE: usize = 16;

/// A node of a neighborhood. Its importance is `count` over the sum of the neighborhood's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Visit {
    /// The node visited.
    pub node: NodeIx,
    /// The number of visits by all walks of the source.
    pub count: u32,
}

/// The visits of `width` sources, in columns of `width` numbers.
///
/// Column n holds visit n of each source, or [`ENDED`]. Four bytes per visit.
pub(crate) struct VisitColumns {
    pub(crate) width: usize,
    pub(crate) columns: Vec<u32>,
}

/// A counter of visits; it keeps its memory from one source to the next.
pub(crate) struct VisitCounter<'s> {
    snapshot: &'s Snapshot,
    options: WalkOptions,
    kind: KindIx,
    /// The visits of [`SOURCES_PER_LINE`] sources, one source after another.
    visited: Vec<u32>,
    /// Bits by hash: nodes seen once or more.
    seen: Vec<u64>,
    /// Bits by hash: nodes seen twice or more.
    seen_again: Vec<u64>,
    /// The complement of the count, the stable id and the node: ascending order is the order of a neighborhood.
    ranked: Vec<(u32, u64, u32)>,
}

impl<'s> VisitCounter<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot, options: WalkOptions, kind: KindIx) -> Self {
        let (visited, seen, seen_again, ranked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { snapshot, options, kind, visited, seen, seen_again, ranked }
    }

    /// Appends the neighborhood of each source to `all`, and the length of `all` after it to `ends`.
    pub(crate) fn count(
        &mut self,
        sources: &[NodeIx],
        visits: &VisitColumns,
        all: &mut Vec<Visit>,
        ends: &mut Vec<usize>,
    ) {
        let count = visits.columns.len() / visits.width;
        let mut visited = std::mem::take(&mut self.visited);
        visited.resize(SOURCES_PER_LINE * count, ENDED);
        for (line, sources) in sources.chunks(SOURCES_PER_LINE).enumerate() {
            // Transpose the columns, a cache line at a time.
            for (nth, column) in visits.columns.chunks_exact(visits.width).enumerate() {
                for (source, &node) in column[line * SOURCES_PER_LINE..][..sources.len()].iter().enumerate() {
                    visited[source * count + nth] = node;
                }
            }
            for (at, source) in sources.iter().enumerate() {
                self.append_neighborhood(source.get(), &mut visited[at * count..][..count], all);
                ends.push(all.len());
            }
        }
        self.visited = visited;
    }

    /// Appends the neighborhood of one source.
    #[inline(always)]
    fn append_neighborhood(&mut self, source: u32, visited: &mut [u32], all: &mut Vec<Visit>) {
        let visited = if self.options.min_visits > 1 { self.drop_single_visits(visited) } else { visited };
        visited.sort_unstable();
        self.ranked.clear();
        for same in visited.chunk_by(|a, b| a == b) {
            let (node, count) = (same[0], same.len() as u32);
            if count >= self.options.min_visits
                && node != source
                && node != ENDED
                && self.snapshot.kind(NodeIx::new(node)) == self.kind
            {
                self.ranked.push((u32::MAX - count, 0, node));
            }
        }
        // Read all ids in one loop, so that their cache misses overlap.
        for (_, id, node) in &mut self.ranked {
            *id = self.snapshot.stable_id(NodeIx::new(*node)).get();
        }
        self.ranked.sort_unstable();
        let kept = self.ranked.iter().take(self.options.top as usize);
        all.extend(kept.map(|&(rest, _, node)| Visit { node: NodeIx::new(node), count: u32::MAX - rest }));
    }

    /// Drops most nodes that were visited once, and returns the rest.
    ///
    /// Two bit sets hold the hashes of nodes seen once and of nodes seen again. In a sparse graph this drops four of
    /// five visits before anything is sorted.
    #[inline(always)]
    fn drop_single_visits<'v>(&mut self, visited: &'v mut [u32]) -> &'v mut [u32] {
        let words = (visited.len() / 8).next_power_of_two().max(16);
        for bits in [&mut self.seen, &mut self.seen_again] {
            bits.clear();
            bits.resize(words, 0);
        }
        let (seen, seen_again) = (&mut self.seen[..words], &mut self.seen_again[..words]);
        let place = |node: u32| {
            let hash = u64::from(node).wrapping_mul(GOLDEN);
            ((hash >> 32) as usize & (words - 1), 1_u64 << (hash >> 58))
        };
        for &node in &*visited {
            let (word, bit) = place(node);
            seen_again[word] |= seen[word] & bit;
            seen[word] |= bit;
        }
        // The loop has no branch, because a branch on the bit would be mispredicted often.
        let mut kept = 0;
        for at in 0..visited.len() {
            let node = visited[at];
            let (word, bit) = place(node);
            visited[kept] = node;
            kept += usize::from(seen_again[word] & bit != 0);
        }
        &mut visited[..kept]
    }
}
