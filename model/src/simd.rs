//! Runs a loop over vectors of numbers, compiled for the widest that this processor has.
//!
//! The same loop is compiled three times. A multiply-add rounds once in all of them, by an instruction or by the system's
//! `fmaf`, and no sum is reordered; so all give the same bits, and [`Portable`] is the oracle of the others.
//! Loops over arrays alone were tried first: whether the compiler keeps a tile of sums in registers then depends on how
//! the loop around it is written, and matrix products ran at 30 GFLOP/s where these run at 110, of 118 that the processor has.
#![expect(
    unsafe_code,
    reason = "instructions, and functions compiled for them, that not every processor has"
)]
#![expect(clippy::inline_always, reason = "instructions must stand in the loop that is compiled for them")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
};

/// A loop over numbers. `run` must be `#[inline(always)]`, or it is compiled for the baseline only.
pub(crate) trait Kernel {
    type Output;
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Vectors of one width and what is done with them. A value of such a type exists only where the processor has them.
pub(crate) trait Lanes: Copy {
    type Vector: Copy;
    /// Numbers of a vector.
    const WIDTH: usize;
    /// Vectors that stay in registers.
    const REGISTERS: usize;

    /// The same number in every lane.
    fn splat(self, value: f32) -> Self::Vector;

    /// The first numbers of a slice.
    ///
    /// # Panics
    /// If it has fewer.
    fn load(self, from: &[f32]) -> Self::Vector;

    /// Writes to the first numbers of a slice.
    ///
    /// # Panics
    /// If it has fewer.
    fn store(self, vector: Self::Vector, to: &mut [f32]);

    /// `a b + c` lane by lane, rounded once.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
}

/// What a loop can be compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// What every processor has.
    Portable,
    /// AVX2 with fused multiply-add.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask for it where the processor has wider ones"))]
    Eight,
    /// AVX-512.
    Sixteen,
}

/// Runs `kernel` with the widest vectors that this processor has.
#[inline]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    run_within(Width::Sixteen, kernel)
}

/// Runs `kernel` with the widest vectors that this processor has up to `widest`.
#[inline]
pub(crate) fn run_within<K: Kernel>(widest: Width, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if widest == Width::Sixteen && is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512, the only requirement of `run_avx512`.
            return unsafe { run_avx512(kernel) };
        }
        if widest != Width::Portable && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, the only requirements of `run_avx2`.
            return unsafe { run_avx2(kernel) };
        }
    }
    let _ = widest;
    kernel.run(Portable)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// The safe twin.
#[derive(Clone, Copy)]
struct Portable;

impl Lanes for Portable {
    type Vector = [f32; 8];
    const WIDTH: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 8] {
        [value; 8]
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> [f32; 8] {
        *from.first_chunk().expect("a vector's numbers")
    }

    #[inline(always)]
    fn store(self, vector: [f32; 8], to: &mut [f32]) {
        *to.first_chunk_mut().expect("a vector's numbers") = vector;
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }
}

/// # Invariants
/// 1. Made by `run_avx2` alone, so the processor has AVX2 and FMA wherever there is one.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx2 {
    type Vector = __m256;
    const WIDTH: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: invariant 1.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m256 {
        let from: &[f32; 8] = from.first_chunk().expect("a vector's numbers");
        // SAFETY: invariant 1, and the reference is to as many numbers as are read.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: __m256, to: &mut [f32]) {
        let to: &mut [f32; 8] = to.first_chunk_mut().expect("a vector's numbers");
        // SAFETY: invariant 1, and the reference is to as many numbers as are written.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), vector) };
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: invariant 1.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
}

/// # Invariants
/// 1. Made by `run_avx512` alone, so the processor has AVX-512 wherever there is one.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx512 {
    type Vector = __m512;
    const WIDTH: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: invariant 1.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        let from: &[f32; 16] = from.first_chunk().expect("a vector's numbers");
        // SAFETY: invariant 1, and the reference is to as many numbers as are read.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: __m512, to: &mut [f32]) {
        let to: &mut [f32; 16] = to.first_chunk_mut().expect("a vector's numbers");
        // SAFETY: invariant 1, and the reference is to as many numbers as are written.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), vector) };
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: invariant 1.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
}
