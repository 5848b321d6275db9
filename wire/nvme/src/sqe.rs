//! The submission queue entry as it travels (Base 2.1, 4.1).

use crate::{AdminOpcode, Cid, FabricsType, IoOpcode, Sgl, SglDescriptor, U16, U32, U64};
use bitfield_struct::bitfield;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

open_enum! {
    /// Fused operation (Base 2.1, 4.1.1: FUSE).
    pub struct Fuse(u8) {
        NORMAL = 0 => "Normal operation",
        FIRST = 1 => "Fused operation, first command",
        SECOND = 2 => "Fused operation, second command",
    }
}

open_enum! {
    /// PRP or SGL for data transfer (Base 2.1, 4.1.1: PSDT).
    pub struct Psdt(u8) {
        PRP = 0 => "PRPs",
        SGL_BUFFER = 1 => "SGL, metadata in one contiguous buffer",
        SGL_SGL = 2 => "SGL, metadata by an SGL segment",
    }
}

impl Fuse {
    const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
    const fn into_bits(self) -> u8 {
        self.0
    }
}

impl Psdt {
    const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
    const fn into_bits(self) -> u8 {
        self.0
    }
}

/// Byte 1 of a command: fused operation and kind of data pointer (Base 2.1, 4.1.1).
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub struct CommandFlags {
    /// Fused operation.
    #[bits(2)]
    pub fuse: Fuse,
    #[bits(4)]
    __: u8,
    /// PRP or SGL.
    #[bits(2)]
    pub psdt: Psdt,
}

wire_struct! {
    /// A submission queue entry (Base 2.1, 4.1.1; fabrics form 4.1.2). The accessors below give the fields types.
    #[derive(Copy, Hash)]
    pub struct Sqe, 64 bytes {
        /// Opcode.
        pub opcode: u8,
        /// Fused operation, kind of data pointer.
        pub flags: CommandFlags,
        /// Command identifier.
        pub cid: U16,
        /// Namespace identifier; in a fabrics command its lowest byte is the fabrics command type.
        pub nsid: U32,
        /// Command dword 2.
        pub cdw2: U32,
        /// Command dword 3.
        pub cdw3: U32,
        /// Metadata pointer.
        pub mptr: U64,
        /// Data pointer: an SGL descriptor, or two PRP entries.
        pub dptr: SglDescriptor,
        /// Command dword 10.
        pub cdw10: U32,
        /// Command dword 11.
        pub cdw11: U32,
        /// Command dword 12.
        pub cdw12: U32,
        /// Command dword 13.
        pub cdw13: U32,
        /// Command dword 14.
        pub cdw14: U32,
        /// Command dword 15.
        pub cdw15: U32,
    }
}

impl Sqe {
    /// A command with nothing but its opcode, and an SGL data pointer of length 0.
    pub fn new(opcode: u8) -> Self {
        Self { opcode, flags: CommandFlags::new().with_psdt(Psdt::SGL_BUFFER), ..Self::default() }
    }

    /// The same with another command identifier.
    #[must_use]
    pub fn with_cid(mut self, cid: Cid) -> Self {
        self.cid = U16::new(cid.0);
        self
    }

    /// The same for a namespace (not for fabrics commands).
    #[must_use]
    pub fn with_nsid(mut self, nsid: u32) -> Self {
        self.nsid = U32::new(nsid);
        self
    }

    /// The same with its data at `sgl`.
    #[must_use]
    pub fn with_sgl(mut self, sgl: Sgl) -> Self {
        self.dptr = sgl.encode();
        self.flags.set_psdt(Psdt::SGL_BUFFER);
        self
    }

    /// The same as part of a fused operation.
    #[must_use]
    pub fn with_fuse(mut self, fuse: Fuse) -> Self {
        self.flags.set_fuse(fuse);
        self
    }

    /// Command identifier.
    pub fn cid(&self) -> Cid {
        Cid(self.cid.get())
    }

    /// Namespace identifier.
    pub fn nsid(&self) -> u32 {
        self.nsid.get()
    }

    /// What the data pointer says when it is an SGL (see [`CommandFlags::psdt`]).
    pub fn sgl(&self) -> Sgl {
        self.dptr.parse()
    }

    /// Fused operation.
    pub fn fuse(&self) -> Fuse {
        self.flags.fuse()
    }

    /// The opcode as one of the admin queue.
    pub fn admin_opcode(&self) -> AdminOpcode {
        AdminOpcode(self.opcode)
    }

    /// The opcode as one of an I/O queue.
    pub fn io_opcode(&self) -> IoOpcode {
        IoOpcode(self.opcode)
    }

    /// Whether this is a fabrics command, on either kind of queue.
    pub fn is_fabrics(&self) -> bool {
        self.opcode == AdminOpcode::FABRICS.0
    }

    /// Fabrics command type, byte 4.
    pub fn fctype(&self) -> FabricsType {
        FabricsType(self.nsid.to_bytes()[0])
    }
}
