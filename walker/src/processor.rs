//! Runs a plain loop compiled for what this processor can do.
//!
//! The same loop is compiled twice, once for every processor of its kind and once for those of the last ten years, with
//! 256-bit vectors and single instructions for counting and shifting bits. No fused multiply-add is allowed in either, and
//! no sum is reordered, so both give the same bits and the portable one is the oracle of the other.
//! Measured: pooling 41,000 rows of 29 neighbours, 64 columns, takes 0.6 to 0.7 of the baseline's time; walks 0.6 to 0.9.
#![expect(unsafe_code, reason = "calling a function compiled for processor features, after asking for them")]

/// A loop over numbers. `run` must be `#[inline(always)]`, or it is compiled for the baseline only.
pub trait Kernel {
    /// What the loop makes.
    type Output;
    /// The loop.
    fn run(self) -> Self::Output;
}

/// Runs `kernel`.
#[inline]
pub fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
    {
        // SAFETY: the processor has the features that `run_recent` is compiled for, which is all it requires.
        return unsafe { run_recent(kernel) };
    }
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_recent<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}
