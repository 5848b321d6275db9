//! Copies to and from memory that may be foreign: what another party can write is read once per word, and never through a reference.

use std::ptr::{read_volatile, write_volatile};

/// # Safety
/// `to` is valid for writes of `from.len()` bytes.
#[inline]
pub(super) unsafe fn write(to: *mut u8, from: &[u8], foreign: bool) {
    if !foreign {
        // SAFETY: the caller's promise; a reference never overlaps a segment.
        return unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
    }
    let mut at = to;
    let (words, rest) = from.as_chunks::<8>();
    for w in words {
        // SAFETY: inside of the range; unaligned words go through a packed write.
        unsafe {
            write_volatile(at.cast::<[u8; 8]>(), *w);
            at = at.add(8);
        }
    }
    for &b in rest {
        // SAFETY: inside of the range.
        unsafe {
            write_volatile(at, b);
            at = at.add(1);
        }
    }
}

/// # Safety
/// `from` is valid for reads of `to.len()` bytes.
#[inline]
pub(super) unsafe fn read(from: *const u8, to: &mut [u8], foreign: bool) {
    if !foreign {
        // SAFETY: the caller's promise; a reference never overlaps a segment.
        return unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
    }
    let mut at = from;
    let (words, rest) = to.as_chunks_mut::<8>();
    for w in words {
        // SAFETY: inside of the range.
        unsafe {
            *w = read_volatile(at.cast::<[u8; 8]>());
            at = at.add(8);
        }
    }
    for b in rest {
        // SAFETY: inside of the range.
        unsafe {
            *b = read_volatile(at);
            at = at.add(1);
        }
    }
}
