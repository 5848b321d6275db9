//! Identify Controller, CNS 01h (Base 2.1, 5.1.13.2.1).

use crate::{Ascii, NqnField, U16, U32, U128};
use bitfield_struct::bitfield;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

open_enum! {
    /// CNTRLTYPE: what the controller is for (Base 2.1, 5.1.13.2.1).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct ControllerType(u8) {
        NOT_REPORTED = 0 => "Not reported",
        IO = 1 => "I/O controller",
        DISCOVERY = 2 => "Discovery controller",
        ADMINISTRATIVE = 3 => "Administrative controller",
    }
}

/// CMIC: multi-path I/O and namespace sharing.
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct Cmic {
    /// The NVM subsystem may have several ports.
    pub multi_port: bool,
    /// The NVM subsystem may have several controllers.
    pub multi_controller: bool,
    /// The controller is an SR-IOV virtual function.
    pub sriov: bool,
    /// Asymmetric namespace access reporting.
    pub ana: bool,
    #[bits(4)]
    __: u8,
}

/// OAES: optional asynchronous events; the bits of [`crate::feature::AsyncEventConfig`].
pub type Oaes = crate::feature::AsyncEventConfig;

/// CTRATT: controller attributes.
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct Ctratt {
    /// 128-bit host identifiers.
    pub host_id_128: bool,
    /// Non-operational power state permissive mode.
    pub nopspm: bool,
    /// NVM sets.
    pub nvm_sets: bool,
    /// Read recovery levels.
    pub read_recovery: bool,
    /// Endurance groups.
    pub endurance_groups: bool,
    /// Predictable latency mode.
    pub predictable_latency: bool,
    /// TBKAS: traffic based keep alive: any command restarts the timer.
    pub tbkas: bool,
    /// Namespace granularity.
    pub granularity: bool,
    /// SQ associations.
    pub sq_associations: bool,
    /// UUID list.
    pub uuid_list: bool,
    /// MDS: multi-domain subsystem.
    pub mds: bool,
    /// Fixed capacity management.
    pub fcm: bool,
    /// Variable capacity management.
    pub vcm: bool,
    /// Delete endurance group.
    pub deg: bool,
    /// Delete NVM set.
    pub dnvms: bool,
    /// ELBAS: extended LBA formats.
    pub elbas: bool,
    /// MEM: MDTS and size limits exclude metadata.
    pub mem: bool,
    /// HMB restriction.
    pub hmbr: bool,
    /// Reservations and host identifier interaction.
    pub rhii: bool,
    /// Flexible data placement.
    pub fdps: bool,
    #[bits(12)]
    __: u16,
}

/// OACS: optional admin commands.
#[bitfield(u16)]
#[derive(PartialEq, Eq, Hash)]
pub struct Oacs {
    /// Security Send and Receive.
    pub security: bool,
    /// Format NVM.
    pub format: bool,
    /// Firmware Commit and Download.
    pub firmware: bool,
    /// Namespace Management and Attachment.
    pub namespace_management: bool,
    /// Device Self-test.
    pub self_test: bool,
    /// Directives.
    pub directives: bool,
    /// NVMe-MI Send and Receive.
    pub mi: bool,
    /// Virtualization Management.
    pub virtualization: bool,
    /// Doorbell Buffer Config.
    pub doorbell_buffer: bool,
    /// Get LBA Status.
    pub lba_status: bool,
    /// Command and Feature Lockdown.
    pub lockdown: bool,
    #[bits(5)]
    __: u8,
}

/// LPA: log page attributes.
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct Lpa {
    /// SMART log per namespace.
    pub smart_per_namespace: bool,
    /// Commands Supported and Effects log.
    pub command_effects: bool,
    /// Extended data: NUMDU, LPOL, LPOU in Get Log Page.
    pub extended_data: bool,
    /// Telemetry logs.
    pub telemetry: bool,
    /// Persistent event log.
    pub persistent_event: bool,
    /// MLPS: Supported Log Pages and related logs.
    pub supported_pages: bool,
    /// Telemetry data area 4.
    pub telemetry_area4: bool,
    #[bits(1)]
    __: u8,
}

/// ONCS: optional NVM commands.
#[bitfield(u16)]
#[derive(PartialEq, Eq, Hash)]
pub struct Oncs {
    /// Compare.
    pub compare: bool,
    /// Write Uncorrectable.
    pub write_uncorrectable: bool,
    /// Dataset Management.
    pub dataset_management: bool,
    /// Write Zeroes.
    pub write_zeroes: bool,
    /// Save in Set Features, select in Get Features.
    pub save_select: bool,
    /// Reservations.
    pub reservations: bool,
    /// Timestamp feature.
    pub timestamp: bool,
    /// Verify.
    pub verify: bool,
    /// Copy.
    pub copy: bool,
    /// NVMCSA: Copy of one range is atomic.
    pub copy_single_atomic: bool,
    /// NVMAFC: all Copy commands can be fast copies.
    pub all_fast_copy: bool,
    /// MAXWZD: the limit of Write Zeroes with deallocate is a non-zero WZDSL.
    pub write_zeroes_deallocate_limit: bool,
    /// NSZS: Write Zeroes of a whole namespace.
    pub namespace_zeroes: bool,
    #[bits(3)]
    __: u8,
}

/// FUSES: fused operations.
#[bitfield(u16)]
#[derive(PartialEq, Eq, Hash)]
pub struct Fuses {
    /// Compare and Write.
    pub compare_write: bool,
    #[bits(15)]
    __: u16,
}

/// FNA: format NVM attributes.
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct Fna {
    /// A format applies to all namespaces.
    pub format_all: bool,
    /// A secure erase applies to all namespaces.
    pub erase_all: bool,
    /// Cryptographic erase.
    pub crypto_erase: bool,
    /// A format of NSID FFFFFFFFh is not supported.
    pub no_broadcast: bool,
    #[bits(4)]
    __: u8,
}

/// FRMW: firmware updates.
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct Frmw {
    /// The first slot is read-only.
    pub first_read_only: bool,
    /// Slots there are, 1 to 7.
    #[bits(3)]
    pub slots: u8,
    /// An image can be activated without a reset.
    pub without_reset: bool,
    #[bits(3)]
    __: u8,
}

/// VWC: volatile write cache.
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct Vwc {
    /// There is one: Flush and FUA mean something.
    pub present: bool,
    /// Flush with NSID FFFFFFFFh: 0 not told, 2 not supported, 3 flushes all.
    #[bits(2)]
    pub flush_all: u8,
    #[bits(5)]
    __: u8,
}

/// SGLS: SGL support.
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct SglSupport {
    /// 0 none, 1 without alignment, 2 dword aligned and granular.
    #[bits(2)]
    pub support: u8,
    /// Keyed SGL data block descriptors.
    pub keyed: bool,
    #[bits(5)]
    __: u8,
    /// SDT: recommended number of descriptors, 0 for no advice.
    pub threshold: u8,
    /// Bit bucket descriptors.
    pub bit_bucket: bool,
    /// Byte aligned contiguous metadata.
    pub byte_aligned_metadata: bool,
    /// An SGL longer than the data is allowed.
    pub oversized: bool,
    /// MPTR may hold an SGL descriptor.
    pub mptr_sgl: bool,
    /// The address of a data block, segment or last segment may be an offset.
    pub offset: bool,
    /// Transport SGL data block descriptors.
    pub transport: bool,
    #[bits(10)]
    __: u16,
}

/// FCATT: fabrics controller attributes.
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct FabricsAttributes {
    /// CNTLMODEL: static controller model (else dynamic).
    pub static_model: bool,
    #[bits(7)]
    __: u8,
}

/// SQES and CQES: the required size in bits 3:0, the largest in bits 7:4, both as powers of two.
pub const fn entry_sizes(min_log2: u8, max_log2: u8) -> u8 {
    (min_log2 & 0xf) | ((max_log2 & 0xf) << 4)
}

wire_struct! {
    /// A power state descriptor (Base 2.1, 5.1.13.2.1, figure of PSD).
    #[derive(Copy, Hash)]
    pub struct PowerState, 32 bytes {
        /// MP: maximum power, in units of 0.01 W, or 0.0001 W when bit 0 of `flags` is set.
        pub mp: U16,
        /// Reserved.
        pub reserved2: u8,
        /// Bit 0 MXPS: scale of `mp`; bit 1 NOPS: non-operational.
        pub flags: u8,
        /// ENLAT: entry latency in microseconds.
        pub enlat_us: U32,
        /// EXLAT: exit latency in microseconds.
        pub exlat_us: U32,
        /// RRT: relative read throughput, 0 is best.
        pub rrt: u8,
        /// RRL: relative read latency.
        pub rrl: u8,
        /// RWT: relative write throughput.
        pub rwt: u8,
        /// RWL: relative write latency.
        pub rwl: u8,
        /// IDLP: idle power.
        pub idlp: U16,
        /// IPS: scale of idle power, bits 7:6.
        pub ips: u8,
        /// Reserved.
        pub reserved19: u8,
        /// ACTP: active power.
        pub actp: U16,
        /// APW in bits 2:0, APS in bits 7:6: workload and scale of active power.
        pub apw_aps: u8,
        /// Reserved.
        pub reserved23: [u8; 9],
    }
}

wire_struct! {
    /// Identify Controller (Base 2.1, 5.1.13.2.1). Bit fields are bytes and words here; the types of this module
    /// give their bits names.
    pub struct Controller, 4096 bytes {
        /// VID: PCI vendor id.
        pub vid: U16,
        /// SSVID: PCI subsystem vendor id.
        pub ssvid: U16,
        /// SN: serial number.
        pub sn: Ascii<20>,
        /// MN: model number.
        pub mn: Ascii<40>,
        /// FR: firmware revision.
        pub fr: Ascii<8>,
        /// RAB: recommended arbitration burst, 2^n commands.
        pub rab: u8,
        /// IEEE: organisation identifier of the vendor.
        pub ieee: [u8; 3],
        /// CMIC: multi-path and sharing ([`Cmic`]).
        pub cmic: u8,
        /// MDTS: largest data transfer, 2^n minimum memory pages; 0 for no limit.
        pub mdts: u8,
        /// CNTLID: controller identifier.
        pub cntlid: U16,
        /// VER: version ([`crate::register::Version`]).
        pub ver: U32,
        /// RTD3R: resume latency in microseconds.
        pub rtd3r_us: U32,
        /// RTD3E: entry latency in microseconds.
        pub rtd3e_us: U32,
        /// OAES: optional asynchronous events ([`Oaes`]).
        pub oaes: U32,
        /// CTRATT: attributes ([`Ctratt`]).
        pub ctratt: U32,
        /// RRLS: read recovery levels.
        pub rrls: U16,
        /// BPCAP: boot partition capabilities.
        pub bpcap: u8,
        /// Reserved.
        pub reserved103: u8,
        /// NSSL: NVM subsystem shutdown latency in microseconds.
        pub nssl_us: U32,
        /// Reserved.
        pub reserved108: [u8; 2],
        /// PLSI: power loss signalling.
        pub plsi: u8,
        /// CNTRLTYPE: what the controller is for.
        pub cntrltype: ControllerType,
        /// FGUID: FRU globally unique identifier.
        pub fguid: [u8; 16],
        /// CRDT1 to 3: command retry delays, in units of 100 ms.
        pub crdt_100ms: [U16; 3],
        /// CRCAP: controller reachability capabilities.
        pub crcap: u8,
        /// Reserved.
        pub reserved135: [u8; 118],
        /// NVMSR: NVM subsystem report.
        pub nvmsr: u8,
        /// VWCI: VPD write cycles.
        pub vwci: u8,
        /// MEC: management endpoint capabilities.
        pub mec: u8,
        /// OACS: optional admin commands ([`Oacs`]).
        pub oacs: U16,
        /// ACL: abort commands at once, zero-based.
        pub acl: u8,
        /// AERL: asynchronous event requests at once, zero-based.
        pub aerl: u8,
        /// FRMW: firmware updates ([`Frmw`]).
        pub frmw: u8,
        /// LPA: log page attributes ([`Lpa`]).
        pub lpa: u8,
        /// ELPE: error log entries kept, zero-based.
        pub elpe: u8,
        /// NPSS: power states, zero-based.
        pub npss: u8,
        /// AVSCC: vendor specific admin commands have the standard format.
        pub avscc: u8,
        /// APSTA: autonomous power state transitions.
        pub apsta: u8,
        /// WCTEMP: warning temperature in kelvins.
        pub wctemp: U16,
        /// CCTEMP: critical temperature in kelvins.
        pub cctemp: U16,
        /// MTFA: time for firmware activation, in units of 100 ms.
        pub mtfa_100ms: U16,
        /// HMPRE: preferred host memory buffer, in units of 4 KiB.
        pub hmpre: U32,
        /// HMMIN: smallest host memory buffer, in units of 4 KiB.
        pub hmmin: U32,
        /// TNVMCAP: capacity in bytes.
        pub tnvmcap: U128,
        /// UNVMCAP: unallocated capacity in bytes.
        pub unvmcap: U128,
        /// RPMBS: replay protected memory blocks.
        pub rpmbs: U32,
        /// EDSTT: extended self-test time in minutes.
        pub edstt: U16,
        /// DSTO: self-test options.
        pub dsto: u8,
        /// FWUG: firmware update granularity, in units of 4 KiB; FFh for none.
        pub fwug: u8,
        /// KAS: keep alive granularity, in units of 100 ms; 0 for no keep alive.
        pub kas_100ms: U16,
        /// HCTMA: host controlled thermal management.
        pub hctma: U16,
        /// MNTMT: lowest thermal management temperature.
        pub mntmt: U16,
        /// MXTMT: highest thermal management temperature.
        pub mxtmt: U16,
        /// SANICAP: sanitize capabilities.
        pub sanicap: U32,
        /// HMMINDS: smallest host memory buffer descriptor, in units of 4 KiB.
        pub hmminds: U32,
        /// HMMAXD: host memory buffer descriptors.
        pub hmmaxd: U16,
        /// NSETIDMAX: largest NVM set identifier.
        pub nsetidmax: U16,
        /// ENDGIDMAX: largest endurance group identifier.
        pub endgidmax: U16,
        /// ANATT: ANA transition time in seconds.
        pub anatt_s: u8,
        /// ANACAP: ANA capabilities.
        pub anacap: u8,
        /// ANAGRPMAX: largest ANA group identifier.
        pub anagrpmax: U32,
        /// NANAGRPID: number of ANA groups.
        pub nanagrpid: U32,
        /// PELS: persistent event log size, in units of 64 KiB.
        pub pels: U32,
        /// DID: domain identifier.
        pub did: U16,
        /// KPIOC: key per I/O.
        pub kpioc: u8,
        /// Reserved.
        pub reserved359: u8,
        /// MPTFAWR: time for firmware activation without reset, in units of 100 ms.
        pub mptfawr_100ms: U16,
        /// Reserved.
        pub reserved362: [u8; 6],
        /// MEGCAP: largest endurance group capacity in bytes.
        pub megcap: U128,
        /// TMPTHHA: temperature threshold hysteresis.
        pub tmpthha: u8,
        /// Reserved.
        pub reserved385: u8,
        /// CQT: command quiesce time in milliseconds.
        pub cqt_ms: U16,
        /// Reserved.
        pub reserved388: [u8; 124],
        /// SQES: submission queue entry sizes ([`entry_sizes`]).
        pub sqes: u8,
        /// CQES: completion queue entry sizes ([`entry_sizes`]).
        pub cqes: u8,
        /// MAXCMD: commands outstanding on one queue (not zero-based).
        pub maxcmd: U16,
        /// NN: largest namespace identifier.
        pub nn: U32,
        /// ONCS: optional NVM commands ([`Oncs`]).
        pub oncs: U16,
        /// FUSES: fused operations ([`Fuses`]).
        pub fuses: U16,
        /// FNA: format attributes ([`Fna`]).
        pub fna: u8,
        /// VWC: volatile write cache ([`Vwc`]).
        pub vwc: u8,
        /// AWUN: atomic write unit, in logical blocks, zero-based.
        pub awun: U16,
        /// AWUPF: atomic write unit across power failure, in logical blocks, zero-based.
        pub awupf: U16,
        /// ICSVSCC, once NVSCC: vendor specific I/O commands have the standard format.
        pub nvscc: u8,
        /// NWPC: namespace write protection.
        pub nwpc: u8,
        /// ACWU: atomic compare and write unit, in logical blocks, zero-based.
        pub acwu: U16,
        /// CDFS, once OCFS: copy descriptor formats, by bit.
        pub ocfs: U16,
        /// SGLS: SGL support ([`SglSupport`]).
        pub sgls: U32,
        /// MNAN: largest number of namespaces allowed, 0: NN.
        pub mnan: U32,
        /// MAXDNA: domain namespace attachments.
        pub maxdna: U128,
        /// MAXCNA: I/O controller namespace attachments.
        pub maxcna: U32,
        /// OAQD: optimal aggregated queue depth.
        pub oaqd: U32,
        /// Reserved.
        pub reserved568: [u8; 200],
        /// SUBNQN: name of the NVM subsystem.
        pub subnqn: NqnField,
        /// Reserved.
        pub reserved1024: [u8; 768],
        /// IOCCSZ: I/O command capsule size, in units of 16 bytes (4 at least).
        pub ioccsz: U32,
        /// IORCSZ: I/O response capsule size, in units of 16 bytes (1 at least).
        pub iorcsz: U32,
        /// ICDOFF: offset of in-capsule data, in units of 16 bytes after the SQE.
        pub icdoff: U16,
        /// FCATT: fabrics attributes ([`FabricsAttributes`]).
        pub fcatt: u8,
        /// MSDBD: SGL data block descriptors in one capsule, 0 for no limit.
        pub msdbd: u8,
        /// OFCS: optional fabrics commands (bit 0: Disconnect).
        pub ofcs: U16,
        /// DCTYPE: kind of discovery controller.
        pub dctype: u8,
        /// Reserved.
        pub reserved1807: [u8; 241],
        /// PSD: power states.
        pub psd: [PowerState; 32],
        /// VS: vendor specific.
        pub vs: [u8; 1024],
    }
}

impl Controller {
    /// Largest data transfer in bytes by MDTS, given CAP.MPSMIN; `None` for no limit (or one beyond 64 bits).
    pub fn max_transfer(&self, mpsmin: u8) -> Option<u64> {
        if self.mdts == 0 {
            return None;
        }
        1u64.checked_shl(u32::from(self.mdts) + 12 + u32::from(mpsmin))
    }

    /// Data that fits in an I/O command capsule after its SQE and ICDOFF, in bytes.
    pub fn in_capsule_len(&self) -> u64 {
        (u64::from(self.ioccsz.get()) * 16).saturating_sub(64 + u64::from(self.icdoff.get()) * 16)
    }
}
