//! Neighborhoods: the nodes that the walks of a source visit most.
//! Owns the choice between interleaved and dense walks, and the storage of many neighborhoods.

use hedgerow_storage::{CancelToken, NodeIx, Stage};
use rayon::prelude::*;

use crate::dense_walks::{SOURCES_PER_BLOCK, dense_walks};
use crate::error::Error;
use crate::stable_walks::interleaved_walks;
use crate::visits::{Visit, VisitColumns, VisitCounter};
use crate::walk_context::WalkContext;

/// Bytes of visits that dense walks may hold at a time.
const DENSE_VISIT_BYTES: usize = 4 << 30;
/// Dense walks are made if at least one node in so many is a source. Interleaved walks then take about twice as long.
const DENSE_SHARE: usize = 4;
/// Sources whose walks are interleaved.
const SOURCES_INTERLEAVED: usize = 8;
/// The most sources in one task of interleaved walks. Tasks are smaller if that gives every thread one.
const SOURCES_PER_TASK: usize = 256;

/// The neighborhoods of several sources.
///
/// Shapes: eight bytes per source and eight per visit kept.
#[derive(Clone, Debug, Default)]
pub struct Neighborhoods {
    parts: Vec<Part>,
    /// By part: the number of neighborhoods up to its end.
    ends: Vec<usize>,
}

/// The neighborhoods that one task made.
#[derive(Clone, Debug, Default)]
struct Part {
    visits: Vec<Visit>,
    /// By neighborhood: the number of visits up to its end.
    ends: Vec<usize>,
}

impl Neighborhoods {
    /// The number of neighborhoods.
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// True if there are no neighborhoods.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The neighborhood of source number `index`, in the order in which the sources were given.
    ///
    /// # Panics
    /// If `index` is not below [`Neighborhoods::len`].
    pub fn of(&self, index: usize) -> &[Visit] {
        let part = self.ends.partition_point(|&end| end <= index);
        let first = if part == 0 { 0 } else { self.ends[part - 1] };
        self.parts[part].of(index - first)
    }

    /// All neighborhoods, in the order of the sources.
    pub fn iter(&self) -> impl Iterator<Item = &[Visit]> {
        self.parts.iter().flat_map(|part| (0..part.ends.len()).map(|index| part.of(index)))
    }

    fn push(&mut self, part: Part) {
        self.ends.push(self.len() + part.ends.len());
        self.parts.push(part);
    }
}

/// The division into parts does not count: it depends on the number of threads.
impl PartialEq for Neighborhoods {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Neighborhoods {}

impl Part {
    fn of(&self, index: usize) -> &[Visit] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.visits[start..self.ends[index]]
    }

    /// Appends the neighborhoods of the sources, from the visits of their walks.
    fn count(&mut self, counter: &mut VisitCounter<'_>, sources: &[NodeIx], visits: &VisitColumns) {
        counter.count(sources, visits, &mut self.visits, &mut self.ends);
    }
}

/// The neighborhood of one source; see [`Walker::neighborhood`](crate::Walker::neighborhood).
pub(crate) fn neighborhood(context: &WalkContext<'_>, source: NodeIx) -> Vec<Visit> {
    let mut part = Part::default();
    part.count(&mut counter(context), &[source], &interleaved_walks(context, &[source]));
    part.visits
}

/// The neighborhoods of many sources; see [`Walker::neighborhoods`](crate::Walker::neighborhoods).
pub(crate) fn neighborhoods(
    context: &WalkContext<'_>,
    sources: &[NodeIx],
    cancel: &CancelToken,
) -> Result<Neighborhoods, Error> {
    let mut all = Neighborhoods::default();
    for_each_part(context, sources, cancel, |part| all.push(part))?;
    Ok(all)
}

/// Calls `each` with the neighborhoods of many sources; see [`Walker::for_each_neighborhood`](crate::Walker::for_each_neighborhood).
pub(crate) fn for_each_neighborhood(
    context: &WalkContext<'_>,
    sources: &[NodeIx],
    cancel: &CancelToken,
    mut each: impl FnMut(&[Visit]),
) -> Result<(), Error> {
    for_each_part(context, sources, cancel, |part| {
        for index in 0..part.ends.len() {
            each(part.of(index));
        }
    })
}

/// Calls `each` with parts of the neighborhoods, in the order of the sources.
fn for_each_part(
    context: &WalkContext<'_>,
    sources: &[NodeIx],
    cancel: &CancelToken,
    mut each: impl FnMut(Part),
) -> Result<(), Error> {
    let stage = cancel.stage("walks", sources.len() as u64);
    let visits = context.visits_per_source();
    context.flatten_lists(sources.len().saturating_mul(visits))?;
    for block in sources.chunks((DENSE_VISIT_BYTES / 4 / visits.max(1)).max(SOURCES_PER_TASK)) {
        let is_dense = block.len() >= context.snapshot.bound() as usize / DENSE_SHARE;
        let parts = if is_dense && block.len() > SOURCES_PER_TASK {
            parts_of_dense_walks(context, block, &stage)?
        } else {
            parts_of_interleaved_walks(context, block, &stage)?
        };
        cancel.check()?;
        parts.into_iter().for_each(&mut each);
    }
    stage.end();
    Ok(())
}

fn parts_of_dense_walks(
    context: &WalkContext<'_>,
    sources: &[NodeIx],
    stage: &Stage<'_>,
) -> Result<Vec<Part>, Error> {
    let visits = dense_walks(context, sources, stage)?;
    let count = |(sources, visits): (&[NodeIx], VisitColumns)| {
        let mut part = Part::default();
        part.count(&mut counter(context), sources, &visits);
        part
    };
    Ok(sources.par_chunks(SOURCES_PER_BLOCK).zip(visits).map(count).collect())
}

fn parts_of_interleaved_walks(
    context: &WalkContext<'_>,
    sources: &[NodeIx],
    stage: &Stage<'_>,
) -> Result<Vec<Part>, Error> {
    let walk_task = |sources: &[NodeIx]| {
        stage.advance(sources.len() as u64)?;
        let (mut part, mut counter) = (Part::default(), counter(context));
        let mut walk =
            |sources: &[NodeIx]| part.count(&mut counter, sources, &interleaved_walks(context, sources));
        let groups = sources.chunks_exact(SOURCES_INTERLEAVED);
        let rest = groups.remainder();
        groups.for_each(&mut walk);
        rest.chunks(1).for_each(walk);
        Ok(part)
    };
    let share = sources.len().div_ceil(rayon::current_num_threads()).next_multiple_of(SOURCES_INTERLEAVED);
    let per_task = share.clamp(SOURCES_INTERLEAVED, SOURCES_PER_TASK);
    sources.par_chunks(per_task).map(walk_task).collect()
}

fn counter<'s>(context: &WalkContext<'s>) -> VisitCounter<'s> {
    VisitCounter::new(context.snapshot, context.options, context.kind)
}
