//! Asking the processor for memory before it is read.
//! One of the modules of this crate with unsafe code. Knows nothing of what is fetched.
#![expect(unsafe_code, reason = "the instruction takes an address")]

/// Starts to bring the cache line of a value near; nothing where the index is outside or the processor cannot be asked.
///
/// Walks that are interleaved and fetch ahead take half of the time (in `ARCHITECTURE.md`, Walks in bulk).
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
