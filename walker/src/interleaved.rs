//! Many walks, one hop further: the memory that each hop needs is fetched while the others are worked on.
//! Knows lists and draws; whose walks they are is the caller's.

#![expect(
    clippy::inline_always,
    reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
)]

use hedgerow_storage::{List, Lists, NodeIx, Place};

use crate::hash::fold;
use crate::stable_draw::{draw_position, draw_weighted};

/// Where a walk stands that has ended; no node has this number.
pub(crate) const ENDED: u32 = u32::MAX;

/// Walks that are under way at the same time. Enough that a cache line arrives before its turn, few enough that what
/// was fetched is still near. Measured with 32, 64, 128 and 256: 128 and 64 are alike, the others slower.
pub(crate) const WALKS_IN_FLIGHT: usize = 128;

/// How a hop is drawn.
pub(crate) trait Draw: Copy {
    /// Whether a draw reads anything but the record of a list.
    const READS_TABLE: bool;
    /// The hash that a key draws with from a list.
    fn hash(self, key: u64, list: &List<'_>) -> u64;
    /// Fetches what [`Self::position`] reads first.
    fn prefetch(self, hash: u64, list: &List<'_>);
    /// The position drawn from a list that is not empty.
    fn position(self, hash: u64, list: &List<'_>) -> usize;
}

/// By [`stable_draw`](crate::stable_draw()): a changed edge changes few draws.
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
    fn position(self, hash: u64, list: &List<'_>) -> usize {
        draw_position(list, hash)
    }
}

/// The key is the random number, and its share of the degree the position: cheaper, and nothing stays when an edge changes.
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
    fn position(self, hash: u64, list: &List<'_>) -> usize {
        if list.is_weighted() {
            draw_weighted(list, hash)
        } else {
            (((hash >> 32) * list.degree() as u64) >> 32) as usize
        }
    }
}

/// Moves many walks on, hop by hop; keeps its memory from one hop to the next.
pub(crate) struct Interleaver<'a> {
    found: Vec<(List<'a>, u64)>,
    places: Vec<Place<'a>>,
}

impl<'a> Interleaver<'a> {
    pub(crate) fn new() -> Self {
        Self {
            found: vec![(List::empty(), 0); WALKS_IN_FLIGHT],
            places: vec![Place::default(); WALKS_IN_FLIGHT],
        }
    }

    /// Places of up to [`WALKS_IN_FLIGHT`] walks, for whoever fills them otherwise.
    pub(crate) fn places(&mut self) -> &mut [Place<'a>] {
        &mut self.places
    }

    /// Moves every walk that stands on a node of `at` one hop on in `lists`: the walk at index i by `key(i)`. Those that
    /// cannot go on, and those that ended before, stand on [`ENDED`].
    ///
    /// `next`: the lists of the hop after this one, whose records are fetched; those of `at` should be already.
    pub(crate) fn hop<D: Draw>(
        &mut self,
        lists: Lists<'a>,
        at: &mut [u32],
        key: impl Fn(usize) -> u64,
        draw: D,
        next: Option<Lists<'_>>,
    ) {
        Hop { interleaver: self, lists, at, key, draw, next }.run();
    }
}

struct Hop<'h, 'a, D, K> {
    interleaver: &'h mut Interleaver<'a>,
    lists: Lists<'a>,
    at: &'h mut [u32],
    key: K,
    draw: D,
    next: Option<Lists<'h>>,
}

impl<'a, D: Draw, K: Fn(usize) -> u64> Hop<'_, 'a, D, K> {
    fn run(self) {
        let found = &mut self.interleaver.found[..WALKS_IN_FLIGHT];
        let places = &mut self.interleaver.places[..WALKS_IN_FLIGHT];
        let place = |list: &List<'a>, hash| {
            if list.is_empty() { Place::default() } else { list.place(self.draw.position(hash, list)) }
        };
        for (batch, at) in self.at.chunks_mut(WALKS_IN_FLIGHT).enumerate() {
            for i in 0..at.len() {
                let list = self.lists.get(NodeIx::new(at[i]));
                let hash = self.draw.hash((self.key)(batch * WALKS_IN_FLIGHT + i), &list);
                if D::READS_TABLE {
                    self.draw.prefetch(hash, &list);
                    found[i] = (list, hash);
                } else {
                    places[i] = place(&list, hash);
                }
            }
            if D::READS_TABLE {
                for i in 0..at.len() {
                    let (list, hash) = &found[i];
                    places[i] = place(list, *hash);
                }
            }
            for (at, place) in at.iter_mut().zip(&*places) {
                *at = place.neighbor().map_or(ENDED, NodeIx::get);
                if let Some(next) = &self.next {
                    next.prefetch(NodeIx::new(*at));
                }
            }
        }
    }
}
