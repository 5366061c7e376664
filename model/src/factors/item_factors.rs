//! The factors of items as a model holds them, and the factors of a history by them.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use hedgerow_storage::SharedNumbers;

use crate::config::graph_constants::GraphConstants;
use crate::config::json;
use crate::factors::least_squares::{edge_target, sum};
use crate::linalg::normal_equations::{Factor, NormalEquations, RANK, RowEquations, gram};
use crate::linalg::rows::is_finite;

/// Fitted constants and factors of the items of one kind. They are parameters: a refresh does not change them, a training does.
///
/// Size: 520 bytes an item.
#[derive(Clone, Debug)]
pub(crate) struct ItemFactors {
    pub(crate) constants: GraphConstants,
    /// Stable ids of the items, ascending.
    pub(crate) ids: Vec<u64>,
    /// For each item its factors.
    pub(crate) z: FactorNumbers,
    /// For each item what the filter's scores of all items pull at the factors of its lists, see `ResidualLoss::pulls`.
    pub(crate) pulls: FactorNumbers,
    /// `Z'Z`, made for the first history.
    gram: OnceLock<Vec<f32>>,
}

/// Factors in memory or in a mapped file.
#[derive(Clone, Debug)]
pub(crate) enum FactorNumbers {
    Own(Vec<Factor>),
    File(Arc<SharedNumbers<f32>>),
}

impl Deref for FactorNumbers {
    type Target = [Factor];

    fn deref(&self) -> &[Factor] {
        match self {
            Self::Own(factors) => factors,
            Self::File(numbers) => numbers.as_chunks().0,
        }
    }
}

/// An item of a history, with the filter's scores of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoldInItem {
    /// Its place among the items of the factors; `None` for an item that came after the training.
    pub(crate) factor: Option<u32>,
    /// The score of the item for the history, and the same without the item itself.
    pub(crate) with: f32,
    pub(crate) without: f32,
    /// The strength of its edge to the list.
    pub(crate) confidence: f32,
}

impl ItemFactors {
    /// # Panics
    /// If the numbers of ids, factors and pulls differ.
    pub(crate) fn new(constants: GraphConstants, ids: Vec<u64>, z: Vec<Factor>, pulls: Vec<Factor>) -> Self {
        assert!(ids.len() == z.len() && ids.len() == pulls.len(), "each item has factors and pulls");
        let (z, pulls) = (FactorNumbers::Own(z), FactorNumbers::Own(pulls));
        Self { constants, ids, z, pulls, gram: OnceLock::new() }
    }

    /// Factors from outside.
    ///
    /// # Errors
    /// The reason why they are none.
    pub(crate) fn read(
        constants: GraphConstants,
        ids: Vec<u64>,
        z: &[f32],
        pulls: &[f32],
    ) -> Result<Self, String> {
        Self::check(&ids, z, pulls)?;
        Ok(Self::new(constants, ids, z.as_chunks().0.to_vec(), pulls.as_chunks().0.to_vec()))
    }

    /// Factors of a mapped file.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub(crate) fn map(
        constants: GraphConstants,
        ids: Vec<u64>,
        z: SharedNumbers<f32>,
        pulls: SharedNumbers<f32>,
    ) -> Result<Self, String> {
        Self::check(&ids, &z, &pulls)?;
        let (z, pulls) = (FactorNumbers::File(Arc::new(z)), FactorNumbers::File(Arc::new(pulls)));
        Ok(Self { constants, ids, z, pulls, gram: OnceLock::new() })
    }

    fn check(ids: &[u64], z: &[f32], pulls: &[f32]) -> Result<(), String> {
        if z.len() != ids.len().saturating_mul(RANK) || pulls.len() != z.len() {
            return Err(format!("factors of {} items need {RANK} numbers and {RANK} pulls each", ids.len()));
        }
        if !ids.is_sorted_by(|a, b| a < b) {
            return Err("the stable ids of items with factors do not ascend".to_owned());
        }
        if !is_finite(z) || !is_finite(pulls) {
            return Err("a factor is not finite".to_owned());
        }
        Ok(())
    }

    /// True if every factor and constant is finite.
    pub(crate) fn is_finite(&self) -> bool {
        is_finite(self.z.as_flattened())
            && is_finite(self.pulls.as_flattened())
            && self.constants.check().is_ok()
    }

    /// Passes all constants, ids and numbers to a hash.
    pub(crate) fn hash_into(&self, hash: &mut dyn FnMut(&[u8])) {
        hash(json::text_of(&self.constants).as_bytes());
        for ((id, z), pulls) in self.ids.iter().zip(&*self.z).zip(&*self.pulls) {
            hash(&id.to_le_bytes());
            z.iter().chain(pulls).for_each(|value| hash(&value.to_le_bytes()));
        }
    }

    /// The place of an item.
    pub(crate) fn place(&self, stable_id: u64) -> Option<u32> {
        self.ids.binary_search(&stable_id).ok().map(|place| place as u32)
    }

    fn gram(&self) -> &[f32] {
        if self.gram.get().is_none() {
            // Two threads may make it. Neither waits for the other, which may be one of its tasks.
            let gram = gram(&self.z);
            self.gram.get_or_init(|| gram);
        }
        self.gram.get().expect("it was made above")
    }

    /// The factors of a history: the step of a list in the alternating least squares.
    ///
    /// Cost: `RANK^2` operations an item, and `RANK^3 / 6`.
    pub(crate) fn fold_in(&self, history: &[FoldInItem]) -> Factor {
        let unobserved = self.constants.unobserved;
        let (mut rows, mut targets, mut confidences) = (Vec::new(), Vec::new(), Vec::new());
        let mut right = [0.0; RANK];
        for item in history {
            if let Some(row) = item.factor {
                rows.push(row);
                targets.push(edge_target(item.with, item.without, unobserved, item.confidence));
                confidences.push(item.confidence);
                let (pulls, by) = (&self.pulls[row as usize], unobserved * item.confidence);
                right.iter_mut().zip(pulls).for_each(|(to, pull)| *to -= by * pull);
            }
        }
        let equations = RowEquations {
            gram: self.gram(),
            weight: unobserved,
            diagonal: self.constants.diagonal(sum(&confidences)),
            right,
            factors: &self.z,
            rows: &rows,
            targets: &targets,
            confidences: if confidences.iter().all(|&confidence| confidence == 1.0) {
                &[]
            } else {
                &confidences
            },
        };
        equations.solve(&mut NormalEquations::new())
    }
}
