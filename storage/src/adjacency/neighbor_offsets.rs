//! Where the neighbours of every node lie, and how many they are: all that a hop asks which needs no slot table.
//! Knows where lists lie; how they are encoded is theirs to know.

use std::hint::select_unpredictable;
use std::sync::Arc;

use crate::adjacency::list::Place;
use crate::adjacency::lists::Lists;
use crate::fs::mmap::{Map, Slice};
use crate::fs::prefetch::prefetch;
use crate::types::error::Error;
use crate::types::ids::NodeIx;

/// Bits of a degree; above it one for lists that lie apart, and the rest for where the neighbours start.
const DEGREE: u32 = 30;
const START: u32 = DEGREE + 1;
/// Of a list that has weights, lies elsewhere than settled and flat ones, or starts after 32 GiB.
const OTHER: u64 = u64::MAX;

/// Eight bytes a node in place of a list's sixteen, and nothing to work out.
///
/// Plain walks over 20 million edges take three quarters of the time with it.
#[derive(Debug)]
pub struct NeighborOffsets(Slice<u64>);

impl NeighborOffsets {
    /// The spans of all lists of nodes below `bound`.
    ///
    /// # Errors
    /// [`Error::Memory`] where the system gives none.
    ///
    /// # Panics
    /// When memory from the system is not aligned: a broken invariant of this crate.
    ///
    /// # Cost
    /// All records are read once.
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
        Ok(Self(Slice::new(&map, 0..bytes).expect("a map is aligned and as long as asked for")))
    }

    /// The place of the neighbour whose share of the degree is `random` of 2^32, which is fetched; an error where the list
    /// has to be asked itself.
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

    /// Fetches what [`Self::place`] reads first.
    #[inline]
    pub fn prefetch(&self, node: NodeIx) {
        prefetch(&self.0, node.index());
    }
}
