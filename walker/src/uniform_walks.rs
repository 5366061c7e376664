//! Plain walks: uniform or weighted hops with random numbers of their own, for samplers and for training on sequences.
//! They share hops and policies with the stable walks, not their draws.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hedgerow_storage::{CancelToken, Lists, NodeIx, Place, RelationIx, Spans};
use rayon::prelude::*;

use crate::error::Error;
use crate::hash::{GOLDEN, fold, mix};
use crate::interleaved::{Draw, ENDED, Interleaver, UniformDraw, WALKS_IN_FLIGHT};
use crate::policy::Path;
use crate::walker::Walker;

/// Walks of the same number of hops. Size: four bytes a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniformWalks {
    hops: usize,
    len: usize,
    /// Of [`WALKS_IN_FLIGHT`] walks each, one walk after another.
    parts: Vec<Vec<u32>>,
}

impl UniformWalks {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The nodes that a walk stands on after each hop; fewer than asked for where it could not go on.
    ///
    /// Panics: when there are not so many walks.
    pub fn of(&self, place: usize) -> impl Iterator<Item = NodeIx> + '_ {
        let nodes = &self.parts[place / WALKS_IN_FLIGHT][place % WALKS_IN_FLIGHT * self.hops..][..self.hops];
        nodes.iter().take_while(|&&node| node != ENDED).map(|&node| NodeIx::new(node))
    }
}

impl Walker<'_> {
    /// A walk of `hops` hops from each source, in their order; name a source several times for several walks. The n-th
    /// walk follows path n mod paths of the policy. The options of the stable walks play no part.
    ///
    /// Errors: [`Error::Store`] where there is no memory for a large job, or with the cancellation once `cancel` was raised.
    /// Determinism: a function of the graph, the sources in their order, `hops` and `seed`; the same for any number of
    /// threads. Nothing of it stays when an edge changes.
    /// Cost: one random read or two for each hop, 128 walks side by side; four bytes a hop. Parallel over sources.
    pub fn uniform_walks(
        &self,
        sources: &[NodeIx],
        hops: usize,
        seed: u64,
        cancel: &CancelToken,
    ) -> Result<UniformWalks, Error> {
        let all_hops = sources.len().saturating_mul(hops);
        self.flatten_lists(all_hops)?;
        let mut spans = BTreeMap::new();
        if all_hops >= self.snapshot.bound() as usize {
            for &relation in self.paths.iter().flat_map(|path| path.relations.iter().flatten()) {
                if let Entry::Vacant(vacant) = spans.entry(relation) {
                    vacant.insert(Spans::of(&self.lists(relation), self.snapshot.bound())?);
                }
            }
        }
        let paths = if hops == 0 { 0 } else { self.paths.len() };
        let stage = cancel.stage("walks", sources.len() as u64);
        let walk = |(task, sources): (usize, &[NodeIx])| {
            stage.advance(sources.len() as u64)?;
            let mut nodes = vec![ENDED; sources.len() * hops];
            for path in 0..paths {
                let walks = (0..sources.len()).filter(|walk| (task * WALKS_IN_FLIGHT + walk) % paths == path);
                let walks: Vec<usize> = walks.collect();
                let number = |walk: usize| (task * WALKS_IN_FLIGHT + walk) as u64;
                let key = |&walk: &usize| mix(seed ^ mix(GOLDEN.wrapping_mul(number(walk) + 1)));
                let keys: Vec<u64> = walks.iter().map(key).collect();
                let mut at: Vec<u32> = walks.iter().map(|&walk| sources[walk].get()).collect();
                self.uniform_path_walks(&self.paths[path], &spans, &mut at, &keys, |hop, at| {
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

    /// Hops on as long as `arrive` asks for more, which is told where every walk stands.
    fn uniform_path_walks(
        &self,
        path: &Path,
        spans: &BTreeMap<RelationIx, Spans>,
        at: &mut [u32],
        keys: &[u64],
        mut arrive: impl FnMut(usize, &[u32]) -> bool,
    ) {
        let mut interleaver = Interleaver::new();
        for hop in 0.. {
            let Some(relation) = path.relation(hop as u32) else { return };
            let next = path.relation(hop as u32 + 1);
            let turn = GOLDEN.wrapping_mul(hop as u64);
            let lists = self.lists(relation);
            if let Some(of) = spans.get(&relation) {
                let next = next.and_then(|relation| spans.get(&relation));
                SpanHop { lists, spans: of, next, at, keys, turn, places: interleaver.places() }.run();
            } else {
                let next = next.map(|relation| self.lists(relation));
                interleaver.hop(lists, at, |i| fold(keys[i].wrapping_add(turn), 0), UniformDraw, next);
            }
            if !arrive(hop, at) {
                return;
            }
        }
    }
}

/// What [`Interleaver::hop`] does with [`UniformDraw`] draws, where spans tell all that they ask.
struct SpanHop<'h, 'a> {
    lists: Lists<'a>,
    spans: &'h Spans,
    next: Option<&'h Spans>,
    at: &'h mut [u32],
    keys: &'h [u64],
    turn: u64,
    places: &'h mut [Place<'a>],
}

impl SpanHop<'_, '_> {
    fn run(self) {
        for ((&node, key), place) in self.at.iter().zip(self.keys).zip(&mut *self.places) {
            let node = NodeIx::new(node);
            let hash = fold(key.wrapping_add(self.turn), 0);
            *place = match self.spans.place(&self.lists, node, hash >> 32) {
                Ok(place) => place,
                Err(()) => from_list(&self.lists, node, hash),
            };
        }
        for (at, place) in self.at.iter_mut().zip(&*self.places) {
            *at = place.neighbor().map_or(ENDED, NodeIx::get);
            if let Some(next) = self.next {
                next.prefetch(NodeIx::new(*at));
            }
        }
    }
}

#[inline(never)]
fn from_list<'a>(lists: &Lists<'a>, node: NodeIx, hash: u64) -> Place<'a> {
    let list = lists.get(node);
    if list.is_empty() { Place::default() } else { list.place(UniformDraw.position(hash, &list)) }
}
