//! The discovery log (Base 2.1, 5.1.12.3.1).

use crate::{AddressFamily, Ascii, NqnField, SecureType, SubsystemType, TransportType, U16, U64, view};
use bitfield_struct::bitfield;

wire_struct! {
    /// Head of the discovery log, followed by its entries (Base 2.1, 5.1.12.3.1).
    pub struct DiscoveryHeader, 1024 bytes {
        /// GENCTR: generation, which rises with every change of the log.
        pub genctr: U64,
        /// NUMREC: entries that follow.
        pub numrec: U64,
        /// RECFMT: format of the entries, 0.
        pub recfmt: U16,
        /// Reserved.
        pub reserved18: [u8; 1006],
    }
}

/// TREQ: what a connection must have (Base 2.1, 5.1.12.3.1).
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct Treq {
    /// Secure channel: 0 not told, 1 required, 2 not required.
    #[bits(2)]
    pub secure_channel: u8,
    /// The controller can do without submission queue flow control.
    pub no_flow_control: bool,
    #[bits(5)]
    __: u8,
}

wire_struct! {
    /// TSAS of a TCP entry (TCP 1.1, 3.1.2).
    pub struct TcpTsas, 256 bytes {
        /// SECTYPE: security of the port.
        pub sectype: SecureType,
        /// Reserved.
        pub reserved1: [u8; 255],
    }
}

wire_struct! {
    /// An entry of the discovery log (Base 2.1, 5.1.12.3.1).
    pub struct DiscoveryEntry, 1024 bytes {
        /// TRTYPE: transport.
        pub trtype: TransportType,
        /// ADRFAM: family of the address.
        pub adrfam: AddressFamily,
        /// SUBTYPE: what is there.
        pub subtype: SubsystemType,
        /// TREQ: requirements ([`Treq`]).
        pub treq: u8,
        /// PORTID: port of the NVM subsystem.
        pub portid: U16,
        /// CNTLID: FFFFh for the dynamic controller model.
        pub cntlid: U16,
        /// ASQSZ: largest admin submission queue (32 at least).
        pub asqsz: U16,
        /// EFLAGS: bit 0 duplicate returned information, bit 1 explicit persistent connections, bit 2 no connectivity.
        pub eflags: U16,
        /// Reserved.
        pub reserved12: [u8; 20],
        /// TRSVCID: service, the port in decimal.
        pub trsvcid: Ascii<32>,
        /// Reserved.
        pub reserved64: [u8; 192],
        /// SUBNQN: name of the subsystem.
        pub subnqn: NqnField,
        /// TRADDR: address.
        pub traddr: Ascii<256>,
        /// TSAS: transport specific ([`TcpTsas`] for TCP).
        pub tsas: [u8; 256],
    }
}

impl DiscoveryEntry {
    /// The transport specific part of a TCP entry.
    pub fn tcp(&self) -> Option<&TcpTsas> {
        if self.trtype != TransportType::TCP {
            return None;
        }
        view(&self.tsas)
    }

    /// Sets the security of a TCP entry.
    pub fn set_tcp_security(&mut self, sectype: SecureType) {
        self.tsas[0] = sectype.0;
    }
}
