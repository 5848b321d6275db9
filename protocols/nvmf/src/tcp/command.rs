//! From a command capsule to a request that waits for its data or is ready to run.

use super::connection::{Connection, Queue, Shared};
use super::receive::Taken;
use super::request::Step;
use super::share::{Charge, may_take};
use crate::io::{self, Plan, Shape, Way};
use crate::namespaces::{Found, QueueId};
use doorbell_block::{Cx, Io, Op};
use doorbell_wire_nvme::{FabricsCommand, FabricsType, Fuse, Psdt, Sgl, Sqe, Status};
use doorbell_wire_nvme_tcp::{Fault, H2cTransfer, HEADER_ROOM, R2t};

/// Where a command's data is, by its data pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pointer {
    /// It has none.
    None,
    /// Behind the command.
    InCapsule(u32),
    /// To be asked for, or to be sent.
    Transport(u32),
}

/// Checks a data pointer against what came with the capsule.
fn pointer(sqe: &Sqe, in_capsule: u32) -> Result<Pointer, Status> {
    if sqe.flags.psdt() == Psdt::PRP {
        return Err(Status::INVALID_FIELD);
    }
    let found = match sqe.sgl() {
        Sgl::Offset { offset: 0, len } if len == in_capsule => return Ok(if len == 0 { Pointer::None } else { Pointer::InCapsule(len) }),
        Sgl::Offset { offset: 0, .. } => return Err(Status::DATA_SGL_LENGTH_INVALID),
        Sgl::Offset { .. } => return Err(Status::SGL_OFFSET_INVALID),
        Sgl::Transport { len: 0 } | Sgl::Address { len: 0, .. } => Pointer::None,
        Sgl::Transport { len } => Pointer::Transport(len),
        _ => return Err(Status::SGL_TYPE_INVALID),
    };
    // Data in the capsule that the pointer does not point at.
    if in_capsule > 0 { Err(Status::DATA_SGL_LENGTH_INVALID) } else { Ok(found) }
}

/// Which way the data of an admin or fabrics command goes: by its opcode's, or its fabrics type's, low bits (Base 2.1, 3.1.4 and 6).
fn way(sqe: &Sqe) -> Way {
    let bits = if sqe.is_fabrics() { sqe.fctype().0 } else { sqe.opcode } & 3;
    match bits {
        1 => Way::FromHost,
        2 => Way::ToHost,
        _ => Way::None,
    }
}

/// A command as it is to be carried out, or why not; `queue` is its namespace's.
struct Asked {
    plan: Plan,
    queue: QueueId,
    pointer: Pointer,
}

impl Connection {
    /// Takes a command.
    pub(super) fn capsule(&mut self, cx: &mut Cx, shared: &mut Shared, sqe: &Sqe, in_capsule: u32) -> Taken {
        if !self.is_ready() {
            return Taken::Broken(Fault::SEQUENCE);
        }
        if shared.snapshot.ending != crate::target::Ending::No {
            return Taken::Later;
        }
        let Some(slot) = self.requests.take(sqe) else {
            // More commands than its queue has entries.
            return Taken::Broken(Fault::SEQUENCE);
        };
        let asked = self.examine(shared, sqe, in_capsule);
        let taken = match asked {
            Ok(asked) => self.begin(cx, shared, slot, &asked),
            Err(status) => {
                self.pair(cx, shared, slot, sqe, false);
                self.count_in();
                self.fail(cx, shared, slot, status);
                return Taken::Yes(None);
            }
        };
        if matches!(taken, Taken::Later) {
            self.requests.give_back(slot);
        }
        taken
    }

    /// The queue's head moves on: the entry is free for the host.
    fn count_in(&mut self) {
        let depth = self.requests.depth();
        let next = usize::from(self.sq_head) + 1;
        self.sq_head = if next >= depth { 0 } else { self.sq_head + 1 };
    }

    /// Every check that needs neither data nor buffers.
    fn examine(&self, shared: &Shared, sqe: &Sqe, in_capsule: u32) -> Result<Asked, Status> {
        let pointer = pointer(sqe, in_capsule)?;
        let attached = match &self.queue {
            Queue::Io { attached, .. } if !sqe.is_fabrics() => *attached,
            _ => return self.examine_admin(shared, sqe, pointer),
        };
        if io::is_flush_all(sqe) {
            return if pointer == Pointer::None {
                Ok(Asked { plan: io::FLUSH_ALL, queue: QueueId::default(), pointer })
            } else {
                Err(Status::INVALID_FIELD.dnr())
            };
        }
        let queue = match shared.namespaces.find(attached, sqe.nsid()) {
            Found::Queue(queue) => queue,
            Found::Broken => return Err(Status::NAMESPACE_NOT_READY),
            Found::Nothing => return Err(Status::INVALID_NAMESPACE.dnr()),
        };
        let facts = shared.namespaces.facts(queue).ok_or(Status::INTERNAL_ERROR)?;
        let mut plan = io::plan(sqe, facts).map_err(Status::dnr)?;
        if plan.op == Op::Write || plan.op == Op::WriteZeroes || plan.op == Op::Copy {
            let Queue::Io { association, .. } = &self.queue else { return Err(Status::INTERNAL_ERROR) };
            if facts.volatile && association.forces_unit_access() {
                plan.flags = plan.flags.with(doorbell_block::Flags::FUA);
            }
        }
        let len = match pointer {
            Pointer::None => 0,
            Pointer::InCapsule(len) | Pointer::Transport(len) => len,
        };
        let fits = if plan.loose { len >= plan.bytes && len <= facts.longest } else { len == plan.bytes };
        let direction = plan.way != Way::None || pointer == Pointer::None;
        let capsule = !(plan.way == Way::ToHost && matches!(pointer, Pointer::InCapsule(_)));
        if plan.shape == Shape::Verify && pointer == Pointer::None {
            return Ok(Asked { plan, queue, pointer });
        }
        if !fits || !direction || !capsule {
            return Err(Status::DATA_SGL_LENGTH_INVALID.dnr());
        }
        Ok(Asked { plan, queue, pointer })
    }

    /// An admin or fabrics command: what it is about is looked at when its data is there.
    fn examine_admin(&self, shared: &Shared, sqe: &Sqe, pointer: Pointer) -> Result<Asked, Status> {
        let unknown = matches!(self.queue, Queue::None) && !(sqe.is_fabrics() && sqe.fctype() == FabricsType::CONNECT);
        if unknown {
            return Err(Status::COMMAND_SEQUENCE_ERROR.dnr());
        }
        let way = way(sqe);
        let bytes = match pointer {
            Pointer::None => 0,
            Pointer::InCapsule(len) if way == Way::FromHost => len,
            Pointer::Transport(len) if way != Way::None && len <= shared.snapshot.options.max_io_bytes => len,
            _ => return Err(Status::DATA_SGL_LENGTH_INVALID.dnr()),
        };
        Ok(Asked { plan: Plan { shape: Shape::Nothing, way, bytes, ..Plan::NOTHING }, queue: QueueId::default(), pointer })
    }

    /// Buffers what has to be buffered now.
    fn begin(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, asked: &Asked) -> Taken {
        let admin = !matches!(self.queue, Queue::Io { .. });
        let plan = asked.plan;
        let mut room = plan.bytes;
        if let Pointer::InCapsule(len) = asked.pointer {
            room = len;
        }
        let from_host = plan.way == Way::FromHost && asked.pointer != Pointer::None;
        let later = from_host && matches!(asked.pointer, Pointer::Transport(_));
        // A command that moves no data and asks nothing of a device needs no box.
        let bare = admin || plan.shape == Shape::Nothing || self.is_fabrics(slot);
        let needs_box = !later && (room > 0 || !bare || self.sets_property(slot));
        let in_capsule = matches!(asked.pointer, Pointer::InCapsule(_));
        // Data that comes at once must have a place, or nothing behind it can be looked at; it is a device's before long. Anything else
        // waits in its slot, in the order in which it came, and keeps nothing behind it waiting: the data that another command of this
        // connection waits for may be there.
        let io = match needs_box {
            true if in_capsule => match self.acquire(cx, slot, room, Limit::Pool) {
                Some(io) => Some(io),
                None => return Taken::Later,
            },
            true if self.parked.is_empty() => self.acquire(cx, slot, room, Limit::Share),
            _ => None,
        };
        let parked = needs_box && io.is_none();
        let Some(r) = self.requests.get(slot) else { return Taken::Broken(Fault::SEQUENCE) };
        (r.plan, r.queue, r.io, r.since) = (plan, asked.queue, io, cx.now());
        r.len = match asked.pointer {
            Pointer::None => 0,
            Pointer::InCapsule(len) | Pointer::Transport(len) => len,
        };
        let sqe = r.sqe;
        self.count_in();
        if !self.pair(cx, shared, slot, &sqe, true) {
            return Taken::Yes(None);
        }
        if later {
            self.set_step(slot, Step::Unasked);
            self.unasked.push_back(slot);
            return Taken::Yes(None);
        }
        if parked {
            self.set_step(slot, Step::Unasked);
            self.parked.push_back(slot);
            return Taken::Yes(None);
        }
        if from_host {
            self.set_step(slot, Step::InCapsule);
            self.owed(cx, shared);
            return Taken::Yes(Some(slot));
        }
        self.execute(cx, shared, slot);
        Taken::Yes(None)
    }

    fn is_fabrics(&mut self, slot: u16) -> bool {
        self.requests.get(slot).is_some_and(|r| r.sqe.is_fabrics())
    }

    /// May it be a shutdown, which flushes?
    fn sets_property(&mut self, slot: u16) -> bool {
        let Some(r) = self.requests.get(slot).filter(|r| r.sqe.is_fabrics()) else { return false };
        matches!(FabricsCommand::parse(&r.sqe), FabricsCommand::PropertySet(_))
    }

    pub(super) fn set_step(&mut self, slot: u16, step: Step) {
        if let Some(r) = self.requests.get(slot) {
            r.step = step;
        }
    }

    /// Keeps fused commands in pairs: the second has to follow the first at once. False when this command has been answered.
    fn pair(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, sqe: &Sqe, good: bool) -> bool {
        let first = self.fused.take();
        if sqe.fuse() == Fuse::NORMAL && first.is_none() {
            return true;
        }
        let io_queue = matches!(self.queue, Queue::Io { .. });
        match (sqe.fuse(), first) {
            (Fuse::FIRST, None) if good && io_queue => {
                self.fused = Some(slot);
                true
            }
            (Fuse::SECOND, Some(first)) if good && self.are_pair(first, slot) => {
                if let Some(r) = self.requests.get(first) {
                    r.partner = Some(slot);
                }
                if let Some(r) = self.requests.get(slot) {
                    r.partner = Some(first);
                }
                true
            }
            (fuse, first) => {
                if let Some(first) = first {
                    self.abandon(cx, shared, first, Status::ABORTED_MISSING_FUSED);
                }
                if fuse != Fuse::NORMAL && good {
                    self.abandon(cx, shared, slot, Status::ABORTED_MISSING_FUSED);
                    return false;
                }
                true
            }
        }
    }

    fn are_pair(&mut self, first: u16, second: u16) -> bool {
        let Some(a) = self.requests.get(first).map(|r| (r.plan, r.queue)) else { return false };
        self.requests.get(second).is_some_and(|b| a.1 == b.queue && io::is_pair(&a.0, &b.plan))
    }

    /// A half of a fused pair that has no other: it fails now, or when the data that is on its way has come.
    fn abandon(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, status: Status) {
        let Some(r) = self.requests.get(slot) else { return };
        match r.step {
            Step::InCapsule | Step::Asked => r.doomed = r.doomed.or(Some(status)),
            _ => {
                self.unasked.retain(|s| *s != slot);
                self.parked.retain(|s| *s != slot);
                self.fail(cx, shared, slot, status);
            }
        }
    }

    /// A command ends, and its slot will be another's: nothing names it any more, and the other half of a pair goes with it.
    #[cold]
    pub(super) fn part(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16) {
        self.fused.take_if(|first| *first == slot);
        let partner = self.requests.get(slot).and_then(|r| r.partner.take());
        let Some(other) = partner.and_then(|p| self.requests.get(p)).filter(|r| r.partner == Some(slot)) else { return };
        other.partner = None;
        if let Some(partner) = partner {
            self.abandon(cx, shared, partner, Status::ABORTED_FAILED_FUSED);
        }
    }

    /// A box with `bytes` of buffers for a command, or neither. Then it is tried again when something of this connection's comes back, which
    /// runs it; or, when there is none at all, in turn with others.
    fn acquire(&mut self, cx: &mut Cx, slot: u16, bytes: u32, limit: Limit) -> Option<Box<Io>> {
        let want = Charge::of(cx, bytes);
        if limit == Limit::Share && !may_take(cx, self.requests.held(), self.tx.held(), want) {
            self.lacks = true;
            return None;
        }
        let Some(io) = cx.request_long(bytes) else {
            self.lacks = true;
            cx.wait(self.token);
            return None;
        };
        self.requests.charge(slot, want);
        Some(io)
    }

    /// Goes on with the commands that wait for a box or buffers.
    pub(super) fn resume(&mut self, cx: &mut Cx, shared: &mut Shared) {
        while let Some(&slot) = self.parked.front() {
            let bytes = self.requests.get(slot).map_or(0, |r| r.plan.bytes);
            let Some(io) = self.acquire(cx, slot, bytes, Limit::Share) else { return };
            self.parked.pop_front();
            match self.requests.get(slot) {
                Some(r) => (r.io, r.step) = (Some(io), Step::Held),
                None => return cx.put_io(io),
            }
            self.execute(cx, shared, slot);
        }
    }

    /// Asks for the data of writes, as many as may be on their way at once.
    pub(super) fn ask(&mut self, cx: &mut Cx, shared: &Shared) {
        while let Some(&slot) = self.unasked.front() {
            let Some(r) = self.requests.get(slot) else {
                self.unasked.pop_front();
                continue;
            };
            if self.asked_bytes > 0 && self.asked_bytes.saturating_add(r.len) > shared.snapshot.options.max_asked_bytes {
                return;
            }
            if self.tx.is_backlogged(usize::MAX) {
                return;
            }
            // A second half waits for no share: its first half holds some, and gives it back only after it.
            let limit = if r.partner.is_some() && r.sqe.fuse() == Fuse::SECOND { Limit::Pool } else { Limit::Share };
            let r2t = R2t { cccid: r.sqe.cid(), ttag: slot, offset: 0, len: r.len };
            let Some(io) = self.acquire(cx, slot, r2t.len, limit) else { return };
            self.unasked.pop_front();
            let Some(r) = self.requests.get(slot) else { return cx.put_io(io) };
            r.io = Some(io);
            r.step = Step::Asked;
            r.since = cx.now();
            r.transfer = H2cTransfer::new(&r2t);
            self.asked_bytes = self.asked_bytes.saturating_add(r2t.len);
            let codec = &self.codec;
            self.tx.head(HEADER_ROOM, |out| codec.write_r2t(out, &r2t));
            self.owed(cx, shared);
        }
    }
}

/// What bounds what a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// What its connection may have.
    Share,
    /// What there is.
    Pool,
}
