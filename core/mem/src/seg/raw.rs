//! Copies between bytes that may be foreign. What another party can write is never behind a reference: short runs are read once per word,
//! long ones are moved by the C library, called in a way that the compiler cannot see through and so can assume nothing about.

use std::hint::black_box;
use std::ptr::{read_volatile, write_volatile};

/// Above this the C library's copy is worth a call.
const SHORT: usize = 64;

type Move = unsafe extern "C" fn(*mut libc::c_void, *const libc::c_void, usize) -> *mut libc::c_void;
type Set = unsafe extern "C" fn(*mut libc::c_void, libc::c_int, usize) -> *mut libc::c_void;

/// Moves `len` bytes; the two ranges may overlap.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; no reference to either is used meanwhile, but one that gave `from` or `to`.
#[inline]
pub(super) unsafe fn copy(to: *mut u8, from: *const u8, len: usize, foreign: bool) {
    if !foreign {
        // SAFETY: the caller's promise; ptr::copy allows overlap.
        return unsafe { std::ptr::copy(from, to, len) };
    }
    if len <= SHORT {
        // SAFETY: the caller's promise, and no longer than SHORT.
        return unsafe { short(to, from, len) };
    }
    let copy = black_box(libc::memmove as Move);
    // SAFETY: the caller's promise; it is memmove, which allows overlap.
    unsafe { copy(to.cast(), from.cast(), len) };
}

/// One volatile read for each word, all of them before the first write.
///
/// # Safety
/// As of `copy`; `len` is at most SHORT.
#[inline]
unsafe fn short(to: *mut u8, from: *const u8, len: usize) {
    let (words, rest) = (len / 8, len % 8);
    let (mut held, mut tail) = ([0u64; SHORT / 8], [0u8; 7]);
    for (n, word) in held.iter_mut().take(words).enumerate() {
        // SAFETY: inside of the range; the type has no alignment.
        *word = unsafe { read_volatile(from.add(8 * n).cast::<Unaligned>()) }.0;
    }
    for (n, byte) in tail.iter_mut().take(rest).enumerate() {
        // SAFETY: inside of the range.
        *byte = unsafe { read_volatile(from.add(8 * words + n)) };
    }
    for (n, word) in held.iter().take(words).enumerate() {
        // SAFETY: inside of the range; the type has no alignment.
        unsafe { write_volatile(to.add(8 * n).cast::<Unaligned>(), Unaligned(*word)) };
    }
    for (n, byte) in tail.iter().take(rest).enumerate() {
        // SAFETY: inside of the range.
        unsafe { write_volatile(to.add(8 * words + n), *byte) };
    }
}

/// A word anywhere.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Unaligned(u64);

/// Sets `len` bytes.
///
/// # Safety
/// `to` is valid for writes of `len` bytes, and no reference to them is used meanwhile.
#[inline]
pub(super) unsafe fn set(to: *mut u8, byte: u8, len: usize, foreign: bool) {
    if !foreign {
        // SAFETY: the caller's promise.
        return unsafe { std::ptr::write_bytes(to, byte, len) };
    }
    let set = black_box(libc::memset as Set);
    // SAFETY: the caller's promise.
    unsafe { set(to.cast(), libc::c_int::from(byte), len) };
}
