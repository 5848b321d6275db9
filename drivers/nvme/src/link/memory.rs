//! Rings in memory as a link, with an eventfd for sleep where the function has interrupts.
//!
//! While its reactor polls the interrupt is off, so that completions cost none. Turning it off and on takes a system call (over vfio-user a
//! message): it is left on after a sleep until a thousand completions have come, so that a device which is asked now and then does not pay
//! twice for each request.

use super::{Completed, Flight, Link, Lost, Place, Raw};
use crate::pair::Translate;
use doorbell_block::{Armed, Ticks};
use doorbell_mem::Leaving;
use doorbell_pci::queue::{Commands, MemoryQueue, Refusal};
use doorbell_pci::{Function, PciError};
use doorbell_sys::notice::Notice;
use doorbell_wire_nvme::{AdminOpcode, Cid, CqeWords, Sqe, SqeWords};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Completions after which an interrupt is turned off again.
const BUSY: u32 = 1024;

/// A function's interrupt, as one queue uses it.
struct Interrupt {
    vector: u32,
    notice: Notice,
    on: bool,
    /// Completions since it was turned on.
    since: u32,
}

/// Makes commands of the requests of flights.
struct Requests<'a, Tr>(&'a Tr);

impl<Tr: Translate> Commands<Flight> for Requests<'_, Tr> {
    #[inline(always)]
    fn plain(&self, flight: &Flight) -> Option<SqeWords> {
        self.0.plain(&flight.io)
    }

    fn any(&self, flight: &Flight) -> Option<SqeWords> {
        self.0.command(&flight.io)
    }
}

/// A queue pair in memory.
pub(crate) struct MemoryLink {
    pub(crate) queue: MemoryQueue<Flight>,
    function: Arc<dyn Function>,
    interrupt: Option<Interrupt>,
}

impl MemoryLink {
    /// `vector` is the queue's own interrupt, if it has one.
    pub(crate) fn new(queue: MemoryQueue<Flight>, function: Arc<dyn Function>, vector: Option<u32>) -> Result<MemoryLink, PciError> {
        let interrupt = match vector {
            Some(vector) => {
                let notice = Notice::new().map_err(|e| PciError::system(function.name(), "make an eventfd", e))?;
                // Before the device knows the queue: QEMU's looks only then whether the vector is in use.
                function.set_interrupt(vector, Some(notice.as_fd()))?;
                Some(Interrupt { vector, notice, on: true, since: 0 })
            }
            None => None,
        };
        Ok(MemoryLink { queue, function, interrupt })
    }

    /// As [`Link::submit`], for a request of which `translate` makes the command; refused also while the controller does not know the queue.
    #[inline(always)]
    pub(crate) fn put_made(&mut self, flight: Flight, translate: &impl Translate) -> Result<(), (Flight, Refusal)> {
        if !self.queue.is_connected() {
            return Err((flight, Refusal::Full));
        }
        self.queue.submit(flight, &Requests(translate))
    }

    fn put(&mut self, flight: Flight, sqe: &SqeWords) -> Result<(), (Flight, Refusal)> {
        match flight.raw.as_deref() {
            Some(&Raw { pages: Some(pages), .. }) => self.queue.submit_pages(flight, sqe, pages),
            _ => self.queue.submit(flight, sqe),
        }
    }

    /// As [`Link::reap`], each completion given to `done`.
    #[inline(always)]
    pub(crate) fn reap_each(&mut self, budget: u32, done: impl FnMut(Leaving<'_, Flight>, CqeWords)) -> u32 {
        let n = self.queue.reap(budget, done);
        if let Some(interrupt) = self.interrupt.as_mut().filter(|i| i.on) {
            interrupt.since = interrupt.since.saturating_add(n);
        }
        n
    }

    /// Is nobody waiting for anything but events, which its controller's supervisor looks for now and then?
    fn is_patient(&self) -> bool {
        self.queue.each().all(|(_, flight)| is_event_request(flight))
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        if let Some(interrupt) = self.interrupt.as_ref().filter(|i| i.on) {
            // A function that has gone has no interrupts to turn off.
            let _ = self.function.set_interrupt(interrupt.vector, None);
        }
    }
}

fn is_event_request(flight: &Flight) -> bool {
    flight.raw.as_ref().is_some_and(|raw| raw.sqe.admin_opcode() == AdminOpcode::ASYNC_EVENT_REQUEST)
}

impl Link for MemoryLink {
    fn connect(&mut self, place: Place) -> Result<(), PciError> {
        self.queue.connect(place.qid, place.dstrd, place.shadows)
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.queue.is_connected() && self.queue.has_room()
    }

    fn submit(&mut self, flight: Flight, sqe: &Sqe) -> Result<(), (Flight, Refusal)> {
        self.put(flight, &sqe.into())
    }

    fn submit_pair(&mut self, first: (Flight, &Sqe), second: (Flight, &Sqe)) -> Result<(), (Flight, Flight, Refusal)> {
        self.queue.submit_pair((first.0, &first.1.into()), (second.0, &second.1.into()))
    }

    #[inline]
    fn kick(&mut self) {
        self.queue.ring();
    }

    #[inline]
    fn reap(&mut self, _now: Ticks, budget: u32, done: &mut Vec<Completed>) -> Result<u32, Lost> {
        Ok(self.reap_each(budget, |leaving, cqe| done.push(Completed { flight: leaving.take(), cqe: cqe.into() })))
    }

    #[inline]
    fn in_flight(&self) -> usize {
        self.queue.len()
    }

    fn each(&self, show: &mut dyn FnMut(Cid, &Flight)) {
        self.queue.each().for_each(|(cid, flight)| show(Cid(cid.0), flight));
    }

    fn reclaim(&mut self) -> Option<Vec<Flight>> {
        self.queue.reclaim()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.interrupt.as_ref().map(|i| i.notice.as_fd())
    }

    fn arm(&mut self) -> Armed {
        let Some(interrupt) = &mut self.interrupt else {
            // Nothing would wake it: it is polled while there is something to wait for.
            return if self.is_patient() { Armed::Armed } else { Armed::Ready };
        };
        if !interrupt.on {
            match self.function.set_interrupt(interrupt.vector, Some(interrupt.notice.as_fd())) {
                Ok(()) => (interrupt.on, interrupt.since) = (true, 0),
                Err(_) if self.queue.each().all(|(_, f)| is_event_request(f)) => return Armed::Armed,
                Err(_) => return Armed::Ready,
            }
        }
        if self.queue.is_ready() { Armed::Ready } else { Armed::Armed }
    }

    fn disarm(&mut self) {
        let Some(interrupt) = self.interrupt.as_mut().filter(|i| i.on) else { return };
        interrupt.notice.drain();
        if interrupt.since >= BUSY && self.function.set_interrupt(interrupt.vector, None).is_ok() {
            interrupt.on = false;
        }
    }
}
