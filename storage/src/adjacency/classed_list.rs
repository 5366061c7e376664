//! A list whose weights fade, by weight class: its encoding from entries, and its changes. Each class is a list of its own.
//! A change rewrites the lists of the classes that it concerns; it knows nothing of how those are stored.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::adjacency::list::List;
use crate::adjacency::list_builder::{Change, ListBuilder, Neighbor, encode_into};
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{GROUP_BITS, Placement, slot_bits};
use crate::adjacency::weight_classes::{ENTRY, HEADER, OCCUPIED, directory_entry};
use crate::types::ids::{NodeIx, StableId};
use crate::types::weights::fading::{power_of_two, weight_class};
use crate::types::weights::relation_options::HalfLife;

/// A list by weight class; the lists before and after a change share the classes that did not change.
///
/// An edge of today is in one of the newest classes, so a change costs as much as in a list of that class alone, and one pointer for each
/// class.
#[derive(Clone, Debug)]
pub(crate) struct ClassedList {
    half_life: HalfLife,
    /// Newest first; each has an edge.
    parts: Box<[Part]>,
    degree: usize,
}

/// The list of a weight class.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) exponent: i32,
    /// See [`WeightClass::stop`](crate::WeightClass::stop).
    pub(crate) stop: u32,
    /// The number of neighbors in newer classes.
    pub(crate) first: usize,
    pub(crate) list: ListBuilder,
}

impl ClassedList {
    /// The classes of a list of a relation with this half-life.
    ///
    /// # Cost
    /// Copies the words of a list that lies in one block.
    pub(crate) fn split(list: &List<'_>, half_life: HalfLife) -> Self {
        if let Some(list) = list.classed() {
            return list.clone();
        }
        let classes = list.weight_classes().into_iter().flat_map(|classes| classes.iter());
        Self::of(half_life, classes.map(|class| (class.exponent(), ListBuilder::copy_of(&class.list()))))
    }

    /// The list of some classes, newest first.
    fn of(half_life: HalfLife, classes: impl IntoIterator<Item = (i32, ListBuilder)>) -> Self {
        let mut degree = 0;
        let part = |(exponent, list): (i32, ListBuilder)| {
            let first = degree;
            degree += list.as_list().degree();
            Part { exponent, stop: 0, first, list }
        };
        let mut parts: Box<[Part]> = classes.into_iter().map(part).collect();
        let mut stops = Stops::default();
        for part in parts.iter_mut().rev() {
            part.stop = stops.next(part.exponent, part.list.as_list().degree());
        }
        Self { half_life, parts, degree }
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) fn half_life(&self) -> HalfLife {
        self.half_life
    }

    pub(crate) fn degree(&self) -> usize {
        self.degree
    }

    /// The list after changes.
    ///
    /// # Cost
    /// That of the changes in the lists of their classes, and one pointer for each class. To find a neighbor, the classes are searched one by
    /// one.
    pub(crate) fn edit(&self, changes: &[Change], id_of: impl Fn(NodeIx) -> StableId + Copy) -> Self {
        let mut lists: BTreeMap<Reverse<i32>, ListBuilder> =
            self.parts.iter().map(|part| (Reverse(part.exponent), part.list.clone())).collect();
        // An edge that changes its class is removed from the old one and added to the new one.
        let mut by_class: BTreeMap<Reverse<i32>, Vec<Change>> = BTreeMap::new();
        for &(node, id, new) in changes {
            let old = self.parts.iter().find(|part| part.list.as_list().position(node, id).is_some());
            let old = old.map(|part| Reverse(part.exponent));
            let class = new.map(|(weight, time)| Reverse(weight_class(weight, time, self.half_life)));
            if let Some(class) = class {
                by_class.entry(class).or_default().push((node, id, new));
            }
            if let Some(old) = old.filter(|&old| Some(old) != class) {
                by_class.entry(old).or_default().push((node, id, None));
            }
        }
        for (class, changes) in by_class {
            let old = lists.get(&class).map_or(List::empty(), ListBuilder::as_list);
            let list = ListBuilder::edit(NO_OWNER, old, &changes, None, id_of);
            if list.as_list().is_empty() {
                lists.remove(&class);
            } else {
                lists.insert(class, list);
            }
        }
        Self::of(self.half_life, lists.into_iter().map(|(Reverse(exponent), list)| (exponent, list)))
    }

    /// The record of the list as a contiguous one.
    pub(crate) fn record(&self, owner: StableId) -> Record {
        if self.degree == 0 {
            return Record::default();
        }
        let words = self.parts.iter().map(|part| class_words(part.list.as_list().record()));
        Record::fading(owner, self.degree, HEADER + ENTRY * self.parts.len() + words.sum::<usize>())
    }

    /// Writes the block of the list as a contiguous one.
    pub(crate) fn fill(&self, words: &mut [u32]) {
        if self.degree == 0 {
            return;
        }
        let (head, mut rest) = words.split_at_mut(HEADER + ENTRY * self.parts.len());
        head[..HEADER].copy_from_slice(&header(self.half_life, self.parts.len()));
        let mut start = head.len();
        for (part, entry) in self.parts.iter().zip(head[HEADER..].chunks_exact_mut(ENTRY)) {
            let list = part.list.as_list();
            let (record, end) = (list.record(), part.first + list.degree());
            entry.copy_from_slice(&directory_entry(part.exponent, part.stop, end, record, start));
            let (words, after) = rest.split_at_mut(class_words(record));
            let (occupied, block) = words.split_at_mut(words.len() - record.words());
            occupied.copy_from_slice(&occupied_words(record)[..occupied.len()]);
            list.copy_words(block);
            (start, rest) = (start + words.len(), after);
        }
    }
}

/// Classes have no owner of their own: the salt of draws is that of the list.
const NO_OWNER: StableId = StableId::new(0);

/// The words of a class in the block of its list.
fn class_words(record: Record) -> usize {
    record.words() + if (1..=GROUP_BITS).contains(&record.slot_bits()) { OCCUPIED } else { 0 }
}

fn occupied_words(record: Record) -> [u32; OCCUPIED] {
    [record.bits as u32, (record.bits >> 32) as u32]
}

fn header(half_life: HalfLife, classes: usize) -> [u32; HEADER] {
    let half_life = half_life.microseconds();
    [half_life as u32, (half_life >> 32) as u32, classes as u32]
}

/// The stops of classes, oldest first.
///
/// Determinism: sums, products by powers of two, and quotients of `f64`, in the order of the classes.
#[derive(Debug, Default)]
pub(crate) struct Stops {
    /// The exponent of the last class, and the sum of the classes so far over `2^exponent`.
    last: Option<(i32, f64)>,
}

impl Stops {
    /// The stop of the next newer class; see [`WeightClass::stop`](crate::WeightClass::stop).
    pub(crate) fn next(&mut self, exponent: i32, degree: usize) -> u32 {
        let older = |(last, sum): (i32, f64)| sum * power_of_two(i64::from(last) - i64::from(exponent));
        let sum = degree as f64 + self.last.map_or(0.0, older);
        self.last = Some((exponent, sum));
        ((degree as f64 / sum * 4_294_967_296.0) as u64).saturating_sub(1) as u32
    }
}

/// Encodes lists whose weights fade, reusing its memory.
#[derive(Debug, Default)]
pub(crate) struct ClassEncoder {
    placement: Placement,
    /// The class of each entry, and its index.
    order: Vec<(Reverse<i32>, u32)>,
    ids: Vec<StableId>,
}

impl ClassEncoder {
    /// Appends the block of a list of `degree` entries, and returns its record with start 0.
    pub(crate) fn encode(
        &mut self,
        words: &mut Vec<u32>,
        (owner, half_life): (StableId, HalfLife),
        degree: usize,
        entry: impl Fn(usize) -> (StableId, Neighbor),
    ) -> Record {
        if degree == 0 {
            return Record::default();
        }
        let Self { placement, order, ids } = self;
        let class = |at: usize| {
            let (_, (_, weight, time)) = entry(at);
            (Reverse(weight_class(weight, time, half_life)), at as u32)
        };
        order.clear();
        order.extend((0..degree).map(class));
        order.sort_unstable();
        let (block, classes) = (words.len(), order.chunk_by(|one, other| one.0 == other.0).count());
        words.extend(header(half_life, classes));
        words.resize(block + HEADER + ENTRY * classes, 0);
        // The classes, newest first, and their entries in the directory.
        let (mut end, mut directory) = (0, block + HEADER);
        for class in order.chunk_by_mut(|one, other| one.0 == other.0) {
            let (start, bits) = (words.len(), slot_bits(class.len()));
            if (1..=GROUP_BITS).contains(&bits) {
                words.extend([0; OCCUPIED]);
            }
            let mut place = |class: &[(_, u32)]| {
                ids.clear();
                ids.extend(class.iter().map(|&(_, at)| entry(at as usize).0));
                placement.place(ids, bits)
            };
            if !place(class) {
                // In a store all ids differ; for equal ids, the node numbers decide.
                class.sort_by_key(|&(_, at)| {
                    let (id, (node, ..)) = entry(at as usize);
                    (id, node)
                });
                place(class);
            }
            let value = |at: usize| entry(class[at].1 as usize).1;
            let record = encode_into(words, NO_OWNER, placement.table(), value);
            if (1..=GROUP_BITS).contains(&bits) {
                words[start..start + OCCUPIED].copy_from_slice(&occupied_words(record));
            }
            end += class.len();
            let (Reverse(exponent), _) = class[0];
            words[directory..directory + ENTRY].copy_from_slice(&directory_entry(
                exponent,
                0,
                end,
                record,
                start - block,
            ));
            directory += ENTRY;
        }
        // The stops need the sums of older classes.
        let mut stops = Stops::default();
        for class in order.chunk_by(|one, other| one.0 == other.0).rev() {
            directory -= ENTRY;
            let (Reverse(exponent), _) = class[0];
            words[directory + 1] = stops.next(exponent, class.len());
        }
        Record::fading(owner, degree, words.len() - block)
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_test_support::Random;

    use super::*;
    use crate::adjacency::list_builder::{ListEntry, WeightTime};
    use crate::adjacency::weight_classes::{WeightClass, WeightClasses};

    const OWNER: StableId = StableId::new(0xabcd_0000_0000);
    const DAY: i64 = 86_400_000_000;

    fn half_life() -> HalfLife {
        HalfLife::from_microseconds(30 * DAY as u64).expect("in range")
    }

    fn entries(inside: &BTreeMap<u32, WeightTime>, ids: &[StableId]) -> Vec<ListEntry> {
        let entry = |(&node, &(weight, time)): (&u32, &WeightTime)| ListEntry {
            node: NodeIx::new(node),
            id: ids[node as usize],
            weight,
            time,
        };
        inside.iter().map(entry).collect()
    }

    fn built(entries: Vec<ListEntry>) -> ListBuilder {
        ListBuilder::build_fading(OWNER, entries, Some(half_life()))
    }

    /// Every edge is in the class of its weight, and every query of the list finds it.
    fn check(list: &List<'_>, expected: &[ListEntry], when: &str) {
        assert_eq!(List::check(list.record().at(0), &list.words(), u32::MAX), Ok(()), "{when}");
        assert_eq!((list.degree(), list.iter().count()), (expected.len(), expected.len()), "{when}");
        let positions: Vec<usize> = expected
            .iter()
            .map(|&ListEntry { node, id, weight, time }| {
                let at = list.position(node, id).expect("the edge is found");
                assert_eq!((list.neighbor(at), list.time(at)), (node, time), "{when}");
                assert_eq!(list.place(at).neighbor(), Some(node), "{when}");
                assert_eq!(list.weight(at).to_bits(), weight.to_bits(), "{when}");
                let classes = list.weight_classes().expect("weights fade");
                let class = classes.at_position(at);
                assert_eq!(class.exponent(), weight_class(weight, time, half_life()), "{when}");
                let share = class.share(at - class.first_position());
                assert!(share > 0.5 - 1e-9 && share <= 1.0 + 1e-9, "{when}: {share}");
                at
            })
            .collect();
        let mut sorted = positions;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..expected.len()), "{when}");
        let runs: Vec<u32> = list.runs().flatten().copied().collect();
        assert!(list.neighbors().map(NodeIx::get).eq(runs), "{when}");
        for class in list.weight_classes().iter().flat_map(WeightClasses::iter) {
            let nodes = (0..class.list().degree()).map(|at| class.list().neighbor(at));
            let of_list = (class.first_position()..).map(|at| list.neighbor(at));
            assert!(nodes.zip(of_list).all(|(one, other)| one == other), "{when}");
        }
    }

    /// Edges of many ages, in lists of a few to thousands of neighbors, come and go and change their class.
    #[test]
    fn a_changed_list_equals_the_one_that_is_built_anew() {
        let mut divided = 0;
        for round in 0..60 {
            let mut random = Random::new(round + 7);
            let nodes: u32 = [3, 40, 300, 1500][round as usize % 4];
            let span = [DAY, 100 * DAY, 3000 * DAY][round as usize % 3];
            let ids: Vec<StableId> = (0..nodes).map(|_| StableId::new(random.next())).collect();
            let value = |random: &mut Random| -> WeightTime {
                let weight = if round % 2 == 0 { 1.0 } else { 0.25 * (1 + random.next() % 40) as f32 };
                (weight, Some((random.next() % span as u64) as i64 - span / 2))
            };
            let mut inside = BTreeMap::new();
            let mut list = built(Vec::new());
            for step in 0..30 {
                let few = if step == 0 { u64::from(nodes) } else { 1 + u64::from(nodes) / 8 };
                let changes: BTreeMap<u32, Option<WeightTime>> = (0..few)
                    .map(|_| {
                        let new = (!random.next().is_multiple_of(3)).then(|| value(&mut random));
                        ((random.next() % u64::from(nodes)) as u32, new)
                    })
                    .collect();
                for (&node, &new) in &changes {
                    match new {
                        Some(new) => drop(inside.insert(node, new)),
                        None => drop(inside.remove(&node)),
                    }
                }
                let id_of = |node: NodeIx| ids[node.index()];
                let changes: Vec<Change> = changes
                    .into_iter()
                    .map(|(node, new)| (NodeIx::new(node), ids[node as usize], new))
                    .collect();
                list = ListBuilder::edit(OWNER, list.as_list(), &changes, Some(half_life()), id_of);
                let when = format!("round {round}, step {step}");
                let expected = entries(&inside, &ids);
                check(&list.as_list(), &expected, &when);
                let anew = built(expected);
                assert_eq!(list, anew, "{when}");
                assert!(list.as_list().iter().eq(anew.as_list().iter()), "{when}");
                divided += usize::from(list.as_list().classed().is_some());
            }
        }
        assert!(divided > 500, "{divided} of 1800 lists were divided");
    }

    /// A draw stays in a class with the share of the class in the sum of its and all older ones.
    #[test]
    fn stops_are_the_shares_of_classes() {
        let ids: Vec<StableId> = (0..7).map(|at| StableId::new(at << 60)).collect();
        // Classes of 1, 2 and 4 edges; each is one half-life older than the one before.
        let ages = [0, 1, 1, 2, 2, 2, 2];
        let inside = (0..).zip(ages.map(|age| (1.0, Some(-age * 30 * DAY)))).collect();
        let list = built(entries(&inside, &ids));
        let stops: Vec<(i32, u32)> = list
            .as_list()
            .weight_classes()
            .expect("weights fade")
            .iter()
            .map(|class| (class.exponent(), class.stop()))
            .collect();
        assert_eq!(stops, [(0, u32::MAX / 3 - 1), (-1, u32::MAX / 2), (-2, u32::MAX)]);
    }

    /// The oldest class keeps every draw that comes down to it, however far from 1970 it is.
    #[test]
    fn edges_of_any_time_are_drawn() {
        let minute = HalfLife::from_microseconds(60_000_000).expect("in range");
        let far = 1 << 56;
        for times in [&[-far][..], &[far], &[-far, far], &[-far, -far + 60_000_000, 0, 7, far]] {
            let entry = |(at, &time): (usize, &i64)| ListEntry {
                node: NodeIx::new(at as u32),
                id: StableId::new((at as u64) << 61),
                weight: 1.5,
                time: Some(time),
            };
            let entries: Vec<ListEntry> = times.iter().enumerate().map(entry).collect();
            let list = ListBuilder::build_fading(OWNER, entries, Some(minute));
            let (list, half_life) = (list.as_list(), Some(minute));
            assert_eq!(List::check_shape(list.record(), &list.words(), half_life), Ok(()), "{times:?}");
            let classes: Vec<WeightClass<'_>> = list.weight_classes().expect("weights fade").iter().collect();
            assert_eq!(classes.last().map(WeightClass::stop), Some(u32::MAX), "{times:?}");
            for class in classes {
                assert!(class.accepts(0, 0) && class.share(0) > 0.5 && class.share(0) <= 1.0, "{times:?}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_refused_or_harmless_to_readers() {
        use crate::adjacency::record::Packed;
        for (degree, span) in [(1, DAY), (6, 200 * DAY), (30, 90 * DAY), (90, 20 * DAY)] {
            let mut random = Random::new(3);
            let ids: Vec<StableId> = (0..degree).map(|_| StableId::new(random.next())).collect();
            let inside =
                (0..degree).map(|node| (node, (1.0, Some((random.next() % span as u64) as i64)))).collect();
            let list = built(entries(&inside, &ids));
            let (record, words) = list.as_list().parts();
            let frame: Vec<u32> =
                bytemuck::cast_slice(&[Packed::from(record)]).iter().chain(&*words).copied().collect();
            let half_life = Some(half_life());
            for bit in 0..frame.len() * 32 {
                let mut torn = frame.clone();
                torn[bit / 32] ^= 1 << (bit % 32);
                let record: Packed = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&torn[..4]));
                let record = Record::from(record);
                if List::check_shape(record, &torn[4..], half_life).is_ok() {
                    let list = List::new(record, &torn[4..]);
                    assert_eq!(list.iter().count(), list.degree());
                    for class in list.weight_classes().expect("weights fade").iter() {
                        let shares = (0..class.list().degree()).map(|at| class.share(at));
                        assert!(shares.into_iter().all(|share| share >= 0.0));
                    }
                    list.position(NodeIx::new(0), ids[0]);
                }
            }
        }
    }
}
