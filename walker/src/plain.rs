//! Plain walks: uniform or weighted hops with random numbers of their own, for samplers and for training on sequences.
//! They share hops and policies with the stable walks, not their draws.

use hedgerow_storage::NodeIx;
use rayon::prelude::*;

use crate::error::Error;
use crate::hash::{GOLDEN, fold, mix};
use crate::stride::{BATCH, END, Plain, Stride};
use crate::walk::Walker;

/// Walks of the same number of hops. Size: four bytes a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walks {
    hops: usize,
    len: usize,
    /// Of [`BATCH`] walks each, one walk after another.
    parts: Vec<Vec<u32>>,
}

impl Walks {
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
        let nodes = &self.parts[place / BATCH][place % BATCH * self.hops..][..self.hops];
        nodes.iter().take_while(|&&node| node != END).map(|&node| NodeIx::new(node))
    }
}

impl Walker<'_> {
    /// A walk of `hops` hops from each source, in their order; name a source several times for several walks. The n-th
    /// walk follows path n mod paths of the policy. The options of the stable walks play no part.
    ///
    /// Errors: [`Error::Store`] where there is no memory for a large job.
    /// Determinism: a function of the graph, the sources in their order, `hops` and `seed`; the same for any number of
    /// threads. Nothing of it stays when an edge changes.
    /// Cost: one random read or two for each hop, 128 walks side by side; four bytes a hop. Parallel over sources.
    pub fn plain(&self, sources: &[NodeIx], hops: usize, seed: u64) -> Result<Walks, Error> {
        self.prepare(sources.len().saturating_mul(hops))?;
        let paths = self.paths.len();
        let walk = |(task, sources): (usize, &[NodeIx])| {
            let mut nodes = vec![END; sources.len() * hops];
            for path in 0..if hops == 0 { 0 } else { paths } {
                let walks = (0..sources.len()).filter(|walk| (task * BATCH + walk) % paths == path);
                self.plain_batch(path, &walks.collect::<Vec<_>>(), task, sources, seed, &mut nodes);
            }
            nodes
        };
        let parts = sources.par_chunks(BATCH).enumerate().map(walk).collect();
        Ok(Walks { hops, len: sources.len(), parts })
    }

    fn plain_batch(
        &self,
        path: usize,
        walks: &[usize],
        task: usize,
        sources: &[NodeIx],
        seed: u64,
        nodes: &mut [u32],
    ) {
        let path = &self.paths[path];
        let hops = nodes.len() / sources.len();
        let mut at: Vec<u32> = walks.iter().map(|&walk| sources[walk].get()).collect();
        let number = |walk: usize| (task * BATCH + walk) as u64;
        let keys: Vec<u64> =
            walks.iter().map(|&walk| mix(seed ^ mix(GOLDEN.wrapping_mul(number(walk) + 1)))).collect();
        if let Some(relation) = path.relation(0) {
            let lists = self.lists(relation);
            for &node in &at {
                lists.prefetch(NodeIx::new(node));
            }
        }
        let mut stride = Stride::new();
        for number in 0..hops {
            let Some(relation) = path.relation(number as u32) else { return };
            let next = path.relation(number as u32 + 1).map(|relation| self.lists(relation));
            let turn = GOLDEN.wrapping_mul(number as u64);
            let key = |i: usize| fold(keys[i].wrapping_add(turn), 0);
            stride.hop(self.lists(relation), &mut at, key, Plain, next);
            for (&walk, &at) in walks.iter().zip(&at) {
                nodes[walk * hops + number] = at;
            }
        }
    }
}
