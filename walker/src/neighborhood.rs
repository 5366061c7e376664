//! Neighbourhoods: the nodes that a source's walks visit most.

use hedgerow_storage::{CancelToken, NodeIx};
use rayon::prelude::*;

use crate::dense_walks::SOURCES_PER_BLOCK;
use crate::draw_keys::PathKeys;
use crate::error::Error;
use crate::policy::Path;
use crate::visits::{VisitColumns, VisitCounter};
use crate::walker::Walker;

/// Bytes of visits that a sweep may hold.
const DENSE_VISIT_BYTES: usize = 4 << 30;
/// One source in so many nodes, or more, make a sweep cheaper than walks by themselves, which take about twice as long.
const DENSE_SHARE: usize = 4;
/// Sources whose walks are made side by side.
const SOURCES_INTERLEAVED: usize = 8;
/// Sources that are one task at most where they are not swept; fewer where they are few, so that every thread has some.
const SOURCES_PER_TASK: usize = 256;

/// A node of a neighbourhood. Its importance is `count` over the sum of the neighbourhood's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Visit {
    /// The node visited.
    pub node: NodeIx,
    /// By how many visits of all the source's walks.
    pub count: u32,
}

/// The neighbourhoods of some sources. Size: eight bytes a source and eight a visit kept.
#[derive(Clone, Debug, Default)]
pub struct Neighborhoods {
    parts: Vec<Part>,
    /// Where each part ends.
    ends: Vec<usize>,
}

/// The neighbourhoods that one task made.
#[derive(Clone, Debug, Default)]
struct Part {
    visits: Vec<Visit>,
    /// Where each neighbourhood ends.
    ends: Vec<usize>,
}

impl Neighborhoods {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The neighbourhood of the source at that place.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn of(&self, place: usize) -> &[Visit] {
        let part = self.ends.partition_point(|&end| end <= place);
        let first = if part == 0 { 0 } else { self.ends[part - 1] };
        self.parts[part].of(place - first)
    }

    /// All of them, in the order of the sources.
    pub fn iter(&self) -> impl Iterator<Item = &[Visit]> {
        self.parts.iter().flat_map(|part| (0..part.ends.len()).map(|place| part.of(place)))
    }

    fn push(&mut self, part: Part) {
        self.ends.push(self.len() + part.ends.len());
        self.parts.push(part);
    }
}

/// Whichever tasks they came from.
impl PartialEq for Neighborhoods {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Neighborhoods {}

impl Part {
    fn of(&self, place: usize) -> &[Visit] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.visits[start..self.ends[place]]
    }
}

impl Walker<'_> {
    /// The neighbourhood of `source`: all nodes of its kind but itself that its walks visited at least
    /// `min_visits` times, by count, then by stable id, the first `top` of them (PinSage, section 3.1).
    ///
    /// Cost: walks x mean hops picks, and sorting the visits.
    pub fn neighborhood(&self, source: NodeIx) -> Vec<Visit> {
        let mut part = Part::default();
        self.counter().count(&[source], &self.interleaved_walks(&[source]), &mut part.visits, &mut part.ends);
        part.visits
    }

    /// The neighbourhoods of many sources, in their order.
    ///
    /// Errors: [`Error::Store`] with the cancellation, once `cancel` was raised.
    /// Determinism: the same for any number of threads, and as one by one.
    /// Cost: as one by one, or half where a quarter of all nodes are sources: then all walks are made in one sweep
    /// over the lists, which holds four bytes for each visit, 4 GiB at most. Parallel over sources and nodes.
    pub fn neighborhoods(&self, sources: &[NodeIx], cancel: &CancelToken) -> Result<Neighborhoods, Error> {
        let mut all = Neighborhoods::default();
        let stage = cancel.stage("walks", sources.len() as u64);
        let visits = self.visits_per_source();
        self.flatten_lists(sources.len().saturating_mul(visits))?;
        for block in sources.chunks((DENSE_VISIT_BYTES / 4 / visits.max(1)).max(SOURCES_PER_TASK)) {
            let parts = if block.len() >= self.snapshot.bound() as usize / DENSE_SHARE
                && block.len() > SOURCES_PER_TASK
            {
                let visits = self.dense_walks(block, &stage)?;
                let count = |(sources, visits): (&[NodeIx], VisitColumns)| {
                    let mut part = Part::default();
                    self.counter().count(sources, &visits, &mut part.visits, &mut part.ends);
                    part
                };
                block.par_chunks(SOURCES_PER_BLOCK).zip(visits).map(count).collect::<Vec<_>>()
            } else {
                let part = |sources: &[NodeIx]| {
                    stage.advance(sources.len() as u64)?;
                    let (mut part, mut counter) = (Part::default(), self.counter());
                    let mut walk = |sources: &[NodeIx]| {
                        let visits = self.interleaved_walks(sources);
                        counter.count(sources, &visits, &mut part.visits, &mut part.ends);
                    };
                    let together = sources.chunks_exact(SOURCES_INTERLEAVED);
                    let rest = together.remainder();
                    together.for_each(&mut walk);
                    rest.chunks(1).for_each(walk);
                    Ok(part)
                };
                let share =
                    block.len().div_ceil(rayon::current_num_threads()).next_multiple_of(SOURCES_INTERLEAVED);
                let per_task = share.clamp(SOURCES_INTERLEAVED, SOURCES_PER_TASK);
                block.par_chunks(per_task).map(part).collect::<Result<Vec<_>, Error>>()?
            };
            cancel.check()?;
            for part in parts {
                all.push(part);
            }
        }
        stage.end();
        Ok(all)
    }

    /// The visits of all walks of a source at most.
    pub(crate) fn visits_per_source(&self) -> usize {
        let of_path = |(keys, path): (&PathKeys, &Path)| -> usize {
            let cycle = path.relations.len();
            keys.by_hop.iter().skip(cycle - 1).step_by(cycle).map(Vec::len).sum()
        };
        self.keys.by_path().iter().zip(&self.paths).map(of_path).sum()
    }

    fn counter(&self) -> VisitCounter<'_> {
        VisitCounter::new(self.snapshot, self.options, self.kind)
    }
}
