//! The lists of one relation from its edges, in parallel and in the form in which they are stored.
//! Owns who makes which list, and when it is written; how a list is encoded is `list_buf`'s to say.

use std::ops::Range;

use rayon::prelude::*;

use crate::adjacency::list_builder::encode_into;
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{Placement, slot_bits};
use crate::graph::plan::MAX_NEIGHBORS;
use crate::segments::ListSink;
use crate::types::error::Error;
use crate::types::ids::{NodeIx, StableId};
use crate::types::progress::Stage;

use crate::bulk::load::Part;
use crate::bulk::partition::{Blocks, DIVISION, Division, EdgeValue, End, Share, Timed, divide, share};

/// Puts the lists of all nodes into the sink, and returns how many edges there are, each counted once.
///
/// # Determinism
/// The same for any number of threads.
pub(crate) fn write(
    parts: &[Part],
    ids: &[StableId],
    sink: &mut ListSink<'_>,
    stage: &Stage<'_>,
) -> Result<u64, Error> {
    let is_weighted = parts.iter().any(|part| part.weights.is_some());
    let add = |made: &Made| sink.add(&made.records, &made.words);
    let is_timed = parts.iter().any(|part| part.times.is_some());
    let ends = if is_timed {
        make_all::<Timed>(parts, ids, DIVISION, add, stage)?
    } else if is_weighted {
        make_all::<f32>(parts, ids, DIVISION, add, stage)?
    } else {
        make_all::<()>(parts, ids, DIVISION, add, stage)?
    };
    Ok(ends / 2)
}

/// The lists of consecutive nodes, as they are stored.
#[derive(Default)]
struct Made {
    records: Vec<Record>,
    words: Vec<u32>,
    /// Ends of edges: an edge of a node to itself has both there.
    ends: u64,
}

/// Hands out the lists of all nodes in their order, and returns how many ends of edges there are.
fn make_all<C: EdgeValue>(
    parts: &[Part],
    ids: &[StableId],
    division: Division,
    mut add: impl FnMut(&Made) -> Result<(), Error> + Send,
    stage: &Stage<'_>,
) -> Result<u64, Error> {
    let blocks = Blocks::new(ids.len(), division.blocks);
    let mut shares: Vec<Share<'_, C>> = share(parts, rayon::current_num_threads() * division.shares)
        .into_par_iter()
        .map(|edges| Share::new(edges, &blocks))
        .collect();
    let mut ends = 0;
    let mut made: Vec<Made> = Vec::new();
    // Memory that a round has used serves the next one again.
    for round in divide(&shares, &blocks, division) {
        stage.advance(0)?;
        let (added, ()) = rayon::join(
            || made.iter().try_for_each(&mut add),
            || shares.par_iter_mut().for_each(|share| share.take(&blocks, &round)),
        );
        added?;
        made.resize_with(round.len(), Made::default);
        let buckets = round.par_iter().zip(&mut made).enumerate();
        buckets.try_for_each_init(Maker::default, |maker, (bucket, (range, made))| {
            let nodes = blocks.nodes(range);
            stage.advance(nodes.len() as u64)?;
            maker.make(nodes, shares.iter().map(|share| share.taken(bucket)), ids, made)
        })?;
        ends += made.iter().map(|made| made.ends).sum::<u64>();
    }
    made.iter().try_for_each(&mut add)?;
    Ok(ends)
}

/// Makes the lists of buckets, one after another in the same memory.
struct Maker<C> {
    /// Where the neighbours of each node end, once they are there.
    ends: Vec<usize>,
    neighbors: Vec<u32>,
    carried: Vec<C>,
    ids: Vec<StableId>,
    placement: Placement,
}

impl<C> Default for Maker<C> {
    fn default() -> Self {
        let (ends, neighbors, carried, ids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { ends, neighbors, carried, ids, placement: Placement::default() }
    }
}

impl<C: EdgeValue> Maker<C> {
    /// The lists of `nodes`, to which `taken` belongs, in the order of the edges.
    fn make<'a>(
        &mut self,
        nodes: Range<usize>,
        taken: impl Iterator<Item = &'a [End<C>]> + Clone,
        ids: &[StableId],
        made: &mut Made,
    ) -> Result<(), Error>
    where
        C: 'a,
    {
        self.gather(nodes.clone(), taken)?;
        made.records.clear();
        made.records.reserve_exact(nodes.len());
        made.words.clear();
        made.words.reserve_exact(self.neighbors.len() + self.neighbors.len() / 8);
        made.ends = 0;
        let mut start = 0;
        for (at, node) in nodes.enumerate() {
            let end = self.ends[at];
            self.add(node, start..end, ids, made);
            start = end;
        }
        Ok(())
    }

    /// Brings the neighbours of each node together.
    fn gather<'a>(
        &mut self,
        nodes: Range<usize>,
        taken: impl Iterator<Item = &'a [End<C>]> + Clone,
    ) -> Result<(), Error>
    where
        C: 'a,
    {
        let Self { ends, neighbors, carried, .. } = self;
        ends.clear();
        ends.resize(nodes.len(), 0);
        for end in taken.clone().flatten() {
            ends[end.owner as usize - nodes.start] += 1;
        }
        let most = ends.iter().copied().max().unwrap_or(0);
        if most > MAX_NEIGHBORS {
            let (limit, found) = (MAX_NEIGHBORS as u64, most as u64);
            return Err(Error::Limit { what: "neighbors of a node", limit, found });
        }
        // Where each list starts; with every neighbour it moves on, and in the end it is where the list ends.
        let mut total = 0;
        for end in &mut *ends {
            total += std::mem::replace(end, total);
        }
        neighbors.resize(total, 0);
        carried.resize(total, C::PLAIN);
        for &End { owner, neighbor, carried: carries } in taken.flatten() {
            let end = &mut ends[owner as usize - nodes.start];
            neighbors[*end] = neighbor;
            carried[*end] = carries;
            *end += 1;
        }
        Ok(())
    }

    /// Brings a list into slot order.
    fn add(&mut self, node: usize, list: Range<usize>, ids: &[StableId], made: &mut Made) {
        let (neighbors, carried) = (&self.neighbors[list.clone()], &self.carried[list]);
        if neighbors.is_empty() {
            made.records.push(Record::default());
            return;
        }
        let mut add = |neighbors: &[u32], carried: &[C]| {
            self.ids.clear();
            self.ids.extend(neighbors.iter().map(|&neighbor| ids[neighbor as usize]));
            if !self.placement.place(&self.ids, slot_bits(neighbors.len())) {
                return false;
            }
            let start = made.words.len() as u64;
            let value = |at: usize| (NodeIx::new(neighbors[at]), carried[at].weight(), carried[at].time());
            let record = encode_into(&mut made.words, ids[node], self.placement.table(), value);
            made.records.push(record.at(start));
            made.ends += neighbors.len() as u64 + u64::from(neighbors.contains(&(node as u32)));
            true
        };
        if !add(neighbors, carried) {
            let last = last_ones(neighbors);
            let neighbors: Vec<u32> = last.iter().map(|&at| neighbors[at]).collect();
            let carried: Vec<C> = last.iter().map(|&at| carried[at]).collect();
            assert!(add(&neighbors, &carried), "nobody is left twice");
        }
    }
}

/// Where the last of each neighbour stands.
fn last_ones(neighbors: &[u32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..neighbors.len()).collect();
    order.sort_by_key(|&at| neighbors[at]);
    let runs = order.chunk_by(|&one, &other| neighbors[one] == neighbors[other]);
    runs.map(|same| same[same.len() - 1]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::adjacency::list::List;
    use crate::adjacency::list::NO_TIME;
    use crate::adjacency::list_builder::{ListBuilder, ListEntry};
    use crate::types::cancel::CancelToken;
    use hedgerow_test_support::Random;

    /// Edges between the first few of `nodes` nodes and all of them: hubs, repetitions, edges to oneself, nobody at the end.
    fn random_parts(random: &mut Random, nodes: u32, is_weighted: bool, is_timed: bool) -> Vec<Part> {
        let parts = 1 + random.next() % 3;
        let part = |_| {
            let count = random.next() as usize % 400;
            let mut node = |most: u32| NodeIx::new((random.next() % u64::from(most)) as u32);
            let edges = (0..count).map(|_| (node(1 + nodes / 8), node(nodes - nodes / 8))).collect();
            let weight = |_| 0.5 + (random.next() % 3) as f32 / 2.0;
            let weights = is_weighted.then(|| (0..count).map(weight).collect());
            let time = |_| [NO_TIME, 0, -1, i64::MAX, 1 << 40][(random.next() % 5) as usize];
            let times = is_timed.then(|| (0..count).map(time).collect());
            Part { edges, weights, times }
        };
        (0..parts).map(part).collect()
    }

    /// However the work is divided, each list is the one that is built by itself from the last of each edge.
    #[test]
    fn every_division_of_the_work_makes_the_same_lists() {
        let pools = [1, 2, 7].map(|threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be had")
        });
        let mut random = Random::new(23);
        for round in 0..60 {
            let nodes = 1 + random.next() as u32 % 200;
            let ids: Vec<StableId> = (0..nodes).map(|_| StableId::new(random.next())).collect();
            let parts = random_parts(&mut random, nodes, round % 2 == 0, round % 3 == 0);
            let mut expected: BTreeMap<(u32, u32), (f32, Option<i64>)> = BTreeMap::new();
            for part in &parts {
                for (at, (a, b)) in part.edges.iter().enumerate() {
                    let weight = part.weights.as_ref().map_or(1.0, |weights| weights[at]);
                    let time = part.times.as_ref().map(|times| times[at]).filter(|&time| time != NO_TIME);
                    expected.insert((a.get(), b.get()), (weight, time));
                    expected.insert((b.get(), a.get()), (weight, time));
                }
            }
            let loops = expected.keys().filter(|(a, b)| a == b).count();
            let division = Division {
                blocks: 1 + random.next() as usize % 40,
                buckets: 1 + random.next() as usize % 5,
                bucket: 1 + random.next() % 100,
                shares: 1 + random.next() as usize % 4,
                rounds: 1 + random.next() % 6,
            };
            for pool in &pools {
                let mut node = 0;
                let add = |made: &Made| {
                    for &record in &made.records {
                        let owner = ids[node as usize];
                        let entry =
                            |(&(_, neighbor), &(weight, time)): (&(u32, u32), &(f32, Option<i64>))| {
                                ListEntry {
                                    node: NodeIx::new(neighbor),
                                    id: ids[neighbor as usize],
                                    weight,
                                    time,
                                }
                            };
                        let entries = expected.range((node, 0)..=(node, u32::MAX)).map(entry);
                        let expected = ListBuilder::build(owner, entries.collect());
                        let (found, words) = List::new(record, &made.words).parts();
                        assert_eq!((found.at(0), words), expected.as_list().parts(), "round {round}");
                        node += 1;
                    }
                    Ok(())
                };
                let cancel = CancelToken::new();
                let stage = cancel.stage("lists", u64::from(nodes));
                let ends = pool.install(|| match round % 6 {
                    0 | 3 => make_all::<Timed>(&parts, &ids, division, add, &stage),
                    1 | 5 => make_all::<()>(&parts, &ids, division, add, &stage),
                    _ => make_all::<f32>(&parts, &ids, division, add, &stage),
                });
                assert_eq!(ends.expect("nothing fails"), (expected.len() + loops) as u64, "round {round}");
                assert_eq!(node, nodes, "round {round}");
            }
        }
    }
}
