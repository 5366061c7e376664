//! A long list in pieces, of which a change writes one: each is a list of its own, for a run of groups of slots.
//! Answers what [`List`] answers; knows neither where lists lie nor which of them are long.

use std::sync::Arc;

use crate::adjacency::chunked_edits::{ChunkedEdits, splice};
use crate::adjacency::list::List;
use crate::adjacency::list::{GROUP, NO_TIME, Place};
use crate::adjacency::list_builder::Change;
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{GROUP_BITS, slot_bits};
use crate::types::ids::{NodeIx, StableId};

/// A list in pieces; what is equal, the pieces before and after a change share.
///
/// There are as many pieces as groups in one of them, within a factor of two, so a change costs the root of the degree: a pointer
/// to each piece, and the words of one. At a million neighbours that is 6 microseconds and 38 KB, or 62 KB with weights, where
/// writing all of it anew took 55 ms and 4.4 MB.
#[derive(Clone, Debug)]
pub(crate) struct ChunkedList {
    /// Slots of a piece, as a power of two; of more than one group.
    bits: u32,
    /// As many as a power of two says.
    parts: Box<[Piece]>,
    degree: usize,
    /// Of the largest weight.
    exponent: i32,
    /// The same neighbours in the table of the next larger or smaller size, while their number is near where one gives way
    /// to the other: a list whose degree goes to and fro there would be placed anew with each change.
    alternate_table: Option<Arc<ChunkedList>>,
}

/// The list of those who sit in a run of groups.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) record: Record,
    pub(crate) words: Arc<[u32]>,
    /// Neighbours in the pieces before.
    pub(crate) before: usize,
}

impl Piece {
    fn list(&self) -> List<'_> {
        List::new(self.record, &self.words)
    }

    fn end(&self) -> usize {
        self.before + self.list().degree()
    }
}

impl ChunkedList {
    /// Divides a list that lies as a whole.
    ///
    /// # Cost
    /// Its words are copied: 3 ms for a million neighbours, 8 with weights.
    pub(crate) fn split(list: &List<'_>) -> Self {
        let groups = list.slot_bits() - GROUP_BITS;
        let count = groups / 2;
        let (bits, each) = (list.slot_bits() - count, 1 << (groups - count));
        let pieces = (0..1 << count).map(|piece| splice(list, piece * each..(piece + 1) * each, &[]));
        Self::of(bits, pieces.collect())
    }

    fn of(bits: u32, mut parts: Box<[Piece]>) -> Self {
        let (mut degree, mut exponent) = (0, i32::MIN);
        for piece in &mut parts {
            piece.before = degree;
            let list = piece.list();
            degree += list.degree();
            if !list.is_empty() {
                exponent = exponent.max(list.max_weight_exponent());
            }
        }
        Self { bits, parts, degree, exponent, alternate_table: None }
    }

    /// The record that the list has as a whole.
    pub(crate) fn record(&self, owner: StableId) -> Record {
        let is_weighted = self.lists().any(|list| list.is_weighted());
        let is_timed = self.lists().any(|list| list.is_timed());
        Record::new(owner, self.slot_bits(), is_weighted, is_timed, self.degree as u64)
    }

    pub(crate) fn slot_bits(&self) -> u32 {
        self.bits + self.parts.len().trailing_zeros()
    }

    /// As [`List::max_weight_exponent`] of a list with weights.
    pub(crate) fn max_weight_exponent(&self) -> i32 {
        self.exponent
    }

    /// The position of who sits at a slot.
    #[cold]
    pub(crate) fn at_slot(&self, slot: usize) -> Option<usize> {
        let piece = &self.parts[slot >> self.bits];
        let list = piece.list();
        // The list of nobody has a table of one slot.
        if list.is_empty() {
            return None;
        }
        list.at_slot(slot & ((1 << self.bits) - 1)).map(|at| piece.before + at)
    }

    /// The piece that a position falls into, and the position in it.
    fn find(&self, position: usize) -> (&Piece, usize) {
        // Slots are named by hashes, so the share of the degree misses by one piece at most, and rarely.
        let guess = (position << self.parts.len().trailing_zeros()) / self.degree.max(1);
        let at = match self.parts.get(guess) {
            Some(piece) if piece.before <= position && position < piece.end() => guess,
            Some(_) | None => self.parts.partition_point(|piece| piece.before <= position) - 1,
        };
        let piece = &self.parts[at];
        (piece, position - piece.before)
    }

    #[cold]
    pub(crate) fn place(&self, position: usize) -> Place<'_> {
        let (piece, at) = self.find(position);
        piece.list().place(at)
    }

    #[cold]
    pub(crate) fn neighbor(&self, position: usize) -> NodeIx {
        let (piece, at) = self.find(position);
        piece.list().neighbor(at)
    }

    #[cold]
    pub(crate) fn weight(&self, position: usize) -> f32 {
        let (piece, at) = self.find(position);
        piece.list().weight(at)
    }

    #[cold]
    pub(crate) fn time(&self, position: usize) -> Option<i64> {
        let (piece, at) = self.find(position);
        piece.list().time(at)
    }

    /// The lists of the pieces, in order.
    pub(crate) fn lists(&self) -> impl Iterator<Item = List<'_>> + Clone {
        self.parts.iter().map(Piece::list)
    }

    /// Writes the block that the list has as a whole.
    pub(crate) fn fill(&self, words: &mut [u32], is_weighted: bool, is_timed: bool) {
        let (exponent, words) = words.split_at_mut(usize::from(is_weighted));
        exponent.fill(self.exponent as u32);
        let (table, words) = words.split_at_mut(GROUP << (self.slot_bits() - GROUP_BITS));
        let (nodes, words) = words.split_at_mut(self.degree);
        let (weights, times) = words.split_at_mut(if is_weighted { self.degree } else { 0 });
        let each = GROUP << (self.bits - GROUP_BITS);
        for (piece, table) in self.parts.iter().zip(table.chunks_exact_mut(each)) {
            let list = piece.list();
            for (group, words) in table.chunks_exact_mut(GROUP).enumerate() {
                let (taken, rank) = list.group_or_none(group);
                words.copy_from_slice(&[taken as u32, (taken >> 32) as u32, (piece.before + rank) as u32]);
            }
            let (some_nodes, some_weights, some_times) = list.columns();
            let at = piece.before..piece.end();
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

    /// The list after changes, if its table keeps its size or the twin has the new one.
    ///
    /// # Cost
    /// For each change the slots that it passes, the words of a piece, and once a pointer for each piece.
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

    /// The same, with what it was before it outgrew or left its table, after the changes that made it so.
    pub(crate) fn beside(
        self,
        old: &Self,
        changes: &[Change],
        id_of: impl Fn(NodeIx) -> StableId + Copy,
    ) -> Self {
        let is_near = is_near(self.degree, self.slot_bits(), old.slot_bits());
        Self { alternate_table: is_near.then(|| Arc::new(old.change(changes, id_of))), ..self }
    }

    /// The same table after changes, without a twin.
    fn change(&self, changes: &[Change], id_of: impl Fn(NodeIx) -> StableId + Copy) -> Self {
        let mut edits = ChunkedEdits::new(self, id_of);
        edits.make(changes);
        let mut parts = self.parts.clone();
        let each = 1 << (self.bits - GROUP_BITS);
        for altered in edits.finish().chunk_by(|one, other| one.group / each == other.group / each) {
            let piece = &mut parts[altered[0].group / each];
            *piece = splice(&piece.list(), 0..each, altered);
        }
        Self::of(self.bits, parts)
    }
}

/// Whether a degree is near where tables of the one and the other size meet: a sixteenth of it away at most, so that placing
/// anew costs each change that leads there as much as a few microseconds of its own.
fn is_near(degree: usize, one: u32, other: u32) -> bool {
    // A table is at most half full.
    let meeting = 1_usize << one.min(other) >> 1;
    one.abs_diff(other) == 1 && degree.abs_diff(meeting) <= meeting / 16
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::adjacency::list_builder::EdgeValue;
    use crate::adjacency::list_builder::{ListBuilder, ListEntry};
    use hedgerow_test_support::Random;

    /// A list that is changed, and what it is to hold.
    struct Pair {
        random: Random,
        ids: Vec<StableId>,
        inside: BTreeMap<NodeIx, EdgeValue>,
        list: ListBuilder,
    }

    const OWNER: StableId = StableId::new(0xabcd_0000_0000);

    impl Pair {
        /// Of so many nodes, every tenth or so of which has its home in the last groups.
        fn new(seed: u64, nodes: usize, degree: usize) -> Self {
            let mut random = Random::new(seed);
            let mut ids = BTreeSet::new();
            while ids.len() < nodes {
                let id = random.next();
                let crowd = if ids.len().is_multiple_of(10) && ids.len() < 2000 { 0xfff8 << 48 } else { 0 };
                ids.insert(StableId::new(id | crowd));
            }
            // In no order.
            let mut ids: Vec<StableId> = ids.into_iter().collect();
            ids.sort_by_key(|id| id.get().wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let inside: BTreeMap<_, _> =
                (0..degree as u32).map(|at| (NodeIx::new(at), (1.0, None))).collect();
            let mut pair = Self { random, ids, inside, list: ListBuilder::build(OWNER, Vec::new()) };
            pair.list = pair.anew();
            pair
        }

        fn anew(&self) -> ListBuilder {
            let entry = |(&node, &(weight, time)): (&NodeIx, &EdgeValue)| ListEntry {
                node,
                id: self.ids[node.index()],
                weight,
                time,
            };
            ListBuilder::build(OWNER, self.inside.iter().map(entry).collect())
        }

        fn make(&mut self, changes: &BTreeMap<NodeIx, Option<EdgeValue>>) {
            for (&node, &new) in changes {
                match new {
                    Some(new) => drop(self.inside.insert(node, new)),
                    None => drop(self.inside.remove(&node)),
                }
            }
            let id_of = |node: NodeIx| self.ids[node.index()];
            let changes: Vec<Change> = changes.iter().map(|(&node, &new)| (node, id_of(node), new)).collect();
            self.list = ListBuilder::edit(OWNER, self.list.as_list(), &changes, id_of);
        }

        /// A change at a node that is inside, or at one that is not.
        fn change(&mut self, is_inside: bool, new: Option<EdgeValue>) {
            let node = loop {
                let node = NodeIx::new((self.random.next() % self.ids.len() as u64) as u32);
                if self.inside.contains_key(&node) == is_inside {
                    break node;
                }
            };
            self.make(&BTreeMap::from([(node, new)]));
        }

        /// Whatever can be asked, of the list and of the one that is built anew.
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

        fn pieces(&self) -> Option<&ChunkedList> {
            self.list.as_list().pieces()
        }
    }

    /// Weights of all sizes come and go, so that pieces and lists gain and lose columns, and the largest changes.
    fn carried(random: &mut Random, round: u64) -> EdgeValue {
        let weight = match (round % 4, random.next() % 8) {
            (0, _) | (_, 0..3) => 1.0,
            (1, _) => 0.25,
            (_, more) => f32::from(more as u8) * 1.5,
        };
        let time = (round % 3 == 1 && random.next().is_multiple_of(4)).then(|| random.next() as i64 >> 8);
        (weight, time)
    }

    #[test]
    fn a_list_in_pieces_is_the_one_that_is_built_anew() {
        let mut in_pieces = 0;
        for round in 0..48 {
            let mut random = Random::new(round + 100);
            let degree = 70 + (random.next() % 500) as usize;
            let mut pair = Pair::new(random.next(), degree + 150, degree);
            let mut held = Vec::new();
            for step in 0..60 {
                let changes: BTreeMap<_, _> = (0..=random.next() % (1 + degree as u64 / 64))
                    .map(|_| {
                        let node = NodeIx::new((random.next() % pair.ids.len() as u64) as u32);
                        let is_new = !pair.inside.contains_key(&node) || random.next().is_multiple_of(4);
                        (node, is_new.then(|| carried(&mut random, round)))
                    })
                    .collect();
                pair.make(&changes);
                pair.check(&format!("round {round}, step {step}"));
                in_pieces += usize::from(pair.pieces().is_some());
                if step % 7 == 0 {
                    held.push((pair.list.clone(), pair.anew()));
                }
            }
            assert!(held.iter().all(|(list, then)| list == then), "round {round}: a list that is held stays");
        }
        assert!(in_pieces > 2000, "{in_pieces} of 2880 lists were in pieces");
    }

    #[test]
    fn lists_of_thousands_of_neighbors_are_changed_edge_by_edge() {
        for (round, degree, steps) in [(1, 3000, 40), (2, 20_000, 12), (3, 4097, 40), (4, 100_000, 6)] {
            let mut pair = Pair::new(round, degree + degree / 10, degree);
            for step in 0..steps {
                let new = carried(&mut pair.random, round);
                match step % 3 {
                    0 => pair.change(false, Some(new)),
                    1 => pair.change(true, None),
                    _ => pair.change(true, Some(new)),
                }
                pair.check(&format!("round {round}, step {step}"));
                assert!(pair.pieces().is_some());
            }
        }
    }

    /// A list that went to and fro where tables are doubled was placed anew with every change.
    #[test]
    fn around_a_power_of_two_both_tables_are_kept() {
        for round in 0..4 {
            let mut pair = Pair::new(round + 40, 700, 513 + 28);
            let mut both = 0;
            for step in 0..240 {
                let new = carried(&mut pair.random, round);
                // Towards one number after another, most of them near the power of two, and sometimes the other way.
                let aim = [520, 505, 512, 470, 513, 550, 512, 514][step / 30];
                let is_removal = (pair.inside.len() > aim) != pair.random.next().is_multiple_of(6);
                pair.change(is_removal, (!is_removal).then_some(new));
                pair.check(&format!("round {round}, step {step}"));
                let pieces = pair.pieces().expect("one change in hundreds");
                both += usize::from(pieces.alternate_table.is_some());
                if let Some(alternate_table) = &pieces.alternate_table {
                    assert!(
                        alternate_table.alternate_table.is_none() && alternate_table.degree == pieces.degree
                    );
                    assert_eq!(alternate_table.slot_bits().abs_diff(pieces.slot_bits()), 1);
                    assert!(pieces.degree.abs_diff(512) <= 32);
                }
            }
            assert!(both > 120, "round {round}: {both} of 240");
        }
    }

    #[test]
    fn a_change_shares_the_pieces_that_it_leaves() {
        let mut pair = Pair::new(9, 50_000, 40_000);
        pair.change(false, Some((1.0, None)));
        let before = pair.list.clone();
        pair.change(true, None);
        let (old, new) = (before.as_list().pieces().expect("long"), pair.pieces().expect("long"));
        let pairs = old.parts.iter().zip(&new.parts);
        let written = pairs.filter(|(one, other)| !Arc::ptr_eq(&one.words, &other.words)).count();
        assert!(new.parts.len() >= 32 && (1..=3).contains(&written), "{written} of {}", new.parts.len());
    }
}
