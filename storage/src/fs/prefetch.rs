//! Prefetch: a hint to the processor to load memory before it is read.
//! One of the modules of this crate with unsafe code. Knows nothing of the data.
#![expect(unsafe_code, reason = "the instruction takes an address")]

/// Starts loading the cache line of a value. Has no effect where the index is out of bounds or the processor has no
/// such instruction.
///
/// Interleaved walks that prefetch take half of the time (`ARCHITECTURE.md`, Walks in bulk).
#[inline]
pub(crate) fn prefetch<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = values.as_ptr().wrapping_add(index);
        // SAFETY: the instruction is a hint that reads nothing and never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}
