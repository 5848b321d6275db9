//! A queue over NVMe/TCP, as a host (TCP 1.1).
//!
//! What it is not: it has no thread, no timer and no second try. Its owner calls `reap` and `kick`, passes the time in, and looks at
//! [`TcpLink::deadline`] while the queue connects; a connection that is lost stays lost.
//!
//! Invariants: memory of a request is written only while a receive call or a copy runs here, and only within what its segments hold and
//! where the protocol's order allows; a peer that breaks a rule is told which (Terminate Connection Request) and heard no further; after
//! that, everything in flight is there for `reclaim`.

mod failure;
mod handshake;
mod receive;
mod send;
mod slots;
mod spec;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub(crate) use spec::DEPTH_MAX;
pub use spec::{HostName, TcpOffer, TcpSpec};

use super::{Completed, Flight, Link, Lost, Stage};
use doorbell_block::{Armed, Ticks};
use doorbell_mem::Carrier;
use doorbell_pci::queue::Refusal;
use doorbell_sys::epoll::{Interest, Mode, Poller};
use doorbell_sys::socket::Stream;
use doorbell_wire_nvme::{Cid, Cqe, Sgl, Sqe, Status};
use doorbell_wire_nvme_tcp::{self as pdu, C2hTransfer, HEADER_ROOM, HostOffer, R2tWindow};
use receive::Receiving;
use send::{Flushed, Sending};
use slots::Slots;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

/// Data in a capsule of an admin queue and of fabrics commands, in bytes (TCP 1.1, 3.5.1).
const ADMIN_CAPSULE: u32 = 8192;
/// R2Ts at once of one command: several keep a long write going.
const MAX_R2T: u32 = 16;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// TCP itself.
    Dialing,
    /// ICReq is sent.
    Greeting,
    /// Connect is sent.
    Joining,
    /// Commands may go.
    Ready { cntlid: u16 },
    /// It carries nothing any more.
    Over,
}

/// How far a connection is, for its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not usable yet.
    Connecting,
    /// Usable.
    Ready {
        /// The controller that the queue belongs to.
        cntlid: u16,
    },
    /// Not any more, or never.
    Failed(Failure),
}

/// A queue over TCP.
pub(crate) struct TcpLink {
    spec: TcpSpec,
    /// Which of the addresses.
    at: usize,
    peer: SocketAddr,
    step: Step,
    failure: Option<Failure>,
    deadline: Ticks,
    /// When the address that is being tried is given up for the next.
    next_address: Ticks,
    stream: Option<Stream>,
    codec: pdu::Connection,
    slots: Slots,
    tx: Sending,
    rx: Receiving,
    /// Readable when the socket is, and when it takes more of what waits.
    poller: Poller,
    watches_room: bool,
    /// Entries of the submission queue that the controller has read, and that were put in (modulo its size).
    sq_head: u16,
    sq_tail: u16,
    /// Data in a command capsule, in bytes.
    in_capsule: u32,
}

impl TcpLink {
    /// Begins to connect.
    pub(crate) fn begin(now: Ticks, spec: TcpSpec) -> Result<TcpLink, Failure> {
        let Some(&first) = spec.addresses.first() else {
            return Err(Failure::Invalid("there is no address to connect to".to_string()));
        };
        let mut link = TcpLink::new(now, spec, first)?;
        link.dial(now);
        Ok(link)
    }

    /// Begins on a connection that exists already.
    pub(crate) fn over(now: Ticks, spec: TcpSpec, stream: Stream) -> Result<TcpLink, Failure> {
        let peer = stream.peer_addr().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut link = TcpLink::new(now, spec, peer)?;
        link.watch(&stream);
        link.stream = Some(stream);
        link.greet();
        Ok(link)
    }

    fn new(now: Ticks, spec: TcpSpec, peer: SocketAddr) -> Result<TcpLink, Failure> {
        if spec.depth == 0 || spec.depth > DEPTH_MAX {
            return Err(Failure::Invalid(format!("a queue of {} commands is not possible: 1 to {DEPTH_MAX} are", spec.depth)));
        }
        let poller = Poller::new().map_err(|e| Failure::Local { address: peer, why: e.to_string() })?;
        let o = spec.offer;
        let offer = HostOffer { hpda: o.hpda, header_digest: o.header_digest, data_digest: o.data_digest, max_r2t: MAX_R2T };
        Ok(TcpLink {
            at: 0,
            peer,
            step: Step::Dialing,
            failure: None,
            deadline: now.after(spec.connect_timeout_ns),
            next_address: now,
            stream: None,
            codec: pdu::Connection::host(offer),
            slots: Slots::new(spec.depth),
            tx: Sending::new(spec.depth.into()),
            rx: Receiving::default(),
            poller,
            watches_room: false,
            sq_head: 0,
            sq_tail: 0,
            in_capsule: if spec.qid == 0 { ADMIN_CAPSULE } else { spec.in_capsule },
            spec,
        })
    }

    /// How far it is, and why it failed.
    pub(crate) fn progress(&self) -> Progress {
        match (self.step, &self.failure) {
            (_, Some(failure)) => Progress::Failed(failure.clone()),
            (Step::Ready { cntlid }, None) => Progress::Ready { cntlid },
            _ => Progress::Connecting,
        }
    }

    /// When it has to be looked at although nothing happens: while it connects.
    pub(crate) fn deadline(&self) -> Option<Ticks> {
        match self.step {
            Step::Dialing => Some(self.next_address.min(self.deadline)),
            Step::Greeting | Step::Joining => Some(self.deadline),
            Step::Ready { .. } | Step::Over => None,
        }
    }

    /// Sets the data that fits into a command capsule of an I/O queue.
    pub(crate) fn set_in_capsule(&mut self, bytes: u32) {
        if self.spec.qid != 0 {
            self.in_capsule = bytes;
        }
    }

    /// Where it is connected to.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Calls of the system so far that sent, and that received.
    pub(crate) fn calls(&self) -> (u64, u64) {
        (self.tx.calls, self.rx.calls)
    }

    /// Bytes that have come.
    pub(crate) fn received(&self) -> u64 {
        self.rx.bytes
    }

    /// Ends it, for a reason that is told from now on. The first reason stands.
    #[cold]
    fn fail(&mut self, failure: Failure) {
        if self.failure.is_none() {
            self.failure = Some(failure);
        }
        self.step = Step::Over;
        self.rx.forget();
        self.tx.drop_all();
        if let Some(stream) = self.stream.take() {
            let _ = self.poller.remove(stream.as_fd());
            // A peer that is gone already needs no telling.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn watch(&mut self, stream: &Stream) {
        self.watches_room = true;
        if let Err(error) = self.poller.add(stream.as_fd(), 0, Interest::BOTH, Mode::Level) {
            self.fail(Failure::Local { address: self.peer, why: error.to_string() });
        }
    }

    /// Wakes for room to send as well, or no longer.
    fn watch_room(&mut self, wanted: bool) {
        if wanted == self.watches_room {
            return;
        }
        let Some(stream) = &self.stream else { return };
        let interest = if wanted { Interest::BOTH } else { Interest::READ };
        match self.poller.modify(stream.as_fd(), 0, interest, Mode::Level) {
            Ok(()) => self.watches_room = wanted,
            Err(error) => self.fail(Failure::Local { address: self.peer, why: error.to_string() }),
        }
    }

    /// Sends what there is to send, in one call if the socket takes it.
    #[inline]
    fn flush(&mut self) {
        if self.tx.is_empty() {
            return;
        }
        let Some(stream) = &self.stream else { return };
        match self.tx.flush(stream, &mut self.slots) {
            Ok(Flushed::Yes) => {}
            Ok(Flushed::Closed(how)) => self.lost(how),
            Err(error) => self.fail(Failure::Local { address: self.peer, why: error.to_string() }),
        }
    }

    #[inline]
    fn is_ready(&self) -> bool {
        matches!(self.step, Step::Ready { .. })
    }

    /// Entries of the submission queue that are free; with flow control the controller says how far it has read.
    #[inline]
    fn has_room_for(&self, n: u16) -> bool {
        let entries = u32::from(self.spec.depth) + 1;
        // With nothing in flight it has read everything, whatever it says.
        let read = if self.slots.len() == 0 { self.sq_tail } else { self.sq_head };
        let used = (u32::from(self.sq_tail) + entries - u32::from(read)) % entries;
        self.is_ready() && self.slots.has_room_for(n.into()) && used + u32::from(n) < entries
    }

    /// One entry more in the submission queue.
    #[inline]
    fn advance_tail(&mut self) {
        if self.spec.flow_control {
            self.sq_tail = if self.sq_tail == self.spec.depth { 0 } else { self.sq_tail + 1 };
        }
    }

    /// The controller says how far it has read. An answer that was overtaken says less than is known: it changes nothing.
    #[inline]
    fn note_head(&mut self, sqhd: u16) {
        if !self.spec.flow_control || sqhd > self.spec.depth {
            return;
        }
        let entries = u32::from(self.spec.depth) + 1;
        let from_head = |at: u16| (u32::from(at) + entries - u32::from(self.sq_head)) % entries;
        if from_head(sqhd) <= from_head(self.sq_tail) {
            self.sq_head = sqhd;
        }
    }

    /// Puts a command into what is sent. There is room for it, and it was checked.
    #[inline]
    fn put(&mut self, flight: Flight, sqe: &Sqe, way: Way) {
        let Some((index, cid)) = self.slots.take_free() else { return };
        let len = flight.io.sg.bytes();
        let limit = if sqe.is_fabrics() { ADMIN_CAPSULE } else { self.in_capsule };
        let (sgl, inside, outside, inwards) = match way {
            Way::Nothing => (Sgl::Transport { len: 0 }, 0, 0, 0),
            Way::Out if len <= limit => (Sgl::Offset { offset: 0, len }, len, 0, 0),
            Way::Out => (Sgl::Transport { len }, 0, len, 0),
            Way::In => (Sgl::Transport { len }, 0, 0, len),
        };
        let sqe = sqe.with_cid(cid).with_sgl(sgl);
        let codec = &self.codec;
        let told_at = self.tx.head(HEADER_ROOM, |out| codec.write_capsule_cmd(out, &sqe, inside));
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.told_at = told_at.unwrap_or(u64::MAX);
        slot.reads = C2hTransfer::new(inwards);
        slot.writes = R2tWindow::new(outside, codec.agreed().max_r2t);
        (slot.unasked, slot.unsent, slot.damaged, slot.ended) = (outside, 0, false, None);
        if inside > 0 {
            slot.unsent = 1;
            self.tx.payload(index, 0, inside, false);
            if codec.agreed().data_digest {
                self.tx.bytes(&flight.io.sg.crc32c(0, inside).to_le_bytes());
            }
        }
        slot.inwards = inwards;
        self.rx.expect(inwards);
        slot.flight = Some(flight);
        self.advance_tail();
    }

    /// A command is over. What the controller calls a success without all of the data is none.
    fn land(&mut self, index: u16, cqe: Cqe, done: &mut Vec<Completed>) {
        let Some(slot) = self.slots.get(index) else { return };
        let status = cqe.status();
        let (damaged, short, unasked) = (slot.damaged, !slot.reads.is_full(), slot.unasked > 0);
        let (received, inwards) = (slot.reads.received(), slot.inwards);
        let mut cqe = cqe;
        if status.is_ok() && (damaged || short || unasked) {
            if short && self.spec.qid == 0 && !damaged {
                // Some controllers send only what they know of a structure: the rest is zeroes, and nobody else's bytes.
                if let Some(sg) = slot.payload() {
                    sg.fill(received, sg.bytes() - received, 0);
                }
            } else if damaged || self.spec.qid != 0 {
                let status = if damaged { Status::TRANSIENT_TRANSPORT_ERROR } else { Status::DATA_TRANSFER_ERROR };
                cqe = Cqe::new(cqe.cid(), status).with_result(cqe.result()).with_sqhd(cqe.sqhd.get());
            }
        }
        let Some(flight) = self.slots.release(index) else { return };
        self.rx.expected(inwards);
        done.push(Completed { flight, cqe });
    }

    /// Completes what waited for its data to be sent.
    fn land_sent(&mut self, done: &mut Vec<Completed>) {
        while let Some(index) = self.tx.landed.pop() {
            if let Some(cqe) = self.slots.get_mut(index).and_then(|slot| slot.ended.take()) {
                self.land(index, cqe, done);
            }
        }
    }
}

/// Which way the data of a command goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Nothing,
    Out,
    In,
}

impl Way {
    /// By the command's code (Base 2.1, 3.1.3.4.1), unless TCP cannot carry it: both ways, or metadata apart from the data.
    #[inline]
    fn of(flight: &Flight, sqe: &Sqe) -> Result<Way, Refusal> {
        let code = if sqe.is_fabrics() { sqe.fctype().0 } else { sqe.opcode };
        match code & 3 {
            _ if flight.meta().is_some() => Err(Refusal::Uncarried),
            0 => Ok(Way::Nothing),
            1 => Ok(Way::Out),
            2 => Ok(Way::In),
            _ => Err(Refusal::Uncarried),
        }
    }
}

impl Link for TcpLink {
    fn stage(&self) -> Stage {
        match self.progress() {
            Progress::Connecting => Stage::Connecting,
            Progress::Ready { cntlid } => Stage::Ready { cntlid },
            Progress::Failed(failure) => Stage::Failed(failure.to_string()),
        }
    }

    #[inline]
    fn is_busy(&self) -> bool {
        self.slots.len() > 0 || !matches!(self.step, Step::Ready { .. } | Step::Over)
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.has_room_for(1)
    }

    #[inline]
    fn submit(&mut self, flight: Flight, sqe: &Sqe) -> Result<(), (Flight, Refusal)> {
        if !self.has_room_for(1) {
            return Err((flight, Refusal::Full));
        }
        match Way::of(&flight, sqe) {
            Ok(way) => self.put(flight, sqe, way),
            Err(why) => return Err((flight, why)),
        }
        Ok(())
    }

    fn submit_pair(&mut self, first: (Flight, &Sqe), second: (Flight, &Sqe)) -> Result<(), (Flight, Flight, Refusal)> {
        if !self.has_room_for(2) {
            return Err((first.0, second.0, Refusal::Full));
        }
        match (Way::of(&first.0, first.1), Way::of(&second.0, second.1)) {
            (Ok(one), Ok(two)) => {
                self.put(first.0, first.1, one);
                self.put(second.0, second.1, two);
                Ok(())
            }
            (Err(why), _) | (_, Err(why)) => Err((first.0, second.0, why)),
        }
    }

    #[inline]
    fn kick(&mut self) {
        if self.step != Step::Dialing {
            self.flush();
        }
    }

    fn reap(&mut self, now: Ticks, budget: u32, done: &mut Vec<Completed>) -> Result<u32, Lost> {
        let before = done.len();
        if !self.is_ready() {
            self.go_on(now);
        }
        if !matches!(self.step, Step::Dialing | Step::Over) {
            self.receive(budget as usize, done);
            self.flush();
            self.land_sent(done);
        }
        match &self.failure {
            // What was completed before it broke is told first.
            Some(failure) if done.len() == before => Err(failure.lost()),
            _ => Ok((done.len() - before) as u32),
        }
    }

    fn in_flight(&self) -> usize {
        self.slots.len()
    }

    fn each(&self, show: &mut dyn FnMut(Cid, &Flight)) {
        self.slots.each().for_each(|(cid, flight)| show(cid, flight));
    }

    /// Ends the connection if it is not lost already.
    fn reclaim(&mut self) -> Option<Vec<Flight>> {
        self.fail(Failure::Lost { address: self.peer, why: "it was let go".to_string() });
        Some(self.slots.reclaim())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.poller.as_fd())
    }

    fn arm(&mut self) -> Armed {
        // The set is asked for levels: what is there already ends the wait at once.
        self.watch_room(self.step == Step::Dialing || self.tx.is_full());
        if self.rx.has_more() || !self.tx.landed.is_empty() || self.step == Step::Over { Armed::Ready } else { Armed::Armed }
    }

    fn disarm(&mut self) {
        if self.step != Step::Dialing {
            self.watch_room(false);
        }
    }
}
