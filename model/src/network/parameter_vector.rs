//! All trained parameters of an encoder in one vector. The best epoch is held in this form, and a checkpoint stores
//! it.

use crate::network::encoder::Encoder;

/// The trained rows of the token table, then their biases, then the weights tensor by tensor.
#[derive(Clone, Debug)]
pub(crate) struct ParameterVector(pub(crate) Vec<f32>);

impl ParameterVector {
    pub(crate) fn of(encoder: &Encoder) -> Self {
        let (rows, rest) = (encoder.table.rows.values(), Self::rest(encoder));
        Self([rows, &rest].concat())
    }

    /// The parameters after the rows of the token table.
    pub(crate) fn rest(encoder: &Encoder) -> Vec<f32> {
        let mut rest = encoder.table.bias.to_vec();
        for (_, values) in encoder.weights.clone().tensors_mut() {
            rest.extend_from_slice(values);
        }
        rest
    }

    /// The number of parameters.
    pub(crate) fn len(encoder: &Encoder) -> usize {
        encoder.table.rows.values().len() + Self::rest(encoder).len()
    }

    /// Copies the parameters into an encoder whose table has the same trained rows. Returns false if their number
    /// differs.
    pub(crate) fn unpack(mut packed: &[f32], encoder: &mut Encoder) -> bool {
        let bias = encoder.table.bias.as_slice_mut().expect("parameters are in standard layout");
        let weights = encoder.weights.tensors_mut().into_iter().map(|(_, values)| values);
        for to in [encoder.table.rows.values_mut(), bias].into_iter().chain(weights) {
            let Some(from) = packed.split_off(..to.len()) else { return false };
            to.copy_from_slice(from);
        }
        packed.is_empty()
    }
}
