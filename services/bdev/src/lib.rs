//! The block device layer: names, openers and claims on one side, one queue of services over every device's queue on the other.
//!
//! A [`Registry`] knows devices by name, alias and UUID. Opening one gives a [`Handle`], itself a
//! [`BlockDevice`](doorbell_block::BlockDevice) whose queues check ranges, split, emulate what the device lacks, count, limit, time out and
//! reset. No protocol and no back end is known here.
//!
//! Invariants: a request that needs no service costs one compare, one pushed word and its counters; everything else takes the slow path, which
//! has a reserve for one unit of progress made at open. Nothing on the path of a request locks; what reactors share there is read only.
#![forbid(unsafe_code)]

mod info;
mod limits;
mod queue;
mod registry;
pub mod rpc;
mod shared;
mod stats;

pub use limits::{Limit, LimitKind};
pub use registry::{
    Access, Bdev, Change, Claim, ClaimError, ClaimKind, DriverSpecific, Event, Examiner, Handle, HeldBack, NewBdev, OpenFailed,
    RegisterError, Registry, UnregisterError,
};
pub use rpc::{BdevPart, Module};
pub use stats::{HISTOGRAM_SHIFT, Histogram, IoStat, OpStat, ResetMode};
