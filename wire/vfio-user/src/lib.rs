//! vfio-user: the messages by which a virtual machine or a driver (the client) uses a PCI function that another process serves.
//!
//! Bytes in, checked values out, and back. There is no socket, no heap and no descriptor here: who receives a message tells how many
//! descriptors came with it, and the JSON of the version message is carried as bytes. All numbers are in the machine's own byte order, since
//! both sides are on one machine.
//!
//! A message is a [`Header`] and a body. A server decodes the body with [`Request::decode`] and answers with [`Header::reply`] and the
//! `encode` of the same structure; a client encodes the structure and decodes the answer with its `decode`. Each structure has one form for
//! request and answer, as the protocol has.
//!
//! Invariants: no input makes anything here panic; whatever decodes has sizes, counts and ranges that fit what came with it; `decode` of what
//! `encode` made gives the same value.
//!
//! References are to sections of the vfio-user protocol specification, version 0.9.2, as QEMU keeps it among its interoperability documents
//! ("vfio-user, DMA map"); where implementations differ from the text the item says so.
//!
//! ```
//! use doorbell_wire_vfio_user::*;
//!
//! // The client asks for a register.
//! let access = RegionAccess { offset: 0x14, region: region::BAR0, count: 4 };
//! let header = Header::request(7, Command::REGION_READ, RegionAccess::LEN).unwrap();
//! let message = [&header.encode()[..], &access.encode()].concat();
//!
//! // The server reads it, and answers.
//! let (asked, body) = Header::decode(&message).unwrap();
//! assert_eq!(asked.body_len(4096), Ok(body.len()));
//! assert_eq!(Request::decode(asked.command, body), Ok(Request::RegionRead(access)));
//! let answer = [&asked.reply(20).unwrap().encode()[..], &access.encode(), &[1, 0, 0, 0]].concat();
//!
//! // The client reads the answer.
//! let (header, body) = Header::decode(&answer).unwrap();
//! assert!(header.answers(7) && header.failure().is_none());
//! assert_eq!(RegionAccess::decode_data(body), Ok((access, &[1, 0, 0, 0][..])));
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

#[cfg(test)]
extern crate std;

mod access;
mod capability;
mod device;
mod dma;
mod field;
mod header;
mod interrupt;
mod malformed;
mod migrate;
mod request;
mod version;

pub use access::{MultiWrite, RegionAccess, WriteMulti};
pub use capability::{Area, Capabilities, Capability, SPARSE_MMAP, SparseMmap, sparse_len};
pub use device::{DeviceInfo, DeviceInfoFlags, RegionInfo, RegionInfoFlags, RegionIoFds, region};
pub use dma::{DirtyBitmap, DmaAccess, DmaMap, DmaMapFlags, DmaUnmap, DmaUnmapFlags};
pub use header::{Command, Header, HeaderFlags};
pub use interrupt::{IrqAction, IrqData, IrqInfo, IrqInfoFlags, SetIrqs, irq};
pub use malformed::{Malformed, errno};
pub use migrate::{DeviceFeature, MigrationData};
pub use request::Request;
pub use version::{Version, limit};

#[cfg(test)]
mod tests;
