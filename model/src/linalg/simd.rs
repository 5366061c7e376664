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
    __m256, __m256i, __m512, __m512i, _MM_HINT_T0, _mm_loadl_epi64, _mm_loadu_si128, _mm_prefetch,
    _mm256_add_epi32, _mm256_add_ps, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cvtepi8_epi16,
    _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_setzero_si256, _mm256_shuffle_ps,
    _mm256_storeu_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_cvtepi8_epi16, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_madd_epi16, _mm512_set1_ps, _mm512_setzero_si512, _mm512_shuffle_f32x4,
    _mm512_shuffle_ps, _mm512_storeu_ps,
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
    /// Integers of 32 bits, as many as a vector has numbers.
    type Integers: Copy;
    /// [`GROUP`] integers of 16 bits.
    type Group: Copy;
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

    /// Loads the first integers of a slice as numbers.
    ///
    /// # Panics
    /// If the slice is shorter than a vector.
    fn load_integers(self, from: &[i8]) -> Self::Vector;

    /// Integers that are all 0.
    fn zeros(self) -> Self::Integers;

    /// Loads integers of a row.
    fn row_group(self, from: &[i8; GROUP]) -> Self::Group;

    /// Loads integers of a query.
    fn query_group(self, from: &[i16; GROUP]) -> Self::Group;

    /// Adds the products of two groups to sums; the assignment of products to lanes is unspecified. The caller keeps the sum of
    /// all lanes below 2^31, so that no lane overflows.
    fn add_products(self, a: Self::Group, b: Self::Group, sums: Self::Integers) -> Self::Integers;

    /// The sums of the first [`WIDTH`](Self::WIDTH) vectors of integers: lane l holds the sum of vector l, added as integers and
    /// rounded once to an `f32`.
    ///
    /// # Panics
    /// If there are fewer vectors.
    fn integer_sums(self, vectors: &[Self::Integers]) -> Self::Vector;

    /// The sums of the first [`WIDTH`](Self::WIDTH) vectors: lane l holds the sum of vector l. Lanes are added by
    /// halves. With eight lanes: l and l + 4 first, then l and l + 2, then the last two.
    ///
    /// # Panics
    /// If there are fewer vectors.
    fn sums(self, vectors: &[Self::Vector]) -> Self::Vector;
}

/// The length of integer rows is a multiple of this.
pub(crate) const GROUP: usize = 32;

/// Asks the processor to fetch the cache line with number `at` of a slice. Nothing happens beyond the end, or on processors without
/// the instruction.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(element) = slice.get(at) {
        // SAFETY: every x86-64 processor has the instruction, and it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, at);
}

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

/// Arrays, compiled for every processor: the safe twin of the other two.
#[derive(Clone, Copy)]
struct Portable;

impl Lanes for Portable {
    type Vector = [f32; 8];
    type Integers = [i32; 8];
    type Group = [i16; GROUP];
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
    fn load_integers(self, from: &[i8]) -> [f32; 8] {
        let from: &[i8; 8] = from.first_chunk().expect("a vector's numbers");
        from.map(f32::from)
    }

    #[inline(always)]
    fn zeros(self) -> [i32; 8] {
        [0; 8]
    }

    #[inline(always)]
    fn row_group(self, from: &[i8; GROUP]) -> [i16; GROUP] {
        from.map(i16::from)
    }

    #[inline(always)]
    fn query_group(self, from: &[i16; GROUP]) -> [i16; GROUP] {
        *from
    }

    #[inline(always)]
    fn add_products(self, a: [i16; GROUP], b: [i16; GROUP], mut sums: [i32; 8]) -> [i32; 8] {
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            sums[at % 8] += i32::from(*a) * i32::from(b);
        }
        sums
    }

    #[inline(always)]
    fn integer_sums(self, vectors: &[[i32; 8]]) -> [f32; 8] {
        let vectors: &[[i32; 8]; 8] = vectors.first_chunk().expect("as many vectors as lanes");
        vectors.map(|vector| vector.iter().sum::<i32>() as f32)
    }

    #[inline(always)]
    fn sums(self, vectors: &[[f32; 8]]) -> [f32; 8] {
        let vectors: &[[f32; 8]; 8] = vectors.first_chunk().expect("as many vectors as lanes");
        vectors.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h)))
    }
}

/// The sum of each of eight vectors. Each step adds the halves of two vectors by `add`, and puts both results into one vector. A macro,
/// because a closure would be compiled for the baseline processor.
#[cfg(target_arch = "x86_64")]
macro_rules! sums_by_halves_256 {
    ($add:ident, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr, $g:expr, $h:expr) => {{
        macro_rules! fours {
            ($x:expr, $y:expr) => {{
                let (x, y) = ($x, $y);
                $add!(_mm256_permute2f128_ps::<0x20>(x, y), _mm256_permute2f128_ps::<0x31>(x, y))
            }};
        }
        macro_rules! twos {
            ($x:expr, $y:expr) => {{
                let (x, y) = ($x, $y);
                $add!(_mm256_shuffle_ps::<0x44>(x, y), _mm256_shuffle_ps::<0xee>(x, y))
            }};
        }
        let (x, y) = (twos!(fours!($a, $e), fours!($b, $f)), twos!(fours!($c, $g), fours!($d, $h)));
        $add!(_mm256_shuffle_ps::<0x88>(x, y), _mm256_shuffle_ps::<0xdd>(x, y))
    }};
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
    type Integers = __m256i;
    type Group = [__m256i; 2];
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
    fn load_integers(self, from: &[i8]) -> __m256 {
        let from: &[i8; 8] = from.first_chunk().expect("a vector's numbers");
        // SAFETY: invariant 1, and the reference is to as many numbers as are read.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn zeros(self) -> __m256i {
        // SAFETY: invariant 1.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    fn row_group(self, from: &[i8; GROUP]) -> [__m256i; 2] {
        // SAFETY: invariant 1, and the reference is to as many numbers as are read.
        unsafe {
            [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.as_ptr().cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.as_ptr().add(16).cast())),
            ]
        }
    }

    #[inline(always)]
    fn query_group(self, from: &[i16; GROUP]) -> [__m256i; 2] {
        // SAFETY: invariant 1, and the reference is to as many numbers as are read.
        unsafe {
            [_mm256_loadu_si256(from.as_ptr().cast()), _mm256_loadu_si256(from.as_ptr().add(16).cast())]
        }
    }

    #[inline(always)]
    fn add_products(self, a: [__m256i; 2], b: [__m256i; 2], sums: __m256i) -> __m256i {
        // SAFETY: invariant 1.
        unsafe {
            let sums = _mm256_add_epi32(sums, _mm256_madd_epi16(a[0], b[0]));
            _mm256_add_epi32(sums, _mm256_madd_epi16(a[1], b[1]))
        }
    }

    #[inline(always)]
    fn integer_sums(self, vectors: &[__m256i]) -> __m256 {
        let [a, b, c, d, e, f, g, h] = *vectors.first_chunk().expect("as many vectors as lanes");
        // SAFETY: invariant 1. Shuffles move bits, whatever these are.
        unsafe {
            macro_rules! add {
                ($x:expr, $y:expr) => {
                    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256($x), _mm256_castps_si256($y)))
                };
            }
            macro_rules! cast {
                ($x:expr) => {
                    _mm256_castsi256_ps($x)
                };
            }
            let sums = sums_by_halves_256!(
                add,
                cast!(a),
                cast!(b),
                cast!(c),
                cast!(d),
                cast!(e),
                cast!(f),
                cast!(g),
                cast!(h)
            );
            _mm256_cvtepi32_ps(_mm256_castps_si256(sums))
        }
    }

    #[inline(always)]
    fn sums(self, vectors: &[__m256]) -> __m256 {
        let [a, b, c, d, e, f, g, h] = *vectors.first_chunk().expect("as many vectors as lanes");
        // SAFETY: invariant 1.
        unsafe {
            macro_rules! add {
                ($x:expr, $y:expr) => {
                    _mm256_add_ps($x, $y)
                };
            }
            sums_by_halves_256!(add, a, b, c, d, e, f, g, h)
        }
    }
}

/// As `sums_by_halves_256` with sixteen vectors of sixteen lanes, which `vector` gives by their number.
#[cfg(target_arch = "x86_64")]
macro_rules! sums_by_halves_512 {
    ($add:ident, $vector:ident) => {{
        macro_rules! eights {
            ($x:expr, $y:expr) => {{
                let (x, y) = ($x, $y);
                $add!(_mm512_shuffle_f32x4::<0x44>(x, y), _mm512_shuffle_f32x4::<0xee>(x, y))
            }};
        }
        macro_rules! fours {
            ($at:expr) => {{
                let (x, y) = (
                    eights!($vector!($at), $vector!($at + 4)),
                    eights!($vector!($at + 8), $vector!($at + 12)),
                );
                $add!(_mm512_shuffle_f32x4::<0x88>(x, y), _mm512_shuffle_f32x4::<0xdd>(x, y))
            }};
        }
        macro_rules! twos {
            ($at:expr) => {{
                let (x, y) = (fours!($at), fours!($at + 1));
                $add!(_mm512_shuffle_ps::<0x44>(x, y), _mm512_shuffle_ps::<0xee>(x, y))
            }};
        }
        let (x, y) = (twos!(0), twos!(2));
        $add!(_mm512_shuffle_ps::<0x88>(x, y), _mm512_shuffle_ps::<0xdd>(x, y))
    }};
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
    type Integers = __m512i;
    type Group = __m512i;
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
    fn load_integers(self, from: &[i8]) -> __m512 {
        let from: &[i8; 16] = from.first_chunk().expect("a vector's numbers");
        // SAFETY: invariant 1, and the reference is to as many numbers as are read.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn zeros(self) -> __m512i {
        // SAFETY: invariant 1.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn row_group(self, from: &[i8; GROUP]) -> __m512i {
        // SAFETY: invariant 1, and the reference is to as many numbers as are read.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn query_group(self, from: &[i16; GROUP]) -> __m512i {
        // SAFETY: invariant 1, and the reference is to as many numbers as are read.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn add_products(self, a: __m512i, b: __m512i, sums: __m512i) -> __m512i {
        // SAFETY: invariant 1.
        unsafe { _mm512_add_epi32(sums, _mm512_madd_epi16(a, b)) }
    }

    #[inline(always)]
    fn integer_sums(self, vectors: &[__m512i]) -> __m512 {
        let all: &[__m512i; 16] = vectors.first_chunk().expect("as many vectors as lanes");
        // SAFETY: invariant 1. Shuffles move bits, whatever these are.
        unsafe {
            macro_rules! add {
                ($x:expr, $y:expr) => {
                    _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512($x), _mm512_castps_si512($y)))
                };
            }
            macro_rules! vector {
                ($at:expr) => {
                    _mm512_castsi512_ps(all[$at])
                };
            }
            _mm512_cvtepi32_ps(_mm512_castps_si512(sums_by_halves_512!(add, vector)))
        }
    }

    #[inline(always)]
    fn sums(self, vectors: &[__m512]) -> __m512 {
        let all: &[__m512; 16] = vectors.first_chunk().expect("as many vectors as lanes");
        // SAFETY: invariant 1.
        unsafe {
            macro_rules! add {
                ($x:expr, $y:expr) => {
                    _mm512_add_ps($x, $y)
                };
            }
            macro_rules! vector {
                ($at:expr) => {
                    all[$at]
                };
            }
            sums_by_halves_512!(add, vector)
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

    /// A kernel that sums the products of pairs of integer rows, as many as a vector has lanes.
    struct Products<'a>(&'a [[i8; GROUP]], &'a [[i16; GROUP]]);

    impl Kernel for Products<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Vec<f32> {
            let mut sums = vec![lanes.zeros(); L::WIDTH];
            for (at, (a, b)) in self.0.iter().zip(self.1).enumerate() {
                let sum = &mut sums[at % L::WIDTH];
                *sum = lanes.add_products(lanes.row_group(a), lanes.query_group(b), *sum);
            }
            let mut found = vec![0.0; L::WIDTH];
            lanes.store(lanes.integer_sums(&sums), &mut found);
            found
        }
    }

    #[test]
    fn products_of_integers_are_summed_exactly_and_rounded_once_however_wide_vectors_are() {
        for groups in [0, 1, 16, 99, 512] {
            let row = |group: usize| -> [i8; GROUP] {
                std::array::from_fn(|at| [127, -127, 3, -128, 77][(group * GROUP + at) * 7 % 5])
            };
            let query = |group: usize| -> [i16; GROUP] {
                std::array::from_fn(|at| [16_383, -16_383, 5, 12_345][(group + at) % 4])
            };
            let a: Vec<[i8; GROUP]> = (0..groups).map(row).collect();
            let b: Vec<[i16; GROUP]> = (0..groups).map(query).collect();
            for width in [Width::Portable, Width::Eight, Width::Sixteen] {
                let found = run_within(width, Products(&a, &b));
                let mut exact = vec![0i64; found.len()];
                for (at, (a, b)) in a.iter().zip(&b).enumerate() {
                    exact[at % found.len()] +=
                        a.iter().zip(b).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum::<i64>();
                }
                assert!(exact.iter().all(|sum| i32::try_from(*sum).is_ok()));
                let exact: Vec<f32> = exact.iter().map(|sum| *sum as f32).collect();
                assert_eq!(found, exact, "{width:?} {groups}");
            }
        }
    }

    struct Loaded<'a>(&'a [i8]);

    impl Kernel for Loaded<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Vec<f32> {
            let mut found = vec![0.0; L::WIDTH];
            lanes.store(lanes.load_integers(self.0), &mut found);
            found
        }
    }

    #[test]
    fn integers_are_loaded_as_numbers_in_their_order() {
        let integers: [i8; 16] = [0, 1, -1, 127, -127, -128, 5, 6, 7, -8, 9, 10, 11, 12, 13, -14];
        for width in [Width::Portable, Width::Eight, Width::Sixteen] {
            let found = run_within(width, Loaded(&integers));
            assert!(
                found.iter().zip(integers).all(|(found, integer)| *found == f32::from(integer)),
                "{width:?}"
            );
        }
    }
}
