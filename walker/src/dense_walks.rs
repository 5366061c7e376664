//! Dense walks: all stable walks of many sources, read from tables that hold every node's draws.
//! The walks equal those of [`crate::stable_walks`]; the callers count the visits.

use std::ops::Range;

use hedgerow_storage::{KindIx, Lists, NodeIx, Snapshot, Stage};
use rayon::prelude::*;

use crate::draw_keys::PathKeys;
use crate::error::Error;
use crate::interleaved::ENDED;
use crate::policies::policy::Path;
use crate::stable_draw::{draw_unweighted, drawn_neighbor, fold};
use crate::visits::VisitColumns;
use crate::walk_context::WalkContext;

/// Bytes of the tables that are held at a time, unless one walk needs more.
const TABLE_BYTES: usize = 256 << 20;
/// Nodes whose draws are one task.
const NODES_PER_TASK: usize = 16_384;
/// Sources whose walks are one task. With a power of two, the columns of a source would share few sets of the cache.
pub(crate) const SOURCES_PER_BLOCK: usize = 1008;

/// The key of a draw that is made at every node of a kind, and the number of the table for the results.
type TableDraw = (u64, usize);

/// The visits of all walks of the sources, in blocks of [`SOURCES_PER_BLOCK`] sources.
///
/// All draws of a node are made together, while its list is in the cache. Nodes are taken in order, so that lists are
/// read from end to end. A hop is then one read in a table of four bytes per node. Draws are also made at nodes that no
/// walk comes to, so this pays only for a large share of all nodes as sources. The stage advances by sources, in
/// proportion to the walks made.
///
/// Cost: four bytes per visit, and tables of 256 MiB, or of one walk if that is more.
pub(crate) fn dense_walks(
    context: &WalkContext<'_>,
    sources: &[NodeIx],
    stage: &Stage<'_>,
) -> Result<Vec<VisitColumns>, Error> {
    let nodes = context.snapshot.bound() as usize;
    let visits_per_source = context.visits_per_source();
    let empty = |block: &[NodeIx]| VisitColumns {
        width: block.len(),
        columns: Vec::with_capacity(block.len() * visits_per_source),
    };
    let mut visits: Vec<VisitColumns> = sources.chunks(SOURCES_PER_BLOCK).map(empty).collect();
    let mut tables = Vec::new();
    // Progress in sources: a share of them as large as the share of the walks that are made.
    let walks_of = |keys: &PathKeys| keys.by_hop.first().map_or(0, Vec::len);
    let all_walks: usize = context.keys.by_path().iter().map(walks_of).sum();
    let mut walks_made = 0;
    let sources_done = |walks: usize| sources.len() as u64 * walks as u64 / all_walks.max(1) as u64;
    for (path, keys) in context.paths.iter().zip(context.keys.by_path()) {
        let path_walks = walks_of(keys);
        let per_pass = (TABLE_BYTES / (4 * (nodes + 1) * keys.by_hop.len().max(1))).max(1);
        for first in (0..path_walks).step_by(per_pass) {
            let walks = first..(first + per_pass).min(path_walks);
            stage.advance(0)?;
            // Make the draws of these walks at every node.
            let first_tables = fill_tables(context, path, keys, walks.clone(), &mut tables);
            // Read the walks of every source from the tables.
            visits.par_iter_mut().zip(sources.par_chunks(SOURCES_PER_BLOCK)).for_each(|(visits, block)| {
                for (walk, &first_table) in walks.clone().zip(&first_tables) {
                    let hops = keys.by_hop.iter().take_while(|keys| walk < keys.len()).count();
                    let tables = &tables[first_table * (nodes + 1)..][..hops * (nodes + 1)];
                    read_walk(context, path, tables, block, visits);
                }
            });
            stage.advance(sources_done(walks_made + walks.len()) - sources_done(walks_made))?;
            walks_made += walks.len();
        }
    }
    Ok(visits)
}

/// Fills a table for each hop of some walks of a path, and returns the number of the first table of each walk.
fn fill_tables(
    context: &WalkContext<'_>,
    path: &Path,
    keys: &PathKeys,
    walks: Range<usize>,
    tables: &mut Vec<u32>,
) -> Vec<usize> {
    let nodes = context.snapshot.bound() as usize;
    // Number the tables: one for each hop of each walk, those of a walk adjacent.
    let mut first_tables = Vec::new();
    let mut draws: Vec<Vec<TableDraw>> = vec![Vec::new(); keys.by_hop.len()];
    let mut count = 0;
    for walk in walks {
        first_tables.push(count);
        for (keys, draws) in keys.by_hop.iter().zip(&mut draws).take_while(|(keys, _)| walk < keys.len()) {
            draws.push((keys[walk], count));
            count += 1;
        }
    }
    // Assign the draws to the kinds that a walk can stand on before the hop.
    let draws_by_kind: Vec<Vec<(Lists<'_>, Vec<TableDraw>)>> = (0..context.snapshot.kind_count())
        .map(|kind| draws_of_kind(context, path, KindIx::new(kind as u8), &draws))
        .collect();
    // A table has an entry for each node and one more, on which ended walks stand.
    if tables.len() < count * (nodes + 1) {
        // The system provides zeroed pages when the tasks first write to them, in parallel.
        *tables = vec![0; count * (nodes + 1)];
    }
    // Split every table into the parts that the tasks write.
    let mut parts: Vec<Vec<&mut [u32]>> = (0..nodes.div_ceil(NODES_PER_TASK)).map(|_| Vec::new()).collect();
    for table in tables.chunks_exact_mut(nodes + 1).take(count) {
        table[nodes] = ENDED;
        for (parts, part) in parts.iter_mut().zip(table[..nodes].chunks_mut(NODES_PER_TASK)) {
            parts.push(part);
        }
    }
    parts.into_par_iter().enumerate().for_each(|(task, mut tables)| {
        fill_parts(context.snapshot, &draws_by_kind, task * NODES_PER_TASK, &mut tables);
    });
    first_tables
}

/// The draws to make at nodes of a kind, by relation; none at a hop before which no walk can stand on the kind.
fn draws_of_kind<'c>(
    context: &'c WalkContext<'_>,
    path: &Path,
    kind: KindIx,
    draws: &[Vec<TableDraw>],
) -> Vec<(Lists<'c>, Vec<TableDraw>)> {
    let mut by_relation: Vec<(_, Vec<TableDraw>)> = Vec::new();
    for (hop, draws) in (0..).zip(draws) {
        let Some(relation) = path.relation(hop).filter(|_| path.can_reach(kind, hop)) else { continue };
        match by_relation.iter_mut().find(|(other, _)| *other == relation) {
            Some((_, all)) => all.extend(draws),
            None => by_relation.push((relation, draws.clone())),
        }
    }
    by_relation.into_iter().map(|(relation, draws)| (context.lists(relation), draws)).collect()
}

/// Makes the draws of the nodes from number `first` on, and writes them to the tables' parts for these nodes.
fn fill_parts(
    snapshot: &Snapshot,
    draws_by_kind: &[Vec<(Lists<'_>, Vec<TableDraw>)>],
    first: usize,
    tables: &mut [&mut [u32]],
) {
    for at in 0..tables.first().map_or(0, |part| part.len()) {
        let node = NodeIx::new((first + at) as u32);
        for (lists, draws) in &draws_by_kind[snapshot.kind(node).get() as usize] {
            let list = lists.get(node);
            if list.is_empty() {
                for &(_, table) in draws {
                    tables[table][at] = ENDED;
                }
            } else if list.is_weighted() {
                for &(key, table) in draws {
                    tables[table][at] = drawn_neighbor(&list, key).map_or(ENDED, NodeIx::get);
                }
            } else {
                for &(key, table) in draws {
                    let position = draw_unweighted(&list, fold(key, list.salt()));
                    tables[table][at] = list.neighbor(position).get();
                }
            }
        }
    }
}

/// Appends the visits of one walk of each source, read from the walk's tables: one for each hop.
fn read_walk(
    context: &WalkContext<'_>,
    path: &Path,
    tables: &[u32],
    sources: &[NodeIx],
    visits: &mut VisitColumns,
) {
    let nodes = context.snapshot.bound() as usize;
    let mut at: Vec<u32> = sources.iter().map(|source| source.get()).collect();
    for (hop, table) in tables.chunks_exact(nodes + 1).enumerate() {
        if path.relation(hop as u32).is_none() {
            at.fill(ENDED);
        }
        for at in &mut at {
            *at = table[(*at as usize).min(nodes)];
        }
        context.end_at_excluded(&mut at);
        if (hop + 1).is_multiple_of(path.relations.len()) {
            visits.columns.extend_from_slice(&at);
        }
    }
}
