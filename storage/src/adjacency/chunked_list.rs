//! A long list in chunks, of which a change rewrites one. Each chunk is a list of its own, for consecutive groups of
//! slots.
//! Answers every query of a [`List`]; knows neither where lists lie nor which of them are long.

use std::sync::Arc;

use crate::adjacency::chunked_edits::{ChunkedEdits, build_chunk};
use crate::adjacency::list::List;
use crate::adjacency::list::{GROUP, NO_TIME};
use crate::adjacency::list_builder::Change;
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{GROUP_BITS, slot_bits};
use crate::types::ids::{NodeIx, StableId};

/// A list in chunks; the lists before and after a change share unchanged chunks.
///
/// There are about as many chunks as groups in a chunk, within a factor of two. So a change costs the square root of
/// the degree: one pointer for each chunk, and the words of one chunk. At a million neighbors that is 6 microseconds
/// and 38 KB, or 62 KB with weights; rewriting the list took 55 ms and 4.4 MB.
#[derive(Clone, Debug)]
pub(crate) struct ChunkedList {
    /// The number of slots of a chunk, as a power of two; more than one group.
    bits: u32,
    /// The chunks; their number is a power of two.
    chunks: Box<[Chunk]>,
    degree: usize,
    /// The exponent of the largest weight.
    exponent: i32,
    /// The same neighbors in a table of the next larger or smaller size, kept while the degree is near the boundary
    /// between both sizes. Without it, a degree that crosses the boundary back and forth would rebuild the table with
    /// each change.
    alternate_table: Option<Arc<ChunkedList>>,
}

/// The list of the neighbors in consecutive groups.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) record: Record,
    pub(crate) words: Arc<[u32]>,
    /// The number of neighbors in earlier chunks.
    pub(crate) first_position: usize,
}

impl Chunk {
    fn list(&self) -> List<'_> {
        List::new(self.record, &self.words)
    }

    fn end(&self) -> usize {
        self.first_position + self.list().degree()
    }
}

impl ChunkedList {
    /// Divides a contiguous list.
    ///
    /// # Cost
    /// Copies its words: 3 ms for a million neighbors, 8 with weights.
    pub(crate) fn split(list: &List<'_>) -> Self {
        let groups = list.slot_bits() - GROUP_BITS;
        let count = groups / 2;
        let (bits, groups_per_chunk) = (list.slot_bits() - count, 1 << (groups - count));
        let chunks = (0..1 << count)
            .map(|chunk| chunk * groups_per_chunk..(chunk + 1) * groups_per_chunk)
            .map(|groups| build_chunk(list, groups, &[]));
        Self::of(bits, chunks.collect())
    }

    fn of(bits: u32, mut chunks: Box<[Chunk]>) -> Self {
        let (mut degree, mut exponent) = (0, i32::MIN);
        for chunk in &mut chunks {
            chunk.first_position = degree;
            let list = chunk.list();
            degree += list.degree();
            if !list.is_empty() {
                exponent = exponent.max(list.max_weight_exponent());
            }
        }
        Self { bits, chunks, degree, exponent, alternate_table: None }
    }

    /// The record of the list as a contiguous one.
    pub(crate) fn record(&self, owner: StableId) -> Record {
        let is_weighted = self.lists().any(|list| list.is_weighted());
        let is_timed = self.lists().any(|list| list.is_timed());
        Record::new(owner, self.slot_bits(), is_weighted, is_timed, self.degree as u64)
    }

    pub(crate) fn slot_bits(&self) -> u32 {
        self.bits + self.chunks.len().trailing_zeros()
    }

    /// Like [`List::max_weight_exponent`], for a list with weights.
    pub(crate) fn max_weight_exponent(&self) -> i32 {
        self.exponent
    }

    /// The position of the neighbor in a slot.
    #[cold]
    pub(crate) fn at_slot(&self, slot: usize) -> Option<usize> {
        let chunk = &self.chunks[slot >> self.bits];
        let list = chunk.list();
        // An empty list has a table of one slot.
        if list.is_empty() {
            return None;
        }
        list.at_slot(slot & ((1 << self.bits) - 1)).map(|at| chunk.first_position + at)
    }

    /// The chunk that contains a position, and the position within it.
    #[cold]
    pub(crate) fn find(&self, position: usize) -> (List<'_>, usize) {
        // Hashes spread neighbors evenly over slots, so this estimate is off by one chunk at most, and rarely.
        let guess = (position << self.chunks.len().trailing_zeros()) / self.degree.max(1);
        let at = match self.chunks.get(guess) {
            Some(chunk) if chunk.first_position <= position && position < chunk.end() => guess,
            Some(_) | None => self.chunks.partition_point(|chunk| chunk.first_position <= position) - 1,
        };
        let chunk = &self.chunks[at];
        (chunk.list(), position - chunk.first_position)
    }

    /// The lists of the chunks, in order.
    pub(crate) fn lists(&self) -> impl Iterator<Item = List<'_>> + Clone {
        self.chunks.iter().map(Chunk::list)
    }

    /// Writes the block of the list as a contiguous one.
    pub(crate) fn fill(&self, words: &mut [u32], is_weighted: bool, is_timed: bool) {
        // The columns of the block: exponent, groups, neighbors, weights, times.
        let (exponent, words) = words.split_at_mut(usize::from(is_weighted));
        exponent.fill(self.exponent as u32);
        let (table, words) = words.split_at_mut(GROUP << (self.slot_bits() - GROUP_BITS));
        let (nodes, words) = words.split_at_mut(self.degree);
        let (weights, words) = words.split_at_mut(if is_weighted { self.degree } else { 0 });
        let times = words;
        let words_per_chunk = GROUP << (self.bits - GROUP_BITS);
        // Each chunk fills its range of every column; ranks count from the start of the list.
        for (chunk, table) in self.chunks.iter().zip(table.chunks_exact_mut(words_per_chunk)) {
            let list = chunk.list();
            for (group, words) in table.chunks_exact_mut(GROUP).enumerate() {
                let (occupied, rank) = list.group_or_none(group);
                words.copy_from_slice(&[
                    occupied as u32,
                    (occupied >> 32) as u32,
                    (chunk.first_position + rank) as u32,
                ]);
            }
            let (some_nodes, some_weights, some_times) = list.columns();
            let at = chunk.first_position..chunk.end();
            nodes[at.clone()].copy_from_slice(some_nodes);
            if is_weighted {
                match some_weights {
                    Some(some) => weights[at.clone()].copy_from_slice(some),
                    None => weights[at.clone()].fill(1.0_f32.to_bits()),
                }
            }
            if is_timed {
                let times = &mut times[2 * at.start..2 * at.end];
                match some_times {
                    Some(some) => times.copy_from_slice(some),
                    None => times.chunks_exact_mut(2).for_each(|time| {
                        time.copy_from_slice(&[NO_TIME as u64 as u32, (NO_TIME as u64 >> 32) as u32]);
                    }),
                }
            }
        }
    }

    /// The list after changes; `None` if the table changes its size and the alternate table has another size.
    ///
    /// # Cost
    /// For each change the slots on its path and the words of a chunk; once, one pointer for each chunk.
    pub(crate) fn edit(
        &self,
        changes: &[Change],
        degree: usize,
        id_of: impl Fn(NodeIx) -> StableId + Copy,
    ) -> Option<Self> {
        let alternate_table = self.alternate_table.as_deref();
        let bits = slot_bits(degree);
        let (main, other) = if bits == self.slot_bits() {
            (
                self,
                alternate_table.filter(|alternate_table| is_near(degree, bits, alternate_table.slot_bits())),
            )
        } else {
            (alternate_table.filter(|alternate_table| alternate_table.slot_bits() == bits)?, Some(self))
        };
        let alternate_table = other.map(|other| Arc::new(other.change(changes, id_of)));
        Some(Self { alternate_table, ..main.change(changes, id_of) })
    }

    /// The same list, with the list before a change of table size as its alternate table, updated by the same changes.
    pub(crate) fn with_alternate(
        self,
        old: &Self,
        changes: &[Change],
        id_of: impl Fn(NodeIx) -> StableId + Copy,
    ) -> Self {
        let is_near = is_near(self.degree, self.slot_bits(), old.slot_bits());
        Self { alternate_table: is_near.then(|| Arc::new(old.change(changes, id_of))), ..self }
    }

    /// The list after changes that keep the table's size, without an alternate table.
    fn change(&self, changes: &[Change], id_of: impl Fn(NodeIx) -> StableId + Copy) -> Self {
        let mut edits = ChunkedEdits::new(self, id_of);
        edits.make(changes);
        let mut chunks = self.chunks.clone();
        let groups_per_chunk = 1 << (self.bits - GROUP_BITS);
        for altered in edits
            .finish()
            .chunk_by(|one, other| one.group / groups_per_chunk == other.group / groups_per_chunk)
        {
            let chunk = &mut chunks[altered[0].group / groups_per_chunk];
            *chunk = build_chunk(&chunk.list(), 0..groups_per_chunk, altered);
        }
        Self::of(self.bits, chunks)
    }
}

/// True if a degree is near the boundary between two table sizes: within a sixteenth of it. Then the cost of a rebuild,
/// spread over the changes that lead there, is a few microseconds each.
fn is_near(degree: usize, one: u32, other: u32) -> bool {
    // The boundary: a table is at most half full.
    let meeting = 1_usize << one.min(other) >> 1;
    one.abs_diff(other) == 1 && degree.abs_diff(meeting) <= meeting / 16
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::adjacency::list_builder::WeightTime;
    use crate::adjacency::list_builder::{ListBuilder, ListEntry};
    use hedgerow_test_support::Random;

    /// A list under change, and its expected content.
    struct Pair {
        random: Random,
        ids: Vec<StableId>,
        inside: BTreeMap<NodeIx, WeightTime>,
        list: ListBuilder,
    }

    const OWNER: StableId = StableId::new(0xabcd_0000_0000);

    impl Pair {
        /// A list with this many neighbors out of `nodes`; every tenth node or so has its home in the last groups.
        fn new(seed: u64, nodes: usize, degree: usize) -> Self {
            let mut random = Random::new(seed);
            let mut ids = BTreeSet::new();
            while ids.len() < nodes {
                let id = random.next();
                let crowd = if ids.len().is_multiple_of(10) && ids.len() < 2000 { 0xfff8 << 48 } else { 0 };
                ids.insert(StableId::new(id | crowd));
            }
            // In random order.
            let mut ids: Vec<StableId> = ids.into_iter().collect();
            ids.sort_by_key(|id| id.get().wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let inside: BTreeMap<_, _> =
                (0..degree as u32).map(|at| (NodeIx::new(at), (1.0, None))).collect();
            let list = ListBuilder::build(OWNER, Vec::new());
            let mut pair = Self { random, ids, inside, list };
            pair.list = pair.anew();
            pair
        }

        fn anew(&self) -> ListBuilder {
            let entry = |(&node, &(weight, time)): (&NodeIx, &WeightTime)| ListEntry {
                node,
                id: self.ids[node.index()],
                weight,
                time,
            };
            ListBuilder::build(OWNER, self.inside.iter().map(entry).collect())
        }

        fn make(&mut self, changes: &BTreeMap<NodeIx, Option<WeightTime>>) {
            for (&node, &new) in changes {
                match new {
                    Some(new) => drop(self.inside.insert(node, new)),
                    None => drop(self.inside.remove(&node)),
                }
            }
            let id_of = |node: NodeIx| self.ids[node.index()];
            let changes: Vec<Change> = changes.iter().map(|(&node, &new)| (node, id_of(node), new)).collect();
            let old = self.list.as_list();
            self.list = ListBuilder::edit(OWNER, old, &changes, None, id_of);
        }

        /// A change at a random node that is a neighbor, or at one that is not.
        fn change(&mut self, is_inside: bool, new: Option<WeightTime>) {
            let node = loop {
                let node = NodeIx::new((self.random.next() % self.ids.len() as u64) as u32);
                if self.inside.contains_key(&node) == is_inside {
                    break node;
                }
            };
            self.make(&BTreeMap::from([(node, new)]));
        }

        /// Compares every query with a list that is built from scratch.
        fn check(&mut self, when: &str) {
            let anew = self.anew();
            let (list, anew) = (self.list.as_list(), anew.as_list());
            assert_eq!(list.record(), anew.record(), "{when}");
            assert_eq!(list.words(), anew.words(), "{when}");
            assert_eq!(List::check(list.record(), &list.words(), self.ids.len() as u32), Ok(()));
            assert_eq!(
                (list.degree(), list.slot_bits(), list.salt()),
                (anew.degree(), anew.slot_bits(), anew.salt())
            );
            assert_eq!((list.is_weighted(), list.is_timed()), (anew.is_weighted(), anew.is_timed()));
            assert_eq!(list.max_weight_exponent(), anew.max_weight_exponent());
            for slot in 0..1 << anew.slot_bits() {
                assert_eq!(list.at_slot(slot), anew.at_slot(slot), "{when}, slot {slot}");
            }
            for at in 0..anew.degree() {
                assert_eq!(list.neighbor(at), anew.neighbor(at), "{when}, position {at}");
                assert_eq!(list.place(at).neighbor(), Some(anew.neighbor(at)));
                assert_eq!(list.weight(at).to_bits(), anew.weight(at).to_bits());
                assert_eq!(list.time(at), anew.time(at));
                assert_eq!(list.relative_weight(at).to_bits(), anew.relative_weight(at).to_bits());
            }
            assert!(list.iter().eq(anew.iter()));
            assert!(list.neighbors().eq(anew.neighbors()));
            assert_eq!(list.runs().collect::<Vec<_>>().concat(), anew.runs().collect::<Vec<_>>().concat());
            for (at, &id) in (0..).zip(&self.ids) {
                assert_eq!(list.position(NodeIx::new(at), id), anew.position(NodeIx::new(at), id));
            }
            for _ in 0..200 {
                let hash = self.random.next();
                list.prefetch_hash(hash);
                assert_eq!(list.at_hash(hash), anew.at_hash(hash), "{when}, hash {hash:x}");
            }
        }

        fn chunks(&self) -> Option<&ChunkedList> {
            self.list.as_list().chunks()
        }
    }

    /// Weights of all sizes come and go, so that chunks and lists gain and lose columns, and the largest weight
    /// changes.
    fn weight_and_time(random: &mut Random, round: u64) -> WeightTime {
        let weight = match (round % 4, random.next() % 8) {
            (0, _) | (_, 0..3) => 1.0,
            (1, _) => 0.25,
            (_, more) => f32::from(more as u8) * 1.5,
        };
        let time = (round % 3 == 1 && random.next().is_multiple_of(4)).then(|| random.next() as i64 >> 8);
        (weight, time)
    }

    #[test]
    fn a_chunked_list_equals_the_one_that_is_built_anew() {
        let mut chunked = 0;
        for round in 0..48 {
            let mut random = Random::new(round + 100);
            let degree = 70 + (random.next() % 500) as usize;
            let mut pair = Pair::new(random.next(), degree + 150, degree);
            let mut kept = Vec::new();
            for step in 0..60 {
                let changes: BTreeMap<_, _> = (0..=random.next() % (1 + degree as u64 / 64))
                    .map(|_| {
                        let node = NodeIx::new((random.next() % pair.ids.len() as u64) as u32);
                        let is_new = !pair.inside.contains_key(&node) || random.next().is_multiple_of(4);
                        (node, is_new.then(|| weight_and_time(&mut random, round)))
                    })
                    .collect();
                pair.make(&changes);
                pair.check(&format!("round {round}, step {step}"));
                chunked += usize::from(pair.chunks().is_some());
                if step % 7 == 0 {
                    kept.push((pair.list.clone(), pair.anew()));
                }
            }
            assert!(kept.iter().all(|(list, then)| list == then), "round {round}: a kept list stays");
        }
        assert!(chunked > 2000, "{chunked} of 2880 lists were chunked");
    }

    #[test]
    fn lists_of_thousands_of_neighbors_are_changed_edge_by_edge() {
        for (round, degree, steps) in [(1, 3000, 40), (2, 20_000, 12), (3, 4097, 40), (4, 100_000, 6)] {
            let mut pair = Pair::new(round, degree + degree / 10, degree);
            for step in 0..steps {
                let new = weight_and_time(&mut pair.random, round);
                match step % 3 {
                    0 => pair.change(false, Some(new)),
                    1 => pair.change(true, None),
                    _ => pair.change(true, Some(new)),
                }
                pair.check(&format!("round {round}, step {step}"));
                assert!(pair.chunks().is_some());
            }
        }
    }

    /// A list whose degree crossed a table size back and forth was rebuilt with every change.
    #[test]
    fn around_a_power_of_two_both_tables_are_kept() {
        for round in 0..4 {
            let mut pair = Pair::new(round + 40, 700, 513 + 28);
            let mut both = 0;
            for step in 0..240 {
                let new = weight_and_time(&mut pair.random, round);
                // The degree approaches one target after another, most of them near the power of two, with some steps
                // in the other direction.
                let aim = [520, 505, 512, 470, 513, 550, 512, 514][step / 30];
                let is_removal = (pair.inside.len() > aim) != pair.random.next().is_multiple_of(6);
                pair.change(is_removal, (!is_removal).then_some(new));
                pair.check(&format!("round {round}, step {step}"));
                let chunks = pair.chunks().expect("one change in hundreds");
                both += usize::from(chunks.alternate_table.is_some());
                if let Some(alternate_table) = &chunks.alternate_table {
                    assert!(
                        alternate_table.alternate_table.is_none() && alternate_table.degree == chunks.degree
                    );
                    assert_eq!(alternate_table.slot_bits().abs_diff(chunks.slot_bits()), 1);
                    assert!(chunks.degree.abs_diff(512) <= 32);
                }
            }
            assert!(both > 120, "round {round}: {both} of 240");
        }
    }

    #[test]
    fn a_change_shares_the_other_chunks() {
        let mut pair = Pair::new(9, 50_000, 40_000);
        pair.change(false, Some((1.0, None)));
        let before = pair.list.clone();
        pair.change(true, None);
        let (old, new) = (before.as_list().chunks().expect("long"), pair.chunks().expect("long"));
        let pairs = old.chunks.iter().zip(&new.chunks);
        let written = pairs.filter(|(one, other)| !Arc::ptr_eq(&one.words, &other.words)).count();
        assert!(new.chunks.len() >= 32 && (1..=3).contains(&written), "{written} of {}", new.chunks.len());
    }
}
