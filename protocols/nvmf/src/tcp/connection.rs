//! One connection: its life, and what a run of it does.

use super::receive::Receiving;
use super::request::{Requests, Step};
use super::send::Sending;
use super::shutdown::Shutdown;
use super::wire::Wire;
use crate::controller::Controller;
use crate::namespaces::Namespaces;
use crate::target::{Ending, Seat, Target, Traffic, Where, wake};
use crate::{Association, Snapshot, Subsystem};
use doorbell_block::{ConsumerId, Cx, Done, Events, Ticks, Token};
use doorbell_wire_nvme_tcp::{self as pdu, ControllerOffer};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What the connections of a group have in common.
pub(super) struct Shared {
    pub(super) me: ConsumerId,
    pub(super) target: Target,
    pub(super) seat: Arc<Seat>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) namespaces: Namespaces,
    /// What an admin command has for its host.
    pub(super) page: Vec<u8>,
    pub(super) count: Count,
    /// Connections that are looked at in every turn.
    pub(super) spinning: u32,
    pub(super) log: super::group::LogLimit,
    pub(super) done: Done,
}

/// What a group has done, for its reactor alone; others see what was published last.
#[derive(Default)]
pub(super) struct Count {
    /// I/O commands answered.
    pub(super) completed: u64,
    /// Receiving system calls.
    pub(super) receives: u64,
    /// Sending system calls.
    pub(super) sends: u64,
    /// Bytes copied between the receive and their place.
    pub(super) copied_bytes: u64,
}

/// What a connection has become by Connect.
pub(super) enum Queue {
    /// Nothing yet.
    None,
    /// The admin queue, which owns its controller.
    Admin(Box<Controller>),
    /// An I/O queue.
    Io {
        association: Arc<Association>,
        /// Index of the subsystem among the group's.
        attached: u32,
    },
}

/// How far its life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Served.
    Open,
    /// What is to be sent is sent, then it ends; nothing more is taken in.
    Finishing,
    /// All is sent; what the peer still sends is thrown away, so that the kernel does not reset what it has not read yet.
    Draining,
    /// Closed. It stays until its boxes are back.
    Closed,
}

pub(crate) struct Connection {
    pub(super) index: u32,
    pub(super) token: Token,
    pub(super) wire: Box<dyn Wire>,
    pub(super) codec: pdu::Connection,
    pub(super) id: u64,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) life: Life,
    pub(super) queue: Queue,
    pub(super) qid: u16,
    /// The controller's epoch to which an I/O queue belongs.
    pub(super) epoch: u64,
    pub(super) flow_control: bool,
    pub(super) sq_head: u16,
    /// What its commands have moved.
    pub(super) traffic: Arc<Traffic>,
    pub(super) requests: Requests,
    pub(super) rx: Receiving,
    pub(super) tx: Sending,
    /// Boxes that are at a device.
    pub(super) at_device: u32,
    /// The first of a fused pair, whose second has to come next.
    pub(super) fused: Option<u16>,
    /// Writes that wait to be asked for, and bytes asked for.
    pub(super) unasked: VecDeque<u16>,
    pub(super) asked_bytes: u32,
    /// Commands that wait for a box or buffers.
    pub(super) parked: VecDeque<u16>,
    /// It was refused boxes or buffers in this run.
    pub(super) lacks: bool,
    /// So it was in the run before.
    lacked: bool,
    /// Its peer has taken nothing for so long that it goes if others suffer from that.
    pub(super) suspect: bool,
    /// When the host was heard last, and when to look again.
    pub(super) heard: Ticks,
    /// It has been given a second keep-alive time, since what it sent waits for a buffer.
    pub(super) excused: bool,
    pub(super) timer: Ticks,
    deadline: Ticks,
    /// When to look whether data is overdue; never while none was asked for since the last look.
    data_look: Ticks,
    spin_until: Ticks,
    spinning: bool,
    /// A shutdown that the host has announced (admin queue).
    pub(super) shutdown: Option<Shutdown>,
    /// Abort commands under way (admin queue).
    pub(super) aborts: usize,
    /// It has left its controller.
    left: bool,
}

/// Never.
const NEVER: Ticks = Ticks(u64::MAX);
/// How long a peer may take to close after it was told why.
const DRAIN_NS: u64 = 1_000_000_000;
/// Connections that are looked at in every turn; more are left to epoll, which looks at all of them at once.
const SPINNING_MAX: u32 = 8;

impl Connection {
    pub(super) fn new(
        cx: &mut Cx,
        index: u32,
        token: Token,
        wire: Box<dyn Wire>,
        ends: (SocketAddr, SocketAddr),
        shared: &Shared,
        id: u64,
    ) -> Connection {
        let options = &shared.snapshot.options;
        let offer = ControllerOffer {
            cpda: 0,
            header_digest: options.header_digest,
            data_digest: options.data_digest,
            max_h2c_data: options.max_io_bytes,
            max_capsule_data: ADMIN_CAPSULE,
        };
        let deadline = cx.now().after(options.handshake_timeout_ns);
        let (local, peer) = ends;
        cx.wake_at(token, deadline);
        cx.wake(token);
        Connection {
            index,
            token,
            wire,
            codec: pdu::Connection::controller(offer),
            id,
            local,
            peer,
            life: Life::Open,
            queue: Queue::None,
            qid: 0,
            epoch: 0,
            flow_control: true,
            sq_head: 0,
            traffic: Arc::default(),
            requests: Requests::new(1),
            rx: Receiving::default(),
            tx: Sending::default(),
            at_device: 0,
            fused: None,
            unasked: VecDeque::new(),
            asked_bytes: 0,
            parked: VecDeque::new(),
            lacks: false,
            lacked: false,
            suspect: false,
            heard: cx.now(),
            excused: false,
            shutdown: None,
            timer: deadline,
            deadline,
            data_look: NEVER,
            spin_until: Ticks(0),
            spinning: false,
            aborts: 0,
            left: false,
        }
    }

    pub(super) fn here(&self, cx: &Cx) -> Where {
        Where { reactor: cx.reactor(), token: self.token }
    }

    pub(super) fn is_open(&self) -> bool {
        self.life == Life::Open
    }

    pub(super) fn is_gone(&self) -> bool {
        self.life == Life::Closed && self.at_device == 0
    }

    pub(super) fn association(&self) -> Option<&Arc<Association>> {
        match &self.queue {
            Queue::None => None,
            Queue::Admin(c) => Some(&c.association),
            Queue::Io { association, .. } => Some(association),
        }
    }

    /// The handshake is over.
    pub(super) fn connected(&mut self) {
        self.deadline = NEVER;
    }

    /// One of its wakes came.
    pub(super) fn run(&mut self, cx: &mut Cx, shared: &mut Shared, scratch: &mut [u8]) {
        let events = self.wire.events(cx, self.token);
        if events.any(Events::WRITABLE) {
            self.tx.room_again();
        }
        if events.any(Events::READABLE.with(Events::HANGUP)) {
            self.rx.readable = true;
        }
        match self.life {
            Life::Open => self.serve(cx, shared, scratch),
            Life::Finishing | Life::Draining | Life::Closed => {}
        }
        self.flush(cx, shared);
        self.wind_down(cx, shared, scratch);
    }

    fn serve(&mut self, cx: &mut Cx, shared: &mut Shared, scratch: &mut [u8]) {
        if self.association().is_some_and(|a| a.has_ended() || (self.qid != 0 && a.epoch() != self.epoch)) {
            return self.close(cx, shared, "its controller has ended");
        }
        self.read_mail(cx, shared);
        if cx.now() >= self.timer {
            self.look_at_time(cx, shared);
        }
        if self.timer != NEVER {
            // The earliest timer of a token stands: once it has fired the later one has to be set again.
            cx.wake_at(self.token, self.timer);
        }
        self.lacks = false;
        // Those that waited go before what has come since.
        self.resume(cx, shared);
        let traffic = self.receive(cx, shared, scratch);
        if self.life == Life::Open {
            self.ask(cx, shared);
            self.note_lack(shared);
            self.spin(cx, shared, traffic);
            if shared.snapshot.ending == Ending::Graceful && self.is_idle() {
                self.life = Life::Finishing;
            }
        }
    }

    /// Counts how often one came to lack boxes or buffers.
    fn note_lack(&mut self, shared: &Shared) {
        if self.lacks && !self.lacked {
            let waits = &shared.seat.counters.waits;
            waits.store(waits.load(Relaxed) + 1, Relaxed);
        }
        self.lacked = self.lacks;
    }

    /// Does it lack boxes or buffers, though its peer takes what it gets?
    pub(super) fn suffers(&self, cx: &Cx, patience_ns: u64) -> bool {
        self.lacks && self.is_open() && self.tx.stalled_since().is_none_or(|since| cx.now().since(since) < patience_ns / 2)
    }

    /// Looks again next turn while there was traffic a moment ago.
    fn spin(&mut self, cx: &mut Cx, shared: &mut Shared, traffic: bool) {
        if traffic {
            self.spin_until = cx.now().after(shared.snapshot.options.spin_ns);
        }
        let wanted = cx.now() < self.spin_until && (self.spinning || shared.spinning < SPINNING_MAX);
        if wanted != self.spinning {
            self.spinning = wanted;
            shared.spinning = if wanted { shared.spinning + 1 } else { shared.spinning.saturating_sub(1) };
        }
        if wanted {
            // Tries the socket without asking epoll first.
            self.rx.readable = true;
            cx.wake(self.token);
        }
    }

    fn look_at_time(&mut self, cx: &mut Cx, shared: &mut Shared) {
        let now = cx.now();
        self.timer = NEVER;
        if now >= self.deadline {
            return self.close(cx, shared, "it did not connect in time");
        }
        if self.deadline != NEVER {
            self.timer = self.deadline;
        }
        self.look_at_peer(cx, shared);
        if let Queue::Admin(c) = &self.queue
            && let Some(ns) = c.keep_alive_ns()
        {
            if self.is_held_up() && !self.excused && now >= self.heard.after(ns) {
                // Its keep-alive may lie behind what waits for a buffer of ours: once more, and no longer.
                (self.heard, self.excused) = (now, true);
            }
            let expires = self.heard.after(ns);
            self.timer = self.timer.min(expires);
            if now >= expires {
                return self.close(cx, shared, "its keep-alive timer has expired");
            }
        }
        if now >= self.data_look {
            self.look_at_data(cx, shared);
        }
        self.timer = self.timer.min(self.data_look);
    }

    /// The host owes data from now on: makes sure that somebody looks whether it comes.
    #[inline]
    pub(super) fn owed(&mut self, cx: &mut Cx, shared: &Shared) {
        let limit_ns = shared.snapshot.options.data_timeout_ns;
        if self.data_look == NEVER && limit_ns > 0 {
            self.data_look = cx.now().after(limit_ns);
            self.timer = self.timer.min(self.data_look);
            cx.wake_at(self.token, self.timer);
        }
    }

    /// Ends a connection that holds buffers for data which does not come: only so long may a host have them for nothing.
    fn look_at_data(&mut self, cx: &mut Cx, shared: &mut Shared) {
        let (now, limit_ns) = (cx.now(), shared.snapshot.options.data_timeout_ns);
        let held_up = self.is_held_up();
        self.data_look = match self.requests.owed_since() {
            // What is not read yet may be the data.
            Some(_) if held_up => now.after(limit_ns),
            Some(since) if now >= since.after(limit_ns) => return self.close(cx, shared, "the data of its commands does not come"),
            Some(since) => since.after(limit_ns),
            None => NEVER,
        };
    }

    /// Who takes nothing of what is for it holds buffers: when others suffer from that, the group lets it go. Its host has given these
    /// commands up by then.
    fn look_at_peer(&mut self, cx: &Cx, shared: &Shared) {
        let patience = shared.snapshot.options.send_timeout_ns;
        let Some(since) = self.tx.stalled_since().filter(|_| patience > 0) else { return };
        let until = since.after(patience);
        self.suspect = cx.now() >= until;
        self.timer = self.timer.min(until.max(cx.now().after(patience / 4)));
    }

    /// The peer takes nothing for the moment: looks again when its time is up.
    #[cold]
    fn time_peer(&mut self, cx: &mut Cx, shared: &Shared) {
        let patience = shared.snapshot.options.send_timeout_ns;
        let until = cx.now().after(patience);
        if patience > 0 && until < self.timer {
            self.timer = until;
            cx.wake_at(self.token, until);
        }
    }

    /// Nothing under way but event requests, and nothing to send.
    fn is_idle(&mut self) -> bool {
        let held = match &self.queue {
            Queue::Admin(_) => self.requests.iter_mut().filter(|r| r.step == Step::Held).count(),
            _ => 0,
        };
        self.requests.active() == held && self.tx.is_empty()
    }

    pub(super) fn flush(&mut self, cx: &mut Cx, shared: &mut Shared) {
        if matches!(self.life, Life::Closed | Life::Draining) {
            return;
        }
        let held = self.tx.held().boxes();
        match self.tx.flush(cx, &mut *self.wire, &mut shared.count.sends) {
            Ok(true) => {
                // What it lacks may be what it has just given back.
                if self.tx.has_more() || (self.lacks && self.tx.held().boxes() < held) {
                    cx.wake(self.token);
                }
                if self.tx.stalled_since().is_some() {
                    self.time_peer(cx, shared);
                }
            }
            Ok(false) => self.close(cx, shared, "the host is gone"),
            Err(error) => {
                tracing::warn!(connection = self.id, peer = %self.peer, %error, "cannot send");
                self.close(cx, shared, "sending failed");
            }
        }
    }

    /// After its last words: waits for the peer to close, a moment at most.
    fn wind_down(&mut self, cx: &mut Cx, shared: &mut Shared, scratch: &mut [u8]) {
        if self.life == Life::Finishing && (self.tx.is_empty() || cx.now() >= self.deadline) {
            self.wire.finish();
            self.life = Life::Draining;
            self.leave(cx, shared);
            self.deadline = cx.now().after(DRAIN_NS);
        }
        if matches!(self.life, Life::Finishing | Life::Draining) && self.deadline != NEVER {
            cx.wake_at(self.token, self.deadline);
        }
        if self.life == Life::Draining && (cx.now() >= self.deadline || self.throw_away(shared, scratch)) {
            self.close(cx, shared, "it was told why");
        }
    }

    /// Ends after what is to be sent has been sent.
    pub(super) fn finish(&mut self, cx: &mut Cx) {
        self.life = Life::Finishing;
        self.deadline = cx.now().after(DRAIN_NS);
        cx.wake(self.token);
    }

    /// Ends at once. Boxes that are at a device come back to it all the same.
    pub(super) fn close(&mut self, cx: &mut Cx, shared: &mut Shared, why: &str) {
        if self.life == Life::Closed {
            return;
        }
        self.life = Life::Closed;
        self.leave(cx, shared);
        let host = self.association().map_or("", |a| a.host_nqn.as_str()).to_string();
        if shared.log.allow(cx.now(), self.peer.ip()) {
            tracing::info!(connection = self.id, peer = %self.peer, %host, qid = self.qid, why, "NVMe/TCP connection closed");
        }
        self.wire.finish();
        self.wire.unwatch(cx);
        if std::mem::take(&mut self.spinning) {
            shared.spinning = shared.spinning.saturating_sub(1);
        }
        self.tx.drop_all(cx);
        for r in self.requests.iter_mut() {
            if let Some(io) = r.io.take() {
                cx.put_io(io);
            }
            match r.id {
                Some(id) if r.step == Step::AtDevice => shared.namespaces.abort(cx, r.queue, id),
                _ => {}
            }
        }
        if let Some(ended) = self.shutdown.take() {
            self.leave_shutdown(cx, shared, ended);
        }
        if let Queue::Io { attached, .. } = self.queue {
            shared.namespaces.detach(cx, shared.me, &shared.snapshot, attached);
        }
        self.queue = Queue::None;
        cx.wake(self.token);
    }

    /// Leaves its controller, and ends it when this is its admin queue.
    fn leave(&mut self, cx: &mut Cx, shared: &mut Shared) {
        let here = self.here(cx);
        let Some(association) = self.association().filter(|_| !self.left).cloned() else { return };
        self.left = true;
        if self.qid == 0 {
            for at in association.end(Some(here)) {
                wake(cx, at);
            }
        }
        shared.target.registry().leave(&association, self.qid);
        let counters = &shared.seat.counters;
        let counter = if self.qid == 0 { &counters.admin_queues } else { &counters.io_queues };
        let _ = counter.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
    }

    /// A new snapshot.
    pub(super) fn refresh(&mut self, cx: &mut Cx, shared: &mut Shared) {
        let snapshot = shared.snapshot.clone();
        if snapshot.ending == Ending::Hard {
            return self.close(cx, shared, "the target stops");
        }
        if !self.is_open() {
            return;
        }
        cx.wake(self.token);
        let Some(association) = self.association() else { return };
        let view = snapshot.by_id(association.subsystem).cloned();
        let Some(view) = view.filter(|v| allowed(v, association, self.local)) else {
            return self.close(cx, shared, "it is not served here any more");
        };
        if let Queue::Admin(controller) = &mut self.queue {
            controller.update(view, &snapshot);
            self.tell_events();
        }
    }
}

/// May the host of this controller still be here?
fn allowed(view: &Subsystem, association: &Association, local: SocketAddr) -> bool {
    view.admits(&association.host_nqn) && view.reached_at(local)
}

/// In-capsule data of an admin queue, in bytes (TCP 1.1, 3.5.1).
pub(super) const ADMIN_CAPSULE: u32 = 8192;
