//! Identify Namespace, CNS 00h (NVM 1.1, 4.1.5.1), and its command set independent part, CNS 08h (Base 2.1, 5.1.13.2.8).

use crate::{U16, U32, U64, U128};
use bitfield_struct::bitfield;

/// NSFEAT: namespace features (NVM 1.1, 4.1.5.1).
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct NsFeat {
    /// THINP: thin provisioning; NCAP may be below NSZE, NUSE counts.
    pub thin: bool,
    /// NSABP: NAWUN, NAWUPF, NACWU are the namespace's own.
    pub atomic: bool,
    /// DAE: reading deallocated blocks can be an error.
    pub deallocated_error: bool,
    /// UIDREUSE: NGUID and EUI64 are never reused.
    pub id_stable: bool,
    /// OPTPERF: NPWG, NPWA, NPDG, NPDA, NOWS are given.
    pub optimal: bool,
    /// OPTPERF bit 1: NPDGL and its like are given in the command set specific structure.
    pub optimal_large: bool,
    /// MAM: multiple atomicity mode.
    pub multiple_atomicity: bool,
    /// OPTRPERF: NPRG, NPRA, NORS are given.
    pub optimal_read: bool,
}

/// FLBAS: formatted LBA size (NVM 1.1, 4.1.5.1).
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct Flbas {
    /// Bits 3:0 of the index into the LBA formats.
    #[bits(4)]
    pub index_low: u8,
    /// Metadata is at the end of the data of each block (else in a buffer of its own).
    pub extended_metadata: bool,
    /// Bits 5:4 of the index.
    #[bits(2)]
    pub index_high: u8,
    #[bits(1)]
    __: u8,
}

/// NMIC: namespace sharing (NVM 1.1, 4.1.5.1).
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct Nmic {
    /// The namespace may be attached to several controllers.
    pub shared: bool,
    /// DISNS: dispersed namespace.
    pub dispersed: bool,
    #[bits(6)]
    __: u8,
}

/// DLFEAT: deallocated logical blocks (NVM 1.1, 4.1.5.1).
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct DlFeat {
    /// What they read as: 0 not told, 1 zeroes, 2 FFh.
    #[bits(3)]
    pub read: u8,
    /// WZDS: Write Zeroes with deallocate is supported.
    pub write_zeroes_deallocate: bool,
    /// GDS: their guard is a CRC of what they read as.
    pub guard: bool,
    #[bits(3)]
    __: u8,
}

/// NSATTR: namespace attributes (NVM 1.1, 4.1.5.1).
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct NsAttr {
    /// WP: write protected.
    pub write_protected: bool,
    #[bits(7)]
    __: u8,
}

/// NSTAT: namespace status (Base 2.1, 5.1.13.2.8).
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct NsStat {
    /// NRDY: ready.
    pub ready: bool,
    #[bits(7)]
    __: u8,
}

wire_struct! {
    /// An LBA format (NVM 1.1, 4.1.5.1).
    #[derive(Copy, Hash)]
    pub struct LbaFormat, 4 bytes {
        /// MS: metadata bytes of a block.
        pub ms: U16,
        /// LBADS: data bytes of a block, 2^n; 0 when the format is not available.
        pub lbads: u8,
        /// RP in bits 1:0: relative performance, 0 is best.
        pub rp: u8,
    }
}

wire_struct! {
    /// Identify Namespace (NVM 1.1, 4.1.5.1).
    pub struct Namespace, 4096 bytes {
        /// NSZE: size in logical blocks.
        pub nsze: U64,
        /// NCAP: capacity in logical blocks.
        pub ncap: U64,
        /// NUSE: logical blocks in use.
        pub nuse: U64,
        /// NSFEAT: features ([`NsFeat`]).
        pub nsfeat: u8,
        /// NLBAF: LBA formats, zero-based.
        pub nlbaf: u8,
        /// FLBAS: the format in use ([`Flbas`]).
        pub flbas: u8,
        /// MC: metadata capabilities (bit 0 extended, bit 1 separate).
        pub mc: u8,
        /// DPC: protection information capabilities.
        pub dpc: u8,
        /// DPS: protection information in use.
        pub dps: u8,
        /// NMIC: sharing ([`Nmic`]).
        pub nmic: u8,
        /// RESCAP: reservation capabilities.
        pub rescap: u8,
        /// FPI: format progress.
        pub fpi: u8,
        /// DLFEAT: deallocated blocks ([`DlFeat`]).
        pub dlfeat: u8,
        /// NAWUN: atomic write unit, in logical blocks, zero-based.
        pub nawun: U16,
        /// NAWUPF: atomic write unit across power failure, in logical blocks, zero-based.
        pub nawupf: U16,
        /// NACWU: atomic compare and write unit, in logical blocks, zero-based.
        pub nacwu: U16,
        /// NABSN: atomic boundary size, in logical blocks, zero-based; 0 for no boundary.
        pub nabsn: U16,
        /// NABO: offset of the first atomic boundary.
        pub nabo: U16,
        /// NABSPF: atomic boundary size across power failure, in logical blocks, zero-based.
        pub nabspf: U16,
        /// NOIOB: optimal I/O boundary in logical blocks; 0 for none.
        pub noiob: U16,
        /// NVMCAP: bytes allocated.
        pub nvmcap: U128,
        /// NPWG: preferred write granularity, in logical blocks, zero-based.
        pub npwg: U16,
        /// NPWA: preferred write alignment, in logical blocks, zero-based.
        pub npwa: U16,
        /// NPDG: preferred deallocate granularity, in logical blocks, zero-based.
        pub npdg: U16,
        /// NPDA: preferred deallocate alignment, in logical blocks, zero-based.
        pub npda: U16,
        /// NOWS: optimal write size, in logical blocks, zero-based.
        pub nows: U16,
        /// MSSRL: longest single source range of a Copy, in logical blocks.
        pub mssrl: U16,
        /// MCL: longest Copy, in logical blocks.
        pub mcl: U32,
        /// MSRC: source ranges of a Copy, zero-based.
        pub msrc: u8,
        /// KPIOS: key per I/O status.
        pub kpios: u8,
        /// NULBAF: unique attribute LBA formats.
        pub nulbaf: u8,
        /// Reserved.
        pub reserved83: u8,
        /// KPIODAAG: key per I/O data access alignment and granularity, zero-based.
        pub kpiodaag: U32,
        /// Reserved.
        pub reserved88: [u8; 4],
        /// ANAGRPID: ANA group identifier.
        pub anagrpid: U32,
        /// Reserved.
        pub reserved96: [u8; 3],
        /// NSATTR: attributes ([`NsAttr`]).
        pub nsattr: u8,
        /// NVMSETID: NVM set identifier.
        pub nvmsetid: U16,
        /// ENDGID: endurance group identifier.
        pub endgid: U16,
        /// NGUID: globally unique identifier, big-endian; zeroes for none.
        pub nguid: [u8; 16],
        /// EUI64: extended unique identifier, big-endian; zeroes for none.
        pub eui64: [u8; 8],
        /// LBAF: LBA formats.
        pub lbaf: [LbaFormat; 64],
        /// VS: vendor specific.
        pub vs: [u8; 3712],
    }
}

impl Namespace {
    /// Index of the LBA format in use. The high bits count only where more than 16 formats exist.
    pub fn format_index(&self) -> usize {
        let flbas = Flbas::from_bits(self.flbas);
        let high = if self.nlbaf.saturating_add(self.nulbaf) >= 16 { flbas.index_high() } else { 0 };
        usize::from(flbas.index_low()) | (usize::from(high) << 4)
    }

    /// The LBA format in use.
    pub fn format(&self) -> LbaFormat {
        self.lbaf.get(self.format_index()).copied().unwrap_or_default()
    }

    /// Data bytes of a logical block; `None` when the format says less than 512 or more than 2 GiB.
    pub fn block_len(&self) -> Option<u32> {
        let lbads = self.format().lbads;
        (9..32).contains(&lbads).then(|| 1 << lbads)
    }
}

wire_struct! {
    /// I/O Command Set Independent Identify Namespace (Base 2.1, 5.1.13.2.8).
    pub struct IndependentNamespace, 4096 bytes {
        /// NSFEAT: features; bit 3 UIDREUSE, bit 4 RMEDIA, bit 5 VWCNP.
        pub nsfeat: u8,
        /// NMIC: sharing ([`Nmic`]).
        pub nmic: u8,
        /// RESCAP: reservation capabilities.
        pub rescap: u8,
        /// FPI: format progress.
        pub fpi: u8,
        /// ANAGRPID: ANA group identifier.
        pub anagrpid: U32,
        /// NSATTR: attributes ([`NsAttr`]).
        pub nsattr: u8,
        /// Reserved.
        pub reserved9: u8,
        /// NVMSETID: NVM set identifier.
        pub nvmsetid: U16,
        /// ENDGID: endurance group identifier.
        pub endgid: U16,
        /// NSTAT: status ([`NsStat`]).
        pub nstat: u8,
        /// KPIOS: key per I/O status.
        pub kpios: u8,
        /// MAXKT: largest key tag.
        pub maxkt: U16,
        /// Reserved.
        pub reserved18: [u8; 2],
        /// RGRPID: reachability group identifier.
        pub rgrpid: U32,
        /// Reserved.
        pub reserved24: [u8; 4072],
    }
}
