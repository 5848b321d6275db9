//! What is supported: commands and their effects, log pages (Base 2.1, 5.1.12.1.6 and 5.1.12.1.1).

use crate::{LogId, U32};
use bitfield_struct::bitfield;

/// A command's support and effects (Base 2.1, 5.1.12.1.6).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct Effects {
    /// CSUPP: supported.
    pub supported: bool,
    /// LBCC: may change logical block content.
    pub content: bool,
    /// NCC: may change capabilities of a namespace.
    pub namespace: bool,
    /// NIC: may change the inventory of namespaces.
    pub inventory: bool,
    /// CCC: may change capabilities of the controller.
    pub controller: bool,
    #[bits(9)]
    __: u16,
    /// CSER: submission and execution relaxations.
    #[bits(2)]
    pub relaxations: u8,
    /// CSE: 0 no restriction, 1 none other for the namespace, 2 none other at all.
    #[bits(3)]
    pub exclusive: u8,
    /// USS: UUID selection supported.
    pub uuid: bool,
    /// CSP: scope.
    #[bits(12)]
    pub scope: u16,
}

wire_struct! {
    /// Commands supported and effects (Base 2.1, 5.1.12.1.6); each entry is an [`Effects`].
    pub struct CommandEffects, 4096 bytes {
        /// ACS: admin commands by opcode.
        pub admin: [U32; 256],
        /// IOCS: I/O commands by opcode.
        pub io: [U32; 256],
        /// Reserved.
        pub reserved2048: [u8; 2048],
    }
}

impl CommandEffects {
    /// Sets an admin command's entry.
    pub fn set_admin(&mut self, opcode: crate::AdminOpcode, effects: Effects) {
        if let Some(slot) = self.admin.get_mut(usize::from(opcode.0)) {
            *slot = U32::new(effects.into_bits());
        }
    }

    /// Sets an I/O command's entry.
    pub fn set_io(&mut self, opcode: crate::IoOpcode, effects: Effects) {
        if let Some(slot) = self.io.get_mut(usize::from(opcode.0)) {
            *slot = U32::new(effects.into_bits());
        }
    }
}

/// A log page's support (Base 2.1, 5.1.12.1.1).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct LogPageSupport {
    /// LSUPP: supported.
    pub supported: bool,
    /// IOS: an offset may be an index.
    pub index_offset: bool,
    #[bits(14)]
    __: u16,
    /// LIDSPEC: what the log page gives it.
    pub specific: u16,
}

wire_struct! {
    /// Supported log pages (Base 2.1, 5.1.12.1.1); each entry is a [`LogPageSupport`].
    pub struct SupportedLogPages, 1024 bytes {
        /// LIDS by log page identifier.
        pub lids: [U32; 256],
    }
}

impl SupportedLogPages {
    /// Sets a log page's entry.
    pub fn set(&mut self, lid: LogId, support: LogPageSupport) {
        if let Some(slot) = self.lids.get_mut(usize::from(lid.0)) {
            *slot = U32::new(support.into_bits());
        }
    }
}
