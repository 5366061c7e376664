//! The `k` best of a stream of hits within bounds.

use std::cmp::Ordering;

use crate::query::scan::Hit;

/// Hits beyond two for each answer before they are pruned.
const ROOM: usize = 64;

/// The scores that hits may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The lowest score.
    pub(crate) least: f32,
    /// The score and the order of a hit; the others come after it.
    pub(crate) after: Option<(f32, u64)>,
}

impl Default for Bounds {
    /// All scores.
    fn default() -> Self {
        Self { least: f32::NEG_INFINITY, after: None }
    }
}

impl Bounds {
    /// True if a hit is within the bounds. `order` is its place among equal scores.
    pub(crate) fn admit(&self, score: f32, order: impl FnOnce() -> u64) -> bool {
        let follows = |(last, last_order): (f32, u64)| match score.total_cmp(&last) {
            Ordering::Less => true,
            Ordering::Equal => order() > last_order,
            Ordering::Greater => false,
        };
        score >= self.least && self.after.is_none_or(follows)
    }
}

/// The best `k` hits offered so far, and some that are not pruned yet.
pub(crate) struct TopK {
    k: usize,
    bounds: Bounds,
    hits: Vec<Hit>,
    least: f32,
}

impl TopK {
    pub(crate) fn new(k: usize, bounds: Bounds) -> Self {
        Self { k, bounds, hits: Vec::new(), least: if k == 0 { f32::INFINITY } else { bounds.least } }
    }

    /// True if a hit with this score can be among the best.
    pub(crate) fn may_take(&self, score: f32) -> bool {
        score >= self.least
    }

    pub(crate) fn offer(&mut self, hit: Hit, order: &(dyn Fn(u32) -> u64 + Sync)) {
        if self.may_take(hit.1) && self.bounds.admit(hit.1, || order(hit.0)) {
            self.hits.push(hit);
            if self.hits.len() >= self.k.saturating_mul(2).saturating_add(ROOM) {
                self.prune(order);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Self, order: &(dyn Fn(u32) -> u64 + Sync)) {
        other.hits.into_iter().for_each(|hit| self.offer(hit, order));
    }

    fn prune(&mut self, order: &(dyn Fn(u32) -> u64 + Sync)) {
        if self.k > 0 && self.hits.len() >= self.k {
            self.hits.select_nth_unstable_by(self.k - 1, |a, b| compare(*a, *b, order));
            self.least = self.hits[self.k - 1].1;
        }
        self.hits.truncate(self.k);
    }

    /// The best hits, best first.
    pub(crate) fn finish(mut self, order: &(dyn Fn(u32) -> u64 + Sync)) -> Vec<Hit> {
        self.prune(order);
        self.hits.sort_unstable_by(|a, b| compare(*a, *b, order));
        self.hits
    }
}

fn compare(a: Hit, b: Hit, order: &(dyn Fn(u32) -> u64 + Sync)) -> Ordering {
    b.1.total_cmp(&a.1).then_with(|| order(a.0).cmp(&order(b.0)))
}
