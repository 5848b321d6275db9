//! Operations on files, the same for every engine.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use doorbell_mem::SgList;
use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use super::Kind;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// Fill the request's segments from `offset`.
    Read,
    /// Write the request's segments at `offset`.
    Write,
    /// Make every completed write survive power loss.
    Fdatasync,
    /// The range's content is of no use any more: a file gets a hole (and reads zeroes), a device a discard (and may read anything).
    Discard,
    /// The range reads zeroes from now on.
    WriteZeroes,
}

/// One operation. Reads and writes move `len` bytes between the file at `offset` and the request's segments at `sg_offset`; others use the
/// range of the file alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOp {
    /// What to do.
    pub kind: OpKind,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// Where in the request's segments, in bytes: more than 0 for the rest of what came back short.
    pub sg_offset: u32,
    /// Answer `EAGAIN` rather than block (reads and writes).
    pub nowait: bool,
    /// Complete only once it survives power loss (writes).
    pub dsync: bool,
}

impl FileOp {
    /// An operation without flags.
    pub fn new(kind: OpKind, offset: u64, len: u64) -> FileOp {
        FileOp { kind, offset, len, sg_offset: 0, nowait: false, dsync: false }
    }

    /// Whether it moves data.
    pub fn has_data(&self) -> bool {
        matches!(self.kind, OpKind::Read | OpKind::Write)
    }

    /// The part of the request's segments that it moves: offset and length. Nothing for other operations.
    ///
    /// # Panics
    /// If the request's segments hold less: that is computed by ours, never by a peer.
    pub(crate) fn range_of(&self, sg: &SgList) -> (u32, u32) {
        if !self.has_data() {
            return (0, 0);
        }
        let end = u64::from(self.sg_offset).checked_add(self.len);
        assert!(end.is_some_and(|end| end <= sg.bytes().into()), "an operation on more bytes than its request has");
        (self.sg_offset, self.len as u32)
    }
}

/// The flags that `preadv2`, `pwritev2`, AIO and io_uring share.
pub(crate) fn rw_flags(op: &FileOp) -> libc::c_int {
    let nowait = if op.nowait { libc::RWF_NOWAIT } else { 0 };
    let dsync = if op.dsync && op.kind == OpKind::Write { libc::RWF_DSYNC } else { 0 };
    nowait | dsync
}

/// Carries it out and waits. Answers the bytes moved, 0 where none are.
///
/// # Safety
/// The `count` addresses at `list` are valid for the kernel to read (`Write`) or write (`Read`) until this returns.
pub(crate) unsafe fn perform(fd: BorrowedFd<'_>, kind: Kind, op: &FileOp, list: *const libc::iovec, count: usize) -> Result<u32, Errno> {
    let raw = fd.as_raw_fd();
    loop {
        let done = match op.kind {
            OpKind::Read | OpKind::Write => {
                let Ok(offset) = libc::off_t::try_from(op.offset) else { return Err(Errno::INVAL) };
                let Ok(count) = libc::c_int::try_from(count) else { return Err(Errno::INVAL) };
                // SAFETY: the caller's promise for the addresses; the kernel checks the rest.
                let bytes = unsafe {
                    match op.kind {
                        OpKind::Read => libc::preadv2(raw, list, count, offset, rw_flags(op)),
                        _ => libc::pwritev2(raw, list, count, offset, rw_flags(op)),
                    }
                };
                // One call moves less than 2 GiB.
                u32::try_from(bytes).map_err(|_| Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
            }
            OpKind::Fdatasync => rustix::fs::fdatasync(fd).map(|()| 0),
            OpKind::Discard => discard(fd, kind, op).map(|()| 0),
            OpKind::WriteZeroes => write_zeroes(fd, kind, op).map(|()| 0),
        };
        if done != Err(Errno::INTR) {
            return done;
        }
    }
}

/// `BLKDISCARD` and `BLKZEROOUT` (linux/fs.h: `_IO(0x12, 119)` and `_IO(0x12, 127)`), as x86-64 and aarch64 number them.
const BLKDISCARD: libc::Ioctl = 0x1277;
const BLKZEROOUT: libc::Ioctl = 0x127f;

fn discard(fd: BorrowedFd<'_>, kind: Kind, op: &FileOp) -> Result<(), Errno> {
    match kind {
        Kind::File => fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, op.offset, op.len),
        Kind::Block => block_range(fd, BLKDISCARD, op),
    }
}

fn write_zeroes(fd: BorrowedFd<'_>, kind: Kind, op: &FileOp) -> Result<(), Errno> {
    match kind {
        // A hole reads zeroes too, where the file system cannot mark a range as zero.
        Kind::File => match fallocate(fd, FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE, op.offset, op.len) {
            Err(Errno::OPNOTSUPP) => discard(fd, kind, op),
            done => done,
        },
        Kind::Block => block_range(fd, BLKZEROOUT, op),
    }
}

fn block_range(fd: BorrowedFd<'_>, request: libc::Ioctl, op: &FileOp) -> Result<(), Errno> {
    let range = [op.offset, op.len];
    // SAFETY: both requests read two 64-bit numbers, offset and length in bytes, and touch no other memory of ours.
    match unsafe { libc::ioctl(fd.as_raw_fd(), request, range.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
