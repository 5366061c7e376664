//! The parameters without the token table, as one value. Gradients and stored generations have the same shape.

use ndarray::Array2;

use crate::config::options::Conv;
use crate::network::layer::{Affine, Head, Layer};

/// The weights. D is the embedding dimension, F the width of dense features.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    /// The projection of dense features. Shape: (F, D).
    pub(crate) dense: Array2<f32>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) head: Option<Head>,
    /// The addend to a score for one unit of log-degree; one number.
    pub(crate) popularity: Vec<f32>,
}

impl Weights {
    /// Messages of a PinSage layer are this many times wider than embeddings. The paper has 2048 and 1024.
    const MESSAGE_WIDTH: usize = 2;

    pub(crate) fn zeros(conv: Conv, layers: usize, dim: usize, dense: usize) -> Self {
        let wide = dim * Self::MESSAGE_WIDTH;
        let layer = || match conv {
            Conv::Light => Layer::Light,
            Conv::PinSage => {
                Layer::PinSage { message: Affine::zeros(dim, wide), update: Affine::zeros(dim + wide, dim) }
            }
        };
        Self {
            dense: Array2::zeros((dense, dim)),
            layers: (0..layers).map(|_| layer()).collect(),
            head: match conv {
                Conv::Light => None,
                Conv::PinSage => {
                    Some(Head { hidden: Affine::zeros(dim, dim), output: Affine::zeros(dim, dim) })
                }
            },
            popularity: vec![0.0],
        }
    }

    /// The number of weights of these shapes. A file is compared with it before memory is taken for them.
    pub(crate) fn count(conv: Conv, layers: usize, dim: usize, dense: usize) -> usize {
        let affine = |inner: usize, outer: usize| inner * outer + outer;
        let wide = dim * Self::MESSAGE_WIDTH;
        let convolutions = match conv {
            Conv::Light => 0,
            Conv::PinSage => layers * (affine(dim, wide) + affine(dim + wide, dim)) + 2 * affine(dim, dim),
        };
        dense * dim + convolutions + 1
    }

    /// Zeros of the same shapes.
    pub(crate) fn zeros_like(&self) -> Self {
        let mut zeros = self.clone();
        zeros.tensors_mut().into_iter().for_each(|(_, values)| values.fill(0.0));
        zeros
    }

    /// Sets uniform starting weights by fan-in and fan-out (Glorot and Bengio 2010). Biases stay zero. `next` returns
    /// numbers uniform in [-1, 1).
    pub(crate) fn initialize(&mut self, mut next: impl FnMut() -> f32) {
        for (shape, values) in self.tensors_mut() {
            if let Some((inner, outer)) = shape {
                let limit = (6.0 / (inner + outer) as f32).sqrt();
                values.fill_with(|| limit * next());
            }
        }
    }

    /// All tensors in a fixed order, with the shape of matrices.
    pub(crate) fn tensors_mut(&mut self) -> Vec<Tensor<'_>> {
        let mut tensors = vec![matrix(&mut self.dense)];
        for layer in &mut self.layers {
            match layer {
                Layer::Light => {}
                Layer::PinSage { message, update } => {
                    tensors.extend(affine(message));
                    tensors.extend(affine(update));
                }
            }
        }
        if let Some(head) = &mut self.head {
            tensors.extend(affine(&mut head.hidden));
            tensors.extend(affine(&mut head.output));
        }
        tensors.push((None, &mut self.popularity));
        tensors
    }
}

/// A tensor: its shape if it is a matrix, and its values.
type Tensor<'a> = (Option<(usize, usize)>, &'a mut [f32]);

fn affine(affine: &mut Affine) -> [Tensor<'_>; 2] {
    let bias = affine.b.as_slice_mut().expect("parameters are in standard layout");
    [matrix(&mut affine.w), (None, bias)]
}

fn matrix(matrix: &mut Array2<f32>) -> Tensor<'_> {
    (Some(matrix.dim()), matrix.as_slice_mut().expect("parameters are in standard layout"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_that_of_all_tensors() {
        for conv in [Conv::Light, Conv::PinSage] {
            for (layers, dim, dense) in [(0, 1, 0), (1, 3, 2), (4, 8, 5)] {
                let mut weights = Weights::zeros(conv, layers, dim, dense);
                let stored: usize = weights.tensors_mut().iter().map(|(_, values)| values.len()).sum();
                assert_eq!(
                    Weights::count(conv, layers, dim, dense),
                    stored,
                    "{conv:?} {layers} {dim} {dense}"
                );
            }
        }
    }
}
