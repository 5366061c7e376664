//! Builds the lists of one relation from its edges, in parallel and in the stored form.
//! Owns the division of lists among threads and the order of writing; `list_builder` owns their encoding.

use std::ops::Range;

use rayon::prelude::*;

use crate::adjacency::classed_list::ClassEncoder;
use crate::adjacency::list_builder::encode_into;
use crate::adjacency::owners::Owners;
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{Placement, slot_bits};
use crate::graph::plan::max_neighbors;
use crate::segments::ListWriter;
use crate::types::error::Error;
use crate::types::ids::{NodeIx, StableId};
use crate::types::progress::Stage;
use crate::types::weights::relation_options::HalfLife;

use crate::bulk::load::EdgeColumns;
use crate::bulk::partition::{
    Blocks, DIVISION, Division, EdgeValue, End, Partition, Repeated, Timed, divide, partition,
};

/// The nodes whose lists the edges make.
///
/// # Cost
/// Reads edges until their nodes are not few, and takes a bit of memory for each node below `bound`.
pub(crate) fn owners(parts: &[EdgeColumns], bound: u32) -> Owners {
    let mut seen = vec![0_u64; bound.div_ceil(u64::BITS) as usize];
    let ends = parts.iter().flat_map(|part| &part.edges).flat_map(|&(a, b)| [a.get(), b.get()]);
    let first_seen = ends.filter(|&node| {
        let (word, bit) = (&mut seen[(node / u64::BITS) as usize], 1 << (node % u64::BITS));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    });
    Owners::new(first_seen, bound)
}

/// Writes the lists of all owners, and returns the number of edges, each counted once.
///
/// # Determinism
/// The same for any number of threads.
pub(crate) fn write(
    parts: &[EdgeColumns],
    ids: &[StableId],
    (owners, half_life): (&Owners, Option<HalfLife>),
    writer: &mut ListWriter<'_>,
    stage: &Stage<'_>,
) -> Result<u64, Error> {
    let is_weighted = parts.iter().any(|part| part.weights.is_some());
    let add = |lists: &BucketLists| writer.add(&lists.records, &lists.words);
    let is_timed = parts.iter().any(|part| part.times.is_some());
    let is_repeated = parts.iter().any(|part| part.repeats.is_some());
    let ends = if is_repeated {
        build_all::<Repeated>(parts, RelationNodes { ids, owners, half_life }, DIVISION, add, stage)?
    } else if is_timed {
        build_all::<Timed>(parts, RelationNodes { ids, owners, half_life }, DIVISION, add, stage)?
    } else if is_weighted {
        build_all::<f32>(parts, RelationNodes { ids, owners, half_life }, DIVISION, add, stage)?
    } else {
        build_all::<()>(parts, RelationNodes { ids, owners, half_life }, DIVISION, add, stage)?
    };
    Ok(ends / 2)
}

/// The nodes of a load, and those among them that have lists in a relation.
#[derive(Clone, Copy)]
struct RelationNodes<'a> {
    ids: &'a [StableId],
    owners: &'a Owners,
    /// Of the relation.
    half_life: Option<HalfLife>,
}

/// The encoded lists of consecutive owners.
#[derive(Default)]
struct BucketLists {
    records: Vec<Record>,
    words: Vec<u32>,
    /// The number of edge ends; an edge of a node to itself has both ends in its list.
    ends: u64,
}

/// Builds the lists of all owners in their order, and returns the number of edge ends.
fn build_all<C: EdgeValue>(
    parts: &[EdgeColumns],
    nodes: RelationNodes<'_>,
    division: Division,
    mut add: impl FnMut(&BucketLists) -> Result<(), Error> + Send,
    stage: &Stage<'_>,
) -> Result<u64, Error> {
    // Owners are divided into blocks, and edges into partitions.
    let owners = nodes.owners;
    let blocks = Blocks::new(owners.count(), division.blocks);
    let mut partitions: Vec<Partition<'_, C>> =
        partition(parts, rayon::current_num_threads() * division.partitions)
            .into_par_iter()
            .map(|edges| Partition::new(edges, owners, &blocks))
            .collect();
    let mut ends = 0;
    let mut lists: Vec<BucketLists> = Vec::new();
    // The lists of a round are written while the ends of the next round are collected. Each round reuses the memory of
    // the one before.
    for round in divide(&partitions, &blocks, division) {
        stage.advance(0)?;
        let (added, ()) = rayon::join(
            || lists.iter().try_for_each(&mut add),
            || partitions.par_iter_mut().for_each(|partition| partition.collect(owners, &blocks, &round)),
        );
        added?;
        lists.resize_with(round.len(), BucketLists::default);
        let buckets = round.par_iter().zip(&mut lists).enumerate();
        buckets.try_for_each_init(ListEncoder::default, |encoder, (bucket, (range, lists))| {
            let range = blocks.owners(range);
            stage.advance(range.len() as u64)?;
            encoder.make(range, partitions.iter().map(|partition| partition.collected(bucket)), nodes, lists)
        })?;
        ends += lists.iter().map(|lists| lists.ends).sum::<u64>();
    }
    lists.iter().try_for_each(&mut add)?;
    Ok(ends)
}

/// Encodes the lists of buckets, reusing its memory.
struct ListEncoder<C> {
    /// The end of each owner's neighbors, once they are collected.
    ends: Vec<usize>,
    neighbors: Vec<u32>,
    values: Vec<C>,
    ids: Vec<StableId>,
    placement: Placement,
    classes: ClassEncoder,
}

impl<C> Default for ListEncoder<C> {
    fn default() -> Self {
        let (ends, neighbors, values, ids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (placement, classes) = (Placement::default(), ClassEncoder::default());
        Self { ends, neighbors, values, ids, placement, classes }
    }
}

impl<C: EdgeValue> ListEncoder<C> {
    /// Builds the lists of a range of owners from their edge ends, in the order of the edges.
    fn make<'a>(
        &mut self,
        range: Range<usize>,
        collected: impl Iterator<Item = &'a [End<C>]> + Clone,
        nodes: RelationNodes<'_>,
        lists: &mut BucketLists,
    ) -> Result<(), Error>
    where
        C: 'a,
    {
        self.gather(range.clone(), collected, nodes.half_life)?;
        lists.records.clear();
        lists.records.reserve_exact(range.len());
        lists.words.clear();
        lists.words.reserve_exact(self.neighbors.len() + self.neighbors.len() / 8);
        lists.ends = 0;
        let mut start = 0;
        for (at, owner) in range.enumerate() {
            let end = self.ends[at];
            self.add(nodes.owners.node(owner), start..end, nodes, lists);
            start = end;
        }
        Ok(())
    }

    /// Groups the edge ends by owner.
    fn gather<'a>(
        &mut self,
        owners: Range<usize>,
        collected: impl Iterator<Item = &'a [End<C>]> + Clone,
        half_life: Option<HalfLife>,
    ) -> Result<(), Error>
    where
        C: 'a,
    {
        let Self { ends, neighbors, values, .. } = self;
        ends.clear();
        ends.resize(owners.len(), 0);
        // The degree of each owner, repeated edges counted.
        for end in collected.clone().flatten() {
            ends[end.owner as usize - owners.start] += 1;
        }
        let max_degree = ends.iter().copied().max().unwrap_or(0);
        let limit = max_neighbors(half_life);
        if max_degree > limit {
            let (limit, found) = (limit as u64, max_degree as u64);
            return Err(Error::Limit { what: "neighbors of a node", limit, found });
        }
        // The start of each list. It advances with every neighbor, and is the end of the list afterwards.
        let mut total = 0;
        for end in &mut *ends {
            total += std::mem::replace(end, total);
        }
        neighbors.resize(total, 0);
        values.resize(total, C::DEFAULT);
        for &End { owner, neighbor, values: carries } in collected.flatten() {
            let end = &mut ends[owner as usize - owners.start];
            neighbors[*end] = neighbor;
            values[*end] = carries;
            *end += 1;
        }
        Ok(())
    }

    /// Encodes the list of one node.
    fn add(&mut self, node: NodeIx, list: Range<usize>, nodes: RelationNodes<'_>, lists: &mut BucketLists) {
        let (ids, half_life) = (nodes.ids, nodes.half_life);
        let (neighbors, values) = (&self.neighbors[list.clone()], &self.values[list]);
        if neighbors.is_empty() {
            lists.records.push(Record::default());
            return;
        }
        let mut add = |neighbors: &[u32], values: &[C]| {
            self.ids.clear();
            self.ids.extend(neighbors.iter().map(|&neighbor| ids[neighbor as usize]));
            if !self.placement.place(&self.ids, slot_bits(neighbors.len())) {
                return false;
            }
            let start = lists.words.len() as u64;
            let value = |at: usize| (NodeIx::new(neighbors[at]), values[at].weight(), values[at].time());
            let owner = ids[node.index()];
            let record = match half_life {
                None => encode_into(&mut lists.words, owner, self.placement.table(), value),
                Some(half_life) => {
                    let entry = |at: usize| (self.ids[at], value(at));
                    self.classes.encode(&mut lists.words, (owner, half_life), neighbors.len(), entry)
                }
            };
            lists.records.push(record.at(start));
            lists.ends += neighbors.len() as u64 + u64::from(neighbors.contains(&node.get()));
            true
        };
        // Repeated edges become one for each neighbor.
        if !add(neighbors, values) {
            let (neighbors, values) = combined(neighbors, values, half_life);
            assert!(add(&neighbors, &values), "each neighbor is left once");
        }
    }
}

/// Each neighbor once, with the values after all its edges came in their order.
fn combined<C: EdgeValue>(
    neighbors: &[u32],
    values: &[C],
    half_life: Option<HalfLife>,
) -> (Vec<u32>, Vec<C>) {
    let mut order: Vec<usize> = (0..neighbors.len()).collect();
    order.sort_by_key(|&at| neighbors[at]);
    let runs = order.chunk_by(|&one, &other| neighbors[one] == neighbors[other]);
    let value = |edges: &[usize]| {
        let last = edges.iter().map(|&at| values[at]).reduce(|earlier, edge| edge.after(earlier, half_life));
        (neighbors[edges[0]], last.expect("a run is not empty"))
    };
    runs.map(value).unzip()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::adjacency::list::List;
    use crate::adjacency::list::NO_TIME;
    use crate::adjacency::list_builder::{ListBuilder, ListEntry};
    use crate::adjacency::owners::OwnerIndex;
    use crate::types::cancel::CancelToken;
    use crate::types::ops::EdgeData;
    use crate::types::weights::repeat::Repeat;
    use hedgerow_test_support::Random;

    /// Edges between the first few of `nodes` nodes and all of them: hubs, repetitions, edges of nodes to themselves,
    /// and nodes without edges at the end.
    fn random_parts(
        random: &mut Random,
        nodes: u32,
        [is_weighted, is_timed, is_repeated]: [bool; 3],
    ) -> Vec<EdgeColumns> {
        let parts = 1 + random.next() % 3;
        let part = |_| {
            let count = random.next() as usize % 400;
            let mut node = |bound: u32| NodeIx::new((random.next() % u64::from(bound)) as u32);
            let edges = (0..count).map(|_| (node(1 + nodes / 8), node(nodes - nodes / 8))).collect();
            let weight = |_| 0.5 + (random.next() % 3) as f32 / 2.0;
            let weights = is_weighted.then(|| (0..count).map(weight).collect());
            let time = |_| [NO_TIME, 0, -1, i64::MAX, 1 << 40][(random.next() % 5) as usize];
            let times = is_timed.then(|| (0..count).map(time).collect());
            let repeat = |_| Repeat::ALL[(random.next() % 4) as usize];
            let repeats = is_repeated.then(|| (0..count).map(repeat).collect());
            EdgeColumns { edges, weights, times, repeats }
        };
        (0..parts).map(part).collect()
    }

    /// In every division of the work, each list equals the one that is built alone from what repeats make of each
    /// edge. The owners are all nodes, or those with a list.
    #[test]
    fn every_division_of_the_work_makes_the_same_lists() {
        let pools = [1, 2, 7].map(|threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be had")
        });
        let mut random = Random::new(23);
        for round in 0..60 {
            let nodes = 1 + random.next() as u32 % 200;
            let ids: Vec<StableId> = (0..nodes).map(|_| StableId::new(random.next())).collect();
            let parts = random_parts(&mut random, nodes, [round % 2 == 0, round % 3 == 0, round % 5 == 0]);
            let mut expected: BTreeMap<(u32, u32), EdgeData> = BTreeMap::new();
            for part in &parts {
                for (at, (a, b)) in part.edges.iter().enumerate() {
                    let weight = part.weights.as_ref().map_or(1.0, |weights| weights[at]);
                    let time = part.times.as_ref().map(|times| times[at]).filter(|&time| time != NO_TIME);
                    let repeat = part.repeats.as_ref().map_or(Repeat::Last, |repeats| repeats[at]);
                    let edge = EdgeData { weight, time };
                    let before = expected.get(&(a.get(), b.get())).copied();
                    let after = before.map_or(edge, |before| repeat.combine(before, edge, None));
                    expected.insert((a.get(), b.get()), after);
                    expected.insert((b.get(), a.get()), after);
                }
            }
            let linked: BTreeSet<u32> = expected.keys().map(|&(node, _)| node).collect();
            let few: Vec<u32> = linked.into_iter().collect();
            let index = OwnerIndex::new(&few, nodes);
            let owners = if round % 4 < 2 { Owners::All(nodes) } else { Owners::Few(few, index) };
            let loops = expected.keys().filter(|(a, b)| a == b).count();
            let division = Division {
                blocks: 1 + random.next() as usize % 40,
                buckets: 1 + random.next() as usize % 5,
                bucket: 1 + random.next() % 100,
                partitions: 1 + random.next() as usize % 4,
                rounds: 1 + random.next() % 6,
            };
            for pool in &pools {
                let mut written = 0;
                let add = |lists: &BucketLists| {
                    for &record in &lists.records {
                        let node = owners.node(written).get();
                        let owner = ids[node as usize];
                        let entry =
                            |(&(_, neighbor), &EdgeData { weight, time }): (&(u32, u32), &EdgeData)| {
                                ListEntry {
                                    node: NodeIx::new(neighbor),
                                    id: ids[neighbor as usize],
                                    weight,
                                    time,
                                }
                            };
                        let entries = expected.range((node, 0)..=(node, u32::MAX)).map(entry);
                        let expected = ListBuilder::build(owner, entries.collect());
                        let (found, words) = List::new(record, &lists.words).parts();
                        assert_eq!((found.at(0), words), expected.as_list().parts(), "round {round}");
                        written += 1;
                    }
                    Ok(())
                };
                let nodes = RelationNodes { ids: &ids, owners: &owners, half_life: None };
                let cancel = CancelToken::new();
                let stage = cancel.stage("lists", owners.count() as u64);
                let ends = pool.install(|| match round % 6 {
                    _ if round % 5 == 0 => build_all::<Repeated>(&parts, nodes, division, add, &stage),
                    0 | 3 => build_all::<Timed>(&parts, nodes, division, add, &stage),
                    1 | 5 => build_all::<()>(&parts, nodes, division, add, &stage),
                    _ => build_all::<f32>(&parts, nodes, division, add, &stage),
                });
                assert_eq!(ends.expect("nothing fails"), (expected.len() + loops) as u64, "round {round}");
                assert_eq!(written, owners.count(), "round {round}");
            }
        }
    }
}
