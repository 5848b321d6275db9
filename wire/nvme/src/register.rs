//! Controller properties, alias registers (Base 2.1, 3.1.4). Over fabrics they are read and written by
//! Property Get and Set; on PCIe they lie in BAR 0 at the same offsets.

use bitfield_struct::bitfield;

open_enum! {
    /// Offset of a property (Base 2.1, 3.1.4).
    pub struct Property(u32) {
        CAP = 0x00 => "Controller Capabilities",
        VS = 0x08 => "Version",
        INTMS = 0x0c => "Interrupt Mask Set",
        INTMC = 0x10 => "Interrupt Mask Clear",
        CC = 0x14 => "Controller Configuration",
        CSTS = 0x1c => "Controller Status",
        NSSR = 0x20 => "NVM Subsystem Reset",
        AQA = 0x24 => "Admin Queue Attributes",
        ASQ = 0x28 => "Admin Submission Queue Base Address",
        ACQ = 0x30 => "Admin Completion Queue Base Address",
        CMBLOC = 0x38 => "Controller Memory Buffer Location",
        CMBSZ = 0x3c => "Controller Memory Buffer Size",
        CMBMSC = 0x50 => "Controller Memory Buffer Memory Space Control",
        CMBSTS = 0x58 => "Controller Memory Buffer Status",
        NSSD = 0x64 => "NVM Subsystem Shutdown",
        CRTO = 0x68 => "Controller Ready Timeouts",
    }
}

impl Property {
    /// Length of the property in bytes, 4 or 8 (Base 2.1, 3.1.4); `None` for one that is unknown here.
    pub const fn size(self) -> Option<u32> {
        match self {
            Self::CAP | Self::ASQ | Self::ACQ | Self::CMBMSC => Some(8),
            _ if self.name().is_some() => Some(4),
            _ => None,
        }
    }
}

/// CAP: controller capabilities (Base 2.1, 3.1.4.1).
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Cap {
    /// MQES: largest queue, zero-based.
    pub mqes: u16,
    /// CQR: queues must be physically contiguous.
    pub cqr: bool,
    /// AMS: arbitration mechanisms (bit 0 weighted round robin with urgent, bit 1 vendor).
    #[bits(2)]
    pub ams: u8,
    #[bits(5)]
    __: u8,
    /// TO: longest time to become ready or stop being so, in units of 500 ms.
    pub timeout_500ms: u8,
    /// DSTRD: doorbell stride, 2^(2 + n) bytes.
    #[bits(4)]
    pub dstrd: u8,
    /// NSSRS: NVM subsystem reset supported.
    pub nssrs: bool,
    /// CSS: command sets (bit 0 NVM, bit 6 one or more with CC.CSS 110b, bit 7 none).
    pub css: u8,
    /// BPS: boot partitions.
    pub bps: bool,
    /// CPS: power scope.
    #[bits(2)]
    pub cps: u8,
    /// MPSMIN: smallest memory page, 2^(12 + n) bytes.
    #[bits(4)]
    pub mpsmin: u8,
    /// MPSMAX: largest memory page, 2^(12 + n) bytes.
    #[bits(4)]
    pub mpsmax: u8,
    /// PMRS: persistent memory region.
    pub pmrs: bool,
    /// CMBS: controller memory buffer.
    pub cmbs: bool,
    /// NSSS: NVM subsystem shutdown.
    pub nsss: bool,
    /// CRMS: ready modes (bit 0 with media, bit 1 independent of media).
    #[bits(2)]
    pub crms: u8,
    /// NSSES: NVM subsystem shutdown enhancements.
    pub nsses: bool,
    #[bits(2)]
    __: u8,
}

/// VS: version (Base 2.1, 3.1.4.2). Also VER of the identify data.
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct Version {
    /// TER: tertiary version number.
    pub tertiary: u8,
    /// MNR: minor version number.
    pub minor: u8,
    /// MJR: major version number.
    pub major: u16,
}

impl Version {
    /// NVMe 1.3.
    pub const V1_3: Self = Self::new().with_major(1).with_minor(3);
    /// NVMe 1.4.
    pub const V1_4: Self = Self::new().with_major(1).with_minor(4);
    /// NVMe 2.0.
    pub const V2_0: Self = Self::new().with_major(2);
    /// NVMe 2.1.
    pub const V2_1: Self = Self::new().with_major(2).with_minor(1);
}

open_enum! {
    /// CC.SHN: kind of shutdown that the host announces (Base 2.1, 3.1.4.5).
    pub struct ShutdownNotice(u8) {
        NONE = 0 => "No notification",
        NORMAL = 1 => "Normal shutdown",
        ABRUPT = 2 => "Abrupt shutdown",
    }
}

open_enum! {
    /// CSTS.SHST: state of the shutdown (Base 2.1, 3.1.4.6).
    pub struct ShutdownStatus(u8) {
        NORMAL = 0 => "Normal operation",
        OCCURRING = 1 => "Shutdown processing occurring",
        COMPLETE = 2 => "Shutdown processing complete",
    }
}

open_enum! {
    /// CC.CSS: command set selected (Base 2.1, 3.1.4.5).
    pub struct CommandSetSelect(u8) {
        NVM = 0 => "NVM Command Set",
        ALL = 6 => "All supported I/O Command Sets",
        ADMIN_ONLY = 7 => "Admin Command Set only",
    }
}

impl ShutdownNotice {
    const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
    const fn into_bits(self) -> u8 {
        self.0
    }
}

impl ShutdownStatus {
    const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
    const fn into_bits(self) -> u8 {
        self.0
    }
}

impl CommandSetSelect {
    const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
    const fn into_bits(self) -> u8 {
        self.0
    }
}

/// CC: controller configuration (Base 2.1, 3.1.4.5).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct Cc {
    /// EN: enable.
    pub en: bool,
    #[bits(3)]
    __: u8,
    /// CSS: command set selected.
    #[bits(3)]
    pub css: CommandSetSelect,
    /// MPS: memory page size, 2^(12 + n) bytes.
    #[bits(4)]
    pub mps: u8,
    /// AMS: arbitration mechanism selected.
    #[bits(3)]
    pub ams: u8,
    /// SHN: shutdown notification.
    #[bits(2)]
    pub shn: ShutdownNotice,
    /// IOSQES: I/O submission queue entry size, 2^n bytes.
    #[bits(4)]
    pub iosqes: u8,
    /// IOCQES: I/O completion queue entry size, 2^n bytes.
    #[bits(4)]
    pub iocqes: u8,
    /// CRIME: controller ready independent of media.
    pub crime: bool,
    #[bits(7)]
    __: u8,
}

/// CSTS: controller status (Base 2.1, 3.1.4.6).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct Csts {
    /// RDY: ready.
    pub rdy: bool,
    /// CFS: controller fatal status.
    pub cfs: bool,
    /// SHST: shutdown status.
    #[bits(2)]
    pub shst: ShutdownStatus,
    /// NSSRO: NVM subsystem reset occurred.
    pub nssro: bool,
    /// PP: processing paused.
    pub pp: bool,
    /// ST: shutdown type (set: of the NVM subsystem).
    pub st: bool,
    #[bits(25)]
    __: u32,
}

/// CRTO: controller ready timeouts (Base 2.1, 3.1.4.23).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct Crto {
    /// CRWMT: with media, in units of 500 ms.
    pub with_media_500ms: u16,
    /// CRIMT: independent of media, in units of 500 ms.
    pub independent_500ms: u16,
}

/// AQA: admin queue attributes (Base 2.1, 3.1.4.8).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct Aqa {
    /// ASQS: admin submission queue size, zero-based.
    #[bits(12)]
    pub asqs: u16,
    #[bits(4)]
    __: u8,
    /// ACQS: admin completion queue size, zero-based.
    #[bits(12)]
    pub acqs: u16,
    #[bits(4)]
    __: u8,
}

/// CMBLOC: where the controller memory buffer lies (Base 2.1, 3.1.4.11).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct CmbLocation {
    /// BIR: the BAR that it lies in.
    #[bits(3)]
    pub bar: u8,
    /// CQMMS: a queue may lie partly in it.
    pub mixed_queues: bool,
    /// CQPDS: a queue in it may lie in several pieces.
    pub scattered_queues: bool,
    /// CDPMLS: one command's lists may lie partly in it.
    pub mixed_lists: bool,
    /// CDPCILS: lists may lie in it though their command does not.
    pub lists_apart: bool,
    /// CDMMMS: one command's data may lie partly in it.
    pub mixed_data: bool,
    /// CQDA: queues need not begin at a multiple of four bytes.
    pub unaligned_queues: bool,
    #[bits(3)]
    __: u8,
    /// OFST: where it begins, in units of [`CmbSize::unit`].
    #[bits(20)]
    pub offset_units: u32,
}

/// CMBSZ: what the controller memory buffer is for, and how large it is (Base 2.1, 3.1.4.12).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct CmbSize {
    /// SQS: submission queues.
    pub submission_queues: bool,
    /// CQS: completion queues.
    pub completion_queues: bool,
    /// LISTS: lists of addresses.
    pub lists: bool,
    /// RDS: data of commands that read.
    pub read_data: bool,
    /// WDS: data of commands that write.
    pub write_data: bool,
    #[bits(3)]
    __: u8,
    /// SZU: the unit, 2^(12 + 4n) bytes; above 6 there is none.
    #[bits(4)]
    pub unit_code: u8,
    /// SZ: how many units.
    #[bits(20)]
    pub units: u32,
}

impl CmbSize {
    /// Bytes of a unit; `None` for a code that means nothing.
    pub const fn unit(self) -> Option<u64> {
        match self.unit_code() {
            n @ 0..=6 => Some(1 << (12 + 4 * n as u32)),
            _ => None,
        }
    }
}

/// CMBMSC: whether the controller memory buffer is there, and at which addresses the controller knows it (Base 2.1, 3.1.4.17).
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct CmbControl {
    /// CRE: its other registers say something.
    pub registers: bool,
    /// CMSE: it has addresses.
    pub enabled: bool,
    #[bits(10)]
    __: u16,
    /// CBA: the first of them, in pages of 4 KiB.
    #[bits(52)]
    pub page: u64,
}

/// CMBSTS: what the controller says of that (Base 2.1, 3.1.4.18).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct CmbStatus {
    /// CBAI: the addresses cannot be.
    pub invalid: bool,
    #[bits(31)]
    __: u32,
}

/// What NSSR must hold for an NVM subsystem reset: "NVMe" (Base 2.1, 3.1.4.7).
pub const NSSR_MAGIC: u32 = 0x4e56_4d65;
