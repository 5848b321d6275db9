//! The completion queue entry as it travels (Base 2.1, 4.2).

use crate::{Status, U16, U32};

/// Command identifier, chosen by the host, unique among the outstanding commands of a queue (Base 2.1, 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cid(pub u16);

wire_struct! {
    /// A completion queue entry (Base 2.1, 4.2.1; fabrics response 4.2.2).
    #[derive(Copy, Hash)]
    pub struct Cqe, 16 bytes {
        /// Dword 0: command specific.
        pub dw0: U32,
        /// Dword 1: command specific.
        pub dw1: U32,
        /// Submission queue head pointer.
        pub sqhd: U16,
        /// Submission queue identifier; reserved over fabrics.
        pub sqid: U16,
        /// Command identifier.
        pub cid: U16,
        /// Phase tag in bit 0, status in bits 15:1.
        pub status_phase: U16,
    }
}

impl Cqe {
    /// An answer to a command: its status, phase 0, everything else 0.
    pub fn new(cid: Cid, status: Status) -> Self {
        Self { cid: U16::new(cid.0), status_phase: U16::new(status.bits() << 1), ..Self::default() }
    }

    /// The same with dword 0.
    #[must_use]
    pub fn with_dw0(mut self, dw0: u32) -> Self {
        self.dw0 = U32::new(dw0);
        self
    }

    /// The same with dwords 0 and 1 together, low first, as Property Get returns them.
    #[must_use]
    pub fn with_result(mut self, result: u64) -> Self {
        self.dw0 = U32::new((result & 0xffff_ffff) as u32);
        self.dw1 = U32::new((result >> 32) as u32);
        self
    }

    /// The same with the submission queue's head.
    #[must_use]
    pub fn with_sqhd(mut self, sqhd: u16) -> Self {
        self.sqhd = U16::new(sqhd);
        self
    }

    /// The same with the submission queue's id.
    #[must_use]
    pub fn with_sqid(mut self, sqid: u16) -> Self {
        self.sqid = U16::new(sqid);
        self
    }

    /// The same with its phase tag.
    #[must_use]
    pub fn with_phase(mut self, phase: bool) -> Self {
        self.status_phase = U16::new((self.status_phase.get() & !1) | u16::from(phase));
        self
    }

    /// Command identifier.
    pub fn cid(&self) -> Cid {
        Cid(self.cid.get())
    }

    /// Status, without the phase.
    pub fn status(&self) -> Status {
        Status::from_bits(self.status_phase.get() >> 1)
    }

    /// Phase tag.
    pub fn phase(&self) -> bool {
        self.status_phase.get() & 1 != 0
    }

    /// Dwords 0 and 1 together, low first.
    pub fn result(&self) -> u64 {
        u64::from(self.dw0.get()) | (u64::from(self.dw1.get()) << 32)
    }
}
