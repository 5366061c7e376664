//! Interleaved walks: many walks advance one hop together, so that the memory one walk waits for arrives while others work.
//! Knows lists and draws; the walks and their sources belong to the callers.

#![expect(
    clippy::inline_always,
    reason = "a hop is a handful of these functions: calls between them make dense walks a sixth slower"
)]

use hedgerow_storage::{List, Lists, NodeIx, Place};

use crate::stable_draw::{fold, place_of_draw};

/// The position of a walk that has ended; no node has this number.
pub(crate) const ENDED: u32 = u32::MAX;

/// Walks that advance at the same time. A cache line arrives before its turn, and lines fetched early are not evicted yet.
/// Measured with 32, 64, 128 and 256 walks: 64 and 128 take the same time, the others more.
pub(crate) const WALKS_IN_FLIGHT: usize = 128;

/// A way to draw a neighbor from a list.
pub(crate) trait Draw: Copy {
    /// True if a draw reads more than the list's record.
    const READS_TABLE: bool;
    /// The hash that a key draws with from a list.
    fn hash(self, key: u64, list: &List<'_>) -> u64;
    /// Fetches the memory that [`Self::place`] reads first.
    fn prefetch(self, hash: u64, list: &List<'_>);
    /// The place of the neighbor drawn from a list that is not empty, fetched.
    fn place<'a>(self, hash: u64, list: &List<'a>) -> Place<'a>;
}

/// Draws by [`stable_draw`](crate::stable_draw()): an edge change moves few of them.
#[derive(Clone, Copy)]
pub(crate) struct StableDraw;

impl Draw for StableDraw {
    const READS_TABLE: bool = true;

    #[inline(always)]
    fn hash(self, key: u64, list: &List<'_>) -> u64 {
        fold(key, list.salt())
    }

    #[inline(always)]
    fn prefetch(self, hash: u64, list: &List<'_>) {
        list.prefetch_hash(hash);
    }

    #[inline(always)]
    fn place<'a>(self, hash: u64, list: &List<'a>) -> Place<'a> {
        place_of_draw(list, hash)
    }
}

/// Draws that scale the key, a random number, to the degree: cheaper, but an edge change may move all draws of a list.
#[derive(Clone, Copy)]
pub(crate) struct UniformDraw;

impl Draw for UniformDraw {
    const READS_TABLE: bool = false;

    #[inline(always)]
    fn hash(self, key: u64, _: &List<'_>) -> u64 {
        key
    }

    #[inline(always)]
    fn prefetch(self, _: u64, _: &List<'_>) {}

    #[inline(always)]
    fn place<'a>(self, hash: u64, list: &List<'a>) -> Place<'a> {
        if list.is_weighted() {
            place_of_draw(list, hash)
        } else {
            list.place((((hash >> 32) * list.degree() as u64) >> 32) as usize)
        }
    }
}

/// Advances many walks hop by hop; it keeps its memory from one hop to the next.
pub(crate) struct Interleaver<'a> {
    found: Vec<(List<'a>, u64)>,
    places: Vec<Place<'a>>,
}

impl<'a> Interleaver<'a> {
    pub(crate) fn new() -> Self {
        let found = vec![(List::empty(), 0); WALKS_IN_FLIGHT];
        Self { found, places: vec![Place::default(); WALKS_IN_FLIGHT] }
    }

    /// Room for the places of [`WALKS_IN_FLIGHT`] walks, for callers that find the places themselves.
    pub(crate) fn places(&mut self) -> &mut [Place<'a>] {
        &mut self.places
    }

    /// Advances every walk of `at` by one hop in `lists`: the walk at index i with the key `key(i)`.
    ///
    /// Walks that stand on a node without neighbors, and those that ended before, stand on [`ENDED`] afterwards. `next`
    /// are the lists of the following hop, whose records are fetched. The records of `at` should have been fetched
    /// already.
    pub(crate) fn hop<D: Draw>(
        &mut self,
        lists: Lists<'a>,
        at: &mut [u32],
        key: impl Fn(usize) -> u64,
        draw: D,
        next: Option<Lists<'_>>,
    ) {
        let found = &mut self.found[..WALKS_IN_FLIGHT];
        let places = &mut self.places[..WALKS_IN_FLIGHT];
        let place = |list: &List<'a>, hash| {
            if list.is_empty() { Place::default() } else { draw.place(hash, list) }
        };
        for (batch, at) in at.chunks_mut(WALKS_IN_FLIGHT).enumerate() {
            // Read the records. A draw that reads the record alone is made at once; others fetch the slot table.
            for i in 0..at.len() {
                let list = lists.get(NodeIx::new(at[i]));
                let hash = draw.hash(key(batch * WALKS_IN_FLIGHT + i), &list);
                if D::READS_TABLE {
                    draw.prefetch(hash, &list);
                    found[i] = (list, hash);
                } else {
                    places[i] = place(&list, hash);
                }
            }
            // Draw from the slot tables, and fetch the neighbors.
            if D::READS_TABLE {
                for i in 0..at.len() {
                    let (list, hash) = &found[i];
                    places[i] = place(list, *hash);
                }
            }
            // Read the neighbors, and fetch their records for the next hop.
            for (at, place) in at.iter_mut().zip(&*places) {
                *at = place.neighbor().map_or(ENDED, NodeIx::get);
                if let Some(next) = &next {
                    next.prefetch(NodeIx::new(*at));
                }
            }
        }
    }
}
