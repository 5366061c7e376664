//! A catalog whose truth is known: items of some thousand styles, which are their topics, and looks that tell little of the
//! style. Knows nothing of models.

use hedgerow::{Batch, CancelToken, NodeName, NodeRef, Store};
use hedgerow_cli::synthetic::{Degrees, Plan, Random, SyntheticGraph, commit_full};

use crate::measure::Failure;

/// The dense block of looks, and its width.
const BLOCK: &str = "looks";
const WIDTH: usize = 32;
/// Styles look like others of their family.
const STYLES_PER_FAMILY: usize = 20;
/// The distance of a family from the middle, of a style from its family, and of an item from its style.
const SPREAD: [f32; 3] = [1.0, 0.6, 1.6];

pub(crate) type Pair = (NodeName, NodeName);

pub(crate) struct Catalog {
    graph: SyntheticGraph,
    styles: u32,
}

impl Catalog {
    pub(crate) fn new(plan: Plan) -> Self {
        let graph = SyntheticGraph::new(Plan { degrees: Degrees::Even, ..plan });
        Self { graph, styles: plan.topics }
    }

    /// Writes items with their looks, and boards, into an empty store.
    pub(crate) fn write(&mut self, store: &Store, cancel: &CancelToken) -> Result<(), Failure> {
        let styles = self.graph.topics().to_vec();
        let random = self.graph.random();
        let mut points = |count: usize, spread: f32| -> Vec<[f32; WIDTH]> {
            (0..count).map(|_| point(random, spread)).collect()
        };
        let families = points((self.styles as usize).div_ceil(STYLES_PER_FAMILY), SPREAD[0]);
        let centers = points(self.styles as usize, SPREAD[1]);
        let look = |style: u32| -> [f32; WIDTH] {
            let (own, style) = (point(self.graph.random(), SPREAD[2]), style as usize);
            let (family, center) = (families[style / STYLES_PER_FAMILY], centers[style]);
            std::array::from_fn(|at| own[at] + family[at] + center[at])
        };
        let looks: Vec<[f32; WIDTH]> = styles.into_iter().map(look).collect();
        store.load(self.graph.load(cancel)?, cancel)?;
        let mut batch = Batch::new();
        for (item, look) in looks.iter().enumerate() {
            batch.set_dense(NodeRef::new("pin", &item.to_string())?, BLOCK, look)?;
            commit_full(store, &mut batch, cancel)?;
        }
        store.commit(&batch)?;
        Ok(())
    }

    /// Pairs of items of one board, for boards that the store does not hold.
    pub(crate) fn pairs(&mut self, count: usize) -> Result<Vec<Pair>, Failure> {
        let mut pairs = Vec::with_capacity(count);
        while pairs.len() < count {
            let board = self.graph.draw_board();
            let random = self.graph.random();
            let [a, b] = [(); 2].map(|()| random.below(board.len() as u64) as usize);
            if a != b {
                let name = |at: usize| NodeName::new("pin", board[at].to_string());
                pairs.push((name(a)?, name(b)?));
            }
        }
        Ok(pairs)
    }
}

/// A point whose coordinates are about normal, from whole numbers: the same on every machine.
fn point(random: &mut Random, spread: f32) -> [f32; WIDTH] {
    std::array::from_fn(|_| {
        let sum: u64 = (0..4).map(|_| random.below(1 << 16)).sum();
        (sum as f32 / (1 << 16) as f32 - 2.0) * 1.732 * spread
    })
}
