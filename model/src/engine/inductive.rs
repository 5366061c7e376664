//! Nodes that the store has not seen: what is known of one, and the vector that it would have.

use hedgerow_storage::NodeName;
use ndarray::{Array2, Axis, s};

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::engine::handle::Engine;
use crate::linalg::buffer_pool::BufferPool;
use crate::network::hash_embedding::token_hash;
use crate::query::query::Embedded;
use crate::state::state::State;

/// A node that the store does not hold, by what is known of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewNode {
    /// Its tokens.
    pub tokens: Vec<String>,
    /// Its dense features, by block.
    pub dense: Vec<(String, Vec<f32>)>,
    /// Its neighbourhood, every node visited alike.
    pub history: Vec<NodeName>,
}

impl Engine {
    /// The embedding that a node would have of which this is known. Changes nothing.
    ///
    /// # Visibility
    /// It is computed from what refreshes work on, so it waits for the one under way, and for as long as this takes others
    /// wait for it. A task of the rayon pool that refreshes run on must not ask it: it would keep a thread that they need.
    /// # Errors
    /// An unknown node in the history, a dense block that the model does not know, or one of another width or with a
    /// value that is not finite; [`Error::PartlyRefreshed`] between a refresh that was cancelled and the next one.
    pub fn embed_unseen(&self, unseen: &NewNode) -> Result<Embedded, Error> {
        self.with_state(|state| {
            self.with_embeddings(|embeddings, snapshot| {
                let row = |name: &NodeName| embeddings.require(name.as_ref(), snapshot);
                let rows = unseen.history.iter().map(row).collect::<Result<Vec<_>, _>>()?;
                Ok(self.embedded(vector_of_unseen(state, unseen, &rows)?, embeddings))
            })
        })
    }
}

/// The vector of a node that has no row, visiting each of `rows` once, and last its popularity coordinate.
fn vector_of_unseen(state: &State, unseen: &NewNode, rows: &[u32]) -> Result<Vec<f32>, Error> {
    let (encoder, buffers) = (&state.encoder, &mut BufferPool::default());
    let mut sums = encoder.table.trained.empty_sums();
    let hashes: Vec<u64> = unseen.tokens.iter().map(|token| token_hash(token)).collect();
    encoder.table.trained.push_tokens(&hashes, &mut sums);
    let dense = dense_row(&state.recipe, &unseen.dense)?;
    let mut h = encoder.input(&sums, &dense.view(), buffers);
    let mut pool = state.importances(&[]);
    state.push_importances(rows.iter().map(|&row| (row, 1)), &mut pool);
    for (at, layer) in encoder.weights.layers.iter().enumerate() {
        let messages = if layer.width() == 0 { &state.hidden[at] } else { &state.messages[at] };
        h = layer.update(&h.view(), pool.multiply(&messages.view(), buffers), buffers).0;
    }
    let mut vector = encoder.output(&h.view(), buffers).0.index_axis(Axis(0), 0).to_vec();
    vector.push(encoder.bias(&sums, &[0.0])[0]);
    Ok(vector)
}

/// The dense features of one node, joined as the recipe says; zeros for blocks that are not given. Shape: (1, F).
fn dense_row(recipe: &ModelConfig, given: &[(String, Vec<f32>)]) -> Result<Array2<f32>, Error> {
    let mut row = Array2::zeros((1, recipe.dense_width()));
    for (block, values) in given {
        let mut start = 0;
        let known = recipe.dense.iter().find(|(name, width)| {
            start += width;
            name == block
        });
        let Some((_, width)) = known else {
            let names: Vec<&str> = recipe.dense.iter().map(|(name, _)| name.as_str()).collect();
            let expected = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Error::Dense { block: block.clone(), found: "no such block".to_owned(), expected });
        };
        if values.len() != *width || values.iter().any(|value| !value.is_finite()) {
            let found = values.iter().find(|value| !value.is_finite());
            let found = found.map_or(format!("{} numbers", values.len()), f32::to_string);
            let expected = format!("{width} finite numbers");
            return Err(Error::Dense { block: block.clone(), found, expected });
        }
        row.slice_mut(s![0, start - width..start]).iter_mut().zip(values).for_each(|(to, from)| *to = *from);
    }
    Ok(row)
}
