//! The vocabulary of block I/O: requests, queues, devices, and what one turn of a reactor offers.
//!
//! It holds no loop and no thread (that is `doorbell-reactor`) and no policy (that is `doorbell-bdev`). Five words: a **box** ([`Io`]) is a
//! request that moves; a **queue** ([`BlockQueue`]) takes boxes and gives each back once; a **device** ([`BlockDevice`]) opens queues; a
//! **source** ([`Source`]) is what the outside world makes ready; a **token** ([`Token`]) names whoever is to be woken.
//!
//! ```
//! use doorbell_block::{BlockQueue, Cx, Io, Op, Status, Token};
//!
//! /// A queue that answers every request in its next poll.
//! struct Null { token: Token, taken: Vec<Box<Io>> }
//!
//! impl BlockQueue for Null {
//!     fn submit(&mut self, cx: &mut Cx, io: Box<Io>) {
//!         self.taken.push(io);
//!         cx.wake(self.token);
//!     }
//!     fn kick(&mut self, _cx: &mut Cx) {}
//!     fn poll(&mut self, _cx: &mut Cx, done: &mut Vec<Box<Io>>) {
//!         done.append(&mut self.taken);
//!     }
//! }
//!
//! let mut cx = Cx::for_test(1, 4096, 1);
//! let token = cx.token(doorbell_block::ConsumerId(0));
//! let mut queue = Null { token, taken: vec![] };
//! let (mut io, buffer) = cx.request(4096).unwrap();
//! (io.op, io.lba, io.blocks) = (Op::Write, 0, 8);
//! io.sg.push(buffer);
//! queue.submit(&mut cx, io);
//! queue.kick(&mut cx);
//! let mut done = vec![];
//! queue.poll(&mut cx, &mut done);
//! let io = done.pop().unwrap();
//! assert_eq!(io.status, Status::Ok);
//! cx.put_io(io);
//! assert_eq!(cx.boxes_out(), 0);
//! ```
#![forbid(unsafe_code)]

mod cx;
mod device;
mod io;
mod metadata;
mod shape;
mod status;
mod token;
mod zone;

pub use cx::{
    Address, Changes, Consumer, ConsumerId, Cx, CxParts, Layer, Mail, Message, Newcomer, Port, ReactorId, SendError, Ticks, Timers, Turn,
};
pub use device::{
    Abort, AtomicUnits, BlockDevice, BlockQueue, DeviceId, DeviceInfo, Done, Limits, OpenError, Preferred, ReadAfterUnmap, WriteCache,
};
pub use io::{FRAMES, Flags, Io, IoId, Op, OpSet};
pub use metadata::{Guard, Metadata, Protection, ProtectionType};
pub use shape::Shape;
pub use source::{Armed, Source};
pub use status::Status;
pub use token::{Events, Token};
pub use zone::{Zone, ZoneKind, ZoneState, Zones};

mod source;
