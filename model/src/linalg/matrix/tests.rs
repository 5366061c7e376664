use ndarray::{Array2, ArrayView2, s};

use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::matrix::panels::Panels;
use crate::linalg::matrix::transposed::Strip;
use crate::linalg::matrix::{add_transposed_product, by_panels, product, product_by_transposed};
use crate::linalg::simd;
use crate::linalg::simd::Width;

fn numbers(rows: usize, columns: usize, seed: u32) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(r, c)| {
        let mixed = (r as u32 * 7919 + c as u32 * 104_729 + seed).wrapping_mul(2_654_435_761);
        (mixed >> 8) as f32 / (1 << 24) as f32 - 0.5
    })
}

/// The product by its definition, element by element.
fn textbook(start: &Array2<f32>, a: &ArrayView2<'_, f32>, b: &ArrayView2<'_, f32>) -> Array2<f32> {
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(row, column)| {
        let factors = a.row(row).into_iter().zip(b.column(column));
        factors.fold(start[[row, column]], |sum, (a, b)| a.mul_add(*b, sum))
    })
}

/// Rows, inner dimension and columns just below and above the sizes of tiles, blocks and panels, and zero.
const SHAPES: [(usize, usize, usize); 17] = [
    (1, 1, 1),
    (5, 3, 15),
    (6, 4, 16),
    (7, 5, 17),
    (11, 127, 64),
    (12, 128, 65),
    (13, 129, 100),
    (23, 37, 128),
    (24, 38, 112),
    (25, 39, 48),
    (95, 64, 31),
    (97, 255, 80),
    (200, 257, 70),
    (60, 600, 33),
    (0, 5, 7),
    (5, 0, 7),
    (5, 7, 0),
];

#[test]
fn every_element_is_the_chain_of_the_textbook() {
    for (rows, inner, outer) in SHAPES {
        let (a, b) = (numbers(rows, inner, 1), numbers(inner, outer, 2));
        let bias = numbers(1, outer, 3);
        let zeros = Array2::zeros((rows, outer));
        let expected = textbook(&zeros, &a.view(), &b.view());
        let shape = format!("{rows} x {inner} x {outer}");
        assert_eq!(product(&a.view(), &b.view(), None, &mut BufferPool::with_nan()), expected, "{shape}");
        let transposed = b.t().as_standard_layout().to_owned();
        assert_eq!(
            product_by_transposed(&a.view(), &transposed.view(), &mut BufferPool::with_nan()),
            expected,
            "{shape}, b transposed"
        );
        let transposed = a.t().as_standard_layout().to_owned();
        let start = numbers(rows, outer, 4);
        let mut sum = start.clone();
        add_transposed_product(&mut sum.view_mut(), &transposed.view(), &b.view());
        assert_eq!(sum, textbook(&start, &a.view(), &b.view()), "{shape}, a transposed");
        let biased = bias.broadcast((rows, outer)).expect("one row for all").to_owned();
        let got = product(&a.view(), &b.view(), bias.as_slice(), &mut BufferPool::with_nan());
        assert_eq!(got, textbook(&biased, &a.view(), &b.view()), "{shape}, with a bias");
    }
}

/// A refresh computes a handful of rows and a rebuild all of them: their bits must agree.
#[test]
fn a_row_has_the_same_bits_in_every_batch() {
    for outer in [1, 17, 64, 100] {
        let (a, b, bias) = (numbers(300, 37, 1), numbers(37, outer, 2), numbers(1, outer, 3));
        let padded = product(&a.view(), &b.view(), bias.as_slice(), &mut BufferPool::with_nan());
        let panels = Panels::transposed(&b.t());
        for rows in 1..=a.nrows() {
            for start in [0, 1, 2, 3, 4, 5, a.nrows() - rows] {
                let end = (start + rows).min(a.nrows());
                let part = a.slice(s![start..end, ..]);
                let expected = padded.slice(s![start..end, ..]);
                assert_eq!(
                    product(&part, &b.view(), bias.as_slice(), &mut BufferPool::with_nan()),
                    expected,
                    "{rows} rows from {start}"
                );
                assert_eq!(
                    by_panels(&part, &panels, bias.as_slice(), &mut BufferPool::with_nan()),
                    expected,
                    "{rows} rows from {start}"
                );
            }
        }
    }
}

/// AVX-512, AVX2 and the baseline, as far as this processor has them.
#[test]
fn every_vector_width_gives_the_same_bits() {
    for (rows, inner, outer) in SHAPES {
        let (a, b, start) = (numbers(rows, inner, 5), numbers(inner, outer, 6), numbers(rows, outer, 7));
        let transposed = a.t().as_standard_layout().to_owned();
        let zeros = Array2::zeros((rows, outer));
        for width in [Width::Portable, Width::Eight, Width::Sixteen] {
            let mut out = vec![1.0; rows * outer];
            let slice = a.as_slice().expect("contiguous");
            let view = b.view();
            Panels::new(&view, rows).multiply_within(width, &[(slice, inner)], None, &mut out);
            let expected = textbook(&zeros, &a.view(), &b.view());
            assert_eq!(out, expected.as_slice().expect("contiguous"), "{width:?} {rows} {inner} {outer}");

            if rows * inner * outer == 0 {
                continue;
            }
            let mut out = start.clone();
            let strip = Strip {
                a: transposed.as_slice().expect("contiguous"),
                inner: rows,
                first: 0,
                b: b.as_slice().expect("contiguous"),
                outer,
                out: out.as_slice_mut().expect("contiguous"),
            };
            simd::run_within(width, strip);
            assert_eq!(out, textbook(&start, &a.view(), &b.view()), "{width:?} {rows} {inner} {outer}");
        }
    }
}

#[test]
fn the_number_of_threads_never_shows() {
    let (a, b) = (numbers(700, 50, 8), numbers(700, 70, 9));
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let mut sum = numbers(50, 70, 10);
            add_transposed_product(&mut sum.view_mut(), &a.view(), &b.view());
            (sum, product_by_transposed(&b.t(), &a.t(), &mut BufferPool::with_nan()))
        })
    };
    let one = with(1);
    for threads in 2..=5 {
        assert_eq!(with(threads), one, "{threads} threads");
    }
}

#[test]
fn views_that_are_not_contiguous_are_multiplied_as_what_they_show() {
    let (a, b) = (numbers(40, 60, 11), numbers(60, 90, 12));
    let (a, b) = (a.slice(s![..;2, 5..35]), b.slice(s![10..40, ..;-3]));
    let expected = textbook(&Array2::zeros((20, 30)), &a, &b);
    assert_eq!(product(&a, &b, None, &mut BufferPool::with_nan()), expected);
    assert_eq!(product_by_transposed(&a, &b.t(), &mut BufferPool::with_nan()), expected);
    let mut sum = Array2::zeros((20, 30));
    add_transposed_product(&mut sum.view_mut(), &a.t(), &b);
    assert_eq!(sum, expected);
    assert_eq!(product(&b.t(), &a.t(), None, &mut BufferPool::with_nan()), expected.t());
}

#[test]
fn rows_in_parts_are_multiplied_as_if_they_were_joined() {
    let (a, b, w) = (numbers(50, 30, 13), numbers(50, 41, 14), numbers(71, 80, 15));
    let joined = ndarray::concatenate(ndarray::Axis(1), &[a.view(), b.view()]).expect("as many rows");
    let (a, b) = (a.as_slice().expect("contiguous"), b.as_slice().expect("contiguous"));
    let view = w.view();
    for rows in [1, 5, 50] {
        let mut out = vec![0.0; rows * 80];
        let parts = [(&a[..rows * 30], 30), (&b[..rows * 41], 41)];
        Panels::new(&view, rows).multiply_parts(&parts, None, &mut out);
        let expected = product(&joined.slice(s![..rows, ..]), &view, None, &mut BufferPool::with_nan());
        assert_eq!(out, expected.as_slice().expect("contiguous"));
    }
}
