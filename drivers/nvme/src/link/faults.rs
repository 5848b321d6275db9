//! Faults on purpose: a link around another whose commands end as an operator asked for.
//!
//! A pair has it around its link only once something was asked for, so that nothing is looked at otherwise. What was asked for is shared by
//! all queues of a kind, and so is its count. What is held counts as in flight; while something is, its reactor does not sleep.

use super::{AnyLink, Completed, Flight, Link, Lost, Place, Stage};
use crate::shared::lock;
use doorbell_block::{Armed, IoId, Ticks};
use doorbell_pci::PciError;
use doorbell_pci::queue::Refusal;
use doorbell_wire_nvme::{Cid, Cqe, Sqe, Status};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Which of a controller's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// The admin queue.
    Admin,
    /// Its I/O queues.
    Io,
}

/// How commands of one opcode are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The opcode.
    pub opcode: u8,
    /// The controller gets them first; those that succeed there end with `status`. Otherwise it hears nothing of them.
    pub is_sent: bool,
    /// How long they are held, in nanoseconds, before they end.
    pub delay_ns: u64,
    /// How many, over all queues of the kind.
    pub count: u32,
    /// How they end.
    pub status: Status,
}

/// What was asked for of the queues of a kind: one thing for each opcode.
#[derive(Default)]
pub(crate) struct Faults {
    any: AtomicBool,
    all: Mutex<Vec<Fault>>,
}

impl Faults {
    /// Sets what happens to an opcode, in place of what was set before.
    pub(crate) fn set(&self, fault: Fault) {
        let mut all = lock(&self.all);
        all.retain(|f| f.opcode != fault.opcode);
        all.push(fault);
        self.any.store(true, Ordering::Release);
    }

    /// Forgets an opcode. False when nothing was set for it.
    pub(crate) fn clear(&self, opcode: u8) -> bool {
        let mut all = lock(&self.all);
        let before = all.len();
        all.retain(|f| f.opcode != opcode);
        self.any.store(!all.is_empty(), Ordering::Release);
        all.len() < before
    }

    /// Is something set? What is used up is not.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Is a command to end this way, without being taken off the count?
    fn waits_for(&self, opcode: u8) -> bool {
        self.any() && lock(&self.all).iter().any(|f| f.opcode == opcode && f.is_sent)
    }

    /// What is to happen to a command now; it is taken off the count.
    fn take(&self, opcode: u8, is_sent: bool) -> Option<Fault> {
        if !self.any() {
            return None;
        }
        let mut all = lock(&self.all);
        let at = all.iter().position(|f| f.opcode == opcode && f.is_sent == is_sent)?;
        let fault = all.get_mut(at)?;
        fault.count = fault.count.saturating_sub(1);
        let taken = *fault;
        if taken.count == 0 {
            all.swap_remove(at);
            self.any.store(!all.is_empty(), Ordering::Release);
        }
        Some(taken)
    }
}

/// The identifier that what is held is shown under: the controller knows no such command.
const NOBODY: Cid = Cid(0xffff);

/// A link whose commands end as `Faults` says.
pub(crate) struct FaultyLink {
    inner: AnyLink,
    faults: Arc<Faults>,
    /// With the controller, and to be looked at when they come back: their opcodes.
    watched: Vec<(IoId, u8)>,
    /// Ended, and given back when it is time.
    held: Vec<(Ticks, Completed)>,
}

impl FaultyLink {
    pub(crate) fn around(inner: AnyLink, faults: Arc<Faults>) -> FaultyLink {
        FaultyLink { inner, faults, watched: Vec::new(), held: Vec::new() }
    }

    fn hold(&mut self, flight: Flight, status: Status, due: Ticks) {
        self.held.push((due, Completed { flight, cqe: Cqe::new(NOBODY, status) }));
    }

    fn watch(&mut self, io: IoId, opcode: u8) {
        if self.faults.waits_for(opcode) {
            self.watched.push((io, opcode));
        }
    }

    fn watch_no_more(&mut self, io: IoId) -> Option<u8> {
        let at = self.watched.iter().position(|(id, _)| *id == io)?;
        Some(self.watched.swap_remove(at).1)
    }

    /// A command is back: as it is, or held. SPDK's way: one that failed by itself is left alone.
    fn back(&mut self, now: Ticks, mut completed: Completed, done: &mut Vec<Completed>) {
        let opcode = self.watch_no_more(completed.flight.io.id()).filter(|_| completed.cqe.status().is_ok());
        let Some(fault) = opcode.and_then(|opcode| self.faults.take(opcode, true)) else { return done.push(completed) };
        completed.cqe = Cqe::new(NOBODY, fault.status);
        match fault.delay_ns {
            0 => done.push(completed),
            ns => self.held.push((now.after(ns), completed)),
        }
    }
}

impl Link for FaultyLink {
    fn connect(&mut self, place: Place) -> Result<(), PciError> {
        self.inner.connect(place)
    }

    fn stage(&self) -> Stage {
        self.inner.stage()
    }

    fn has_room(&self) -> bool {
        self.inner.has_room()
    }

    fn submit(&mut self, flight: Flight, sqe: &Sqe) -> Result<(), (Flight, Refusal)> {
        if let Some(fault) = self.faults.take(sqe.opcode, false) {
            let due = flight.since.after(fault.delay_ns);
            self.hold(flight, fault.status, due);
            return Ok(());
        }
        let io = flight.io.id();
        self.inner.submit(flight, sqe)?;
        self.watch(io, sqe.opcode);
        Ok(())
    }

    fn submit_pair(&mut self, first: (Flight, &Sqe), second: (Flight, &Sqe)) -> Result<(), (Flight, Flight, Refusal)> {
        let ((a, first), (b, second)) = (first, second);
        // Neither is done without the other.
        let faults = [first, second].map(|sqe| self.faults.take(sqe.opcode, false));
        if let Some(delay_ns) = faults.iter().flatten().map(|f| f.delay_ns).max() {
            let due = a.since.after(delay_ns);
            for (flight, fault) in [a, b].into_iter().zip(faults) {
                self.hold(flight, fault.map_or(Status::ABORTED_FAILED_FUSED, |f| f.status), due);
            }
            return Ok(());
        }
        let ids = [a.io.id(), b.io.id()];
        self.inner.submit_pair((a, first), (b, second))?;
        for (io, sqe) in ids.into_iter().zip([first, second]) {
            self.watch(io, sqe.opcode);
        }
        Ok(())
    }

    fn kick(&mut self) {
        self.inner.kick();
    }

    fn reap(&mut self, now: Ticks, budget: u32, done: &mut Vec<Completed>) -> Result<u32, Lost> {
        let before = done.len();
        for (_, completed) in self.held.extract_if(.., |(due, _)| *due <= now) {
            done.push(completed);
        }
        let mut back = Vec::new();
        let reaped = self.inner.reap(now, budget, &mut back);
        for completed in back {
            self.back(now, completed, done);
        }
        reaped.map(|n| n.max((done.len() - before) as u32))
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight() + self.held.len()
    }

    fn is_busy(&self) -> bool {
        self.inner.is_busy() || !self.held.is_empty()
    }

    fn each(&self, show: &mut dyn FnMut(Cid, &Flight)) {
        self.inner.each(show);
        self.held.iter().for_each(|(_, held)| show(NOBODY, &held.flight));
    }

    fn reclaim(&mut self) -> Option<Vec<Flight>> {
        let mut back = self.inner.reclaim()?;
        self.watched.clear();
        back.extend(self.held.drain(..).map(|(_, held)| held.flight));
        Some(back)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }

    fn arm(&mut self) -> Armed {
        // Nothing becomes readable when a delay ends.
        let armed = self.inner.arm();
        if self.held.is_empty() { armed } else { Armed::Ready }
    }

    fn disarm(&mut self) {
        self.inner.disarm();
    }
}
