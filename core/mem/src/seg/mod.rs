//! A segment: a share of a block, never a slice.
//!
//! Cloning and slicing make further shares; dropping the last returns the block. References to bytes exist only while a segment is the
//! sole share of a pool buffer; shared and foreign memory is read and written by copies.

mod raw;
mod shared;

use crate::Region;
use crate::pool::{Block, go_home};
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// A share of a block, 16 bytes wide, bound to its reactor's thread.
pub struct Seg {
    block: ManuallyDrop<Rc<Block>>,
    offset: u32,
    len: u32,
}

const _: () = assert!(size_of::<Seg>() == 16);

impl Seg {
    #[inline]
    pub(crate) fn of(block: Rc<Block>, len: u32) -> Seg {
        debug_assert!(len <= block.len);
        Seg { block: ManuallyDrop::new(block), offset: 0, len }
    }

    /// A share of `[offset, offset + len)` of a block; `None` when that lies outside.
    #[inline]
    pub(crate) fn part(block: &Rc<Block>, offset: u32, len: u32) -> Option<Seg> {
        let fits = offset.checked_add(len).is_some_and(|end| end <= block.len);
        fits.then(|| Seg { block: ManuallyDrop::new(Rc::clone(block)), offset, len })
    }

    /// Bytes of this share.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Is it of no bytes?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory of another party (a guest, a device): `bytes` never lends it.
    #[inline]
    pub fn is_foreign(&self) -> bool {
        self.block.home.is_none()
    }

    /// A narrower share.
    ///
    /// # Panics
    /// If the range lies outside of this one: ranges are computed by ours, never by a peer.
    #[inline]
    pub fn slice(&self, offset: u32, len: u32) -> Seg {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "slice outside of its segment");
        Seg { block: ManuallyDrop::new(Rc::clone(&self.block)), offset: self.offset + offset, len }
    }

    /// Cuts this share to `[offset, offset + len)` in place.
    ///
    /// # Panics
    /// If the range lies outside.
    #[inline]
    pub fn narrow(&mut self, offset: u32, len: u32) {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "narrowed outside of its segment");
        self.offset += offset;
        self.len = len;
    }

    /// Restores a sole share to the first `len` bytes of its whole block: for buffers that are used again.
    #[inline]
    pub fn reset(&mut self, len: u32) -> bool {
        let fits = len <= self.block.len && Rc::strong_count(&self.block) == 1;
        if fits {
            (self.offset, self.len) = (0, len);
        }
        fits
    }

    /// The bytes, if nobody else holds any part of the block and it is ours.
    #[inline]
    pub fn bytes(&mut self) -> Option<&mut [u8]> {
        let (offset, len) = (self.offset as usize, self.len as usize);
        let block = Rc::get_mut(&mut self.block)?;
        block.home.as_ref()?;
        // SAFETY: the sole share of a pool buffer: no other segment, no in-flight table (it would hold a share) and no other thread can
        // reach it, and `&mut self` stops this one from being shared while the slice lives. Pool memory is initialised (zero pages).
        Some(unsafe { std::slice::from_raw_parts_mut(block.base.as_ptr().add(offset), len) })
    }

    /// Its address, to hand to the kernel or a device. Reading or writing through it is up to whoever holds this share in flight.
    #[inline]
    pub fn address(&self) -> *mut u8 {
        // SAFETY: offset is inside of the block, kept so by slice and narrow.
        unsafe { self.block.base.as_ptr().add(self.offset as usize) }
    }

    /// The mapping that it lies in.
    #[inline]
    pub fn region(&self) -> &Region {
        &self.block.region
    }

    #[inline]
    fn check(&self, offset: u32, len: usize) {
        assert!(offset as usize + len <= self.len as usize, "access outside of its segment");
    }

    /// Copies `from` into it at `offset`.
    ///
    /// # Panics
    /// If it does not fit.
    #[inline]
    pub fn write_at(&self, offset: u32, from: &[u8]) {
        self.check(offset, from.len());
        // SAFETY: in range, just checked; `from` is no part of this block: references to a block's bytes are lent by `bytes` alone, to its
        // sole share, which is then borrowed and so is not `self`; core's own (`peek`) end before any other code runs.
        unsafe { raw::copy(self.address().add(offset as usize), from.as_ptr(), from.len(), self.is_foreign()) }
    }

    /// Copies from it at `offset` into `to`.
    ///
    /// # Panics
    /// If it reads past the end.
    #[inline]
    pub fn read_at(&self, offset: u32, to: &mut [u8]) {
        self.check(offset, to.len());
        // SAFETY: as in write_at.
        unsafe { raw::copy(to.as_mut_ptr(), self.address().add(offset as usize), to.len(), self.is_foreign()) }
    }

    /// Copies `len` bytes of `from` into it. The two may overlap.
    ///
    /// # Panics
    /// If either range lies outside.
    #[inline]
    pub fn copy_from(&self, offset: u32, from: &Seg, from_offset: u32, len: u32) {
        self.check(offset, len as usize);
        from.check(from_offset, len as usize);
        let foreign = self.is_foreign() || from.is_foreign();
        // SAFETY: both in range, just checked; nobody has a reference to either while this has both (as in write_at).
        unsafe { raw::copy(self.address().add(offset as usize), from.address().add(from_offset as usize), len as usize, foreign) }
    }

    /// Sets `len` bytes from `offset` to `byte`.
    ///
    /// # Panics
    /// If the range lies outside.
    #[inline]
    pub fn fill(&self, offset: u32, len: u32, byte: u8) {
        self.check(offset, len as usize);
        // SAFETY: in range, just checked; nobody has a reference to it (as in write_at).
        unsafe { raw::set(self.address().add(offset as usize), byte, len as usize, self.is_foreign()) }
    }

    /// Hands the bytes of a range to `f`, piece by piece. They are copies: `f` may hold shares of this memory and write it.
    pub fn each_chunk(&self, offset: u32, len: u32, mut f: impl FnMut(&[u8])) {
        self.check(offset, len as usize);
        let mut window = [0u8; WINDOW as usize];
        let mut done = 0;
        while done < len {
            let n = (len - done).min(WINDOW);
            let Some(part) = window.get_mut(..n as usize) else { break };
            self.read_at(offset + done, part);
            f(part);
            done += n;
        }
    }

    /// The bytes of a range in place, where nobody but this thread writes them. `None` for foreign memory.
    ///
    /// # Safety
    /// Until the slice is given up no segment is written through: it must not live while code of a caller runs.
    #[inline]
    unsafe fn peek(&self, offset: u32, len: u32) -> Option<&[u8]> {
        self.check(offset, len as usize);
        if self.is_foreign() {
            return None;
        }
        // SAFETY: pool memory of this thread, in range and initialised; not written while the slice lives, as the caller promises. Other
        // slices of it are shared ones too: `bytes` borrows a sole share, which is then not `self`.
        Some(unsafe { std::slice::from_raw_parts(self.address().add(offset as usize), len as usize) })
    }

    /// As `each_chunk`, for core's own sums: in place where it can be.
    ///
    /// # Safety
    /// `f` writes through no segment.
    #[inline]
    pub(crate) unsafe fn each_run(&self, offset: u32, len: u32, mut f: impl FnMut(&[u8])) {
        // SAFETY: the slice lives for the call of `f`, which writes through no segment.
        match unsafe { self.peek(offset, len) } {
            Some(bytes) => f(bytes),
            None => self.each_chunk(offset, len, f),
        }
    }

    /// The first of `len` bytes at which the two differ.
    pub(crate) fn first_difference(&self, offset: u32, other: &Seg, other_offset: u32, len: u32) -> Option<u32> {
        let position = |a: &[u8], b: &[u8]| if a == b { None } else { a.iter().zip(b).position(|(a, b)| a != b).map(|n| n as u32) };
        // SAFETY: both are given up below, before anything else runs.
        if let (Some(mine), Some(theirs)) = (unsafe { self.peek(offset, len) }, unsafe { other.peek(other_offset, len) }) {
            return position(mine, theirs);
        }
        let (mut mine, mut theirs) = ([0u8; WINDOW as usize], [0u8; WINDOW as usize]);
        let mut done = 0;
        while done < len {
            let n = (len - done).min(WINDOW);
            let (a, b) = (mine.get_mut(..n as usize)?, theirs.get_mut(..n as usize)?);
            self.read_at(offset + done, a);
            other.read_at(other_offset + done, b);
            if let Some(at) = position(a, b) {
                return Some(done + at);
            }
            done += n;
        }
        None
    }
}

/// Bytes that are copied at once to be looked at.
const WINDOW: u32 = 1024;

impl Clone for Seg {
    #[inline]
    fn clone(&self) -> Seg {
        Seg { block: ManuallyDrop::new(Rc::clone(&self.block)), offset: self.offset, len: self.len }
    }
}

impl Drop for Seg {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: drop runs once, and the field is not used after.
        let mut block = unsafe { ManuallyDrop::take(&mut self.block) };
        if let Some(b) = Rc::get_mut(&mut block)
            && let Some(home) = b.home.take()
        {
            go_home(home, block);
        }
    }
}

impl std::fmt::Debug for Seg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seg").field("offset", &self.offset).field("len", &self.len).finish()
    }
}

#[cfg(test)]
mod tests;
