//! Asynchronous events, dword 0 of the completion of an Asynchronous Event Request (Base 2.1, 5.1.2).

use crate::LogId;
use bitfield_struct::bitfield;

open_enum! {
    /// Type of an event (Base 2.1, 5.1.2.1).
    pub struct EventType(u8) {
        ERROR = 0 => "Error status",
        SMART = 1 => "SMART / health status",
        NOTICE = 2 => "Notice",
        IMMEDIATE = 3 => "Immediate",
        COMMAND_SET = 6 => "I/O Command Set specific status",
        VENDOR = 7 => "Vendor specific",
    }
}

impl EventType {
    const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
    const fn into_bits(self) -> u8 {
        self.0
    }
}

impl LogId {
    const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
    const fn into_bits(self) -> u8 {
        self.0
    }
}

/// Dword 0 of the completion (Base 2.1, 5.1.2.1). The type gives `info` its meaning.
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct AsyncEvent {
    /// AET: type of the event.
    #[bits(3)]
    pub event_type: EventType,
    #[bits(5)]
    __: u8,
    /// AEI: information.
    pub info: u8,
    /// LID: the log page to read, which also clears the event.
    #[bits(8)]
    pub lid: LogId,
    __: u8,
}

impl AsyncEvent {
    const fn of(event_type: EventType, info: u8, lid: LogId) -> Self {
        Self::new().with_event_type(event_type).with_info(info).with_lid(lid)
    }

    /// Write to an invalid doorbell register (PCIe).
    pub const INVALID_DOORBELL: Self = Self::of(EventType::ERROR, 0, LogId::ERROR);
    /// Diagnostic failure.
    pub const DIAGNOSTIC_FAILURE: Self = Self::of(EventType::ERROR, 2, LogId::ERROR);
    /// Persistent internal error.
    pub const PERSISTENT_ERROR: Self = Self::of(EventType::ERROR, 3, LogId::ERROR);
    /// Transient internal error.
    pub const TRANSIENT_ERROR: Self = Self::of(EventType::ERROR, 4, LogId::ERROR);
    /// NVM subsystem reliability degraded.
    pub const RELIABILITY: Self = Self::of(EventType::SMART, 0, LogId::SMART);
    /// Temperature threshold crossed.
    pub const TEMPERATURE: Self = Self::of(EventType::SMART, 1, LogId::SMART);
    /// Spare below its threshold.
    pub const SPARE: Self = Self::of(EventType::SMART, 2, LogId::SMART);
    /// Attached namespaces changed: added, removed, resized.
    pub const NAMESPACE_CHANGED: Self = Self::of(EventType::NOTICE, 0x00, LogId::CHANGED_NAMESPACES);
    /// Firmware activation starting.
    pub const FIRMWARE_ACTIVATION: Self = Self::of(EventType::NOTICE, 0x01, LogId::FIRMWARE_SLOT);
    /// Asymmetric namespace access changed.
    pub const ANA_CHANGED: Self = Self::of(EventType::NOTICE, 0x03, LogId::ANA);
    /// Zones changed by themselves; dword 1 of the completion names the namespace (ZNS 1.1, 3.1.1).
    pub const ZONES_CHANGED: Self = Self::of(EventType::NOTICE, 0xef, LogId::CHANGED_ZONES);
    /// The discovery log changed (discovery controllers).
    pub const DISCOVERY_CHANGED: Self = Self::of(EventType::NOTICE, 0xf0, LogId::DISCOVERY);
    /// Reservation log page available (Base 2.1, 5.1.2.1: command set specific, 00h).
    pub const RESERVATION: Self = Self::of(EventType::COMMAND_SET, 0, LogId::RESERVATION);
    /// A sanitize has ended, well or not.
    pub const SANITIZE_COMPLETED: Self = Self::of(EventType::COMMAND_SET, 1, LogId::SANITIZE);
}
