//! What training changes of an encoder, in one row of numbers: the best epoch in memory, and the form of a checkpoint.
//! Knows nothing of how the numbers came about.

use crate::encoder::Encoder;

/// The trained rows of the table, then their biases, then the weights tensor by tensor. The other rows of the table are zero.
#[derive(Clone, Debug)]
pub(crate) struct Packed(pub(crate) Vec<f32>);

impl Packed {
    pub(crate) fn of(encoder: &Encoder) -> Self {
        let rest = Self::rest(encoder);
        let dim = encoder.table.rows.ncols();
        let mut packed = Vec::with_capacity(Self::rows(encoder).count() * dim + rest.len());
        Self::rows(encoder).for_each(|row| packed.extend_from_slice(row));
        packed.extend(rest);
        Self(packed)
    }

    /// The first part, where it lies.
    pub(crate) fn rows(encoder: &Encoder) -> impl Iterator<Item = &[f32]> {
        let row = |row: u32| encoder.table.rows.row(row as usize).to_slice();
        encoder.table.known.rows().map(move |at| row(at).expect("the table is contiguous"))
    }

    /// The other two parts.
    pub(crate) fn rest(encoder: &Encoder) -> Vec<f32> {
        let mut rest: Vec<f32> =
            encoder.table.known.rows().map(|row| encoder.table.bias[row as usize]).collect();
        for (_, values) in encoder.weights.clone().tensors_mut() {
            rest.extend_from_slice(values);
        }
        rest
    }

    /// Puts the numbers into an encoder whose table has the same trained rows; says whether they fit it.
    pub(crate) fn unpack(mut packed: &[f32], encoder: &mut Encoder) -> bool {
        let dim = encoder.table.rows.ncols();
        for row in encoder.table.known.rows() {
            let Some(from) = packed.split_off(..dim) else { return false };
            let mut to = encoder.table.rows.row_mut(row as usize);
            to.as_slice_mut().expect("the table is contiguous").copy_from_slice(from);
        }
        for row in encoder.table.known.rows() {
            let Some(from) = packed.split_off_first() else { return false };
            encoder.table.bias[row as usize] = *from;
        }
        for (_, to) in encoder.weights.tensors_mut() {
            let Some(from) = packed.split_off(..to.len()) else { return false };
            to.copy_from_slice(from);
        }
        packed.is_empty()
    }
}
