//! Draw keys: the keys of all draws of a walk, its length and its path, all fixed by the walk's number.
//! Knows options and hashes; no graph.

use std::cmp::Reverse;

use crate::options::WalkOptions;
use crate::stable_draw::{GOLDEN, mix};

/// The lengths and keys of all walks of a source.
///
/// Size: 4 bytes per walk and 16 per hop, as the keys are stored in two orders.
pub(crate) struct DrawKeys {
    /// By walk: the start of its keys. One more entry holds the end of the last walk's keys.
    starts: Vec<u32>,
    keys: Vec<u64>,
    /// The same keys by path and hop.
    by_path: Vec<PathKeys>,
    /// The number of the path that each walk follows, by walk number modulo the length.
    order: Vec<u16>,
}

/// The keys of the walks of one path, by hop, the longest walk first.
///
/// So the walks that make a hop are a prefix of the walks that make the hop before.
#[derive(Default)]
pub(crate) struct PathKeys {
    /// By hop, then by walk of the path.
    pub(crate) by_hop: Vec<Vec<u64>>,
}

impl DrawKeys {
    /// The keys for these options; `hops_per_visit` holds the length of each path, `order` the paths that walks follow.
    pub(crate) fn new(options: &WalkOptions, hops_per_visit: &[u32], order: Vec<u16>) -> Self {
        let mut starts = vec![0];
        let mut keys = Vec::new();
        let mut walks_of: Vec<Vec<u32>> = vec![Vec::new(); hops_per_visit.len()];
        for walk in 0..options.walks {
            let seed = mix(options.seed ^ mix(GOLDEN.wrapping_mul(u64::from(walk) + 1)));
            let path = path_of(&order, walk as usize);
            let cycle = hops_per_visit.get(path).copied().unwrap_or(0);
            if let Some(walks) = walks_of.get_mut(path) {
                walks.push(walk);
            }
            let hops = visits(options, seed) * cycle;
            keys.extend((0..hops).map(|hop| mix(seed.wrapping_add(GOLDEN.wrapping_mul(u64::from(hop) + 1)))));
            starts.push(keys.len() as u32);
        }
        let by_path = hops_per_visit.iter().map(|_| PathKeys::default()).collect();
        let mut keys = Self { starts, keys, by_path, order };
        for (path, mut walks) in walks_of.into_iter().enumerate() {
            walks.sort_by_key(|&walk| Reverse(keys.of_walk(walk).len()));
            let mut by_hop: Vec<Vec<u64>> = Vec::new();
            for walk in walks {
                for (hop, &key) in keys.of_walk(walk).iter().enumerate() {
                    if hop == by_hop.len() {
                        by_hop.push(Vec::new());
                    }
                    by_hop[hop].push(key);
                }
            }
            keys.by_path[path].by_hop = by_hop;
        }
        keys
    }

    /// The keys of a walk, one for each hop.
    pub(crate) fn of_walk(&self, walk: u32) -> &[u64] {
        &self.keys[self.starts[walk as usize] as usize..self.starts[walk as usize + 1] as usize]
    }

    /// The hops of all walks.
    pub(crate) fn hops(&self) -> usize {
        self.keys.len()
    }

    /// The number of the path that a walk follows.
    pub(crate) fn path_of(&self, walk: usize) -> usize {
        path_of(&self.order, walk)
    }

    /// The keys of all walks, by path.
    pub(crate) fn by_path(&self) -> &[PathKeys] {
        &self.by_path
    }
}

fn path_of(order: &[u16], walk: usize) -> usize {
    order.get(walk % order.len().max(1)).map_or(0, |&path| usize::from(path))
}

/// The number of visits of a walk: geometric with [`WalkOptions::stop`], at most [`WalkOptions::visits`].
fn visits(options: &WalkOptions, seed: u64) -> u32 {
    let stops = |visit: u32| {
        let uniform = mix(seed ^ mix(u64::from(visit) << 32 | 0x5107)) >> 40;
        (uniform as f32) < options.stop * (1u32 << 24) as f32
    };
    (1..options.visits).find(|&visit| stops(visit)).unwrap_or(options.visits)
}

#[cfg(test)]
mod tests {
    use super::DrawKeys;
    use crate::options::WalkOptions;

    #[test]
    fn lengths_are_geometric_and_cut() {
        let options = WalkOptions { walks: 40_000, ..WalkOptions::default() };
        let keys = DrawKeys::new(&options, &[2], vec![0]);
        let mut of_length = [0u32; 4];
        for walk in 0..options.walks {
            of_length[keys.of_walk(walk).len() / 2] += 1;
        }
        for (visits, share) in [(1, 0.5), (2, 0.25), (3, 0.25)] {
            let found = f64::from(of_length[visits]) / f64::from(options.walks);
            assert!((found - share).abs() < 0.01, "{visits} visits: {found}, expected {share}");
        }
    }

    #[test]
    fn path_keys_hold_each_key_once() {
        let keys = DrawKeys::new(&WalkOptions::default(), &[2, 1, 2], vec![0, 1, 0]);
        let mut by_walk: Vec<u64> =
            (0..WalkOptions::default().walks).flat_map(|walk| keys.of_walk(walk).to_vec()).collect();
        let mut by_path: Vec<u64> =
            keys.by_path().iter().flat_map(|keys| keys.by_hop.iter().flatten()).copied().collect();
        by_walk.sort_unstable();
        by_path.sort_unstable();
        assert_eq!(by_walk, by_path);
        for keys in keys.by_path() {
            assert!(keys.by_hop.is_sorted_by(|one, next| one.len() >= next.len()));
        }
    }
}
