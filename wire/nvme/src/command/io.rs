//! Commands of I/O queues, and those of the NVM command set among them (NVM 1.1, 3.3).

use super::zone::{ZoneAppend, ZoneReceive, ZoneSend};
use super::{bit, bits, byte, high, join, low, split};
use crate::{FabricsCommand, IoOpcode, Sqe, U32};

/// A command of an I/O queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoCommand {
    /// Read (NVM 1.1, 3.3.4).
    Read(ReadWrite),
    /// Write (NVM 1.1, 3.3.6).
    Write(ReadWrite),
    /// Compare: with the data sent (NVM 1.1, 3.3.1). The directive and the hints mean nothing.
    Compare(ReadWrite),
    /// Verify: read without transfer (NVM 1.1, 3.3.5). The directive and the hints mean nothing.
    Verify(ReadWrite),
    /// Flush (Base 2.1, 7.2).
    Flush,
    /// Write Zeroes (NVM 1.1, 3.3.8).
    WriteZeroes(WriteZeroes),
    /// Write Uncorrectable (NVM 1.1, 3.3.7).
    WriteUncorrectable(WriteUncorrectable),
    /// Dataset Management (NVM 1.1, 3.3.3).
    DatasetManagement(DatasetManagement),
    /// Copy (NVM 1.1, 3.3.2).
    Copy(Copy),
    /// Zone Management Send (ZNS 1.1, 3.4.3).
    ZoneSend(ZoneSend),
    /// Zone Management Receive (ZNS 1.1, 3.4.2).
    ZoneReceive(ZoneReceive),
    /// Zone Append (ZNS 1.1, 3.4.1).
    ZoneAppend(ZoneAppend),
    /// A fabrics command.
    Fabrics(FabricsCommand),
    /// Any other.
    Other(IoOpcode),
}

/// End-to-end protection and metadata tags of a command (NVM 1.1, 5.3 and 3.3.4: dwords 2, 3, 12, 14, 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Protection {
    /// PRINFO bit 3, PRACT: the controller inserts or strips the protection information.
    pub act: bool,
    /// PRINFO bit 2: check the guard.
    pub check_guard: bool,
    /// PRINFO bit 1: check the application tag.
    pub check_application: bool,
    /// PRINFO bit 0: check the reference tag.
    pub check_reference: bool,
    /// STC: check the storage tag.
    pub check_storage: bool,
    /// Initial (write) or expected (read) logical block reference tag: its low 32 bits.
    pub reference_tag: u32,
    /// Its high bits and the storage tag, dwords 2 and 3 as they are (formats larger than 16-bit guard only).
    pub tag_upper: u64,
    /// Application tag.
    pub application_tag: u16,
    /// Application tag mask.
    pub application_mask: u16,
}

/// Read, Write, Compare or Verify of a run of logical blocks (NVM 1.1, 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadWrite {
    /// SLBA: first logical block.
    pub slba: u64,
    /// Logical blocks, 1 to 65,536 (NLB is zero-based on the wire).
    pub blocks: u32,
    /// FUA: force unit access.
    pub fua: bool,
    /// LR: limited retry.
    pub limited_retry: bool,
    /// DTYPE: directive type, 4 bits (writes).
    pub directive_type: u8,
    /// DSPEC: directive specific (writes).
    pub directive: u16,
    /// CETYPE: command extension type, 4 bits.
    pub extension_type: u8,
    /// DSM: access hints (frequency 3:0, latency 5:4, sequential 6, incompressible 7).
    pub hints: u8,
    /// Protection information.
    pub protection: Protection,
}

/// Write Zeroes (NVM 1.1, 3.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteZeroes {
    /// SLBA: first logical block.
    pub slba: u64,
    /// Logical blocks, 1 to 65,536.
    pub blocks: u32,
    /// FUA: force unit access.
    pub fua: bool,
    /// LR: limited retry.
    pub limited_retry: bool,
    /// DEAC: deallocate where that reads back as zeroes.
    pub deallocate: bool,
    /// NSZ: the whole namespace, whatever the range.
    pub whole_namespace: bool,
    /// CETYPE: command extension type, 4 bits.
    pub extension_type: u8,
    /// Protection information.
    pub protection: Protection,
}

/// Write Uncorrectable (NVM 1.1, 3.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteUncorrectable {
    /// SLBA: first logical block.
    pub slba: u64,
    /// Logical blocks, 1 to 65,536.
    pub blocks: u32,
}

/// Dataset Management (NVM 1.1, 3.3.3). Its data is an array of [`crate::range::DsmRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DatasetManagement {
    /// Ranges, 1 to 256 (NR is zero-based on the wire; 0 here is encoded as 1).
    pub ranges: u16,
    /// AD: deallocate.
    pub deallocate: bool,
    /// IDW: hint, will be written as a whole.
    pub integral_write: bool,
    /// IDR: hint, will be read as a whole.
    pub integral_read: bool,
}

/// Copy (NVM 1.1, 3.3.2). Its data is an array of source range descriptors, format 0: [`crate::range::CopyRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Copy {
    /// SDLBA: first logical block of the destination.
    pub sdlba: u64,
    /// Source ranges, 1 to 256 (NR is zero-based on the wire; 0 here is encoded as 1).
    pub ranges: u16,
    /// CDFMT: descriptor format, 4 bits.
    pub format: u8,
    /// FUA: force unit access for the writes.
    pub fua: bool,
    /// LR: limited retry.
    pub limited_retry: bool,
    /// PRINFOR: protection information of the reads, 4 bits as in PRINFO.
    pub protection_read: u8,
    /// STCR: check the storage tag of the reads.
    pub check_storage_read: bool,
    /// DTYPE: directive type, 4 bits.
    pub directive_type: u8,
    /// DSPEC: directive specific.
    pub directive: u16,
    /// CETYPE: command extension type, 4 bits.
    pub extension_type: u8,
    /// Protection information of the writes.
    pub protection: Protection,
}

impl Default for ReadWrite {
    fn default() -> Self {
        Self {
            slba: 0,
            blocks: 1,
            fua: false,
            limited_retry: false,
            directive_type: 0,
            directive: 0,
            extension_type: 0,
            hints: 0,
            protection: Protection::default(),
        }
    }
}

impl Default for WriteZeroes {
    fn default() -> Self {
        Self {
            slba: 0,
            blocks: 1,
            fua: false,
            limited_retry: false,
            deallocate: false,
            whole_namespace: false,
            extension_type: 0,
            protection: Protection::default(),
        }
    }
}

impl IoCommand {
    /// What the entry asks for.
    pub fn parse(sqe: &Sqe) -> Self {
        match sqe.io_opcode() {
            IoOpcode::READ => Self::Read(ReadWrite::parse(sqe)),
            IoOpcode::WRITE => Self::Write(ReadWrite::parse(sqe)),
            IoOpcode::COMPARE => Self::Compare(ReadWrite::parse(sqe)),
            IoOpcode::VERIFY => Self::Verify(ReadWrite::parse(sqe)),
            IoOpcode::FLUSH => Self::Flush,
            IoOpcode::WRITE_ZEROES => Self::WriteZeroes(WriteZeroes::parse(sqe)),
            IoOpcode::WRITE_UNCORRECTABLE => Self::WriteUncorrectable(WriteUncorrectable::parse(sqe)),
            IoOpcode::DATASET_MANAGEMENT => Self::DatasetManagement(DatasetManagement::parse(sqe)),
            IoOpcode::COPY => Self::Copy(Copy::parse(sqe)),
            IoOpcode::ZONE_SEND => Self::ZoneSend(ZoneSend::parse(sqe)),
            IoOpcode::ZONE_RECEIVE => Self::ZoneReceive(ZoneReceive::parse(sqe)),
            IoOpcode::ZONE_APPEND => Self::ZoneAppend(ZoneAppend::parse(sqe)),
            IoOpcode::FABRICS => Self::Fabrics(FabricsCommand::parse(sqe)),
            other => Self::Other(other),
        }
    }

    /// The entry that asks for this.
    pub fn encode(self) -> Sqe {
        match self {
            Self::Read(c) => c.encode(IoOpcode::READ),
            Self::Write(c) => c.encode(IoOpcode::WRITE),
            Self::Compare(c) => c.encode(IoOpcode::COMPARE),
            Self::Verify(c) => c.encode(IoOpcode::VERIFY),
            Self::Flush => Sqe::new(IoOpcode::FLUSH.0),
            Self::WriteZeroes(c) => c.encode(),
            Self::WriteUncorrectable(c) => c.encode(),
            Self::DatasetManagement(c) => c.encode(),
            Self::Copy(c) => c.encode(),
            Self::ZoneSend(c) => c.encode(),
            Self::ZoneReceive(c) => c.encode(),
            Self::ZoneAppend(c) => c.encode(),
            Self::Fabrics(c) => c.encode(),
            Self::Other(opcode) => Sqe::new(opcode.0),
        }
    }
}

impl Protection {
    #[inline]
    pub(super) fn parse(sqe: &Sqe) -> Self {
        let (d12, d15) = (sqe.cdw12.get(), sqe.cdw15.get());
        Self {
            act: bit(d12, 29),
            check_guard: bit(d12, 28),
            check_application: bit(d12, 27),
            check_reference: bit(d12, 26),
            check_storage: bit(d12, 24),
            reference_tag: sqe.cdw14.get(),
            tag_upper: join(sqe.cdw2.get(), sqe.cdw3.get()),
            application_tag: low(d15),
            application_mask: high(d15),
        }
    }

    pub(super) fn d12(self) -> u32 {
        (u32::from(self.act) << 29)
            | (u32::from(self.check_guard) << 28)
            | (u32::from(self.check_application) << 27)
            | (u32::from(self.check_reference) << 26)
            | (u32::from(self.check_storage) << 24)
    }

    /// Sets all but the bits in dword 12.
    pub(super) fn put(self, sqe: &mut Sqe) {
        let (lo, hi) = split(self.tag_upper);
        sqe.cdw2 = U32::new(lo);
        sqe.cdw3 = U32::new(hi);
        sqe.cdw14 = U32::new(self.reference_tag);
        sqe.cdw15 = U32::new(u32::from(self.application_tag) | (u32::from(self.application_mask) << 16));
    }

    /// Whether any check or action is asked for (PRINFO is not 0).
    pub const fn is_used(self) -> bool {
        self.act || self.check_guard || self.check_application || self.check_reference || self.check_storage
    }
}

pub(super) fn put_lba(sqe: &mut Sqe, lba: u64) {
    let (lo, hi) = split(lba);
    sqe.cdw10 = U32::new(lo);
    sqe.cdw11 = U32::new(hi);
}

/// NLB: zero-based, within its 16 bits.
pub(super) fn nlb(blocks: u32) -> u32 {
    blocks.clamp(1, 1 << 16) - 1
}

/// NR: zero-based, within its 8 bits.
fn nr(ranges: u16) -> u32 {
    u32::from(ranges.clamp(1, 256)) - 1
}

impl ReadWrite {
    /// What an entry asks for whose opcode is one of those that have these fields.
    #[inline]
    pub fn parse(sqe: &Sqe) -> Self {
        let (d12, d13) = (sqe.cdw12.get(), sqe.cdw13.get());
        Self {
            slba: join(sqe.cdw10.get(), sqe.cdw11.get()),
            blocks: bits(d12, 0, 16) + 1,
            fua: bit(d12, 30),
            limited_retry: bit(d12, 31),
            directive_type: byte(d12, 20) & 0xf,
            directive: high(d13),
            extension_type: byte(d12, 16) & 0xf,
            hints: byte(d13, 0),
            protection: Protection::parse(sqe),
        }
    }

    fn encode(self, opcode: IoOpcode) -> Sqe {
        let d12 = nlb(self.blocks)
            | (u32::from(self.extension_type & 0xf) << 16)
            | (u32::from(self.directive_type & 0xf) << 20)
            | (u32::from(self.fua) << 30)
            | (u32::from(self.limited_retry) << 31)
            | self.protection.d12();
        let mut sqe =
            Sqe { cdw12: U32::new(d12), cdw13: U32::new(u32::from(self.hints) | (u32::from(self.directive) << 16)), ..Sqe::new(opcode.0) };
        put_lba(&mut sqe, self.slba);
        self.protection.put(&mut sqe);
        sqe
    }
}

impl WriteUncorrectable {
    fn parse(sqe: &Sqe) -> Self {
        Self { slba: join(sqe.cdw10.get(), sqe.cdw11.get()), blocks: bits(sqe.cdw12.get(), 0, 16) + 1 }
    }

    fn encode(self) -> Sqe {
        let mut sqe = Sqe { cdw12: U32::new(nlb(self.blocks)), ..Sqe::new(IoOpcode::WRITE_UNCORRECTABLE.0) };
        put_lba(&mut sqe, self.slba);
        sqe
    }
}

impl WriteZeroes {
    fn parse(sqe: &Sqe) -> Self {
        let d12 = sqe.cdw12.get();
        Self {
            slba: join(sqe.cdw10.get(), sqe.cdw11.get()),
            blocks: bits(d12, 0, 16) + 1,
            fua: bit(d12, 30),
            limited_retry: bit(d12, 31),
            deallocate: bit(d12, 25),
            whole_namespace: bit(d12, 23),
            extension_type: byte(d12, 16) & 0xf,
            protection: Protection::parse(sqe),
        }
    }

    fn encode(self) -> Sqe {
        let d12 = nlb(self.blocks)
            | (u32::from(self.extension_type & 0xf) << 16)
            | (u32::from(self.whole_namespace) << 23)
            | (u32::from(self.deallocate) << 25)
            | (u32::from(self.fua) << 30)
            | (u32::from(self.limited_retry) << 31)
            | self.protection.d12();
        let mut sqe = Sqe { cdw12: U32::new(d12), ..Sqe::new(IoOpcode::WRITE_ZEROES.0) };
        put_lba(&mut sqe, self.slba);
        self.protection.put(&mut sqe);
        sqe
    }
}

impl DatasetManagement {
    fn parse(sqe: &Sqe) -> Self {
        let (d10, d11) = (sqe.cdw10.get(), sqe.cdw11.get());
        Self { ranges: u16::from(byte(d10, 0)) + 1, deallocate: bit(d11, 2), integral_write: bit(d11, 1), integral_read: bit(d11, 0) }
    }

    fn encode(self) -> Sqe {
        let d11 = u32::from(self.integral_read) | (u32::from(self.integral_write) << 1) | (u32::from(self.deallocate) << 2);
        Sqe { cdw10: U32::new(nr(self.ranges)), cdw11: U32::new(d11), ..Sqe::new(IoOpcode::DATASET_MANAGEMENT.0) }
    }
}

impl Copy {
    fn parse(sqe: &Sqe) -> Self {
        let (d12, d13) = (sqe.cdw12.get(), sqe.cdw13.get());
        Self {
            sdlba: join(sqe.cdw10.get(), sqe.cdw11.get()),
            ranges: u16::from(byte(d12, 0)) + 1,
            format: byte(d12, 8) & 0xf,
            fua: bit(d12, 30),
            limited_retry: bit(d12, 31),
            protection_read: byte(d12, 12) & 0xf,
            check_storage_read: bit(d12, 25),
            directive_type: byte(d12, 20) & 0xf,
            directive: high(d13),
            extension_type: byte(d12, 16) & 0xf,
            protection: Protection::parse(sqe),
        }
    }

    fn encode(self) -> Sqe {
        let d12 = nr(self.ranges)
            | (u32::from(self.format & 0xf) << 8)
            | (u32::from(self.protection_read & 0xf) << 12)
            | (u32::from(self.extension_type & 0xf) << 16)
            | (u32::from(self.directive_type & 0xf) << 20)
            | (u32::from(self.check_storage_read) << 25)
            | (u32::from(self.fua) << 30)
            | (u32::from(self.limited_retry) << 31)
            | self.protection.d12();
        let mut sqe = Sqe { cdw12: U32::new(d12), cdw13: U32::new(u32::from(self.directive) << 16), ..Sqe::new(IoOpcode::COPY.0) };
        put_lba(&mut sqe, self.sdlba);
        self.protection.put(&mut sqe);
        sqe
    }
}
