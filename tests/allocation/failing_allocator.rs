//! The system's allocator, which can be told to refuse the k-th allocation of a process and all later ones.
#![expect(unsafe_code, reason = "an allocator is an unsafe trait; every call goes to the system's allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// Allocations left until the first refusal; the largest number is never reached.
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Refuses the allocation that comes after `allowed` others, and all later ones.
pub(crate) fn allow(allowed: u64) {
    LEFT.store(allowed, Ordering::SeqCst);
}

/// The number of allocations since `allow(u64::MAX)`.
pub(crate) fn made() -> u64 {
    u64::MAX - LEFT.load(Ordering::SeqCst)
}

pub(crate) struct FailingAllocator;

/// Counts an allocation; false if it is to be refused.
fn is_allowed() -> bool {
    LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

// SAFETY: memory comes from the system's allocator and goes back to it with the same layout. A null pointer is a refusal.
unsafe impl GlobalAlloc for FailingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of the trait, which is that of the system's allocator.
        if is_allowed() { unsafe { System.alloc(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        if is_allowed() { unsafe { System.realloc(memory, layout, size) } } else { std::ptr::null_mut() }
    }
}
