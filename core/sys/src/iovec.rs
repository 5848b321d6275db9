//! Address lists for vectored system calls, built on the stack: nothing is allocated, and nothing outlives the call.
//!
//! The lifetime ties every address to the borrow it came from, so a list cannot be handed to the kernel after its memory is gone. Bytes
//! of segments are never borrowed as slices; the kernel reads or writes them as any other party would.

use std::{marker::PhantomData, mem::MaybeUninit};

use doorbell_mem::SgList;

/// What the kernel takes in one call (UIO_MAXIOV).
pub(crate) const MAX: usize = 1024;

pub(crate) struct IoVecs<'a> {
    array: [MaybeUninit<libc::iovec>; MAX],
    len: usize,
    bytes: usize,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> IoVecs<'a> {
    #[inline]
    pub(crate) fn new() -> Self {
        IoVecs { array: [const { MaybeUninit::uninit() }; MAX], len: 0, bytes: 0, memory: PhantomData }
    }

    /// Bytes in all.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The list as the kernel takes it: where, and how many.
    #[inline]
    pub(crate) fn raw(&self) -> (*const libc::iovec, usize) {
        (self.array.as_ptr().cast(), self.len)
    }

    #[inline]
    fn push(&mut self, base: *mut u8, len: usize) -> bool {
        if len == 0 {
            return true;
        }
        let Some(slot) = self.array.get_mut(self.len) else { return false };
        slot.write(libc::iovec { iov_base: base.cast(), iov_len: len });
        self.len += 1;
        self.bytes += len;
        true
    }

    /// Appends bytes that the kernel will read. False when the list is full.
    #[inline]
    pub(crate) fn push_read(&mut self, bytes: &'a [u8]) -> bool {
        self.push(bytes.as_ptr().cast_mut(), bytes.len())
    }

    /// Appends bytes that the kernel will write. False when the list is full.
    #[inline]
    pub(crate) fn push_write(&mut self, bytes: &'a mut [u8]) -> bool {
        self.push(bytes.as_mut_ptr(), bytes.len())
    }

    /// Appends a range of segments, as much of it as fits. False when that was not all.
    ///
    /// # Panics
    /// If the range lies outside of the list.
    #[inline]
    pub(crate) fn push_segs(&mut self, sg: &'a SgList, offset: u32, len: u32) -> bool {
        let mut fits = true;
        // `each` answers ranges inside of the segment, so the address stays inside of its block.
        sg.each(offset, len, |seg, at, len, _| fits = fits && self.push(seg.address().wrapping_add(at as usize), len as usize));
        fits
    }
}
