//! Lists of segments: the payload of a request.

use crate::Seg;

/// A kernel `iovec`, made of a segment. Bound to the thread of its segment.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct IoVec(libc::iovec);

impl IoVec {
    /// An empty one.
    pub const fn empty() -> IoVec {
        IoVec(libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 })
    }

    /// Of any bytes; whoever passes it to the kernel keeps them alive and unaliased for the while.
    pub fn new(base: *mut u8, len: usize) -> IoVec {
        IoVec(libc::iovec { iov_base: base.cast(), iov_len: len })
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.0.iov_len
    }

    /// Is it of no bytes?
    pub fn is_empty(&self) -> bool {
        self.0.iov_len == 0
    }

    /// First address.
    pub fn base(&self) -> *mut u8 {
        self.0.iov_base.cast()
    }
}

/// A list of segments. Its capacity is kept when it is cleared, so that a box that is used again allocates nothing.
#[derive(Default, Debug)]
pub struct SgList {
    segs: Vec<Seg>,
    bytes: u32,
}

impl SgList {
    /// An empty list with room for `n` segments.
    pub fn with_capacity(n: usize) -> Self {
        SgList { segs: Vec::with_capacity(n), bytes: 0 }
    }

    /// Appends a segment.
    ///
    /// # Panics
    /// If the list would hold 4 GiB or more.
    #[inline]
    pub fn push(&mut self, seg: Seg) {
        self.bytes = match self.bytes.checked_add(seg.len()) {
            Some(n) => n,
            None => panic!("a list of 4 GiB"),
        };
        self.segs.push(seg);
    }

    /// Takes the last segment out.
    #[inline]
    pub fn pop(&mut self) -> Option<Seg> {
        let seg = self.segs.pop()?;
        self.bytes -= seg.len();
        Some(seg)
    }

    /// Drops every share.
    #[inline]
    pub fn clear(&mut self) {
        self.segs.clear();
        self.bytes = 0;
    }

    /// Bytes in all.
    #[inline]
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Are there no bytes?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The segments.
    #[inline]
    pub fn segs(&self) -> &[Seg] {
        &self.segs
    }

    /// The segments, to borrow the bytes of one. Replacing one by another length is a bug of the caller's; see [`SgList::clear`].
    #[inline]
    pub fn segs_mut(&mut self) -> &mut [Seg] {
        &mut self.segs
    }

    /// The bytes, when the list is one sole share.
    pub fn as_bytes(&mut self) -> Option<&mut [u8]> {
        match self.segs.as_mut_slice() {
            [one] => one.bytes(),
            _ => None,
        }
    }

    /// Visits each segment's part of `[offset, offset + len)`: the segment, the offset in it, the length, the offset in the range.
    #[inline]
    pub fn each(&self, mut offset: u32, len: u32, mut f: impl FnMut(&Seg, u32, u32, u32)) {
        let mut done = 0;
        for s in &self.segs {
            if done == len {
                break;
            }
            if offset >= s.len() {
                offset -= s.len();
                continue;
            }
            let n = (len - done).min(s.len() - offset);
            f(s, offset, n, done);
            done += n;
            offset = 0;
        }
        assert!(done == len, "a range outside of the list");
    }

    /// Makes `into` share bytes `[offset, offset + len)` of this list.
    ///
    /// # Panics
    /// If the range lies outside, as every accessor here.
    #[inline]
    pub fn share(&self, offset: u32, len: u32, into: &mut SgList) {
        into.clear();
        self.each(offset, len, |s, at, n, _| into.push(s.slice(at, n)));
    }

    /// Copies `from` into it.
    pub fn write_at(&self, offset: u32, from: &[u8]) {
        self.each(offset, from.len() as u32, |s, at, n, done| {
            if let Some(part) = from.get(done as usize..(done + n) as usize) {
                s.write_at(at, part);
            }
        });
    }

    /// Copies out of it.
    pub fn read_at(&self, offset: u32, to: &mut [u8]) {
        self.each(offset, to.len() as u32, |s, at, n, done| {
            if let Some(part) = to.get_mut(done as usize..(done + n) as usize) {
                s.read_at(at, part);
            }
        });
    }

    /// Copies `len` bytes of another list into it.
    pub fn copy_from(&self, offset: u32, from: &SgList, from_offset: u32, len: u32) {
        self.each(offset, len, |to, to_at, n, done| {
            from.each(from_offset + done, n, |s, at, m, part| to.copy_from(to_at + part, s, at, m));
        });
    }

    /// Sets bytes.
    pub fn fill(&self, offset: u32, len: u32, byte: u8) {
        self.each(offset, len, |s, at, n, _| s.fill(at, n, byte));
    }

    /// Hands the bytes of a range to `f`, piece by piece. They are copies: `f` may hold shares of this memory and write it.
    pub fn each_chunk(&self, offset: u32, len: u32, mut f: impl FnMut(&[u8])) {
        self.each(offset, len, |s, at, n, _| s.each_chunk(at, n, &mut f));
    }

    /// As `each_chunk`, for core's own sums.
    ///
    /// # Safety
    /// `f` writes through no segment.
    unsafe fn each_run(&self, offset: u32, len: u32, mut f: impl FnMut(&[u8])) {
        // SAFETY: the caller's promise.
        self.each(offset, len, |s, at, n, _| unsafe { s.each_run(at, n, &mut f) });
    }

    /// Are the bytes those of `other`? Gives the first offset at which they differ.
    pub fn first_difference(&self, offset: u32, other: &SgList, other_offset: u32, len: u32) -> Option<u32> {
        let mut found = None;
        self.each(offset, len, |mine, mine_at, n, done| {
            if found.is_none() {
                other.each(other_offset + done, n, |theirs, at, m, part| {
                    if found.is_none() {
                        found = mine.first_difference(mine_at + part, theirs, at, m).map(|p| done + part + p);
                    }
                });
            }
        });
        found
    }

    /// Are all bytes of the range zero?
    pub fn is_zero(&self, offset: u32, len: u32) -> bool {
        let mut zero = true;
        // SAFETY: the closure looks at bytes and writes a flag.
        unsafe { self.each_run(offset, len, |c| zero = zero && c.iter().all(|&b| b == 0)) };
        zero
    }

    /// CRC-32C of a range (as NVMe/TCP and iSCSI digests have it).
    pub fn crc32c(&self, offset: u32, len: u32) -> u32 {
        let mut d = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        // SAFETY: the closure adds bytes to a digest.
        unsafe { self.each_run(offset, len, |c| d.update(c)) };
        d.finalize() as u32
    }

    /// Appends the range's addresses to `out`, for the kernel. The caller keeps the segments alive while they are used.
    #[inline]
    pub fn iovecs(&self, offset: u32, len: u32, out: &mut Vec<IoVec>) {
        self.each(offset, len, |s, at, n, _| {
            // The offset lies inside of the segment: each() says so.
            out.push(IoVec::new(s.address().wrapping_add(at as usize), n as usize));
        });
    }
}

#[cfg(test)]
mod tests;
