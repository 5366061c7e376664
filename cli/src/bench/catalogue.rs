//! A catalogue whose truth is known: items of some thousand styles, looks that tell little of the style, boards that collect
//! one style with a good deal beside it. Knows nothing of models.

use std::collections::BTreeSet;

use hedgerow::{Batch, CancelToken, Edge, NodeName, NodeRef, Store};

use crate::core::failure::Failure;
use crate::synthetic::{Random, commit_full};

/// The dense block of looks, and its width.
pub(super) const BLOCK: &str = "looks";
const WIDTH: usize = 32;
/// Styles are near to others of their family.
const STYLES_PER_FAMILY: u64 = 20;
/// How far a family lies from the middle, a style from its family, an item from its style.
const SPREAD: [f32; 3] = [1.0, 0.6, 1.6];
/// Of a hundred items of a board: of its style, and of its family; the others are any, popular ones more often.
const OF_STYLE: u64 = 45;
const OF_FAMILY: u64 = 15;
const SMALLEST_BOARD: u64 = 4;
const LARGEST_BOARD: u64 = 24;

/// How large the catalogue is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shelf {
    pub(crate) items: u32,
    pub(crate) boards: u32,
    pub(crate) styles: u32,
    pub(crate) seed: u64,
}

pub(super) type Pair = (NodeName, NodeName);

pub(super) struct Catalogue {
    plan: Shelf,
    random: Random,
    /// The style of each item, and the items of each style.
    styles: Vec<u32>,
    by_style: Vec<Vec<u32>>,
}

impl Catalogue {
    pub(super) fn new(plan: Shelf) -> Self {
        let mut random = Random(plan.seed);
        let styles: Vec<u32> = (0..plan.items).map(|_| random.below(u64::from(plan.styles)) as u32).collect();
        let mut by_style = vec![Vec::new(); plan.styles as usize];
        for (item, &style) in (0..).zip(&styles) {
            by_style[style as usize].push(item);
        }
        Self { plan, random, styles, by_style }
    }

    /// Items with their looks, and boards, into an empty store.
    pub(super) fn write(&mut self, store: &Store, cancel: &CancelToken) -> Result<(), Failure> {
        let families = self.plan.styles.div_ceil(STYLES_PER_FAMILY as u32);
        let family: Vec<[f32; WIDTH]> = (0..families).map(|_| self.point(SPREAD[0])).collect();
        let style: Vec<[f32; WIDTH]> = (0..self.plan.styles).map(|_| self.point(SPREAD[1])).collect();
        let mut batch = Batch::new();
        for item in 0..self.plan.items {
            let of = self.styles[item as usize];
            let mut looks = self.point(SPREAD[2]);
            for (at, value) in looks.iter_mut().enumerate() {
                *value += family[(u64::from(of) / STYLES_PER_FAMILY) as usize][at] + style[of as usize][at];
            }
            batch.set_dense(NodeRef::new("item", &item.to_string())?, BLOCK, &looks)?;
            commit_full(store, &mut batch, cancel)?;
        }
        for board in 0..self.plan.boards {
            let key = board.to_string();
            for item in self.board() {
                let item = item.to_string();
                batch.link(NodeRef::new("board", &key)?, NodeRef::new("item", &item)?, Edge::default())?;
            }
            commit_full(store, &mut batch, cancel)?;
        }
        store.commit(&batch)?;
        Ok(())
    }

    /// Two items of one board, for boards that the store does not hold.
    pub(super) fn pairs(&mut self, count: usize) -> Result<Vec<Pair>, Failure> {
        let mut pairs = Vec::with_capacity(count);
        while pairs.len() < count {
            let board = self.board();
            let (a, b) = (self.random.below(board.len() as u64), self.random.below(board.len() as u64));
            if a != b {
                let name = |at: u64| {
                    NodeRef::new("item", &board[at as usize].to_string()).map(|item| item.to_name())
                };
                pairs.push((name(a)?, name(b)?));
            }
        }
        Ok(pairs)
    }

    /// Different items.
    fn board(&mut self) -> Vec<u32> {
        let style = self.random.below(u64::from(self.plan.styles));
        let family = style / STYLES_PER_FAMILY * STYLES_PER_FAMILY;
        let size = SMALLEST_BOARD + self.random.below(LARGEST_BOARD - SMALLEST_BOARD + 1);
        let mut items = BTreeSet::new();
        for _ in 0..size {
            let of = self.random.below(100);
            let from = if of < OF_STYLE {
                style
            } else if of < OF_STYLE + OF_FAMILY {
                (family + self.random.below(STYLES_PER_FAMILY)).min(u64::from(self.plan.styles) - 1)
            } else {
                u64::from(self.plan.styles)
            };
            items.insert(match self.by_style.get(from as usize) {
                Some(items) if !items.is_empty() => items[self.random.below(items.len() as u64) as usize],
                _ => self.popular(),
            });
        }
        items.into_iter().collect()
    }

    /// Any item; the n-th in proportion to about 1 / n.
    fn popular(&mut self) -> u32 {
        let most = u64::from(self.plan.items);
        let bits = 64 - most.leading_zeros();
        let up_to = (1u64 << (1 + self.random.below(u64::from(bits)))).min(most);
        self.random.below(up_to) as u32
    }

    /// A point whose coordinates are about normal, from whole numbers: the same on every machine.
    fn point(&mut self, spread: f32) -> [f32; WIDTH] {
        std::array::from_fn(|_| {
            let sum: u64 = (0..4).map(|_| self.random.below(1 << 16)).sum();
            (sum as f32 / (1 << 16) as f32 - 2.0) * 1.732 * spread
        })
    }
}
