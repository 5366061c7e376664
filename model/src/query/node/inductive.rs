//! Inductive embedding: the vector of a node that the store does not hold.

use hedgerow_storage::NodeName;
use ndarray::{Array2, Axis, s};

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::rounded_rows::{RoundedRows, round_all_to_unit_length};
use crate::linalg::rows::is_finite;
use crate::network::hash_embedding::token_hash;
use crate::network::inputs::check_dense;
use crate::state::layer_rows::State;

/// The features and the neighborhood of a node that the store does not hold.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NewNode {
    /// Its tokens.
    pub tokens: Vec<String>,
    /// Its dense features, by block.
    pub dense: Vec<(String, Vec<f32>)>,
    /// Its neighborhood, in which each node counts the same.
    pub history: Vec<NodeName>,
}

/// The vector of a node without a row, followed by its popularity. `rows` is its neighborhood, each with one visit.
pub(crate) fn vector_of_new_node(state: &State, new_node: &NewNode, rows: &[u32]) -> Result<Vec<f32>, Error> {
    // The input row: the sum of the tokens' embeddings, and the dense features.
    let (encoder, buffers) = (&state.encoder, &mut BufferPool::default());
    let hashes: Vec<u64> = new_node.tokens.iter().map(|token| token_hash(token)).collect();
    let sums = encoder.table.verified_sums_of(&[hashes])?;
    let dense = dense_row(&state.config, &new_node.dense)?;
    let rounded = |h: &Array2<f32>| {
        let numbers = RoundedRows::of(h.as_slice().expect("a row is contiguous"), h.ncols()).numbers(0);
        Array2::from_shape_vec((1, h.ncols()), numbers).expect("one row")
    };
    let mut h = rounded(&encoder.input(&sums, &dense.view(), buffers));

    // The layers, each from the neighbors' rows one layer below.
    let mut pool = state.importances(&[]);
    state.push_importances(rows.iter().map(|&row| (row, 1)), &mut pool);
    for (at, layer) in encoder.weights.layers.iter().enumerate() {
        let messages = if layer.width() == 0 { &state.hidden[at] } else { &state.messages[at] };
        let mut pooled = buffers.matrix(1, messages.dim());
        pool.multiply_rounded_into(0, messages, pooled.as_slice_mut().expect("a fresh matrix is contiguous"));
        h = layer.update(&h.view(), pooled, buffers).0;
        if at + 1 < encoder.weights.layers.len() {
            h = rounded(&h);
        }
    }

    let mut vector = encoder.output(&h.view(), buffers).0.index_axis(Axis(0), 0).to_vec();
    let bias = encoder.bias(&sums, &[0.0])[0];
    if !is_finite(&vector) || !bias.is_finite() {
        return Err(Error::NotFinite { found: "the embedding of the new node".to_owned() });
    }
    round_all_to_unit_length(&mut vector, state.config.dim);
    vector.push(bias);
    Ok(vector)
}

/// The dense features of one node in the order of the model; zeros for blocks that are absent. Shape: (1, F).
fn dense_row(config: &ModelConfig, features: &[(String, Vec<f32>)]) -> Result<Array2<f32>, Error> {
    let mut row = Array2::zeros((1, config.dense_width()));
    for (block, values) in features {
        let mut start = 0;
        let known = config.dense.iter().find(|(name, width)| {
            start += width;
            name == block
        });
        let Some((_, width)) = known else {
            let names: Vec<&str> = config.dense.iter().map(|(name, _)| name.as_str()).collect();
            let expected = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Error::Dense { block: block.clone(), found: "no such block".to_owned(), expected });
        };
        if values.len() != *width {
            let (found, expected) = (format!("{} numbers", values.len()), format!("{width} numbers"));
            return Err(Error::Dense { block: block.clone(), found, expected });
        }
        check_dense(block, values, String::new)?;
        row.slice_mut(s![0, start - width..start]).iter_mut().zip(values).for_each(|(to, from)| *to = *from);
    }
    Ok(row)
}
