//! NVMe/TCP: the PDUs of both roles, read and written without a socket, a clock, a thread or a heap.
//!
//! A [`Connection`] knows what was agreed on and what may come. Its owner gives it the bytes that a socket gave and is
//! told which PDU they begin with and where its payload lies; the payload itself is never touched here, so that it can
//! go from the socket straight to where it belongs. For sending, the writers fill in a header (digest and padding
//! included) and the owner sends the payload after it; the data digest is a [`Crc32c`] fed segment by segment.
//! [`H2cTransfer`], [`C2hTransfer`] and [`R2tWindow`] keep the order of data within a command.
//!
//! Invariants: no input makes anything here panic; a [`Decoded::Need`] asks for one byte at least; a [`Violation`] says
//! what a Terminate Connection Request must say. Wrong *data* digests are no violation: the owner compares them and
//! fails the command with Transient Transport Error (TCP 1.1, 3.3.1.1).
//!
//! References are to the NVMe over TCP Transport Specification, revision 1.1 ("TCP 1.1").
//!
//! ```
//! use doorbell_wire_nvme::{Cid, Cqe, IoCommand, ReadWrite, Sgl, Status};
//! use doorbell_wire_nvme_tcp::*;
//!
//! let mut host = Connection::host(HostOffer { header_digest: true, ..HostOffer::default() });
//! let mut controller = Connection::controller(ControllerOffer::default());
//!
//! // The handshake.
//! let mut wire = [0; HEADER_ROOM];
//! let n = host.write_ic_req(&mut wire).unwrap();
//! assert!(matches!(controller.decode(&wire[..n]), Ok(Decoded::Pdu(Frame { pdu: Pdu::IcReq(_), .. }))));
//! let n = controller.write_ic_resp(&mut wire).unwrap();
//! assert!(matches!(host.decode(&wire[..n]), Ok(Decoded::Pdu(_))));
//! assert!(controller.agreed().header_digest && !controller.agreed().data_digest);
//!
//! // A write of one block, its data in the capsule.
//! let sqe = IoCommand::Write(ReadWrite::default()).encode().with_cid(Cid(3)).with_nsid(1)
//!     .with_sgl(Sgl::Offset { offset: 0, len: 512 });
//! let n = host.write_capsule_cmd(&mut wire, &sqe, 512).unwrap();
//! let Ok(Decoded::Pdu(frame)) = controller.decode(&wire[..n]) else { panic!() };
//! assert_eq!(frame.pdu, Pdu::CapsuleCmd(&sqe));
//! assert_eq!((frame.data_offset, frame.data_len, frame.len()), (76, 512, 588));
//!
//! // Its completion, with a bit that fell over on the way.
//! let n = controller.write_capsule_resp(&mut wire, &Cqe::new(Cid(3), Status::SUCCESS)).unwrap();
//! wire[20] ^= 1;
//! let violation = host.decode(&wire[..n]).unwrap_err();
//! assert_eq!(violation.fault.status, FatalStatus::HEADER_DIGEST);
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

#[cfg(test)]
extern crate std;

mod connection;
mod crc;
mod decode;
mod encode;
mod fault;
pub mod header;
mod pdu;
mod transfer;

pub use connection::{Agreed, Connection, ControllerOffer, Decoded, HostOffer, Phase, Role};
pub use crc::{Crc32c, DIGEST_LEN};
pub use encode::{HEADER_ROOM, TERM_ROOM};
pub use fault::{FatalStatus, Fault, Violation};
pub use pdu::{C2hData, Frame, H2cData, IcReq, IcResp, Pdu, R2t};
pub use transfer::{C2hTransfer, H2cTransfer, Progress, R2tWindow};
