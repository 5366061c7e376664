//! The comparison of two states of one graph and model, node by node and bit by bit. Rows may have other numbers in each.
//! Knows nothing of how the states were computed.

use std::fmt;

use hedgerow_storage::{CancelToken, Error as StoreError, NodeIx, NodeName};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::linalg::rounded_rows::RoundedRows;
use crate::state::layer_rows::State;

/// The comparison of the rows of all nodes with those that a rebuild gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RowComparison {
    /// Every row has the bits of the rebuild.
    Equal {
        /// The number of embedded nodes.
        nodes: u64,
    },
    /// Some rows have other bits.
    Different {
        /// The number of nodes with another row.
        nodes: u64,
        /// The first of them in the order of stable ids.
        first: NodeName,
        /// The first part of its row that is different.
        part: RowPart,
    },
    /// Nothing was compared: the rows are not of the epoch of the rebuild, and changes could not bring them there.
    NotCompared {
        /// The reason.
        reason: String,
    },
}

/// A part of what is stored for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RowPart {
    /// The row itself: one of the two sides has none.
    Row,
    /// The level of the node's degree.
    DegreeLevel,
    /// The neighborhood, with its visits.
    Neighborhood,
    /// The row of a layer below the last; 0 is the input.
    Layer(usize),
    /// The message to the neighbors in this layer, from 1.
    Message(usize),
    /// The embedding.
    Vector,
    /// The popularity, which is added to the score.
    Bias,
}

impl fmt::Display for RowComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal { nodes } => write!(f, "the rows of all {nodes} nodes are those of the rebuild"),
            Self::Different { nodes, first, part } => {
                write!(
                    f,
                    "{nodes} nodes have other rows than the rebuild, the first is {first}, in its {part}"
                )
            }
            Self::NotCompared { reason } => write!(f, "the rows could not be compared: {reason}"),
        }
    }
}

impl fmt::Display for RowPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row => f.write_str("row"),
            Self::DegreeLevel => f.write_str("degree level"),
            Self::Neighborhood => f.write_str("neighborhood"),
            Self::Layer(0) => f.write_str("input"),
            Self::Layer(layer) => write!(f, "layer {layer}"),
            Self::Message(layer) => write!(f, "message of layer {layer}"),
            Self::Vector => f.write_str("vector"),
            Self::Bias => f.write_str("bias"),
        }
    }
}

/// A node whose rows differ, and the first part that does.
pub(crate) type DifferentNode = (NodeIx, RowPart);

impl State {
    /// The nodes whose rows differ from those of `rebuilt`, in no particular order. Rows of removed nodes are not compared.
    ///
    /// # Errors
    /// A cancellation.
    /// # Cost
    /// Reads all rows of both states.
    pub(crate) fn different_nodes(
        &self,
        rebuilt: &Self,
        cancel: &CancelToken,
    ) -> Result<Vec<DifferentNode>, Error> {
        let stage = cancel.stage("comparison", rebuilt.rows() as u64);
        let mut different = (0..rebuilt.rows())
            .into_par_iter()
            .filter(|&row| rebuilt.alive[row])
            .filter_map(|row| {
                if let Err(error) = stage.advance(1) {
                    return Some(Err(error));
                }
                let node = rebuilt.nodes[row];
                let part = match self.row(node) {
                    None => Some(RowPart::Row),
                    Some(own) => self.different_part(own as usize, rebuilt, row),
                };
                part.map(|part| Ok((node, part)))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let surplus = self.alive_rows().map(|row| self.nodes[row as usize]);
        different
            .extend(surplus.filter(|&node| rebuilt.row(node).is_none()).map(|node| (node, RowPart::Row)));
        stage.end();
        Ok(different)
    }

    /// The first part in which a row differs from a row of another state.
    fn different_part(&self, own: usize, other: &Self, row: usize) -> Option<RowPart> {
        if self.levels[own] != other.levels[row] {
            return Some(RowPart::DegreeLevel);
        }
        let visited = |state: &Self, row: usize| {
            let neighborhood = state.neighborhoods.get(row as u32).iter();
            neighborhood.map(|(row, count)| (state.nodes[row as usize], count)).collect::<Vec<_>>()
        };
        if visited(self, own) != visited(other, row) {
            return Some(RowPart::Neighborhood);
        }
        let differ =
            |one: &RoundedRows, two: &RoundedRows| !equal_bits(one.stored().row(own), two.stored().row(row));
        // Layer by layer in the order in which they are computed, so that the first difference is the cause of later ones.
        for layer in 0..self.hidden.len() {
            if differ(&self.hidden[layer], &other.hidden[layer]) {
                return Some(RowPart::Layer(layer));
            }
            if self.messages.get(layer).is_some_and(|messages| differ(messages, &other.messages[layer])) {
                return Some(RowPart::Message(layer + 1));
            }
        }
        if !equal_bits(self.vectors.stored_row(own), other.vectors.stored_row(row)) {
            return Some(RowPart::Vector);
        }
        (self.bias[own].to_bits() != other.bias[row].to_bits()).then_some(RowPart::Bias)
    }
}

fn equal_bits(one: &[f32], two: &[f32]) -> bool {
    one.len() == two.len() && one.iter().zip(two).all(|(a, b)| a.to_bits() == b.to_bits())
}
