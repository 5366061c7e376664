//! Many walks, one hop further: the memory that each hop needs is fetched while the others are worked on.
//! Knows lists and draws; whose walks they are is the caller's.

use hedgerow_storage::{List, Lists, NodeIx};

use crate::hash::fold;
use crate::pick::{pick_first, pick_weighted};

/// Where a walk stands that has ended; no node has this number.
pub(crate) const END: u32 = u32::MAX;

/// Walks that are under way at the same time. Enough that a cache line arrives before its turn, few enough that what
/// was fetched is still near. Measured with 32, 64, 128 and 256: 128 and 64 are alike, the others slower.
pub(crate) const BATCH: usize = 128;

/// How a hop is drawn.
pub(crate) trait Draw: Copy {
    /// The hash that a key draws with from a list.
    fn hash(self, key: u64, list: &List<'_>) -> u64;
    /// Fetches what [`Self::position`] reads first.
    fn prefetch(self, hash: u64, list: &List<'_>);
    /// The position drawn from a list that is not empty.
    fn position(self, hash: u64, list: &List<'_>) -> usize;
}

/// By [`pick`](crate::pick()): a changed edge changes few draws.
#[derive(Clone, Copy)]
pub(crate) struct Stable;

impl Draw for Stable {
    #[inline]
    fn hash(self, key: u64, list: &List<'_>) -> u64 {
        fold(key, list.salt())
    }

    #[inline]
    fn prefetch(self, hash: u64, list: &List<'_>) {
        list.prefetch_hash(hash);
    }

    #[inline]
    fn position(self, hash: u64, list: &List<'_>) -> usize {
        if list.is_weighted() { pick_weighted(list, hash) } else { pick_first(list, hash) }
    }
}

/// The key is the random number, and its share of the degree the position: cheaper, and nothing stays when an edge changes.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl Draw for Plain {
    #[inline]
    fn hash(self, key: u64, _: &List<'_>) -> u64 {
        key
    }

    #[inline]
    fn prefetch(self, _: u64, _: &List<'_>) {}

    #[inline]
    fn position(self, hash: u64, list: &List<'_>) -> usize {
        if list.is_weighted() {
            pick_weighted(list, hash)
        } else {
            (((hash >> 32) * list.degree() as u64) >> 32) as usize
        }
    }
}

/// Moves every walk that stands on a node of `at` one hop on in `lists`: the walk at index i by `key(i)`. Those that cannot
/// go on, and those that ended before, stand on [`END`].
///
/// `next`: the lists of the hop after this one, whose records are fetched; those of `at` should be already.
#[inline]
pub(crate) fn hop<D: Draw>(
    lists: Lists<'_>,
    at: &mut [u32],
    key: impl Fn(usize) -> u64,
    draw: D,
    next: Option<Lists<'_>>,
) {
    let mut found = [(List::empty(), 0_u64); BATCH];
    let mut drawn = [0_usize; BATCH];
    for (batch, at) in at.chunks_mut(BATCH).enumerate() {
        for (i, (&node, found)) in at.iter().zip(&mut found).enumerate() {
            let list = lists.get(NodeIx::new(node));
            let hash = draw.hash(key(batch * BATCH + i), &list);
            draw.prefetch(hash, &list);
            *found = (list, hash);
        }
        for ((list, hash), drawn) in found.iter().zip(&mut drawn).take(at.len()) {
            if !list.is_empty() {
                *drawn = draw.position(*hash, list);
                list.prefetch_neighbor(*drawn);
            }
        }
        for (at, ((list, _), &drawn)) in at.iter_mut().zip(found.iter().zip(&drawn)) {
            *at = if list.is_empty() { END } else { list.neighbor(drawn).get() };
            if let Some(next) = &next {
                next.prefetch(NodeIx::new(*at));
            }
        }
    }
}
