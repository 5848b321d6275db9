//! Values of features: dword 11 of Set Features and dword 0 of the completion of Get Features
//! (Base 2.1, 5.1.25.1; NVM 1.1, 4.1.3), and the structures some have as data.

use crate::{U32, U64};
use bitfield_struct::bitfield;

/// Supported capabilities, the completion of Get Features with SEL 011b (Base 2.1, 5.1.11.2).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// The value can be saved.
    pub saveable: bool,
    /// The value is one per namespace.
    pub per_namespace: bool,
    /// The value can be changed.
    pub changeable: bool,
    #[bits(29)]
    __: u32,
}

/// Arbitration, 01h (Base 2.1, 5.1.25.1.1).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct Arbitration {
    /// AB: burst, 2^n commands; 7 is no limit.
    #[bits(3)]
    pub burst: u8,
    #[bits(5)]
    __: u8,
    /// LPW: weight of low priority, zero-based.
    pub low_weight: u8,
    /// MPW: weight of medium priority, zero-based.
    pub medium_weight: u8,
    /// HPW: weight of high priority, zero-based.
    pub high_weight: u8,
}

/// Power management, 02h (Base 2.1, 5.1.25.1.2).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct PowerManagement {
    /// PS: power state.
    #[bits(5)]
    pub state: u8,
    /// WH: workload hint.
    #[bits(3)]
    pub workload: u8,
    #[bits(24)]
    __: u32,
}

/// Temperature threshold, 04h (Base 2.1, 5.1.25.1.3).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct TemperatureThreshold {
    /// TMPTH: threshold in kelvins.
    pub kelvins: u16,
    /// TMPSEL: which sensor; 0 is the composite temperature, Fh all.
    #[bits(4)]
    pub sensor: u8,
    /// THSEL: 0 over, 1 under.
    #[bits(2)]
    pub side: u8,
    /// TMPTHH: hysteresis in kelvins.
    #[bits(3)]
    pub hysteresis: u8,
    #[bits(7)]
    __: u8,
}

/// Error recovery, 05h (NVM 1.1, 4.1.3.2).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct ErrorRecovery {
    /// TLER: time limited error recovery, in units of 100 ms; 0 for no limit.
    pub limit_100ms: u16,
    /// DULBE: a read of deallocated blocks is an error.
    pub deallocated_error: bool,
    #[bits(15)]
    __: u16,
}

/// Volatile write cache, 06h (Base 2.1, 5.1.25.1.4).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct VolatileWriteCache {
    /// WCE: enabled.
    pub enabled: bool,
    #[bits(31)]
    __: u32,
}

/// Number of queues, 07h: asked for, and in the completion given (Base 2.1, 5.1.25.1.5).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct NumberOfQueues {
    /// NSQR, NSQA: I/O submission queues, zero-based; FFFFh is invalid.
    pub submission: u16,
    /// NCQR, NCQA: I/O completion queues, zero-based; FFFFh is invalid.
    pub completion: u16,
}

/// Interrupt coalescing, 08h (Base 2.1, 5.1.25.1.6).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct InterruptCoalescing {
    /// THR: entries, zero-based.
    pub threshold: u8,
    /// TIME: in units of 100 µs.
    pub time_100us: u8,
    __: u16,
}

/// Write atomicity normal, 0Ah (NVM 1.1, 4.1.3.3).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct WriteAtomicity {
    /// DN: the host does not need AWUN and NAWUN, only what power loss keeps.
    pub disable_normal: bool,
    #[bits(31)]
    __: u32,
}

/// Asynchronous event configuration, 0Bh: which events may be sent (Base 2.1, 5.1.25.1.7). OAES of the identify
/// data has its notices at the same bits.
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct AsyncEventConfig {
    /// SMART / health critical warnings, at the bits of the log page's byte 0.
    pub smart: u8,
    /// Namespace attribute notices.
    pub namespace: bool,
    /// Firmware activation notices.
    pub firmware: bool,
    /// Telemetry log notices.
    pub telemetry: bool,
    /// Asymmetric namespace access change notices.
    pub ana: bool,
    /// Predictable latency event aggregate notices.
    pub predictable_latency: bool,
    /// LBA status information notices.
    pub lba_status: bool,
    /// Endurance group event aggregate notices.
    pub endurance_group: bool,
    /// Normal NVM subsystem shutdown notices.
    pub shutdown: bool,
    #[bits(11)]
    __: u16,
    /// Zone descriptor changed notices (ZNS 1.1, 4.1.6).
    pub zones: bool,
    #[bits(3)]
    __: u8,
    /// Discovery log page change notices (discovery controllers).
    pub discovery: bool,
}

/// Keep alive timer, 0Fh: the timeout in milliseconds is the whole dword; 0 disables (Base 2.1, 5.1.25.1.8).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct KeepAliveTimer {
    /// KATO: timeout in milliseconds.
    pub timeout_ms: u32,
}

/// Host identifier, 81h: what dword 11 says about the data (Base 2.1, 5.1.25.1.28). Over fabrics only Get with
/// `extended` is allowed; the identifier comes with Connect.
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct HostIdentifier {
    /// EXHID: 16 bytes instead of 8.
    pub extended: bool,
    #[bits(31)]
    __: u32,
}

/// I/O command set profile, 19h (Base 2.1, 5.1.25.1.17).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct CommandSetProfile {
    /// IOCSCI: index into the I/O Command Set structure (CNS 1Ch).
    #[bits(9)]
    pub index: u16,
    #[bits(23)]
    __: u32,
}

/// Namespace write protection, 84h (Base 2.1, 5.1.25.1.31): 0 none, 1 protected, 2 until power cycle, 3 permanent.
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct WriteProtection {
    /// WPS: state.
    #[bits(3)]
    pub state: u8,
    #[bits(29)]
    __: u32,
}

wire_struct! {
    /// Data of host behavior support, 16h (Base 2.1, 5.1.25.1.14).
    pub struct HostBehavior, 512 bytes {
        /// ACRE: the host heeds the command retry delay.
        pub acre: u8,
        /// ETDAS: the host supports extended telemetry data area 4.
        pub etdas: u8,
        /// LBAFEE: the host supports extended LBA formats.
        pub lbafee: u8,
        /// HDISNS: the host supports dispersed namespaces.
        pub hdisns: u8,
        /// CDFE: copy descriptor formats 2h to 4h enabled, by bit.
        pub cdfe: crate::U16,
        /// Reserved.
        pub reserved6: [u8; 506],
    }
}

wire_struct! {
    /// Data of the timestamp, 0Eh (Base 2.1, 5.1.25.1.9).
    #[derive(Copy)]
    pub struct Timestamp, 8 bytes {
        /// Milliseconds since 1970 in the low 48 bits, then SYNC (bit 48) and ORIGIN (bits 51:49).
        pub value: U64,
    }
}

wire_struct! {
    /// An entry of the LBA range type, 03h (NVM 1.1, 4.1.3.1): only its beginning has meaning here.
    pub struct LbaRange, 64 bytes {
        /// TYPE of the range.
        pub range_type: u8,
        /// Attributes.
        pub attributes: u8,
        /// Reserved.
        pub reserved2: [u8; 14],
        /// SLBA.
        pub slba: U64,
        /// NLB, zero-based.
        pub nlb: U64,
        /// GUID of the range.
        pub guid: [u8; 16],
        /// Reserved.
        pub reserved48: [U32; 4],
    }
}
