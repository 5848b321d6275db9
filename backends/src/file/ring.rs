//! One reactor's way to one file: the kernel's ring, a queue to the helper threads, and the requests that wait for room in either.
//!
//! All queues of the device on the reactor share it; requests that find no room wait in one line per queue and are let in by turns.
//! Invariants: a flight is in a ring, in exactly one line, or finished; every way out of a ring leads through [`Ring::landed`]; while it
//! is borrowed it calls nothing of `Cx` but `wake`.

use super::bounce::Bounce;
use super::device::Medium;
use super::flight::{Flight, OwnerId, Step};
use super::nowait::Learnt;
use super::status::{failed, of_errno};
use super::{Engine, Nowait};
use doorbell_block::{Abort, Armed, Cx, Done, Io, OpenError, Source, Status, Token};
use doorbell_sys::epoll::{Interest, Mode, Poller};
use doorbell_sys::file::{Armed as EngineArmed, FileId, Kind, Target};
use doorbell_sys::helper::HelperQueue;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Requests of one device on one reactor that wait for helper threads or are with them.
const HELPED: u16 = 128;
/// Bytes of the bounce buffer.
const BOUNCE_BYTES: u32 = 16 << 10;

/// A queue, as the ring knows it.
struct Owner {
    generation: u32,
    /// None once it has left.
    who: Option<Token>,
    waiting: VecDeque<Flight>,
    finished: Done,
}

pub(crate) struct Ring<E> {
    ring: E,
    helpers: HelperQueue<Flight>,
    /// The file, while there is a queue: a ring outlives its last queue for a while, and must not hold on to what was let go.
    target: Option<Arc<Target>>,
    /// Its numbers in both rings.
    file: FileId,
    helped_file: FileId,
    /// Both rings' descriptors, as one.
    descriptors: Poller,
    medium: Arc<Medium>,
    owners: Vec<Owner>,
    /// Flights in all lines of owners.
    parked: usize,
    /// Whose turn it is to be let in.
    turn: usize,
    bounce: Bounce,
    learnt_read: Learnt,
    learnt_write: Learnt,
    /// The kernel has refused to make single writes durable, or not to block.
    no_dsync: bool,
    no_nowait: bool,
    landed: Vec<(Flight, Result<u32, Errno>)>,
}

impl<E: Engine> Ring<E> {
    pub(super) fn open(cx: &mut Cx, target: &Arc<Target>, medium: &Arc<Medium>, choice: E::Choice) -> Result<Ring<E>, OpenError> {
        let resources = |error: std::io::Error| OpenError::Resources(error.to_string());
        let mut ring = E::open(choice, cx.pool().region())?;
        let mut helpers = HelperQueue::new(&medium.helpers, HELPED).map_err(resources)?;
        let (file, helped_file) = (ring.add(target.handle()), helpers.add_file(target.handle()));
        let descriptors = Poller::new().map_err(resources)?;
        descriptors.add(ring.fd(), 0, Interest::READ, Mode::Level).map_err(resources)?;
        descriptors.add(helpers.fd(), 1, Interest::READ, Mode::Level).map_err(resources)?;
        let align = medium.align;
        let buffer = match !align.is_none() {
            true => Some(cx.pool().get(BOUNCE_BYTES.max(1 << medium.shape.shift())).ok_or_else(|| {
                OpenError::Resources("no buffer is free for misaligned requests: give the reactor more of 16 KiB".into())
            })?),
            false => None,
        };
        Ok(Ring {
            ring,
            helpers,
            target: Some(target.clone()),
            file,
            helped_file,
            descriptors,
            medium: medium.clone(),
            owners: Vec::new(),
            parked: 0,
            turn: 0,
            bounce: Bounce::new(buffer, align),
            learnt_read: Learnt::default(),
            learnt_write: Learnt::default(),
            no_dsync: false,
            no_nowait: false,
            landed: Vec::with_capacity(512),
        })
    }

    /// Takes a queue in.
    pub(super) fn join(&mut self, target: &Arc<Target>, who: Token, depth: u32) -> OwnerId {
        if self.target.is_none() {
            (self.file, self.helped_file) = (self.ring.add(target.handle()), self.helpers.add_file(target.handle()));
            self.target = Some(target.clone());
        }
        let depth = depth as usize;
        let free = self.owners.iter().position(|owner| owner.who.is_none());
        let index = free.unwrap_or_else(|| {
            self.owners.push(Owner { generation: 0, who: None, waiting: VecDeque::new(), finished: Vec::new() });
            self.owners.len() - 1
        });
        let owner = &mut self.owners[index];
        owner.who = Some(who);
        owner.waiting.reserve(depth);
        owner.finished.reserve(depth);
        OwnerId { index: index as u32, generation: owner.generation }
    }

    /// Lets a queue go; nothing of it is outstanding.
    pub(super) fn leave(&mut self, id: OwnerId) {
        if let Some(owner) = self.owner(id) {
            owner.who = None;
            owner.generation = owner.generation.wrapping_add(1);
            // None, unless its owner dropped it with requests out: those are lost, and counted by the pool.
            let lost = owner.waiting.len();
            owner.waiting.clear();
            owner.finished.clear();
            self.parked -= lost;
        }
        if self.owners.iter().all(|owner| owner.who.is_none()) {
            self.ring.remove(self.file);
            self.helpers.remove_file(self.helped_file);
            self.target = None;
        }
    }

    fn owner(&mut self, id: OwnerId) -> Option<&mut Owner> {
        self.owners.get_mut(id.index as usize).filter(|owner| owner.generation == id.generation)
    }

    /// A new request, already checked.
    #[inline]
    pub(super) fn submit(&mut self, io: Box<Io>, id: OwnerId) {
        let flight = Flight::new(io, id);
        if self.parked > 0 && self.owner(id).is_some_and(|owner| !owner.waiting.is_empty()) {
            return self.park(flight, Place::Last);
        }
        if let Err(flight) = self.start(flight) {
            self.park(flight, Place::Last);
        }
    }

    #[inline]
    pub(super) fn kick(&mut self) {
        self.ring.kick();
        self.helpers.kick();
    }

    /// Hands a queue what has ended.
    #[inline]
    pub(super) fn collect(&mut self, id: OwnerId, done: &mut Done) {
        if let Some(owner) = self.owner(id) {
            done.append(&mut owner.finished);
        }
    }

    /// Gives back what waits; what the kernel has cannot be recalled.
    pub(super) fn abort(&mut self, id: OwnerId, which: Abort) {
        let asked = |flight: &Flight| which == Abort::All || which == Abort::One(flight.io.id());
        let Some(owner) = self.owner(id) else { return };
        let before = owner.waiting.len();
        let mut kept = VecDeque::with_capacity(owner.waiting.capacity());
        for mut flight in owner.waiting.drain(..) {
            if asked(&flight) {
                flight.io.status = Status::Aborted;
                owner.finished.push(flight.io);
            } else {
                kept.push_back(flight);
            }
        }
        owner.waiting = kept;
        self.parked -= before - self.owner(id).map_or(0, |owner| owner.waiting.len());
        let waiting = std::mem::take(&mut self.bounce.waiting);
        for mut flight in waiting {
            if flight.owner == id && asked(&flight) {
                flight.io.status = Status::Aborted;
                if let Some(owner) = self.owner(id) {
                    owner.finished.push(flight.io);
                }
            } else {
                self.bounce.waiting.push_back(flight);
            }
        }
    }

    fn park(&mut self, flight: Flight, place: Place) {
        let id = flight.owner;
        let Some(owner) = self.owner(id) else { return };
        match place {
            Place::First => owner.waiting.push_front(flight),
            Place::Last => owner.waiting.push_back(flight),
        }
        self.parked += 1;
    }

    /// Gives the next step of a request to the kernel; gives it back when there is no room.
    #[inline]
    fn start(&mut self, mut flight: Flight) -> Result<(), Flight> {
        if flight.step == Step::Transfer {
            if self.bounce.is_needed(&flight.io.sg) {
                return self.start_bounced(flight);
            }
            self.choose(&mut flight);
        }
        let mut op = flight.op(self.medium.shape.shift(), self.medium.zeroes);
        if let Some(longest) = self.ring.longest() {
            flight.shorten(&mut op, longest);
        }
        if flight.slow || !self.ring.supports(op.kind) {
            flight.slow = true;
            return self.helpers.push(flight, self.helped_file, &op);
        }
        self.ring.push(flight, self.file, &op)
    }

    /// Whether a transfer asks not to block, asks for durability, or goes to a helper at once.
    #[inline]
    fn choose(&mut self, flight: &mut Flight) {
        flight.dsync = flight.is_write() && flight.fua() && self.medium.needs_sync && !self.no_dsync && self.ring.longest().is_none();
        flight.nowait = false;
        if E::MAY_BLOCK && !self.medium.in_memory && !flight.slow {
            let learnt = if flight.is_write() { &mut self.learnt_write } else { &mut self.learnt_read };
            let ask = !self.no_nowait && (self.medium.nowait == Nowait::Always || learnt.ask());
            (flight.nowait, flight.slow) = (ask, !ask);
        }
    }

    #[cold]
    fn start_bounced(&mut self, mut flight: Flight) -> Result<(), Flight> {
        if self.bounce.is_busy() {
            self.bounce.waiting.push_back(flight);
            return Ok(());
        }
        self.choose(&mut flight);
        let mut op = flight.op(self.medium.shape.shift(), self.medium.zeroes);
        op.len = self.bounce.enter(&mut flight, op.len.min(u64::from(u32::MAX)) as u32).into();
        op.sg_offset = 0;
        let pushed = match flight.slow {
            true => self.helpers.push(flight, self.helped_file, &op),
            false => self.ring.push(flight, self.file, &op),
        };
        pushed.map_err(|mut flight| {
            self.bounce.leave(&mut flight, 0);
            flight
        })
    }

    /// Something came out of a ring.
    #[inline]
    fn landed(&mut self, cx: &mut Cx, mut flight: Flight, result: Result<u32, Errno>) {
        if flight.bounced {
            self.bounce.leave(&mut flight, result.unwrap_or(0));
        }
        match (flight.step, result) {
            (Step::Transfer, Ok(bytes)) => self.moved(cx, flight, bytes),
            (Step::Transfer, Err(error)) => self.not_moved(cx, flight, error),
            (Step::Range, Ok(_)) if flight.fua() && self.medium.needs_sync => self.sync(cx, flight),
            (Step::Range | Step::Sync, Ok(_)) => self.finish(cx, flight, Status::Ok),
            (_, Err(Errno::OPNOTSUPP)) if !flight.slow => {
                flight.slow = true;
                self.go_on(cx, flight);
            }
            (_, Err(error)) => {
                let status = of_errno(error, flight.io.op);
                self.finish(cx, flight, status);
            }
        }
    }

    #[inline]
    fn moved(&mut self, cx: &mut Cx, mut flight: Flight, bytes: u32) {
        if flight.nowait {
            self.learnt(&flight).taken();
        }
        flight.done += bytes;
        let all = u64::from(flight.io.blocks) << self.medium.shape.shift();
        if u64::from(flight.done) == all {
            if flight.fua() && flight.is_write() && self.medium.needs_sync && !flight.dsync {
                return self.sync(cx, flight);
            }
            return self.finish(cx, flight, Status::Ok);
        }
        if bytes == 0 {
            // The file ends before the device does: it was cut behind our back.
            let status = failed(flight.io.op);
            return self.finish(cx, flight, status);
        }
        self.go_on(cx, flight);
    }

    #[cold]
    fn not_moved(&mut self, cx: &mut Cx, mut flight: Flight, error: Errno) {
        match error {
            Errno::AGAIN if flight.nowait => {
                self.learnt(&flight).refused();
                flight.slow = true;
            }
            // One of the two flags is unknown to this file system; which, the next attempt tells.
            Errno::OPNOTSUPP if flight.nowait => {
                self.no_nowait = true;
                flight.slow = true;
            }
            Errno::OPNOTSUPP if flight.dsync => self.no_dsync = true,
            _ => {
                // What is left after a short transfer may be misaligned, when the file was cut within a block.
                let cut = error == Errno::INVAL && flight.done > 0;
                let status = if cut { failed(flight.io.op) } else { of_errno(error, flight.io.op) };
                return self.finish(cx, flight, status);
            }
        }
        self.go_on(cx, flight);
    }

    fn learnt(&mut self, flight: &Flight) -> &mut Learnt {
        if flight.is_write() { &mut self.learnt_write } else { &mut self.learnt_read }
    }

    fn sync(&mut self, cx: &mut Cx, mut flight: Flight) {
        (flight.step, flight.slow) = (Step::Sync, false);
        self.go_on(cx, flight);
    }

    /// The next step of a request that has begun: ahead of those that have not.
    fn go_on(&mut self, _cx: &mut Cx, flight: Flight) {
        if let Err(flight) = self.start(flight) {
            self.park(flight, Place::First);
        }
    }

    #[inline]
    fn finish(&mut self, cx: &mut Cx, mut flight: Flight, status: Status) {
        flight.io.status = if status.is_ok() { status } else { self.explain(status) };
        if let Some(owner) = self.owner(flight.owner) {
            owner.finished.push(flight.io);
            if let Some(who) = owner.who {
                cx.wake(who);
            }
        }
    }

    /// What an error means: a block device that was taken away has no size, and the kernel's answers for it are those of a full one.
    #[cold]
    fn explain(&self, status: Status) -> Status {
        let sizeless = |target: &Arc<Target>| target.kind() == Kind::Block && !matches!(target.current_size(), Ok(1..));
        if self.target.as_ref().is_some_and(sizeless) { Status::Gone } else { status }
    }

    fn waits(&self) -> bool {
        self.parked > 0 || !self.bounce.waiting.is_empty()
    }

    /// Does somebody wait, with nothing out whose return would let him in? The helpers, which all reactors share, had no room.
    fn is_stuck(&self) -> bool {
        self.waits() && self.ring.is_empty() && self.helpers.is_empty()
    }

    /// Lets in those who wait, by turns, until there is no room.
    #[cold]
    fn let_in(&mut self) {
        if !self.bounce.is_busy()
            && let Some(flight) = self.bounce.waiting.pop_front()
            && let Err(flight) = self.start(flight)
        {
            self.bounce.waiting.push_front(flight);
        }
        let mut refused = 0;
        while self.parked > 0 && refused < self.owners.len() {
            self.turn = (self.turn + 1) % self.owners.len();
            let next = self.owners.get_mut(self.turn).and_then(|owner| owner.waiting.pop_front());
            let Some(flight) = next else {
                refused += 1;
                continue;
            };
            self.parked -= 1;
            match self.start(flight) {
                Ok(()) => refused = 0,
                Err(flight) => {
                    self.park(flight, Place::First);
                    refused += 1;
                }
            }
        }
    }
}

enum Place {
    First,
    Last,
}

impl<E: Engine> Source for Ring<E> {
    fn reap(&mut self, cx: &mut Cx, budget: u32) -> u32 {
        let mut landed = std::mem::take(&mut self.landed);
        let mut count = 0;
        if !self.ring.is_empty() {
            count += self.ring.reap(budget, &mut landed);
        }
        if !self.helpers.is_empty() {
            count += self.helpers.reap(budget, &mut |flight, result| landed.push((flight, result)));
        }
        for (flight, result) in landed.drain(..) {
            self.landed(cx, flight, result);
        }
        self.landed = landed;
        if (count > 0 && self.waits()) || self.is_stuck() {
            self.let_in();
        }
        self.kick();
        count
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.descriptors.as_fd())
    }

    fn arm(&mut self) -> Armed {
        match (self.ring.arm(), self.helpers.arm()) {
            (EngineArmed::Armed, EngineArmed::Armed) if !self.is_stuck() => Armed::Armed,
            _ => Armed::Ready,
        }
    }

    fn disarm(&mut self) {
        self.ring.disarm();
        self.helpers.disarm();
    }

    fn busy(&self) -> bool {
        !self.ring.is_empty() || !self.helpers.is_empty() || self.waits()
    }
}
