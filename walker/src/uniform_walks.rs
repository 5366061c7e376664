//! Uniform walks: hops by independent random numbers, for samplers and for training on sequences.
//! They share hops and policies with the stable walks, but not the draws.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hedgerow_storage::{CancelToken, Lists, NeighborOffsets, NodeIx, Place, RelationIx};
use rayon::prelude::*;

use crate::error::Error;
use crate::interleaved::{Draw, ENDED, Interleaver, UniformDraw, WALKS_IN_FLIGHT};
use crate::policies::policy::Path;
use crate::stable_draw::{GOLDEN, fold, mix};
use crate::walk_context::WalkContext;

/// Uniform walks with the same number of hops.
///
/// Shapes: four bytes per hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniformWalks {
    hops: usize,
    len: usize,
    /// [`WALKS_IN_FLIGHT`] walks in each part but the last, one walk after another.
    parts: Vec<Vec<u32>>,
}

impl UniformWalks {
    /// The number of walks.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no walks.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The nodes that walk `index` stands on after each hop; fewer than were asked for if the walk ended early.
    ///
    /// # Panics
    /// If `index` is not below [`UniformWalks::len`].
    pub fn of(&self, index: usize) -> impl Iterator<Item = NodeIx> + '_ {
        let nodes = &self.parts[index / WALKS_IN_FLIGHT][index % WALKS_IN_FLIGHT * self.hops..][..self.hops];
        nodes.iter().take_while(|&&node| node != ENDED).map(|&node| NodeIx::new(node))
    }
}

/// A walk of `hops` hops from each source; see [`Walker::uniform_walks`](crate::Walker::uniform_walks).
pub(crate) fn uniform_walks(
    context: &WalkContext<'_>,
    sources: &[NodeIx],
    hops: usize,
    seed: u64,
    cancel: &CancelToken,
) -> Result<UniformWalks, Error> {
    let all_hops = sources.len().saturating_mul(hops);
    context.flatten_lists(all_hops)?;
    let offsets = offsets(context, all_hops)?;
    let paths = if hops == 0 { 0 } else { context.paths.len() };
    let stage = cancel.stage("walks", sources.len() as u64);
    let walk = |(task, sources): (usize, &[NodeIx])| {
        stage.advance(sources.len() as u64)?;
        let mut nodes = vec![ENDED; sources.len() * hops];
        for path in 0..paths {
            // Select the walks of this path by their number among all sources.
            let number = |walk: usize| task * WALKS_IN_FLIGHT + walk;
            let follows = |&walk: &usize| context.keys.path_of(number(walk)) == path;
            let walks: Vec<usize> = (0..sources.len()).filter(follows).collect();
            // Make the keys and the starts.
            let key = |&walk: &usize| mix(seed ^ mix(GOLDEN.wrapping_mul(number(walk) as u64 + 1)));
            let keys: Vec<u64> = walks.iter().map(key).collect();
            let mut at: Vec<u32> = walks.iter().map(|&walk| sources[walk].get()).collect();
            // Walk, and store the node of each hop.
            walk_path(context, &context.paths[path], &offsets, &mut at, &keys, |hop, at| {
                for (&walk, &at) in walks.iter().zip(at) {
                    nodes[walk * hops + hop] = at;
                }
                hop + 1 < hops
            });
        }
        Ok(nodes)
    };
    let parts: Result<_, hedgerow_storage::Error> =
        sources.par_chunks(WALKS_IN_FLIGHT).enumerate().map(walk).collect();
    let parts = parts?;
    stage.end();
    Ok(UniformWalks { hops, len: sources.len(), parts })
}

/// The offsets of all relations on the paths; none for a job of fewer hops than nodes, which would not repay making them.
fn offsets(context: &WalkContext<'_>, hops: usize) -> Result<BTreeMap<RelationIx, NeighborOffsets>, Error> {
    let mut offsets = BTreeMap::new();
    if hops >= context.snapshot.bound() as usize {
        for &relation in context.paths.iter().flat_map(|path| path.relations.iter().flatten()) {
            if let Entry::Vacant(vacant) = offsets.entry(relation) {
                vacant.insert(NeighborOffsets::of(&context.lists(relation), context.snapshot.bound())?);
            }
        }
    }
    Ok(offsets)
}

/// Advances the walks of a path hop by hop. `arrive` takes the hop and the node of each walk, and returns true for more.
fn walk_path(
    context: &WalkContext<'_>,
    path: &Path,
    offsets: &BTreeMap<RelationIx, NeighborOffsets>,
    at: &mut [u32],
    keys: &[u64],
    mut arrive: impl FnMut(usize, &[u32]) -> bool,
) {
    let mut interleaver = Interleaver::new();
    for hop in 0.. {
        let Some(relation) = path.relation(hop as u32) else { return };
        let next = path.relation(hop as u32 + 1);
        let offset = GOLDEN.wrapping_mul(hop as u64);
        let lists = context.lists(relation);
        if let Some(of_relation) = offsets.get(&relation) {
            let next = next.and_then(|relation| offsets.get(&relation));
            offset_hop(lists, of_relation, next, at, keys, offset, interleaver.places());
        } else {
            let next = next.map(|relation| context.lists(relation));
            interleaver.hop(lists, at, |walk| uniform_hash(keys[walk], offset), UniformDraw, next);
        }
        if !arrive(hop, at) {
            return;
        }
    }
}

/// The result of [`Interleaver::hop`] with [`UniformDraw`], from offsets instead of records: half the memory to read.
fn offset_hop<'a>(
    lists: Lists<'a>,
    offsets: &NeighborOffsets,
    next: Option<&NeighborOffsets>,
    at: &mut [u32],
    keys: &[u64],
    offset: u64,
    places: &mut [Place<'a>],
) {
    // Draw from the offsets, and fetch the neighbors.
    for ((&node, &key), place) in at.iter().zip(keys).zip(&mut *places) {
        let (node, hash) = (NodeIx::new(node), uniform_hash(key, offset));
        *place = match offsets.place(&lists, node, hash >> 32) {
            Ok(place) => place,
            Err(()) => place_in_list(&lists, node, hash),
        };
    }
    // Read the neighbors, and fetch their offsets for the next hop.
    for (at, place) in at.iter_mut().zip(&*places) {
        *at = place.neighbor().map_or(ENDED, NodeIx::get);
        if let Some(next) = next {
            next.prefetch(NodeIx::new(*at));
        }
    }
}

/// The random number of a walk's hop: a hash of the walk's key and of the hop's offset.
#[inline]
fn uniform_hash(key: u64, offset: u64) -> u64 {
    fold(key.wrapping_add(offset), 0)
}

/// The place drawn from a list that a span does not describe, such as a weighted one.
#[inline(never)]
fn place_in_list<'a>(lists: &Lists<'a>, node: NodeIx, hash: u64) -> Place<'a> {
    let list = lists.get(node);
    if list.is_empty() { Place::default() } else { UniformDraw.place(hash, &list) }
}
