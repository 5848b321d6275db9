//! The kernel's rings, as far as they differ.

use super::Flight;
use doorbell_block::OpenError;
use doorbell_mem::Region;
use doorbell_sys::aio::AioRing;
use doorbell_sys::file::{Armed, FileId, FileOp, Handle, OpKind};
use doorbell_sys::uring::{UringOptions, UringRing};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// A ring of the kernel's.
pub(crate) trait Engine: Sized + 'static {
    /// Can handing it a transfer block? Then transfers ask not to.
    const MAY_BLOCK: bool;

    /// What the device chose for its rings.
    type Choice: Copy + Send + Sync + 'static;

    /// A ring for this thread.
    fn open(choice: Self::Choice, memory: &Arc<Region>) -> Result<Self, OpenError>;
    fn add(&mut self, file: &Handle) -> FileId;
    /// Lets go of a file; what is in flight on it still ends.
    fn remove(&mut self, file: FileId);
    fn supports(&self, kind: OpKind) -> bool;
    /// Bytes of one transfer, which must then lie in one segment, and cannot be asked for with durability; none for no such limit.
    fn longest(&self) -> Option<u32>;
    fn push(&mut self, flight: Flight, file: FileId, op: &FileOp) -> Result<(), Flight>;
    fn kick(&mut self);
    fn reap(&mut self, budget: u32, done: &mut Vec<(Flight, Result<u32, Errno>)>) -> u32;
    fn is_empty(&self) -> bool;
    fn fd(&self) -> BorrowedFd<'_>;
    fn arm(&mut self) -> Armed;
    fn disarm(&mut self);
}

/// Requests of one device on one reactor that the kernel has at a time. Others wait for their turn.
const DEPTHS: [u16; 3] = [512, 128, 32];

impl Engine for AioRing<Flight> {
    const MAY_BLOCK: bool = true;
    type Choice = ();

    fn open(_choice: (), _memory: &Arc<Region>) -> Result<Self, OpenError> {
        // The number of requests is limited for the whole system, so a smaller ring is better than none.
        let mut last = None;
        for depth in DEPTHS {
            match AioRing::new(depth) {
                Ok(ring) => return Ok(ring),
                Err(error) => last = Some(error),
            }
        }
        Err(OpenError::Resources(last.map(|error| error.to_string()).unwrap_or_default()))
    }

    fn add(&mut self, file: &Handle) -> FileId {
        self.add_file(file)
    }

    fn remove(&mut self, file: FileId) {
        self.remove_file(file);
    }

    fn supports(&self, kind: OpKind) -> bool {
        AioRing::<Flight>::supports(kind)
    }

    #[inline]
    fn longest(&self) -> Option<u32> {
        None
    }

    #[inline]
    fn push(&mut self, flight: Flight, file: FileId, op: &FileOp) -> Result<(), Flight> {
        AioRing::push(self, flight, file, op)
    }

    #[inline]
    fn kick(&mut self) {
        AioRing::kick(self);
    }

    #[inline]
    fn reap(&mut self, budget: u32, done: &mut Vec<(Flight, Result<u32, Errno>)>) -> u32 {
        AioRing::reap(self, budget, &mut |flight, result| done.push((flight, result)))
    }

    fn is_empty(&self) -> bool {
        AioRing::is_empty(self)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        AioRing::fd(self)
    }

    fn arm(&mut self) -> Armed {
        AioRing::arm(self)
    }

    fn disarm(&mut self) {
        AioRing::disarm(self);
    }
}

/// How a device's rings of io_uring are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct UringChoice {
    /// Poll the device instead of taking interrupts.
    pub(crate) iopoll: bool,
}

/// A ring of io_uring.
pub(crate) struct Uring {
    ring: UringRing<Flight>,
    polled: bool,
}

/// What a device is polled for at a time. The kernel splits what is more than the device takes in one command, or lies in too many pieces,
/// and then never finds its completion (seen on Linux 6.1: the thread hangs in the kernel for good). This is below every limit of an NVMe disk.
const POLLED_BYTES: u32 = 32 << 10;

impl Engine for Uring {
    const MAY_BLOCK: bool = false;
    type Choice = UringChoice;

    fn open(choice: UringChoice, memory: &Arc<Region>) -> Result<Self, OpenError> {
        let mut last = None;
        for depth in DEPTHS {
            match UringRing::new(&UringOptions { depth, iopoll: choice.iopoll }) {
                Ok(mut ring) => {
                    // Registering makes every page of it resident, which huge pages are anyway.
                    if memory.page_size() > HUGE_FROM_BYTES
                        && let Err(error) = ring.register(memory)
                    {
                        tracing::info!(%error, "buffers are looked up with each request");
                    }
                    return Ok(Uring { ring, polled: choice.iopoll });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(OpenError::Resources(last.map(|error| error.to_string()).unwrap_or_default()))
    }

    fn add(&mut self, file: &Handle) -> FileId {
        self.ring.add_file(file)
    }

    fn remove(&mut self, file: FileId) {
        self.ring.remove_file(file);
    }

    fn supports(&self, kind: OpKind) -> bool {
        self.ring.supports(kind)
    }

    #[inline]
    fn longest(&self) -> Option<u32> {
        self.polled.then_some(POLLED_BYTES)
    }

    #[inline]
    fn push(&mut self, flight: Flight, file: FileId, op: &FileOp) -> Result<(), Flight> {
        self.ring.push(flight, file, op)
    }

    #[inline]
    fn kick(&mut self) {
        self.ring.kick();
    }

    #[inline]
    fn reap(&mut self, budget: u32, done: &mut Vec<(Flight, Result<u32, Errno>)>) -> u32 {
        self.ring.reap(budget, &mut |flight, result| done.push((flight, result)))
    }

    fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.ring.fd()
    }

    fn arm(&mut self) -> Armed {
        self.ring.arm()
    }

    fn disarm(&mut self) {
        self.ring.disarm();
    }
}

/// Pages larger than any ordinary ones.
const HUGE_FROM_BYTES: usize = 64 << 10;
