//! What the bytes of NVMe and NVMe over Fabrics mean: commands, completions, status codes, registers,
//! identify data, log pages, features and events.
//!
//! This crate holds no state, does no I/O and allocates nothing. It comes in two layers:
//!
//! * *wire structures* ([`Sqe`], [`Cqe`], [`identify::Controller`], …): little-endian, unaligned, exactly as
//!   long as the specification says, valid for every bit pattern. [`view`] lends one out of received bytes,
//!   [`bytes`] lends the bytes of one to send.
//! * *meanings* ([`AdminCommand`], [`IoCommand`], [`FabricsCommand`], [`Sgl`], [`Status`], …): plain values
//!   parsed once at the edge; each can be written back.
//!
//! Invariants: no function panics, whatever the peer sent; a code that this crate does not know is a value of
//! its own (`open enums`), never undefined and never an error here, because only the reader of a field knows
//! whether it must refuse it.
//!
//! References such as "Base 2.1, 3.1.4" are to the NVM Express Base Specification 2.1; "NVM 1.1" is the NVM
//! Command Set Specification 1.1, "ZNS 1.1" the Zoned Namespace one. Fabrics commands are part of Base since 2.0.
//!
//! ```
//! use doorbell_wire_nvme::{Cid, Cqe, IoCommand, ReadWrite, Sgl, Sqe, Status};
//!
//! // A host builds a 4 KiB read of a namespace of 512-byte blocks.
//! let sent = IoCommand::Read(ReadWrite { slba: 0x1000, blocks: 8, ..ReadWrite::default() })
//!     .encode()
//!     .with_cid(Cid(7))
//!     .with_nsid(1)
//!     .with_sgl(Sgl::Transport { len: 4096 });
//!
//! // A target reads it from the capsule.
//! let received: &Sqe = doorbell_wire_nvme::view(doorbell_wire_nvme::bytes(&sent)).unwrap();
//! let IoCommand::Read(read) = IoCommand::parse(received) else { panic!("not a read") };
//! assert_eq!((read.slba, read.blocks, received.nsid()), (0x1000, 8, 1));
//! assert_eq!(received.sgl(), Sgl::Transport { len: 4096 });
//!
//! // And refuses it.
//! let answer = Cqe::new(received.cid(), Status::LBA_OUT_OF_RANGE.dnr());
//! assert_eq!(answer.status().to_string(), "LBA Out of Range (00h/80h), do not retry");
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

#[cfg(test)]
extern crate std;

#[macro_use]
mod macros;

mod ascii;
mod codes;
mod command;
mod cqe;
pub mod event;
pub mod fabrics;
pub mod feature;
pub mod identify;
pub mod log;
mod nqn;
pub mod protection;
pub mod range;
pub mod register;
mod sgl;
mod sqe;
mod status;
mod words;
pub mod zone;

pub use ascii::Ascii;
pub use codes::{
    AddressFamily, AdminOpcode, Cns, Csi, FabricsType, FeatureId, FeatureSelect, IoOpcode, LogId, NidType, SecureType, SubsystemType,
    TransportType,
};
pub use command::{
    Abort, AdminCommand, AuthTransfer, CommitAction, Connect, Copy, DatasetManagement, FabricsCommand, FirmwareCommit, FirmwareDownload,
    FormatNvm, GetFeatures, GetLogPage, Identify, IoCommand, PropertyGet, PropertySet, Protection, ReadWrite, Sanitize, SanitizeAction,
    SecureErase, SetFeatures, WriteUncorrectable, WriteZeroes, ZoneAppend, ZoneFilter, ZoneReceive, ZoneReceiveAction, ZoneSend,
    ZoneSendAction,
};
pub use cqe::{Cid, Cqe};
pub use nqn::{DISCOVERY_NQN, NQN_LEN_MAX, Nqn, NqnError, NqnField};
pub use sgl::{Sgl, SglDescriptor};
pub use sqe::{CommandFlags, Fuse, Psdt, Sqe};
pub use status::{Status, StatusCodeType};
pub use words::{CqeWords, SqeWords};

pub use zerocopy::little_endian::{U16, U32, U64, U128};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What every wire structure of this crate is: valid for any bytes, without padding, without alignment.
pub trait Wire: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {}
impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned> Wire for T {}

/// Lends a wire structure out of the first bytes of `bytes`; `None` when there are too few.
pub fn view<T: Wire>(bytes: &[u8]) -> Option<&T> {
    T::ref_from_prefix(bytes).ok().map(|(value, _)| value)
}

/// Lends a wire structure to be written in the first bytes of `bytes`; `None` when there are too few.
pub fn view_mut<T: Wire>(bytes: &mut [u8]) -> Option<&mut T> {
    T::mut_from_prefix(bytes).ok().map(|(value, _)| value)
}

/// The bytes of a wire structure, as they travel.
pub fn bytes<T: Wire>(value: &T) -> &[u8] {
    value.as_bytes()
}

/// The bytes of a wire structure, to be written.
pub fn bytes_mut<T: Wire>(value: &mut T) -> &mut [u8] {
    value.as_mut_bytes()
}

/// Namespace id that means every namespace of the controller (Base 2.1, 3.2.1.2).
pub const NSID_ALL: u32 = 0xffff_ffff;

/// Length of a page-sized data structure (identify data and most lists).
pub const PAGE_LEN: usize = 4096;

#[cfg(test)]
mod tests;
