//! A graph convolution: the update of a node's vector from its neighborhood, forward and backward. Knows nothing of
//! the graph.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::matrix::{BAND, Panels, add_transposed_product, product, product_by_transposed};
use crate::linalg::rows::{normalize, normalize_rows_backward, relu, relu_backward};

/// The affine map `x W + b`. Shapes: `w` (I, O), `b` (O).
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    pub(crate) w: Array2<f32>,
    pub(crate) b: Array1<f32>,
}

impl Affine {
    pub(crate) fn zeros(inner: usize, outer: usize) -> Self {
        Self { w: Array2::zeros((inner, outer)), b: Array1::zeros(outer) }
    }

    pub(crate) fn forward(&self, x: &ArrayView2<'_, f32>, buffers: &mut BufferPool) -> Array2<f32> {
        product(x, &self.w.view(), self.b.as_slice(), buffers)
    }

    /// The map, prepared for products with `rows` rows.
    fn pass(&self, rows: usize) -> AffinePass<'_> {
        AffinePass {
            w: Panels::new(&self.w.view(), rows),
            b: self.b.as_slice().expect("parameters are in standard layout"),
        }
    }

    /// The backward pass. Adds the gradient of the parameters to `gradient`, and returns that of `x`. Shapes: x (R,
    /// I), dy (R, O) -> (R, I).
    fn backward(
        &self,
        x: &ArrayView2<'_, f32>,
        dy: Array2<f32>,
        gradient: &mut Self,
        buffers: &mut BufferPool,
    ) -> Array2<f32> {
        add_transposed_product(&mut gradient.w.view_mut(), x, &dy.view());
        gradient.b += &dy.sum_axis(Axis(0));
        let dx = product_by_transposed(&dy.view(), &self.w.view(), buffers);
        buffers.recycle(dy);
        dx
    }
}

/// A convolution layer.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a model has a handful of layers")]
pub(crate) enum Layer {
    /// `h' = h + n`. Neighbors' vectors are pooled unchanged, and there are no weights (LightGCN, arXiv 2002.02126).
    Light,
    /// PinSage, Algorithm 1: `z = ReLU(Q h + q)`, `h' = normalize(ReLU(P [h | n] + p))`.
    PinSage {
        /// `Q`: (D, M).
        message: Affine,
        /// `P`: (D + M, D); the first D rows act on `h`, the others on `n`.
        update: Affine,
    },
}

/// The results of [`Layer::update`] that its backward pass needs.
pub(crate) struct UpdateTrace {
    pooled: Array2<f32>,
    /// Lengths of the rows before normalization.
    lengths: Array1<f32>,
}

impl Layer {
    /// The width M of messages; 0 if vectors are pooled unchanged.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Light => 0,
            Self::PinSage { message, .. } => message.w.ncols(),
        }
    }

    /// The layer, prepared for products with `rows` rows.
    pub(crate) fn pass(&self, rows: usize) -> LayerPass<'_> {
        match self {
            Self::Light => LayerPass::Light,
            Self::PinSage { message, update } => {
                LayerPass::PinSage { message: message.pass(rows), update: update.pass(rows) }
            }
        }
    }

    /// The messages `z` of nodes to the nodes whose neighborhood they are in. `None` if vectors are pooled unchanged.
    /// Shapes: (R, D) -> (R, M).
    pub(crate) fn message(&self, h: &ArrayView2<'_, f32>, buffers: &mut BufferPool) -> Option<Array2<f32>> {
        let (width, dim) = (self.width(), h.ncols());
        if width == 0 {
            return None;
        }
        let pass = self.pass(h.nrows());
        let mut z = buffers.matrix(h.nrows(), width);
        let h = h.as_standard_layout();
        let h = h.as_slice().expect("standard layout is contiguous");
        let bands = z.as_slice_mut().expect("a fresh matrix is contiguous").par_chunks_mut(BAND * width);
        bands.zip(h.par_chunks(BAND * dim)).for_each(|(z, h)| pass.message(h, z));
        Some(z)
    }

    /// The new vectors `h'` from the nodes' own vectors `h` and the pooled messages `n`. Shapes: (R, D), (R, M) ->
    /// (R, D).
    pub(crate) fn update(
        &self,
        h: &ArrayView2<'_, f32>,
        n: Array2<f32>,
        buffers: &mut BufferPool,
    ) -> (Array2<f32>, UpdateTrace) {
        let (rows, dim, width) = (h.nrows(), h.ncols(), n.ncols());
        let pass = self.pass(rows);
        let (mut output, mut lengths) = (buffers.matrix(rows, dim), Array1::zeros(rows));
        if dim > 0 {
            let h = h.as_standard_layout();
            let h = h.as_slice().expect("standard layout is contiguous");
            let n = n.as_slice().expect("pooled rows are contiguous");
            let bands =
                output.as_slice_mut().expect("a fresh matrix is contiguous").par_chunks_mut(BAND * dim);
            let lengths = lengths.as_slice_mut().expect("a fresh vector is contiguous").par_chunks_mut(BAND);
            bands.zip(lengths).enumerate().for_each(|(band, (output, lengths))| {
                let h = &h[band * BAND * dim..][..lengths.len() * dim];
                let n = &n[band * BAND * width..][..lengths.len() * width];
                pass.update(h, n, output, lengths);
            });
        }
        (output, UpdateTrace { pooled: n, lengths })
    }

    /// The backward pass of [`Layer::update`]: the gradients of `h` and `n`. Adds those of the parameters to
    /// `gradient`. Shapes: h, output, dy (R, D) -> (R, D), (R, M).
    pub(crate) fn update_backward(
        &self,
        h: &ArrayView2<'_, f32>,
        trace: UpdateTrace,
        output: &ArrayView2<'_, f32>,
        mut dy: Array2<f32>,
        gradient: &mut Self,
        buffers: &mut BufferPool,
    ) -> (Array2<f32>, Array2<f32>) {
        let (Self::PinSage { update, .. }, Self::PinSage { update: into, .. }) = (self, gradient) else {
            // A sum: `h` and `n` have the gradient of the result.
            let mut by_own = trace.pooled;
            by_own.assign(&dy);
            return (by_own, dy);
        };
        normalize_rows_backward(output, &trace.lengths, &mut dy);
        relu_backward(output, &mut dy);
        into.b += &dy.sum_axis(Axis(0));
        let (own, pooled) = update.w.view().split_at(Axis(0), h.ncols());
        let (mut d_own, mut d_pooled) = into.w.view_mut().split_at(Axis(0), h.ncols());
        add_transposed_product(&mut d_own, h, &dy.view());
        add_transposed_product(&mut d_pooled, &trace.pooled.view(), &dy.view());
        buffers.recycle(trace.pooled);
        let by_own = product_by_transposed(&dy.view(), &own, buffers);
        let by_pooled = product_by_transposed(&dy.view(), &pooled, buffers);
        buffers.recycle(dy);
        (by_own, by_pooled)
    }

    /// The backward pass of [`Layer::message`] with result `z`: the gradient of `h`. Adds those of the parameters to
    /// `gradient`. Shapes: h (R, D), z and dz (R, M) -> (R, D).
    pub(crate) fn message_backward(
        &self,
        h: &ArrayView2<'_, f32>,
        z: Option<&Array2<f32>>,
        mut dz: Array2<f32>,
        gradient: &mut Self,
        buffers: &mut BufferPool,
    ) -> Array2<f32> {
        match (self, z, gradient) {
            (Self::PinSage { message, .. }, Some(z), Self::PinSage { message: into, .. }) => {
                relu_backward(&z.view(), &mut dz);
                message.backward(h, dz, into, buffers)
            }
            _ => dz,
        }
    }
}

/// An [`Affine`] prepared for repeated products.
pub(crate) struct AffinePass<'a> {
    w: Panels<'a>,
    b: &'a [f32],
}

impl AffinePass<'_> {
    /// The result for rows whose columns are split into parts; each part is row-major and comes with its width.
    fn forward(&self, parts: &[(&[f32], usize)], out: &mut [f32]) {
        self.w.multiply_parts(parts, Some(self.b), out);
    }
}

/// A [`Layer`] prepared for repeated products. Its methods work on the calling thread, with row-major slices, and
/// finish a row while it is in the cache.
pub(crate) enum LayerPass<'a> {
    Light,
    PinSage { message: AffinePass<'a>, update: AffinePass<'a> },
}

impl LayerPass<'_> {
    /// See [`Layer::message`].
    pub(crate) fn message(&self, h: &[f32], z: &mut [f32]) {
        if let Self::PinSage { message, .. } = self {
            message.forward(&[(h, message.w.depth())], z);
            relu(z);
        }
    }

    /// See [`Layer::update`]. Writes also the lengths of rows before normalization.
    pub(crate) fn update(&self, h: &[f32], n: &[f32], output: &mut [f32], lengths: &mut [f32]) {
        match self {
            Self::Light => {
                for ((output, h), n) in output.iter_mut().zip(h).zip(n) {
                    *output = h + n;
                }
            }
            Self::PinSage { message, update } => {
                let (dim, width) = (message.w.depth(), message.w.columns());
                update.forward(&[(h, dim), (n, width)], output);
                for (row, length) in output.chunks_exact_mut(dim).zip(lengths) {
                    relu(row);
                    *length = normalize(row);
                }
            }
        }
    }
}

/// The dense head, `G2 ReLU(G1 h + g)` (PinSage, Algorithm 2). Shapes: (R, D) -> (R, D).
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// `G1` and `g`.
    pub(crate) hidden: Affine,
    /// `G2`; its bias stays zero, as in the paper.
    pub(crate) output: Affine,
}

impl Head {
    /// The head, prepared for products with `rows` rows.
    pub(crate) fn pass(&self, rows: usize) -> HeadPass<'_> {
        HeadPass { hidden: self.hidden.pass(rows), output: self.output.pass(rows) }
    }

    /// Returns the result and the hidden activations. Shapes: (R, D) -> (R, D), (R, D).
    pub(crate) fn forward(
        &self,
        h: &ArrayView2<'_, f32>,
        buffers: &mut BufferPool,
    ) -> (Array2<f32>, Array2<f32>) {
        let mut hidden = self.hidden.forward(h, buffers);
        relu(hidden.as_slice_mut().expect("a fresh matrix is contiguous"));
        (self.output.forward(&hidden.view(), buffers), hidden)
    }

    pub(crate) fn backward(
        &self,
        h: &ArrayView2<'_, f32>,
        hidden: &Array2<f32>,
        dy: Array2<f32>,
        gradient: &mut Self,
        buffers: &mut BufferPool,
    ) -> Array2<f32> {
        let mut dh = self.output.backward(&hidden.view(), dy, &mut gradient.output, buffers);
        gradient.output.b.fill(0.0);
        relu_backward(&hidden.view(), &mut dh);
        self.hidden.backward(h, dh, &mut gradient.hidden, buffers)
    }
}

/// A [`Head`] prepared for repeated products, on the calling thread.
pub(crate) struct HeadPass<'a> {
    hidden: AffinePass<'a>,
    output: AffinePass<'a>,
}

impl HeadPass<'_> {
    pub(crate) fn forward(&self, h: &[f32], out: &mut [f32]) {
        let mut hidden = vec![0.0; out.len()];
        self.hidden.forward(&[(h, self.hidden.w.depth())], &mut hidden);
        relu(&mut hidden);
        self.output.forward(&[(&hidden, self.output.w.depth())], out);
    }
}

/// Adds `part`, the gradient of the first rows of a matrix, to the gradient of all rows.
pub(crate) fn add_to_first_rows(total: &mut Array2<f32>, part: &Array2<f32>) {
    let mut first = total.slice_mut(s![..part.nrows(), ..]);
    first += part;
}

#[cfg(test)]
mod tests {
    use super::{Affine, BufferPool, Head, Layer};
    use ndarray::{Array1, array};

    /// Worked by hand. One node, h = (1, 2), one message dimension:
    ///     Q = (1, -1)^T, q = 4: z = ReLU(1 - 2 + 4) = 3
    ///     n = 3 (its only neighbor has the same vector)
    ///     P = rows (1,0), (0,1), (1,-1), p = (0, 1):
    ///     [h | n] P + p = (1 + 3, 2 - 3 + 1) = (4, 0), normalized (1, 0)
    #[test]
    fn a_pinsage_layer_gives_the_hand_worked_numbers() {
        let layer = Layer::PinSage {
            message: Affine { w: array![[1.0], [-1.0]], b: array![4.0] },
            update: Affine { w: array![[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]], b: array![0.0, 1.0] },
        };
        let (h, buffers) = (array![[1.0, 2.0]], &mut BufferPool::default());
        let z = layer.message(&h.view(), buffers).expect("a PinSage layer sends messages of its own");
        assert_eq!(z, array![[3.0]]);
        assert_eq!(layer.update(&h.view(), z, buffers).0, array![[1.0, 0.0]]);
    }

    /// h = (3, -1): hidden = ReLU(h I + (1, 0)) = (4, 0); G2 = rows (1, 2), (5, 5): (4, 8).
    #[test]
    fn the_head_gives_the_hand_worked_numbers() {
        let head = Head {
            hidden: Affine { w: array![[1.0, 0.0], [0.0, 1.0]], b: array![1.0, 0.0] },
            output: Affine { w: array![[1.0, 2.0], [5.0, 5.0]], b: Array1::zeros(2) },
        };
        assert_eq!(
            head.forward(&array![[3.0, -1.0]].view(), &mut BufferPool::default()).0,
            array![[4.0, 8.0]]
        );
    }

    #[test]
    fn a_light_layer_adds_the_pooled_neighbors() {
        let (h, n, buffers) = (array![[1.0, 2.0]], array![[0.5, -2.0]], &mut BufferPool::default());
        assert!(Layer::Light.message(&h.view(), buffers).is_none());
        assert_eq!(Layer::Light.update(&h.view(), n, buffers).0, array![[1.5, 0.0]]);
    }
}
