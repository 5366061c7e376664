//! The position and number of every node's neighbors: enough for a hop that needs no slot table.
//! Knows where lists lie; knows nothing of their encoding.

use std::hint::select_unpredictable;
use std::sync::Arc;

use crate::adjacency::list::Place;
use crate::adjacency::lists::Lists;
use crate::fs::mmap::{Map, SharedNumbers};
use crate::fs::prefetch::prefetch;
use crate::types::error::Error;
use crate::types::ids::NodeIx;

/// The bits of the degree. Above them one bit marks copied lists, and the rest is the start of the neighbors.
const DEGREE: u32 = 30;
const START: u32 = DEGREE + 1;
/// The entry of a list with weights, in other words than flattened lists have, or with a start past 32 GiB.
const OTHER: u64 = u64::MAX;

/// Start and degree of each list in one word: eight bytes a node instead of a record's sixteen, already decoded.
///
/// Uniform walks over 20 million edges take three quarters of the time with it.
#[derive(Debug)]
pub struct NeighborOffsets(SharedNumbers<u64>);

impl NeighborOffsets {
    /// The entries of all lists of nodes below `bound`.
    ///
    /// # Errors
    /// [`Error::Memory`] where the system gives none.
    ///
    /// # Panics
    /// When memory from the system is not aligned: a broken invariant of this crate.
    ///
    /// # Cost
    /// Every record is read once.
    pub fn of(lists: &Lists<'_>, bound: u32) -> Result<Self, Error> {
        let bytes = 8 * bound as usize;
        let map = Map::allocate(bytes.max(1), |memory| {
            let offsets: &mut [u64] = bytemuck::cast_slice_mut(&mut memory[..bytes]);
            for (node, offset) in (0..).map(NodeIx::new).zip(offsets) {
                let list = lists.get(node);
                let (start, is_copied) = list.start();
                *offset = if list.is_weighted() || start >= 1 << (64 - START) || !lists.contains(&list) {
                    OTHER
                } else {
                    (start as u64) << START | u64::from(is_copied) << DEGREE | list.degree() as u64
                };
            }
        });
        let map = Arc::new(map.map_err(|source| Error::Memory { bytes, source })?);
        Ok(Self(SharedNumbers::new(&map, 0..bytes).expect("a map is aligned and as long as asked for")))
    }

    /// Prefetches the neighbor at the fraction `random` / 2^32 of the degree. An error means that the caller has to
    /// read the list itself.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
    )]
    #[expect(clippy::result_unit_err, reason = "there is nothing to say: the list knows")]
    pub fn place<'a>(&self, lists: &Lists<'a>, node: NodeIx, random: u64) -> Result<Place<'a>, ()> {
        let Some(&offset) = self.0.get(node.index()) else { return Ok(Place::default()) };
        let degree = offset & ((1 << DEGREE) - 1);
        if offset == OTHER {
            return Err(());
        }
        if degree == 0 {
            return Ok(Place::default());
        }
        let words = select_unpredictable(offset >> DEGREE & 1 == 1, lists.copied_words, lists.words);
        Ok(Place::new(words, (offset >> START) as usize + ((random * degree) >> 32) as usize))
    }

    /// Prefetches the first value that [`Self::place`] reads.
    #[inline]
    pub fn prefetch(&self, node: NodeIx) {
        prefetch(&self.0, node.index());
    }
}
