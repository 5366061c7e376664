//! The edges of a load, divided among threads, and the edge ends that each thread collects for the lists.
//! Knows nothing of the encoding of lists.
//!
//! The owners of lists are divided into *blocks* of consecutive owners, blocks into *buckets* with about equal numbers of neighbors,
//! and buckets into *rounds*. In each round every partition is read, and the ends in the buckets of the round are
//! collected in the order of the edges. So no two threads write to the same memory, a bucket fits the cache, and only a
//! part of the ends is in memory besides the edges.

use std::ops::Range;

use crate::adjacency::list::NO_TIME;
use crate::adjacency::owners::Owners;
use crate::types::ids::NodeIx;
use crate::types::ops::EdgeData;
use crate::types::weights::relation_options::HalfLife;
use crate::types::weights::repeat::Repeat;

use crate::bulk::load::EdgeColumns;

/// The parameters of the division.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    /// The most blocks, so that counters and lookups by block stay in the cache.
    pub(super) blocks: usize,
    /// The most buckets in a round; each has one write position.
    pub(super) buckets: usize,
    /// The fewest neighbors in a bucket.
    pub(super) bucket: u64,
    /// Partitions of the edges for each thread, so that a slow thread leaves some of its partitions to others.
    pub(super) partitions: usize,
    /// The number of rounds, about: each reads all edges, and holds a part of the lists.
    pub(super) rounds: u64,
}

pub(super) const DIVISION: Division =
    Division { blocks: 1 << 16, buckets: 256, bucket: 1 << 16, partitions: 4, rounds: 8 };

/// The cost of a node besides its neighbors, in neighbors.
const NODE: u64 = 4;
/// Memory for this many times the ends of a round is freed.
const LARGEST_SURPLUS: usize = 2;

/// The values of an edge in the lists, in as little memory as the edges of a relation need.
pub(super) trait EdgeValue: Copy + Send + Sync {
    /// The values of an edge with weight 1 and no time.
    const DEFAULT: Self;
    /// The values of the edge at this index.
    fn of(slice: &EdgeSlice<'_>, at: usize) -> Self;
    fn weight(self) -> f32;
    fn time(self) -> Option<i64>;
    /// The values after this edge came to an equal one; the last one counts, unless edges have a [`Repeat`].
    fn after(self, _: Self, _: Option<HalfLife>) -> Self {
        self
    }
}

/// No values: every weight is 1, and no edge has a time.
impl EdgeValue for () {
    const DEFAULT: Self = ();

    fn of(_: &EdgeSlice<'_>, _: usize) -> Self {}

    fn weight(self) -> f32 {
        1.0
    }

    fn time(self) -> Option<i64> {
        None
    }
}

/// A weight alone.
impl EdgeValue for f32 {
    const DEFAULT: Self = 1.0;

    fn of(slice: &EdgeSlice<'_>, at: usize) -> Self {
        slice.weights.map_or(1.0, |weights| weights[at])
    }

    fn weight(self) -> f32 {
        self
    }

    fn time(self) -> Option<i64> {
        None
    }
}

/// A weight and a time, or [`NO_TIME`].
#[derive(Clone, Copy)]
pub(super) struct Timed {
    weight: f32,
    /// The lower and upper half of the time: as one number it would make every end four bytes longer.
    time: [u32; 2],
}

impl Timed {
    const fn new(weight: f32, time: i64) -> Self {
        Self { weight, time: [time as u32, (time >> 32) as u32] }
    }
}

impl EdgeValue for Timed {
    const DEFAULT: Self = Self::new(1.0, NO_TIME);

    fn of(slice: &EdgeSlice<'_>, at: usize) -> Self {
        Self::new(f32::of(slice, at), slice.times.map_or(NO_TIME, |times| times[at]))
    }

    fn weight(self) -> f32 {
        self.weight
    }

    fn time(self) -> Option<i64> {
        let time = i64::from(self.time[0]) | i64::from(self.time[1]) << 32;
        (time != NO_TIME).then_some(time)
    }
}

/// All values, and the effect on an equal edge before.
#[derive(Clone, Copy)]
pub(super) struct Repeated {
    values: Timed,
    repeat: Repeat,
}

impl EdgeValue for Repeated {
    const DEFAULT: Self = Self { values: Timed::DEFAULT, repeat: Repeat::Last };

    fn of(slice: &EdgeSlice<'_>, at: usize) -> Self {
        let repeat = slice.repeats.map_or(Repeat::Last, |repeats| repeats[at]);
        Self { values: Timed::of(slice, at), repeat }
    }

    fn weight(self) -> f32 {
        self.values.weight()
    }

    fn time(self) -> Option<i64> {
        self.values.time()
    }

    fn after(self, earlier: Self, half_life: Option<HalfLife>) -> Self {
        let data = |edge: Self| EdgeData { weight: edge.weight(), time: edge.time() };
        let EdgeData { weight, time } = self.repeat.combine(data(earlier), data(self), half_life);
        Self { values: Timed::new(weight, time.unwrap_or(NO_TIME)), ..self }
    }
}

/// One end of an edge.
#[derive(Clone, Copy)]
pub(super) struct End<C> {
    /// The number of the owner's record.
    pub(super) owner: u32,
    pub(super) neighbor: u32,
    pub(super) values: C,
}

/// Some edges of a call, with their values.
#[derive(Clone, Copy)]
pub(super) struct EdgeSlice<'a> {
    edges: &'a [(NodeIx, NodeIx)],
    weights: Option<&'a [f32]>,
    times: Option<&'a [i64]>,
    repeats: Option<&'a [Repeat]>,
}

impl<'a> EdgeSlice<'a> {
    fn new(part: &'a EdgeColumns) -> Self {
        let (weights, times) = (part.weights.as_deref(), part.times.as_deref());
        Self { edges: &part.edges, weights, times, repeats: part.repeats.as_deref() }
    }

    fn split_at(self, at: usize) -> (Self, Self) {
        let (edges, rest) = self.edges.split_at(at);
        let (weights, other_weights) = split(self.weights, at);
        let (times, other_times) = split(self.times, at);
        let (repeats, other_repeats) = split(self.repeats, at);
        (
            Self { edges, weights, times, repeats },
            Self { edges: rest, weights: other_weights, times: other_times, repeats: other_repeats },
        )
    }
}

fn split<T>(values: Option<&[T]>, at: usize) -> (Option<&[T]>, Option<&[T]>) {
    values.map(|values| values.split_at(at)).unzip()
}

/// Divides the edges into partitions of about equal size, in their order.
pub(super) fn partition(parts: &[EdgeColumns], count: usize) -> Vec<Vec<EdgeSlice<'_>>> {
    let edges: usize = parts.iter().map(|part| part.edges.len()).sum();
    let max = edges.div_ceil(count).max(1);
    let mut partitions = vec![Vec::new()];
    let mut room = max;
    for part in parts {
        let mut slice = EdgeSlice::new(part);
        while !slice.edges.is_empty() {
            if room == 0 {
                partitions.push(Vec::new());
                room = max;
            }
            let (some, rest) = slice.split_at(slice.edges.len().min(room));
            partitions.last_mut().expect("there is one").push(some);
            room -= some.edges.len();
            slice = rest;
        }
    }
    partitions
}

/// The division of owners into blocks, by the high bits of their records' numbers.
pub(super) struct Blocks {
    shift: u32,
    owners: usize,
}

impl Blocks {
    pub(super) fn new(owners: usize, max: usize) -> Self {
        let shift = (0..u32::BITS).find(|&shift| owners.div_ceil(1 << shift) <= max);
        Self { shift: shift.expect("there are at most 2^32 nodes"), owners }
    }

    fn count(&self) -> usize {
        self.owners.div_ceil(1 << self.shift)
    }

    fn of(&self, owner: usize) -> usize {
        owner >> self.shift
    }

    pub(super) fn owners(&self, blocks: &Range<usize>) -> Range<usize> {
        (blocks.start << self.shift).min(self.owners)..(blocks.end << self.shift).min(self.owners)
    }
}

/// The edges that one thread reads, and the ends that it collects.
pub(super) struct Partition<'a, C> {
    edges: Vec<EdgeSlice<'a>>,
    /// The number of ends in each block; an edge of a node to itself counts twice.
    counts: Vec<usize>,
    /// The ends collected for a round, bucket after bucket.
    collected: Vec<End<C>>,
    /// The range of each bucket in `collected`.
    buckets: Vec<Range<usize>>,
}

impl<'a, C: EdgeValue> Partition<'a, C> {
    pub(super) fn new(edges: Vec<EdgeSlice<'a>>, owners: &Owners, blocks: &Blocks) -> Self {
        let mut counts = vec![0; blocks.count()];
        for &(a, b) in edges.iter().flat_map(|slice| slice.edges) {
            counts[blocks.of(record(owners, a))] += 1;
            counts[blocks.of(record(owners, b))] += 1;
        }
        Self { edges, counts, collected: Vec::new(), buckets: Vec::new() }
    }

    /// Collects the ends in the buckets of a round.
    pub(super) fn collect(&mut self, owners: &Owners, blocks: &Blocks, round: &[Range<usize>]) {
        // Each bucket gets a range of its own, large enough for its ends.
        let first = round[0].start;
        let mut bucket_of = Vec::new();
        self.buckets.clear();
        let mut room = 0;
        for (bucket, range) in round.iter().enumerate() {
            bucket_of.resize(range.end - first, bucket as u16);
            self.buckets.push(room..room);
            room += self.counts[range.clone()].iter().sum::<usize>();
        }
        // Where edges are sorted, a partition has nearly all ends of its nodes in one round, and few in the others.
        if self.collected.len() < room || self.collected.len() / LARGEST_SURPLUS > room {
            self.collected = Vec::new();
            self.collected = vec![End { owner: 0, neighbor: 0, values: C::DEFAULT }; room];
        }
        // Both ends of each edge go to their buckets.
        for slice in &self.edges {
            let mut put = |node: NodeIx, neighbor: NodeIx, at: usize| {
                let owner = record(owners, node);
                if let Some(&bucket) = bucket_of.get(blocks.of(owner).wrapping_sub(first)) {
                    let end = &mut self.buckets[usize::from(bucket)].end;
                    self.collected[*end] =
                        End { owner: owner as u32, neighbor: neighbor.get(), values: C::of(slice, at) };
                    *end += 1;
                }
            };
            for (at, &(a, b)) in slice.edges.iter().enumerate() {
                put(a, b, at);
                if a != b {
                    put(b, a, at);
                }
            }
        }
    }

    /// The ends collected for a bucket, in the order of the edges.
    pub(super) fn collected(&self, bucket: usize) -> &[End<C>] {
        &self.collected[self.buckets[bucket].clone()]
    }
}

/// The number of the record of a node that an edge has as an end.
fn record(owners: &Owners, node: NodeIx) -> usize {
    owners.record(node).expect("each end of an edge is an owner")
}

/// The rounds; each has the blocks of its buckets.
pub(super) fn divide<C>(
    partitions: &[Partition<'_, C>],
    blocks: &Blocks,
    division: Division,
) -> Vec<Vec<Range<usize>>> {
    let count = |block: usize| partitions.iter().map(|partition| partition.counts[block] as u64).sum::<u64>();
    let counts: Vec<u64> = (0..blocks.count()).map(|block| count(block) + (NODE << blocks.shift)).collect();
    let total: u64 = counts.iter().sum();
    let rounds = (total / division.bucket).clamp(1, division.rounds);
    let bucket = (total / (rounds * division.buckets as u64)).max(division.bucket);
    // Consecutive blocks form a bucket until it is large enough, and buckets a round. Hubs make large buckets.
    let largest_round = total.div_ceil(rounds);
    let (mut all, mut round) = (Vec::new(), Vec::new());
    let (mut start, mut size, mut round_size) = (0, 0, 0);
    for (block, &count) in counts.iter().enumerate() {
        size += count;
        let is_last = block + 1 == counts.len();
        if size >= bucket || is_last {
            round.push(start..block + 1);
            round_size += size;
            (start, size) = (block + 1, 0);
        }
        if round_size >= largest_round || round.len() == division.buckets || is_last {
            all.push(std::mem::take(&mut round));
            round_size = 0;
        }
    }
    all
}
