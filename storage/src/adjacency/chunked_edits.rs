//! Changes to a chunked list: the groups that they alter, and a chunk with some of its groups replaced.
//! Reads only the groups on the path of a change.

use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Range;

use crate::adjacency::chunked_list::{Chunk, ChunkedList};
use crate::adjacency::list::List;
use crate::adjacency::list::{GROUP, NO_TIME};
use crate::adjacency::list_builder::{Change, Neighbor, exponent_above};
use crate::adjacency::record::Record;
use crate::adjacency::slot_table;
use crate::adjacency::slot_table::{FREE, GROUP_BITS, SlotTable, slot};
use crate::types::ids::{NodeIx, StableId};

/// A group after changes.
pub(crate) struct AlteredGroup {
    pub(crate) group: usize,
    occupied: u64,
    /// The values of its occupied slots, by slot.
    values: Vec<Neighbor>,
}

/// A chunked list under change; a group is loaded when a change first accesses it.
pub(crate) struct ChunkedEdits<'a, F> {
    list: &'a ChunkedList,
    id_of: F,
    groups: BTreeMap<usize, LoadedGroup>,
    /// The values of all loaded slots, and of new neighbors.
    values: Vec<Neighbor>,
}

struct LoadedGroup {
    /// Indices into `values`, or [`FREE`].
    slots: [u32; 1 << GROUP_BITS],
    is_altered: bool,
}

impl<'a, F: Fn(NodeIx) -> StableId> ChunkedEdits<'a, F> {
    pub(crate) fn new(list: &'a ChunkedList, id_of: F) -> Self {
        Self { list, id_of, groups: BTreeMap::new(), values: Vec::new() }
    }

    /// Applies all changes. Removals come first, so that the table never overflows.
    pub(crate) fn make(&mut self, changes: &[Change]) {
        let mut newcomers = Vec::new();
        for &(node, id, new) in changes {
            match (self.find(node, id), new) {
                (Some(slot), Some((weight, time))) => {
                    let occupant = self.at(slot);
                    self.values[occupant as usize] = (node, weight, time);
                    self.put(slot, occupant);
                }
                (Some(slot), None) => slot_table::remove(self, slot),
                (None, Some((weight, time))) => newcomers.push((node, weight, time)),
                (None, None) => {}
            }
        }
        for newcomer in newcomers {
            self.values.push(newcomer);
            slot_table::insert(self, self.values.len() as u32 - 1);
        }
    }

    /// The slot of a neighbor.
    fn find(&mut self, node: NodeIx, id: StableId) -> Option<usize> {
        for round in 0..1 << self.bits() {
            let slot = slot(id, self.bits(), round);
            let occupant = self.at(slot);
            if occupant == FREE {
                return None;
            }
            if self.values[occupant as usize].0 == node {
                return Some(slot);
            }
        }
        None
    }

    fn open(&mut self, group: usize) -> &mut LoadedGroup {
        let Self { list, groups, values, .. } = self;
        match groups.entry(group) {
            Entry::Occupied(opened) => opened.into_mut(),
            Entry::Vacant(vacant) => {
                let first = group << GROUP_BITS;
                let slots = std::array::from_fn(|offset| {
                    list.at_slot(first + offset).map_or(FREE, |at| {
                        let (chunk, at) = list.find(at);
                        values.push((chunk.neighbor(at), chunk.weight(at), chunk.time(at)));
                        values.len() as u32 - 1
                    })
                });
                vacant.insert(LoadedGroup { slots, is_altered: false })
            }
        }
    }

    /// The groups that changed, ascending.
    pub(crate) fn finish(self) -> Vec<AlteredGroup> {
        let altered = self.groups.into_iter().filter(|(_, opened)| opened.is_altered);
        let value = |&at: &u32| self.values[at as usize];
        let altered = altered.map(|(group, LoadedGroup { slots, .. })| AlteredGroup {
            group,
            occupied: slot_table::occupied(&slots, 1),
            values: slots.iter().filter(|&&at| at != FREE).map(value).collect(),
        });
        altered.collect()
    }
}

impl<F: Fn(NodeIx) -> StableId> SlotTable for ChunkedEdits<'_, F> {
    fn bits(&self) -> u32 {
        self.list.slot_bits()
    }

    fn at(&mut self, slot: usize) -> u32 {
        self.open(slot >> GROUP_BITS).slots[slot % (1 << GROUP_BITS)]
    }

    fn put(&mut self, slot: usize, entry: u32) {
        let opened = self.open(slot >> GROUP_BITS);
        opened.slots[slot % (1 << GROUP_BITS)] = entry;
        opened.is_altered = true;
    }

    fn id(&self, entry: u32) -> StableId {
        (self.id_of)(self.values[entry as usize].0)
    }
}

/// A run of neighbors of the new chunk.
enum Run<'a> {
    /// These positions of the source.
    Kept(Range<usize>),
    New(&'a [Neighbor]),
}

/// A chunk of consecutive groups of a contiguous list, a power of two many, with the altered groups replaced.
pub(crate) fn build_chunk(source: &List<'_>, groups: Range<usize>, altered: &[AlteredGroup]) -> Chunk {
    // The occupancy words of each group, and the runs of neighbors that are kept or replaced.
    let count = groups.len();
    let mut table = Vec::with_capacity(GROUP * count);
    let (mut runs, mut altered) = (Vec::new(), altered.iter().peekable());
    let mut kept: Option<Range<usize>> = None;
    let mut degree = 0;
    for (nth, group) in groups.enumerate() {
        let (mut occupied, at) = source.group_or_none(group);
        let end = at + occupied.count_ones() as usize;
        if let Some(new) = altered.next_if(|altered| altered.group % count == nth) {
            runs.extend(kept.take().map(Run::Kept));
            runs.push(Run::New(&new.values));
            occupied = new.occupied;
        } else {
            kept.get_or_insert(at..end).end = end;
        }
        table.extend([occupied as u32, (occupied >> 32) as u32, degree]);
        degree += occupied.count_ones();
    }
    runs.extend(kept.map(Run::Kept));

    // The column of weights, left out where every weight is 1.
    let is_new = |differs: fn(&Neighbor) -> bool| {
        runs.iter().any(|run| matches!(run, Run::New(values) if values.iter().any(differs)))
    };
    let (nodes, weights, times) = source.columns();
    let mut column = Vec::new();
    if weights.is_some() || is_new(|value| value.1 != 1.0) {
        for run in &runs {
            match run {
                Run::Kept(at) => match weights {
                    Some(weights) => column.extend_from_slice(&weights[at.clone()]),
                    None => column.resize(column.len() + at.len(), 1.0_f32.to_bits()),
                },
                Run::New(values) => column.extend(values.iter().map(|value| value.1.to_bits())),
            }
        }
        if column.iter().all(|&weight| weight == 1.0_f32.to_bits()) {
            column.clear();
        }
    }
    let (weights, mut column) = (column, Vec::new());
    let no_time = [NO_TIME as u64 as u32, (NO_TIME as u64 >> 32) as u32];
    // The column of times, left out where no edge has one.
    if times.is_some() || is_new(|value| value.2.is_some()) {
        for run in &runs {
            match run {
                Run::Kept(at) => match times {
                    Some(times) => column.extend_from_slice(&times[2 * at.start..2 * at.end]),
                    None => column.extend(at.clone().flat_map(|_| no_time)),
                },
                Run::New(values) => column.extend(values.iter().flat_map(|value| {
                    let time = value.2.unwrap_or(NO_TIME) as u64;
                    [time as u32, (time >> 32) as u32]
                })),
            }
        }
        if column.chunks_exact(2).all(|time| time == no_time) {
            column.clear();
        }
    }
    let times = column;

    if degree == 0 {
        return Chunk { record: Record::default(), words: Vec::new().into(), first_position: 0 };
        // The record and the block of the chunk.
    }
    let (is_weighted, is_timed) = (!weights.is_empty(), !times.is_empty());
    let bits = GROUP_BITS + count.trailing_zeros();
    let record = Record::new(StableId::new(0), bits, is_weighted, is_timed, u64::from(degree));
    let mut words = Vec::with_capacity(record.words());
    if is_weighted {
        // Weights are above 0, so their bits compare like their values.
        let largest = weights.iter().max().map_or(1.0, |&largest| f32::from_bits(largest));
        words.push(exponent_above(largest) as u32);
    }
    words.extend(table);
    for run in &runs {
        match run {
            Run::Kept(at) => words.extend_from_slice(&nodes[at.clone()]),
            Run::New(values) => words.extend(values.iter().map(|value| value.0.get())),
        }
    }
    words.extend(weights);
    words.extend(times);
    Chunk { record, words: words.into(), first_position: 0 }
}
