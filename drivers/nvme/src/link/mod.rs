//! What carries the commands of one queue: submit, kick, reap; one thread owns it.
//!
//! A link knows no namespace, retries nothing and decides nothing about a status. What is given to it comes back once: from `reap` with the
//! controller's completion, or from `reclaim` when the controller can touch none of it any more.

mod faults;
mod memory;
pub(crate) mod tcp;

pub use faults::{Fault, QueueKind};
pub(crate) use faults::{Faults, FaultyLink};
pub(crate) use memory::MemoryLink;

use doorbell_block::{Armed, Io, Ticks};
use doorbell_mem::{Carrier, SgList};
use doorbell_pci::PciError;
use doorbell_pci::queue::{Pages, Refusal, Shadow};
use doorbell_wire_nvme::{Cid, Cqe, Sqe};
use std::ops::{Deref, DerefMut};
use std::os::fd::BorrowedFd;

/// Who gave a command to a queue pair: place and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(8))] // It is moved as one word.
pub(crate) struct OwnerId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A command that is not made from its request.
#[derive(Clone, Copy)]
pub(crate) struct Raw {
    pub(crate) sqe: Sqe,
    /// Rings or shadow pages that it names.
    pub(crate) pages: Option<Pages>,
}

/// A command on its way.
pub(crate) struct Flight {
    pub(crate) io: Box<Io>,
    /// The command itself, where it is not made from the request: administration and passthrough.
    pub(crate) raw: Option<Box<Raw>>,
    pub(crate) owner: OwnerId,
    /// When it was last given to a link.
    pub(crate) since: Ticks,
    /// How often it was tried before.
    pub(crate) tries: u8,
}

impl Carrier for Flight {
    #[inline]
    fn sg(&self) -> &SgList {
        &self.io.sg
    }

    #[inline]
    fn meta(&self) -> Option<&SgList> {
        Carrier::meta(&self.io)
    }
}

/// A command that the controller has completed.
pub(crate) struct Completed {
    pub(crate) flight: Flight,
    pub(crate) cqe: Cqe,
}

/// Why a link carries nothing any more; what was in flight is reclaimed next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    /// The connection broke, or the peer ended it.
    #[error("the connection is lost: {0}")]
    Connection(String),
    /// The peer broke a rule of the protocol.
    #[error("the controller broke a rule: {0}")]
    Protocol(String),
}

/// Where a queue in memory has its doorbells.
pub(crate) struct Place {
    pub(crate) qid: u16,
    /// CAP.DSTRD.
    pub(crate) dstrd: u8,
    pub(crate) shadows: Option<(Shadow, Shadow)>,
}

/// How far a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not usable yet.
    Connecting,
    /// Usable, as a queue of this controller.
    Ready { cntlid: u16 },
    /// Not any more, or never, and why.
    Failed(String),
}

/// A queue of commands to a controller.
pub(crate) trait Link {
    /// The controller knows the queue now. Means nothing to a link that connects by itself.
    fn connect(&mut self, _place: Place) -> Result<(), PciError> {
        Ok(())
    }

    /// How far it is, for links that connect by themselves.
    fn stage(&self) -> Stage {
        Stage::Ready { cntlid: 0 }
    }

    /// Is there room for one more?
    fn has_room(&self) -> bool;

    /// Takes a command, whose identifier it chooses and whose data pointer it fills in from the segments of `flight`. Which way the data
    /// goes is in the opcode's two low bits (of the fabrics type for fabrics commands). What is refused comes back with why.
    fn submit(&mut self, flight: Flight, sqe: &Sqe) -> Result<(), (Flight, Refusal)>;

    /// Takes two commands that the controller is to find side by side (a fused pair), or neither.
    fn submit_pair(&mut self, first: (Flight, &Sqe), second: (Flight, &Sqe)) -> Result<(), (Flight, Flight, Refusal)>;

    /// Tells the controller of everything submitted since.
    fn kick(&mut self);

    /// Appends up to about `budget` completions. Says how many there were.
    fn reap(&mut self, now: Ticks, budget: u32, done: &mut Vec<Completed>) -> Result<u32, Lost>;

    /// How many are in flight.
    fn in_flight(&self) -> usize;

    /// Has it anything to do: commands in flight, a connection that is being made, bytes that did not fit?
    #[inline]
    fn is_busy(&self) -> bool {
        self.in_flight() > 0
    }

    /// Shows everything in flight.
    fn each(&self, show: &mut dyn FnMut(Cid, &Flight));

    /// Everything in flight, in the order of identifiers, once nothing of it can be touched by the controller; `None` while it may be.
    fn reclaim(&mut self) -> Option<Vec<Flight>>;

    /// What becomes readable after `arm` when there is something to reap.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// As [`doorbell_block::Source::arm`].
    fn arm(&mut self) -> Armed;

    /// As [`doorbell_block::Source::disarm`].
    fn disarm(&mut self);
}

/// The link of a pair: rings in memory by their own type, so that nothing stands between a request and its ring, the others behind the trait.
#[expect(clippy::large_enum_variant, reason = "a pair has one, and what it does most is in it")]
#[repr(u8)] // One look tells which: found in a value of another field, it takes several.
pub(crate) enum AnyLink {
    Memory(MemoryLink),
    Other(Box<dyn Link>),
}

impl AnyLink {
    pub(crate) fn other(link: impl Link + 'static) -> AnyLink {
        AnyLink::Other(Box::new(link))
    }

    /// As [`Link::is_busy`].
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        match self {
            AnyLink::Memory(link) => link.in_flight() > 0,
            AnyLink::Other(link) => link.is_busy(),
        }
    }

    /// As [`Link::kick`].
    #[inline]
    pub(crate) fn kick(&mut self) {
        match self {
            AnyLink::Memory(link) => link.kick(),
            AnyLink::Other(link) => link.kick(),
        }
    }
}

impl Deref for AnyLink {
    type Target = dyn Link;

    #[inline]
    fn deref(&self) -> &(dyn Link + 'static) {
        match self {
            AnyLink::Memory(link) => link,
            AnyLink::Other(link) => link.as_ref(),
        }
    }
}

impl DerefMut for AnyLink {
    #[inline]
    fn deref_mut(&mut self) -> &mut (dyn Link + 'static) {
        match self {
            AnyLink::Memory(link) => link,
            AnyLink::Other(link) => link.as_mut(),
        }
    }
}
