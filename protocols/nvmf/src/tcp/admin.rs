//! Admin and fabrics commands: between the connection and the sans-IO controller.

use super::connection::{Connection, Queue, Shared};
use super::execute::mail;
use super::request::{Requests, Step};
use crate::controller::{ABORTS, Accepted, Env, Reply, Turned, connect};
use crate::io::Way;
use crate::target::wake;
use doorbell_block::{Address, Cx, Layer, Message};
use doorbell_wire_nvme::{Cid, Connect, FabricsCommand, Sqe, Status};
use std::sync::atomic::Ordering::Relaxed;

impl Connection {
    /// Answers an admin or fabrics command whose data is there.
    pub(super) fn execute_admin(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16) {
        (self.heard, self.excused) = (cx.now(), false);
        let Some(r) = self.requests.get(slot) else { return };
        let sqe = r.sqe;
        r.step = Step::Held;
        let mut data = Vec::new();
        if r.plan.way == Way::FromHost
            && let Some(io) = r.io.take()
        {
            data.resize(r.len as usize, 0);
            io.sg.read_at(0, &mut data);
            cx.put_io(io);
        }
        match &mut self.queue {
            Queue::None => match FabricsCommand::parse(&sqe) {
                FabricsCommand::Connect(command) => self.connect(cx, shared, slot, &command, &data),
                _ => self.fail(cx, shared, slot, Status::COMMAND_SEQUENCE_ERROR.dnr()),
            },
            // Fabrics commands of an I/O queue: only Disconnect belongs there (Base 2.1, 6.4).
            Queue::Io { .. } => match FabricsCommand::parse(&sqe) {
                FabricsCommand::Disconnect { recfmt: 0 } => {
                    self.finish_with(cx, shared, slot, Status::SUCCESS);
                    self.finish(cx);
                }
                FabricsCommand::Disconnect { .. } => self.fail(cx, shared, slot, Status::INCOMPATIBLE_FORMAT.dnr()),
                _ => self.fail(cx, shared, slot, Status::INVALID_OPCODE.dnr()),
            },
            Queue::Admin(_) => self.admin(cx, shared, slot, &sqe, &data),
        }
    }

    fn admin(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, sqe: &Sqe, data: &[u8]) {
        let Queue::Admin(controller) = &mut self.queue else { return };
        let mut page = std::mem::take(&mut shared.page);
        page.clear();
        let env = Env { snapshot: &shared.snapshot, registry: shared.target.registry(), local: self.local };
        let before = controller.keep_alive_ns();
        let reply = controller.command(sqe, slot, data, &mut page, &env);
        let turned = controller.turned();
        let keep_alive_changed = before != controller.keep_alive_ns();
        match reply {
            Reply::Done { status, result } if status.is_ok() && !page.is_empty() => self.give_page(cx, shared, slot, &page, result),
            Reply::Done { status, result } => self.answer(cx, shared, slot, status, result),
            Reply::Held => {}
            Reply::Shutdown => self.begin_shutdown(cx, shared, slot),
            Reply::Abort { sqid, cid } => self.abort(cx, shared, slot, sqid, cid),
        }
        shared.page = page;
        if turned == Turned::Disabled {
            for at in self.association().map(|a| a.io_queues()).unwrap_or_default() {
                wake(cx, at);
            }
        }
        if keep_alive_changed {
            self.timer = cx.now();
            cx.wake(self.token);
        }
        self.tell_events();
    }

    /// Sends what a command has for its host: a length that the host's buffer does not have is an error of the host's.
    fn give_page(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, page: &[u8], result: u64) {
        let Some(r) = self.requests.get(slot) else { return };
        let len = u32::try_from(page.len()).unwrap_or(u32::MAX);
        if r.plan.way != Way::ToHost || r.len < len {
            return self.fail(cx, shared, slot, Status::DATA_SGL_LENGTH_INVALID.dnr());
        }
        let cid = r.sqe.cid();
        let Some(io) = r.io.take() else { return };
        io.sg.write_at(0, page);
        let charge = self.requests.take_charge(slot);
        self.requests.give_back(slot);
        self.send_data(cid, (io, charge), len, false);
        let cqe = self.cqe(cid, Status::SUCCESS).with_result(result);
        self.send_cqe(&cqe);
    }

    /// Answers event requests for which there is an event.
    pub(super) fn tell_events(&mut self) {
        while let Queue::Admin(controller) = &mut self.queue
            && let Some((slot, dw0)) = controller.next_event()
        {
            let Some(r) = self.requests.get(slot) else { continue };
            let cid = r.sqe.cid();
            self.requests.give_back(slot);
            let cqe = self.cqe(cid, Status::SUCCESS).with_dw0(dw0);
            self.send_cqe(&cqe);
        }
    }

    fn connect(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, command: &Connect, data: &[u8]) {
        let (at, ends) = (self.here(cx), (self.peer, self.local));
        let snapshot = shared.snapshot.clone();
        match connect(&shared.target, &snapshot, command, data, at, ends, &self.traffic) {
            Ok((accepted, result)) => {
                let sqe = self.requests.get(slot).map(|r| r.sqe).unwrap_or_default();
                self.become_queue(cx, shared, command, accepted);
                // The table is made anew with the queue's depth: the answer goes by hand.
                let cqe = self.cqe(sqe.cid(), Status::SUCCESS).with_result(result.into());
                self.send_cqe(&cqe);
                cx.wake(self.token);
            }
            Err(refused) => {
                if shared.log.allow(cx.now(), self.peer.ip()) {
                    let host = doorbell_wire_nvme::view::<doorbell_wire_nvme::fabrics::ConnectData>(data);
                    let host = host.and_then(|d| d.hostnqn.as_str().ok()).unwrap_or("");
                    tracing::warn!(connection = self.id, peer = %self.peer, host, qid = command.qid, status = %refused.status, "connect refused");
                }
                self.answer(cx, shared, slot, refused.status, refused.dw0.into());
            }
        }
    }

    fn become_queue(&mut self, cx: &mut Cx, shared: &mut Shared, command: &Connect, accepted: Accepted) {
        self.qid = command.qid;
        self.flow_control = !command.cattr.disable_sqfc();
        self.requests = Requests::new(command.sqsize.saturating_add(1));
        self.tx.reserve(usize::from(command.sqsize) + 1);
        // The entry that Connect took (Base 2.1, 6.3: the queue exists from here on).
        self.sq_head = 1;
        self.connected();
        let counters = &shared.seat.counters;
        match accepted {
            Accepted::Admin(controller) => {
                counters.admin_queues.store(counters.admin_queues.load(Relaxed) + 1, Relaxed);
                counters.admin_queues_ever.store(counters.admin_queues_ever.load(Relaxed) + 1, Relaxed);
                self.queue = Queue::Admin(controller);
                self.heard = cx.now();
                self.timer = cx.now();
            }
            Accepted::Io(association, subsystem, epoch) => {
                self.epoch = epoch;
                counters.io_queues.store(counters.io_queues.load(Relaxed) + 1, Relaxed);
                counters.io_queues_ever.store(counters.io_queues_ever.load(Relaxed) + 1, Relaxed);
                self.codec.set_max_capsule_data(shared.snapshot.options.in_capsule_bytes);
                // It was there when the command was judged, by this snapshot; were it not, every namespace is invalid.
                let attached = shared.namespaces.attach(cx, shared.me, &shared.snapshot, subsystem.id).unwrap_or(u32::MAX);
                self.queue = Queue::Io { association, attached };
            }
        }
        if let Some(a) = self.association()
            && shared.log.allow(cx.now(), self.peer.ip())
        {
            let (host, nqn, cntlid) = (&a.host_nqn, &a.nqn, a.cntlid);
            tracing::info!(connection = self.id, peer = %self.peer, %host, %nqn, cntlid, qid = self.qid, reactor = cx.reactor().0, "connected");
        }
    }

    /// Carries an Abort to the queue that has the command.
    fn abort(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, sqid: u16, cid: Cid) {
        /// Bit 0 of dword 0: nothing was aborted.
        const NOT_ABORTED: u64 = 1;
        if sqid == 0 {
            let found = self.requests.find(cid.0).filter(|s| *s != slot);
            let Queue::Admin(controller) = &mut self.queue else { return };
            let aborted = found.filter(|s| controller.abort_event_request(*s));
            if let Some(request) = aborted {
                self.fail(cx, shared, request, Status::ABORT_REQUESTED);
            }
            return self.answer(cx, shared, slot, Status::SUCCESS, if aborted.is_some() { 0 } else { NOT_ABORTED });
        }
        if self.aborts >= ABORTS {
            return self.fail(cx, shared, slot, Status::ABORT_LIMIT_EXCEEDED);
        }
        match self.association().and_then(|a| a.queue(sqid)) {
            Some(at) => {
                self.aborts += 1;
                let what = mail::ABORT | u64::from(slot) << 16 | u64::from(cid.0);
                let to = Address { token: at.token, layer: Layer(0) };
                cx.send(at.reactor, Message::Mail(to, [what, self.token.to_word()]));
            }
            None => self.answer(cx, shared, slot, Status::SUCCESS, NOT_ABORTED),
        }
    }
}
