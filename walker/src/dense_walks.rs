//! All walks of many sources at once: where each node leads is written down for every draw, and the walks read it off.
//! The same walks as one by one; knows nothing of what is made of them.

use hedgerow_storage::{KindIx, Lists, NodeIx, Snapshot, Stage};
use rayon::prelude::*;

use crate::draw_keys::PathKeys;
use crate::error::Error;
use crate::hash::fold;
use crate::interleaved::ENDED;
use crate::policy::Path;
use crate::stable_draw::{draw_unweighted, draw_weighted};
use crate::visits::VisitColumns;
use crate::walker::Walker;

/// Bytes of the tables of next nodes at a time, if one walk does not need more.
const TABLE_BYTES: usize = 256 << 20;
/// Nodes whose draws are one task.
const NODES_PER_TASK: usize = 16_384;
/// Sources whose walks are one task. Not a power of two: the columns of a source would share few sets of the cache.
pub(crate) const SOURCES_PER_BLOCK: usize = 1008;

/// A draw that a pass makes at every node that a walk can stand on: its key, and the table that takes the result.
type TableDraw = (u64, usize);

impl Walker<'_> {
    /// The visits of all walks of the sources, [`SOURCES_PER_BLOCK`] by [`SOURCES_PER_BLOCK`]; the stage counts the sources, each by the walks made.
    ///
    /// All draws of a node are made together, while its list is near, and in the order of the nodes, so that lists are
    /// read from end to end. A hop then is one read in a table of four bytes a node. Draws are also made at nodes that no
    /// walk comes to, so this is for sources that are a good part of all.
    ///
    /// Cost: four bytes for each visit, and tables of 256 MiB, or of one walk where that is more.
    pub(crate) fn dense_walks(
        &self,
        sources: &[NodeIx],
        stage: &Stage<'_>,
    ) -> Result<Vec<VisitColumns>, Error> {
        let nodes = self.snapshot.bound() as usize;
        let columns = self.visits_per_source();
        let empty = |part: &[NodeIx]| VisitColumns {
            width: part.len(),
            columns: Vec::with_capacity(part.len() * columns),
        };
        let mut visits: Vec<VisitColumns> = sources.chunks(SOURCES_PER_BLOCK).map(empty).collect();
        let mut tables = Vec::new();
        let all: usize = self.keys.by_path().iter().map(|keys| keys.by_hop.first().map_or(0, Vec::len)).sum();
        let mut made = 0;
        let reached = |made: usize| sources.len() as u64 * made as u64 / all.max(1) as u64;
        for (path, keys) in self.keys.by_path().iter().enumerate() {
            let walks = keys.by_hop.first().map_or(0, Vec::len);
            let per_pass = (TABLE_BYTES / (4 * (nodes + 1) * keys.by_hop.len().max(1))).max(1);
            for first in (0..walks).step_by(per_pass) {
                let walks = first..(first + per_pass).min(walks);
                stage.advance(0)?;
                let starts = self.draw_everywhere(path, keys, walks.clone(), &mut tables);
                visits.par_iter_mut().zip(sources.par_chunks(SOURCES_PER_BLOCK)).for_each(
                    |(visits, part)| {
                        for (walk, &start) in walks.clone().zip(&starts) {
                            let hops = keys.by_hop.iter().take_while(|keys| walk < keys.len()).count();
                            let tables = &tables[start * (nodes + 1)..][..hops * (nodes + 1)];
                            TableWalk { walker: self, path: &self.paths[path], tables, nodes, part, visits }
                                .run();
                        }
                    },
                );
                stage.advance(reached(made + walks.len()) - reached(made))?;
                made += walks.len();
            }
        }
        Ok(visits)
    }

    /// Fills a table for each hop of some walks of a path, and returns the number of the first table of each walk.
    fn draw_everywhere(
        &self,
        path: usize,
        keys: &PathKeys,
        walks: std::ops::Range<usize>,
        tables: &mut Vec<u32>,
    ) -> Vec<usize> {
        let nodes = self.snapshot.bound() as usize;
        let mut starts = Vec::new();
        let mut draws: Vec<Vec<TableDraw>> = vec![Vec::new(); keys.by_hop.len()];
        let mut count = 0;
        for walk in walks {
            starts.push(count);
            for (keys, draws) in keys.by_hop.iter().zip(&mut draws).take_while(|(keys, _)| walk < keys.len())
            {
                draws.push((keys[walk], count));
                count += 1;
            }
        }
        let plans: Vec<Vec<(Lists<'_>, Vec<TableDraw>)>> = (0..self.snapshot.kind_count())
            .map(|kind| self.plan(path, KindIx::new(kind as u8), &draws))
            .collect();
        // A node more than there are: the one on which ended walks stand.
        if tables.len() < count * (nodes + 1) {
            // Zeros that the system gives when they are touched, by many threads.
            *tables = vec![0; count * (nodes + 1)];
        }
        // From each table the part of every task.
        let mut parts: Vec<Vec<&mut [u32]>> =
            (0..nodes.div_ceil(NODES_PER_TASK)).map(|_| Vec::new()).collect();
        for table in tables.chunks_exact_mut(nodes + 1).take(count) {
            table[nodes] = ENDED;
            for (parts, part) in parts.iter_mut().zip(table[..nodes].chunks_mut(NODES_PER_TASK)) {
                parts.push(part);
            }
        }
        parts.into_par_iter().enumerate().for_each(|(task, tables)| {
            DrawTask { snapshot: self.snapshot, plans: &plans, first: task * NODES_PER_TASK, tables }.run();
        });
        starts
    }

    /// The draws to make at nodes of a kind, by relation. Who is of a kind on which no walk can stand is left out.
    fn plan(&self, path: usize, kind: KindIx, draws: &[Vec<TableDraw>]) -> Vec<(Lists<'_>, Vec<TableDraw>)> {
        let path = &self.paths[path];
        let mut plan: Vec<(_, Vec<TableDraw>)> = Vec::new();
        for (hop, draws) in (0..).zip(draws) {
            let Some(relation) = path.relation(hop).filter(|_| path.can_reach(kind, hop)) else { continue };
            match plan.iter_mut().find(|(other, _)| *other == relation) {
                Some((_, all)) => all.extend(draws),
                None => plan.push((relation, draws.clone())),
            }
        }
        plan.into_iter().map(|(relation, draws)| (self.lists(relation), draws)).collect()
    }
}

/// The draws of some nodes.
struct DrawTask<'a> {
    snapshot: &'a Snapshot,
    /// By kind.
    plans: &'a [Vec<(Lists<'a>, Vec<TableDraw>)>],
    first: usize,
    tables: Vec<&'a mut [u32]>,
}

impl DrawTask<'_> {
    fn run(mut self) {
        for at in 0..self.tables.first().map_or(0, |part| part.len()) {
            let node = NodeIx::new((self.first + at) as u32);
            for (lists, draws) in &self.plans[self.snapshot.kind(node).get() as usize] {
                let list = lists.get(node);
                if list.is_empty() {
                    for &(_, table) in draws {
                        self.tables[table][at] = ENDED;
                    }
                } else if list.is_weighted() {
                    for &(key, table) in draws {
                        let drawn = draw_weighted(&list, fold(key, list.salt()));
                        self.tables[table][at] = list.neighbor(drawn).get();
                    }
                } else {
                    for &(key, table) in draws {
                        let drawn = draw_unweighted(&list, fold(key, list.salt()));
                        self.tables[table][at] = list.neighbor(drawn).get();
                    }
                }
            }
        }
    }
}

/// One walk of some sources, read off its tables.
struct TableWalk<'a> {
    walker: &'a Walker<'a>,
    path: &'a Path,
    /// One for each hop, of a number for each node and one more.
    tables: &'a [u32],
    nodes: usize,
    part: &'a [NodeIx],
    visits: &'a mut VisitColumns,
}

impl TableWalk<'_> {
    fn run(self) {
        let columns = &mut self.visits.columns;
        let mut at: Vec<u32> = self.part.iter().map(|source| source.get()).collect();
        for (hop, table) in self.tables.chunks_exact(self.nodes + 1).enumerate() {
            if self.path.relation(hop as u32).is_none() {
                at.fill(ENDED);
            }
            for at in &mut at {
                *at = table[(*at as usize).min(self.nodes)];
            }
            self.walker.end_at_excluded(&mut at);
            if (hop + 1).is_multiple_of(self.path.relations.len()) {
                columns.extend_from_slice(&at);
            }
        }
    }
}
