//! Error information, SMART, firmware slots (Base 2.1, 5.1.12.1.2 to 5.1.12.1.4) and the status of a sanitize (5.1.12.1.33).

use crate::{Ascii, Csi, Status, TransportType, U16, U32, U64, U128};
use bitfield_struct::bitfield;

wire_struct! {
    /// An entry of the error log (Base 2.1, 5.1.12.1.2).
    #[derive(Copy, Hash)]
    pub struct ErrorEntry, 64 bytes {
        /// Error count: number of this error since power-on or the controller's creation; 0 marks an unused entry.
        pub error_count: U64,
        /// SQID: queue of the command; FFFFh when none.
        pub sqid: U16,
        /// CID: the command; FFFFh when none.
        pub cid: U16,
        /// STS: status in bits 15:1, phase in bit 0.
        pub status_phase: U16,
        /// PEL: byte of the command in bits 7:0, bit in bits 10:8; FFFFh when none.
        pub parameter: U16,
        /// LBA of the first logical block in error.
        pub lba: U64,
        /// NSID.
        pub nsid: U32,
        /// VSIA: vendor specific information available.
        pub vendor: u8,
        /// TRTYPE: transport.
        pub trtype: TransportType,
        /// CSI: command set.
        pub csi: Csi,
        /// OPC: opcode of the command.
        pub opcode: u8,
        /// CSINFO: command specific information.
        pub command_specific: U64,
        /// TTSI: transport specific information.
        pub transport_specific: U16,
        /// Reserved.
        pub reserved42: [u8; 21],
        /// LPVER: log page version, 01h when `csi` and `opcode` are given.
        pub log_version: u8,
    }
}

impl ErrorEntry {
    /// The status, without the phase.
    pub fn status(&self) -> Status {
        Status::from_bits(self.status_phase.get() >> 1)
    }
}

/// CW: critical warnings (Base 2.1, 5.1.12.1.3).
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct CriticalWarning {
    /// Spare below its threshold.
    pub spare: bool,
    /// Temperature beyond a threshold.
    pub temperature: bool,
    /// Reliability degraded.
    pub reliability: bool,
    /// All media read only.
    pub read_only: bool,
    /// Volatile memory backup failed.
    pub backup: bool,
    /// Persistent memory region unreliable or read only.
    pub pmr: bool,
    #[bits(2)]
    __: u8,
}

wire_struct! {
    /// SMART / health information (Base 2.1, 5.1.12.1.3).
    pub struct SmartLog, 512 bytes {
        /// CW: critical warnings ([`CriticalWarning`]).
        pub critical_warning: u8,
        /// CTEMP: composite temperature in kelvins.
        pub temperature_k: U16,
        /// AVSP: spare left, in percent.
        pub spare: u8,
        /// AVSPT: threshold of spare, in percent.
        pub spare_threshold: u8,
        /// PUSED: life used, in percent, may exceed 100.
        pub used: u8,
        /// EGCWS: critical warnings of endurance groups.
        pub endurance_warning: u8,
        /// Reserved.
        pub reserved7: [u8; 25],
        /// DUR: data units read, in thousands of 512 bytes, rounded up.
        pub data_units_read: U128,
        /// DUW: data units written, in thousands of 512 bytes, rounded up.
        pub data_units_written: U128,
        /// HRC: read commands.
        pub host_reads: U128,
        /// HWC: write commands.
        pub host_writes: U128,
        /// CBT: minutes busy.
        pub busy_minutes: U128,
        /// PWRC: power cycles.
        pub power_cycles: U128,
        /// POH: hours powered on.
        pub power_on_hours: U128,
        /// UPL: unexpected power losses.
        pub unsafe_shutdowns: U128,
        /// MDIE: media and data integrity errors.
        pub media_errors: U128,
        /// NEILE: error log entries over the life of the controller.
        pub error_log_entries: U128,
        /// WCTT: minutes above the warning temperature.
        pub warning_minutes: U32,
        /// CCTT: minutes above the critical temperature.
        pub critical_minutes: U32,
        /// TSEN: temperature sensors 1 to 8, in kelvins; 0 when absent.
        pub sensors_k: [U16; 8],
        /// TMT1TC, TMT2TC: thermal management transitions.
        pub thermal_transitions: [U32; 2],
        /// TTTMT1, TTTMT2: seconds in thermal management.
        pub thermal_seconds: [U32; 2],
        /// Reserved.
        pub reserved232: [u8; 280],
    }
}

wire_struct! {
    /// Firmware slot information (Base 2.1, 5.1.12.1.4).
    pub struct FirmwareSlots, 512 bytes {
        /// AFI: active slot in bits 2:0, slot active after the next reset in bits 6:4.
        pub afi: u8,
        /// Reserved.
        pub reserved1: [u8; 7],
        /// FRS1 to FRS7: firmware revision of each slot; zeroes when empty.
        pub revisions: [Ascii<8>; 7],
        /// Reserved.
        pub reserved64: [u8; 448],
    }
}

wire_struct! {
    /// Sanitize status (Base 2.1, 5.1.12.1.33).
    pub struct SanitizeStatus, 512 bytes {
        /// SPROG: how much is done, in parts of 65,536; FFFFh when none is under way.
        pub progress: U16,
        /// SSTAT: what became of the last one ([`SanitizeState`]).
        pub state: U16,
        /// SCDW10: dword 10 of the command that began it.
        pub cdw10: U32,
        /// ETO, ETBE, ETCE: seconds that an overwrite, a block erase and a cryptographic erase take; FFFFFFFFh for unknown.
        pub seconds: [U32; 3],
        /// ETOND, ETBEND, ETCEND: the same where blocks are not deallocated afterwards.
        pub seconds_without_deallocation: [U32; 3],
        /// ETPVDS, SSI and reserved.
        pub reserved32: [u8; 480],
    }
}

/// SSTAT: what became of the last sanitize (Base 2.1, 5.1.12.1.33).
#[bitfield(u16)]
#[derive(PartialEq, Eq, Hash)]
pub struct SanitizeState {
    /// SOS: 0 there was none, 1 it succeeded, 2 it is under way, 3 it failed, 4 it succeeded without deallocating.
    #[bits(3)]
    pub status: u8,
    /// OPC: passes of an overwrite that are done.
    #[bits(5)]
    pub passes: u8,
    /// GDE: nothing was written since the last one.
    pub erased: bool,
    #[bits(7)]
    __: u8,
}
