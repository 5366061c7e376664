//! Loops over vectors of numbers, compiled for the widest vectors of the processor.
//!
//! Each loop is compiled three times. A multiply-add rounds once in all of them, by an instruction or by the system's
//! `fmaf`, and no sum is reordered. So all three give the same bits, and [`Portable`] is the test oracle of the
//! others.
//!
//! Loops over plain arrays were tried first. The compiler then keeps a tile of sums in registers only for some forms
//! of the surrounding loop: matrix products ran at 30 GFLOP/s, and run at 110 of 118 possible with these vectors.
//!
//! The module is longer than 400 lines because the three implementations of one trait stand side by side.
#![expect(
    unsafe_code,
    reason = "instructions, and functions compiled for them, that not every processor has"
)]
#![expect(clippy::inline_always, reason = "instructions must stand in the loop that is compiled for them")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi8_epi16,
    _mm256_cvtepi32_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_setzero_si256, _mm256_shuffle_ps, _mm256_storeu_ps,
    _mm512_add_epi32, _mm512_add_ps, _mm512_cvtepi8_epi16, _mm512_cvtepi32_ps, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_madd_epi16, _mm512_set1_ps, _mm512_setzero_si512,
    _mm512_shuffle_f32x4, _mm512_shuffle_ps, _mm512_storeu_ps,
};

/// A loop over numbers. `run` must be `#[inline(always)]`; otherwise it is compiled only for the baseline processor.
pub(crate) trait Kernel {
    type Output;
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Vectors of one width and their operations. A value of such a type exists only if the processor has the
/// instructions.
pub(crate) trait Lanes: Copy {
    type Vector: Copy;
    /// Numbers in a vector.
    const WIDTH: usize;
    /// Vectors that fit into registers.
    const REGISTERS: usize;

    /// A vector with the same number in every lane.
    fn splat(self, value: f32) -> Self::Vector;

    /// Loads the first numbers of a slice.
    ///
    /// # Panics
    /// If the slice is shorter than a vector.
    fn load(self, from: &[f32]) -> Self::Vector;

    /// Stores into the first numbers of a slice.
    ///
    /// # Panics
    /// If the slice is shorter than a vector.
    fn store(self, vector: Self::Vector, to: &mut [f32]);

    /// `a b + c` lane by lane, rounded once.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// `a + b` lane by lane.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The products of two integer rows, summed lane by lane; the assignment of products to lanes is unspecified.
    /// Sums have 32 bits and are converted to `f32` at the end.
    ///
    /// # Panics
    /// If `b` is shorter than `a`, or the length of `a` is no multiple of [`GROUP`].
    fn products(self, a: &[i8], b: &[i16]) -> Self::Vector;

    /// The sums of the first [`WIDTH`](Self::WIDTH) vectors: lane l holds the sum of vector l. Lanes are added by
    /// halves. With eight lanes: l and l + 4 first, then l and l + 2, then the last two.
    ///
    /// # Panics
    /// If there are fewer vectors.
    fn sums(self, vectors: &[Self::Vector]) -> Self::Vector;
}

/// The length of integer rows is a multiple of this.
pub(crate) const GROUP: usize = 32;

/// The vector widths that loops are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Width {
    /// No special instructions.
    Portable,
    /// AVX2 with fused multiply-add.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask for it where the processor has wider ones"))]
    Eight,
    /// AVX-512 F and BW.
    Sixteen,
}

/// Runs `kernel` with the widest vectors that this processor has.
#[inline]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    run_within(Width::Sixteen, kernel)
}

/// Runs `kernel` with the widest vectors of this processor, up to `widest`.
#[inline]
pub(crate) fn run_within<K: Kernel>(widest: Width, kernel: K) -> K::Output {
    #[cfg(test)]
    let widest = widest.min(limit::widest());
    #[cfg(target_arch = "x86_64")]
    {
        if widest == Width::Sixteen
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
        {
            // SAFETY: the processor has both parts of AVX-512, the only requirement of `run_avx512`.
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

/// A limit on the vectors of all threads, so that a test of a whole step runs as on a processor without wider ones.
/// Tests that run meanwhile get the same bits.
#[cfg(test)]
pub(crate) mod limit {
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::sync::{Mutex, PoisonError};

    use super::Width;

    static WIDEST: AtomicU8 = AtomicU8::new(Width::Sixteen as u8);
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    pub(super) fn widest() -> Width {
        let all = [Width::Portable, Width::Eight, Width::Sixteen];
        all[usize::from(WIDEST.load(Ordering::Relaxed))]
    }

    /// Runs `work` with vectors of at most this width.
    pub(crate) fn within(width: Width, work: impl FnOnce()) {
        struct Reset;
        impl Drop for Reset {
            fn drop(&mut self) {
                WIDEST.store(Width::Sixteen as u8, Ordering::Relaxed);
            }
        }
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let _reset = Reset;
        WIDEST.store(width as u8, Ordering::Relaxed);
        work();
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// Both rows in groups of [`GROUP`] numbers; as many groups of `b` as `a` has.
#[inline(always)]
fn groups<'a>(a: &'a [i8], b: &'a [i16]) -> (&'a [[i8; GROUP]], &'a [[i16; GROUP]]) {
    let (a, rest) = a.as_chunks();
    assert!(rest.is_empty(), "whole groups");
    (a, &b.as_chunks().0[..a.len()])
}

/// Arrays, compiled for every processor: the safe twin of the other two.
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

    #[inline(always)]
    fn add(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn products(self, a: &[i8], b: &[i16]) -> [f32; 8] {
        let mut sums = [0i32; 8];
        let (a, b) = groups(a, b);
        for (a, b) in a.iter().zip(b) {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                sums[at % 8] += i32::from(*a) * i32::from(*b);
            }
        }
        sums.map(|sum| sum as f32)
    }

    #[inline(always)]
    fn sums(self, vectors: &[[f32; 8]]) -> [f32; 8] {
        let vectors: &[[f32; 8]; 8] = vectors.first_chunk().expect("as many vectors as lanes");
        vectors.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h)))
    }
}

/// Vectors of eight numbers in AVX2 registers.
///
/// # Invariants
/// 1. Only `run_avx2` makes a value, so the processor has AVX2 and FMA wherever there is one.
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

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: invariant 1.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn products(self, a: &[i8], b: &[i16]) -> __m256 {
        let (a, b) = groups(a, b);
        // SAFETY: invariant 1, and the references are to as many numbers as are read.
        unsafe {
            let mut sums = [_mm256_setzero_si256(); 2];
            for (a, b) in a.iter().zip(b) {
                for (half, sum) in sums.iter_mut().enumerate() {
                    let a = _mm256_cvtepi8_epi16(_mm_loadu_si128(a.as_ptr().add(half * 16).cast()));
                    let b = _mm256_loadu_si256(b.as_ptr().add(half * 16).cast());
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(a, b));
                }
            }
            _mm256_cvtepi32_ps(_mm256_add_epi32(sums[0], sums[1]))
        }
    }

    /// Each step adds the halves of two vectors and puts both results into one vector.
    #[inline(always)]
    fn sums(self, vectors: &[__m256]) -> __m256 {
        let [a, b, c, d, e, f, g, h] = *vectors.first_chunk().expect("as many vectors as lanes");
        // SAFETY: invariant 1, here and in the functions.
        unsafe {
            // Macros, because a closure would be compiled for the baseline processor.
            macro_rules! fours {
                ($x:expr, $y:expr) => {
                    _mm256_add_ps(
                        _mm256_permute2f128_ps::<0x20>($x, $y),
                        _mm256_permute2f128_ps::<0x31>($x, $y),
                    )
                };
            }
            macro_rules! twos {
                ($x:expr, $y:expr) => {{
                    let (x, y) = ($x, $y);
                    _mm256_add_ps(_mm256_shuffle_ps::<0x44>(x, y), _mm256_shuffle_ps::<0xee>(x, y))
                }};
            }
            let (x, y) = (twos!(fours!(a, e), fours!(b, f)), twos!(fours!(c, g), fours!(d, h)));
            _mm256_add_ps(_mm256_shuffle_ps::<0x88>(x, y), _mm256_shuffle_ps::<0xdd>(x, y))
        }
    }
}

/// Vectors of sixteen numbers in AVX-512 registers.
///
/// # Invariants
/// 1. Only `run_avx512` makes a value, so the processor has AVX-512 wherever there is one.
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

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: invariant 1.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn products(self, a: &[i8], b: &[i16]) -> __m512 {
        let (a, b) = groups(a, b);
        // SAFETY: invariant 1, and the references are to as many numbers as are read.
        unsafe {
            let mut sums = _mm512_setzero_si512();
            for (a, b) in a.iter().zip(b) {
                let a = _mm512_cvtepi8_epi16(_mm256_loadu_si256(a.as_ptr().cast()));
                let b = _mm512_loadu_si512(b.as_ptr().cast());
                sums = _mm512_add_epi32(sums, _mm512_madd_epi16(a, b));
            }
            _mm512_cvtepi32_ps(sums)
        }
    }

    /// As with eight lanes, with one more step.
    #[inline(always)]
    fn sums(self, vectors: &[__m512]) -> __m512 {
        let all: &[__m512; 16] = vectors.first_chunk().expect("as many vectors as lanes");
        // SAFETY: invariant 1, here and in the macros.
        unsafe {
            macro_rules! eights {
                ($x:expr, $y:expr) => {
                    _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>($x, $y), _mm512_shuffle_f32x4::<0xee>($x, $y))
                };
            }
            macro_rules! fours {
                ($at:expr) => {{
                    let (x, y) = (eights!(all[$at], all[$at + 4]), eights!(all[$at + 8], all[$at + 12]));
                    _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(x, y), _mm512_shuffle_f32x4::<0xdd>(x, y))
                }};
            }
            macro_rules! twos {
                ($at:expr) => {{
                    let (x, y) = (fours!($at), fours!($at + 1));
                    _mm512_add_ps(_mm512_shuffle_ps::<0x44>(x, y), _mm512_shuffle_ps::<0xee>(x, y))
                }};
            }
            let (x, y) = (twos!(0), twos!(2));
            _mm512_add_ps(_mm512_shuffle_ps::<0x88>(x, y), _mm512_shuffle_ps::<0xdd>(x, y))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that sums 256 different numbers vector by vector.
    struct Sums([f32; 256]);

    impl Kernel for Sums {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Vec<f32> {
            let vectors: Vec<L::Vector> =
                self.0.chunks_exact(L::WIDTH).map(|some| lanes.load(some)).collect();
            let mut sums = vec![0.0; L::WIDTH];
            lanes.store(lanes.sums(&vectors), &mut sums);
            sums
        }
    }

    #[test]
    fn the_sum_of_each_vector_is_in_the_lane_of_its_number_and_added_by_halves() {
        let numbers: [f32; 256] = std::array::from_fn(|at| ((at * 7919 % 1009) as f32).sqrt() - 16.0);
        for width in [Width::Portable, Width::Eight, Width::Sixteen] {
            let found = run_within(width, Sums(numbers));
            let by_halves = |vector: &[f32]| {
                let mut left = vector.to_vec();
                while left.len() > 1 {
                    let (low, high) = left.split_at(left.len() / 2);
                    left = low.iter().zip(high).map(|(a, b)| a + b).collect();
                }
                left[0]
            };
            let expected: Vec<f32> =
                numbers.chunks_exact(found.len()).take(found.len()).map(by_halves).collect();
            assert_eq!(found, expected, "{width:?}");
        }
    }

    /// A kernel that sums the products of two integer rows.
    struct Products<'a>(&'a [i8], &'a [i16]);

    impl Kernel for Products<'_> {
        type Output = f32;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> f32 {
            let mut sums = [0.0; 16];
            lanes.store(lanes.products(self.0, self.1), &mut sums);
            sums.iter().sum()
        }
    }

    #[test]
    fn products_of_whole_numbers_are_exact_up_to_their_bounds_however_wide_vectors_are() {
        for (count, largest) in [(0, 100), (32, 16_383), (96, 16_383), (1024, 15_000)] {
            let a: Vec<i8> = (0..count).map(|at| [127, -127, 3, -128][at * 7 % 4]).collect();
            let b: Vec<i16> = (0..count).map(|at| [largest, -largest, 5][at % 3]).collect();
            let exact: i64 = a.iter().zip(&b).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum();
            for width in [Width::Portable, Width::Eight, Width::Sixteen] {
                let found = f64::from(run_within(width, Products(&a, &b)));
                let magnitude: f64 =
                    a.iter().zip(&b).map(|(a, b)| f64::from(*a).abs() * f64::from(*b).abs()).sum();
                assert!(
                    (found - exact as f64).abs() <= magnitude * 1e-6,
                    "{width:?}: {found}, exact {exact}"
                );
            }
        }
    }
}
