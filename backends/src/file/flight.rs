//! A request on its way through the kernel, and what is left to do of it.

use doorbell_block::{Flags, Io, Op};
use doorbell_mem::{Carrier, SgList};
use doorbell_sys::file::{FileOp, OpKind};

/// Which queue a request came from: place and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnerId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Moving data.
    Transfer,
    /// Zeroing or discarding.
    Range,
    /// Making it durable: a flush, or the end of a request with FUA.
    Sync,
}

/// A box and what is known of it here. It travels through the rings with its box.
pub(crate) struct Flight {
    pub(super) io: Box<Io>,
    pub(super) owner: OwnerId,
    /// Bytes moved so far.
    pub(super) done: u32,
    pub(super) step: Step,
    /// Asked the kernel not to block.
    pub(super) nowait: bool,
    /// Asked it for durability with the write.
    pub(super) dsync: bool,
    /// Goes to a helper thread, because the ring may block on it.
    pub(super) slow: bool,
    /// Its payload is in the bounce buffer's place.
    pub(super) bounced: bool,
}

impl Flight {
    pub(super) fn new(io: Box<Io>, owner: OwnerId) -> Flight {
        let step = match io.op {
            Op::Read | Op::Write => Step::Transfer,
            Op::Flush => Step::Sync,
            _ => Step::Range,
        };
        Flight { io, owner, done: 0, step, nowait: false, dsync: false, slow: false, bounced: false }
    }

    pub(super) fn is_write(&self) -> bool {
        self.io.op == Op::Write
    }

    pub(super) fn fua(&self) -> bool {
        self.io.flags.has(Flags::FUA)
    }

    /// What the kernel is to do. `zeroes`: discarded ranges read zeroes, so zeroing may discard.
    #[inline]
    pub(super) fn op(&self, shift: u8, zeroes: bool) -> FileOp {
        let (offset, bytes) = (self.io.lba << shift, u64::from(self.io.blocks) << shift);
        match self.step {
            Step::Transfer => {
                let kind = if self.is_write() { OpKind::Write } else { OpKind::Read };
                let done = u64::from(self.done);
                let op = FileOp::new(kind, offset + done, bytes - done);
                FileOp { sg_offset: self.done, nowait: self.nowait, dsync: self.dsync, ..op }
            }
            Step::Sync => FileOp::new(OpKind::Fdatasync, 0, 0),
            Step::Range => {
                let discard = self.io.op == Op::Unmap || (zeroes && self.io.flags.has(Flags::MAY_UNMAP));
                FileOp::new(if discard { OpKind::Discard } else { OpKind::WriteZeroes }, offset, bytes)
            }
        }
    }
}

impl Flight {
    /// Cuts a transfer to one segment and `longest` bytes. What is left goes on from there.
    pub(super) fn shorten(&self, op: &mut FileOp, longest: u32) {
        if self.step != Step::Transfer {
            return;
        }
        let mut at = op.sg_offset;
        for seg in self.io.sg.segs() {
            if at < seg.len() {
                op.len = op.len.min((seg.len() - at).min(longest).into());
                return;
            }
            at -= seg.len();
        }
    }
}

impl Carrier for Flight {
    #[inline]
    fn sg(&self) -> &SgList {
        &self.io.sg
    }
}
