//! The visits of some sources' walks, and the neighbourhoods that they make.
//! Knows nothing of how the walks were made.

#![expect(
    clippy::inline_always,
    reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
)]

use hedgerow_storage::{KindIx, NodeIx, Snapshot};

use crate::hash::GOLDEN;
use crate::interleaved::ENDED;
use crate::neighborhood::Visit;
use crate::options::WalkOptions;

/// Sources whose visits are read together: as many numbers as share a cache line.
const LINE: usize = 16;

/// The visits of `width` sources, one column after another: the n-th column holds the n-th visit of each source, or
/// [`ENDED`]. Four bytes a visit.
pub(crate) struct VisitColumns {
    pub(crate) width: usize,
    pub(crate) columns: Vec<u32>,
}

/// Counts visits; keeps its memory from one source to the next.
pub(crate) struct VisitCounter<'s> {
    snapshot: &'s Snapshot,
    options: WalkOptions,
    kind: KindIx,
    /// The visits of [`LINE`] sources, one source after another.
    visited: Vec<u32>,
    seen: Vec<u64>,
    again: Vec<u64>,
    ranked: Vec<(u32, u64, u32)>,
}

impl<'s> VisitCounter<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot, options: WalkOptions, kind: KindIx) -> Self {
        let (visited, seen, again, ranked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { snapshot, options, kind, visited, seen, again, ranked }
    }

    /// Appends the neighbourhood of each source, and where it ends.
    pub(crate) fn count(
        &mut self,
        sources: &[NodeIx],
        visits: &VisitColumns,
        all: &mut Vec<Visit>,
        ends: &mut Vec<usize>,
    ) {
        Counting { counter: self, sources, visits, all, ends }.run();
    }

    /// Appends what is kept of one source's visits.
    #[inline(always)]
    fn keep(&mut self, source: u32, visited: &mut [u32], all: &mut Vec<Visit>) {
        let visited = if self.options.min_visits > 1 { self.leave_out_single(visited) } else { visited };
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
        // All ids at once, so that their cache lines come together.
        for (_, id, node) in &mut self.ranked {
            *id = self.snapshot.stable_id(NodeIx::new(*node)).get();
        }
        self.ranked.sort_unstable();
        let kept = self.ranked.iter().take(self.options.top as usize);
        all.extend(kept.map(|&(rest, _, node)| Visit { node: NodeIx::new(node), count: u32::MAX - rest }));
    }

    /// Leaves out most nodes that were visited once: two sets of bits, one of what was seen and one of what was seen
    /// again, by hash. Four of five visits of a sparse graph go here, before anything is sorted.
    #[inline(always)]
    fn leave_out_single<'v>(&mut self, visited: &'v mut [u32]) -> &'v mut [u32] {
        let words = (visited.len() / 8).next_power_of_two().max(16);
        for bits in [&mut self.seen, &mut self.again] {
            bits.clear();
            bits.resize(words, 0);
        }
        let (seen, again) = (&mut self.seen[..words], &mut self.again[..words]);
        let place = |node: u32| {
            let hash = u64::from(node).wrapping_mul(GOLDEN);
            ((hash >> 32) as usize & (words - 1), 1_u64 << (hash >> 58))
        };
        for &node in &*visited {
            let (word, bit) = place(node);
            again[word] |= seen[word] & bit;
            seen[word] |= bit;
        }
        // Without a branch: who stays is not to be predicted.
        let mut kept = 0;
        for at in 0..visited.len() {
            let node = visited[at];
            let (word, bit) = place(node);
            visited[kept] = node;
            kept += usize::from(again[word] & bit != 0);
        }
        &mut visited[..kept]
    }
}

struct Counting<'a, 's> {
    counter: &'a mut VisitCounter<'s>,
    sources: &'a [NodeIx],
    visits: &'a VisitColumns,
    all: &'a mut Vec<Visit>,
    ends: &'a mut Vec<usize>,
}

impl Counting<'_, '_> {
    fn run(self) {
        let count = self.visits.columns.len() / self.visits.width;
        let mut visited = std::mem::take(&mut self.counter.visited);
        visited.resize(LINE * count, ENDED);
        for (line, sources) in self.sources.chunks(LINE).enumerate() {
            for (nth, column) in self.visits.columns.chunks_exact(self.visits.width).enumerate() {
                for (source, &node) in column[line * LINE..][..sources.len()].iter().enumerate() {
                    visited[source * count + nth] = node;
                }
            }
            for (at, source) in sources.iter().enumerate() {
                self.counter.keep(source.get(), &mut visited[at * count..][..count], self.all);
                self.ends.push(self.all.len());
            }
        }
        self.counter.visited = visited;
    }
}
