//! One graph convolution: how a node's vector is renewed from its neighbourhood, forward and backward.

use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};

use crate::matrix::{add_transposed_product, product, product_by_transposed};
use crate::rows::{normalize_rows, normalize_rows_backward, relu, relu_backward};

/// `x W + b`. Shapes: `w` is (I, O), `b` is (O).
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    pub(crate) w: Array2<f32>,
    pub(crate) b: Array1<f32>,
}

impl Affine {
    pub(crate) fn zeros(inner: usize, outer: usize) -> Self {
        Self { w: Array2::zeros((inner, outer)), b: Array1::zeros(outer) }
    }

    pub(crate) fn forward(&self, x: &ArrayView2<'_, f32>) -> Array2<f32> {
        product(x, &self.w.view(), self.b.as_slice())
    }

    /// Adds this product's share to `gradient` and returns the gradient before it.
    fn backward(&self, x: &ArrayView2<'_, f32>, dy: &Array2<f32>, gradient: &mut Self) -> Array2<f32> {
        add_transposed_product(&mut gradient.w, x, &dy.view());
        gradient.b += &dy.sum_axis(Axis(0));
        product_by_transposed(&dy.view(), &self.w.view())
    }
}

/// A convolution layer.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a model has a handful of layers")]
pub(crate) enum Layer {
    /// `h' = h + n`, pooling the neighbours' vectors as they are: no weights (LightGCN, arXiv 2002.02126).
    Light,
    /// PinSage, Algorithm 1: `z = ReLU(Q h + q)`, `h' = normalize(ReLU(P [h | n] + p))`.
    PinSage {
        /// `Q`: (D, M).
        message: Affine,
        /// `P`: (D + M, D); the first D rows act on `h`, the others on `n`.
        update: Affine,
    },
}

/// What [`Layer::update`] leaves for the way back.
#[expect(clippy::large_enum_variant, reason = "a minibatch has a handful of layers")]
pub(crate) enum UpdateTrace {
    Light,
    PinSage { joined: Array2<f32>, activated: Array2<f32>, lengths: Array1<f32>, output: Array2<f32> },
}

impl Layer {
    /// The width M of this layer's messages; 0 where they are the nodes' vectors as they are.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Light => 0,
            Self::PinSage { message, .. } => message.w.ncols(),
        }
    }

    /// `z`, what each node tells those that have it in their neighbourhood. `None`: its vector as it is.
    /// Shapes: (R, D) -> (R, M).
    pub(crate) fn message(&self, h: &ArrayView2<'_, f32>) -> Option<Array2<f32>> {
        match self {
            Self::Light => None,
            Self::PinSage { message, .. } => {
                let mut z = message.forward(h);
                relu(&mut z);
                Some(z)
            }
        }
    }

    /// `h'` from a node's own vector and the pooled messages `n`. Shapes: (R, D), (R, M) -> (R, D).
    pub(crate) fn update(&self, h: &ArrayView2<'_, f32>, n: &Array2<f32>) -> (Array2<f32>, UpdateTrace) {
        match self {
            Self::Light => (h + n, UpdateTrace::Light),
            Self::PinSage { update, .. } => {
                let joined = concatenate(Axis(1), &[*h, n.view()]).expect("as many pooled rows as own rows");
                let mut activated = update.forward(&joined.view());
                relu(&mut activated);
                let mut output = activated.clone();
                let lengths = normalize_rows(&mut output);
                (output.clone(), UpdateTrace::PinSage { joined, activated, lengths, output })
            }
        }
    }

    /// The gradients before [`Layer::update`]: of `h` and of `n`.
    pub(crate) fn update_backward(
        &self,
        trace: &UpdateTrace,
        mut dy: Array2<f32>,
        gradient: &mut Self,
    ) -> (Array2<f32>, Array2<f32>) {
        match (self, trace, gradient) {
            (
                Self::PinSage { update, .. },
                UpdateTrace::PinSage { joined, activated, lengths, output },
                Self::PinSage { update: into, .. },
            ) => {
                normalize_rows_backward(output, lengths, &mut dy);
                relu_backward(activated, &mut dy);
                let joined_gradient = update.backward(&joined.view(), &dy, into);
                let own = update.w.ncols();
                let (dh, dn) = joined_gradient.view().split_at(Axis(1), own);
                (dh.to_owned(), dn.to_owned())
            }
            _ => (dy.clone(), dy),
        }
    }

    /// The gradient of `h` before [`Layer::message`], given its result.
    pub(crate) fn message_backward(
        &self,
        h: &ArrayView2<'_, f32>,
        z: Option<&Array2<f32>>,
        mut dz: Array2<f32>,
        gradient: &mut Self,
    ) -> Array2<f32> {
        match (self, z, gradient) {
            (Self::PinSage { message, .. }, Some(z), Self::PinSage { message: into, .. }) => {
                relu_backward(z, &mut dz);
                message.backward(h, &dz, into)
            }
            _ => dz,
        }
    }
}

/// The dense head, `G2 ReLU(G1 h + g)` (PinSage, Algorithm 1, line 7). Shapes: (R, D) -> (R, D).
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// `G1` and `g`.
    pub(crate) hidden: Affine,
    /// `G2`; its bias stays zero, as in the paper.
    pub(crate) output: Affine,
}

impl Head {
    /// Returns the result and the hidden activations.
    pub(crate) fn forward(&self, h: &ArrayView2<'_, f32>) -> (Array2<f32>, Array2<f32>) {
        let mut hidden = self.hidden.forward(h);
        relu(&mut hidden);
        (self.output.forward(&hidden.view()), hidden)
    }

    pub(crate) fn backward(
        &self,
        h: &ArrayView2<'_, f32>,
        hidden: &Array2<f32>,
        dy: &Array2<f32>,
        gradient: &mut Self,
    ) -> Array2<f32> {
        let mut dh = self.output.backward(&hidden.view(), dy, &mut gradient.output);
        gradient.output.b.fill(0.0);
        relu_backward(hidden, &mut dh);
        self.hidden.backward(h, &dh, &mut gradient.hidden)
    }
}

/// Adds `part`, the gradient of a matrix's first rows, to the gradient of the whole.
pub(crate) fn add_to_first_rows(whole: &mut Array2<f32>, part: &Array2<f32>) {
    let mut first = whole.slice_mut(s![..part.nrows(), ..]);
    first += part;
}

#[cfg(test)]
mod tests {
    use super::{Affine, Head, Layer};
    use ndarray::{Array1, array};

    /// Worked by hand. One node, h = (1, 2), one message dimension:
    ///   Q = (1, -1)^T, q = 4:          z = ReLU(1 - 2 + 4) = 3
    ///   n = 3 (its only neighbour is like itself)
    ///   P = rows (1,0), (0,1), (1,-1), p = (0, 1):
    ///   [h | n] P + p = (1 + 3, 2 - 3 + 1) = (4, 0), normalized (1, 0)
    #[test]
    fn a_pinsage_layer_gives_the_hand_worked_numbers() {
        let layer = Layer::PinSage {
            message: Affine { w: array![[1.0], [-1.0]], b: array![4.0] },
            update: Affine { w: array![[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]], b: array![0.0, 1.0] },
        };
        let h = array![[1.0, 2.0]];
        let z = layer.message(&h.view()).expect("a PinSage layer sends messages of its own");
        assert_eq!(z, array![[3.0]]);
        assert_eq!(layer.update(&h.view(), &z).0, array![[1.0, 0.0]]);
    }

    /// h = (3, -1): hidden = ReLU(h I + (1, 0)) = (4, 0); G2 = rows (1, 2), (5, 5): (4, 8).
    #[test]
    fn the_head_gives_the_hand_worked_numbers() {
        let head = Head {
            hidden: Affine { w: array![[1.0, 0.0], [0.0, 1.0]], b: array![1.0, 0.0] },
            output: Affine { w: array![[1.0, 2.0], [5.0, 5.0]], b: Array1::zeros(2) },
        };
        assert_eq!(head.forward(&array![[3.0, -1.0]].view()).0, array![[4.0, 8.0]]);
    }

    #[test]
    fn a_light_layer_adds_the_pooled_neighbours() {
        let (h, n) = (array![[1.0, 2.0]], array![[0.5, -2.0]]);
        assert!(Layer::Light.message(&h.view()).is_none());
        assert_eq!(Layer::Light.update(&h.view(), &n).0, array![[1.5, 0.0]]);
    }
}
