//! Counts heap allocations, for tests and benchmarks that hold "no allocation on this path".
//!
//! A program opts in with `#[global_allocator] static A: Counting = Counting;`. The count is per thread, so that what other threads do
//! does not disturb a measurement.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

#[cfg(all(test, not(loom)))]
mod tests;

thread_local! {
    // Constant and without a destructor: reading it never allocates, also while a thread ends.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting calls that give out memory.
#[derive(Debug, Clone, Copy)]
pub struct Counting;

/// Allocations (and reallocations) this thread has made so far, if [`Counting`] is the program's allocator; otherwise 0.
#[inline]
pub fn allocations() -> u64 {
    COUNT.get()
}

fn count() {
    COUNT.set(COUNT.get() + 1);
}

// SAFETY: every call goes to `System` unchanged; the counter neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's obligations are those of `System::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: `block` came from `System` through us, with this layout.
        unsafe { System.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}
