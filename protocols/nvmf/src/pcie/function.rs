//! The function as a whole: what it is made of, its life, and one round of polling.

use super::config::Config;
use super::doorbell::{Doorbells, NoDoorbells, Which};
use super::irq::{COUNTS, Irqs};
use super::memory::{FileKey, MapError, Memory, Span};
use super::queue::{CQE, Cq, SQE, Sq};
use super::register::Registers;
use super::slot::{Slots, Step};
use crate::controller::{Controller, Transport};
use crate::namespaces::Namespaces;
use crate::target::{Join, Traffic, Where};
use crate::{Snapshot, Subsystem, Target, VfioUserOptions};
use doorbell_block::{ConsumerId, Cx, Token};
use doorbell_mem::Foreign;
use doorbell_sys::passed::Bell;
use doorbell_wire_nvme::fabrics::CNTLID_DYNAMIC;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// Where a function lives while it is turned.
pub(crate) struct Place<'a> {
    pub(crate) me: ConsumerId,
    /// Woken when something that it lacked is back.
    pub(crate) token: Token,
    pub(crate) target: &'a Target,
    /// With the options of this transport.
    pub(crate) snapshot: &'a Arc<Snapshot>,
    pub(crate) namespaces: &'a mut Namespaces,
    /// What an admin command has for its host.
    pub(crate) page: &'a mut Vec<u8>,
    /// I/O commands answered.
    pub(crate) completed: &'a mut u64,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// It is done.
    Done,
    /// The function has to be still first: then [`Function::settle`] does it.
    Later(Later),
}

/// What waits for the function to be still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    /// The controller is turned off by this value of CC.
    Disable(u32),
    /// A function-level reset.
    Reset,
}

/// How still a function is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stillness {
    /// It works.
    No,
    /// It takes no commands; those under way end.
    Quiet,
    /// The same, and those under way are asked back.
    Aborting,
}

/// Commands of one queue taken in one round.
const ROUND: u32 = 64;

pub(crate) struct Function {
    pub(super) options: Arc<VfioUserOptions>,
    pub(super) memory: Memory,
    pub(super) doorbells: Doorbells,
    pub(super) config: Config,
    pub(super) irqs: Irqs,
    pub(super) registers: Registers,
    /// BAR 4 and 5, which nothing here reads: whoever maps a table of interrupts finds memory.
    pub(super) tables: Box<[u8]>,
    pub(super) controller: Option<Box<Controller>>,
    pub(super) attached: Option<u32>,
    pub(super) sqs: Vec<Option<Sq>>,
    pub(super) cqs: Vec<Option<Cq>>,
    /// I/O submission queues that there are.
    pub(super) io_queues: u32,
    /// A completion queue may owe an interrupt.
    pub(super) owing: bool,
    pub(super) slots: Slots,
    /// Boxes that are at a device.
    pub(super) at_device: u32,
    pub(super) stillness: Stillness,
    /// The controller cannot go on until it is reset (CSTS.CFS).
    pub(super) fatal: bool,
    /// Abort commands under way.
    pub(super) aborts: usize,
    pub(super) traffic: Arc<Traffic>,
}

/// What stands for an address in lists, where a host has none.
pub(crate) const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Function {
    /// One that nobody uses.
    pub(crate) fn new(target: &Target, options: Arc<VfioUserOptions>) -> Result<Function, NoDoorbells> {
        let tables = usize::try_from(super::bar::BAR4 + super::bar::BAR5).unwrap_or(0);
        Ok(Function {
            doorbells: Doorbells::new(target.regions())?,
            options,
            memory: Memory::default(),
            config: Config::new(),
            irqs: Irqs::default(),
            registers: Registers::default(),
            tables: vec![0; tables].into(),
            controller: None,
            attached: None,
            sqs: Vec::new(),
            cqs: Vec::new(),
            io_queues: 0,
            owing: false,
            slots: Slots::default(),
            at_device: 0,
            stillness: Stillness::No,
            fatal: false,
            aborts: 0,
            traffic: Arc::default(),
        })
    }

    /// A host comes: a controller of the subsystem begins. False when there is no id left for it.
    pub(crate) fn connect(
        &mut self,
        cx: &mut Cx,
        place: &mut Place<'_>,
        subsystem: &Arc<Subsystem>,
        host: &str,
        endpoint: &Arc<str>,
    ) -> bool {
        self.traffic = Arc::default();
        let join = Join {
            host_nqn: host,
            host_id: [0; 16],
            cntlid: CNTLID_DYNAMIC,
            qid: 0,
            depth: 0,
            at: Where { reactor: cx.reactor(), token: place.token },
            peer: NO_ADDRESS,
            local: NO_ADDRESS,
            endpoint: Some(endpoint.clone()),
            traffic: self.traffic.clone(),
        };
        let Ok(association) = place.target.registry().begin(subsystem, &join) else { return false };
        let transport = Transport::Memory { shadow_doorbells: self.offers_shadow() };
        self.controller = Some(Box::new(Controller::new(association, subsystem.clone(), place.snapshot, 0, transport)));
        self.attached = place.namespaces.attach(cx, place.me, place.snapshot, subsystem.id);
        self.stillness = Stillness::No;
        true
    }

    /// The host is gone, and the function is still: everything of it goes.
    pub(crate) fn disconnect(&mut self, cx: &mut Cx, place: &mut Place<'_>) {
        self.reset(cx, place);
        if let Some(controller) = self.controller.take() {
            let _ = controller.association.end(None);
            place.target.registry().leave(&controller.association, 0);
        }
        if let Some(attached) = self.attached.take() {
            place.namespaces.detach(cx, place.me, place.snapshot, attached);
        }
        self.memory.clear(place.target.regions());
        self.irqs = Irqs::default();
        self.tables.fill(0);
    }

    /// The controller's subsystem has changed.
    pub(crate) fn update(&mut self, cx: &mut Cx, place: &mut Place<'_>, subsystem: &Arc<Subsystem>) {
        if let Some(controller) = &mut self.controller {
            controller.update(subsystem.clone(), place.snapshot);
        }
        self.tell_events(cx, place);
    }

    /// I/O queues.
    pub(crate) fn io_queues(&self) -> u32 {
        self.io_queues
    }

    /// Is there memory whose owner has taken it away beneath us?
    pub(crate) fn is_broken(&self) -> bool {
        self.memory.is_broken()
    }

    pub(super) fn offers_shadow(&self) -> bool {
        self.options.shadow_doorbells && !self.options.mappable_doorbells
    }

    /// The file to map doorbells of, if they may be mapped.
    pub(crate) fn doorbell_file(&self) -> Option<BorrowedFd<'_>> {
        self.options.mappable_doorbells.then(|| self.doorbells.file())
    }

    // --- stillness

    /// Takes no more commands from now on. With `abort` those under way are asked back.
    pub(crate) fn be_still(&mut self, cx: &mut Cx, place: &mut Place<'_>, abort: bool) {
        if !abort {
            if self.stillness == Stillness::No {
                self.stillness = Stillness::Quiet;
            }
            return;
        }
        self.stillness = Stillness::Aborting;
        for (_, s) in self.slots.each().filter(|(_, s)| s.step == Step::AtDevice) {
            if let Some(id) = s.id {
                place.namespaces.abort(cx, s.queue, id);
            }
        }
    }

    /// Is nothing under way any more?
    pub(crate) fn is_still(&self) -> bool {
        self.stillness != Stillness::No && self.at_device == 0
    }

    /// Goes on.
    pub(crate) fn go_on(&mut self) {
        self.stillness = Stillness::No;
    }

    /// Does what waited for stillness.
    pub(crate) fn settle(&mut self, cx: &mut Cx, place: &mut Place<'_>, what: Later) {
        debug_assert!(self.is_still());
        match what {
            Later::Disable(cc) => {
                self.drop_queues(cx, place);
                self.configure(cx, place, cc);
            }
            Later::Reset => self.reset(cx, place),
        }
    }

    /// As after power-on, but that memory stays mapped and interrupts assigned (Base 2.1, 3.7.2; vfio-user, Device reset).
    pub(crate) fn reset(&mut self, cx: &mut Cx, place: &mut Place<'_>) {
        self.drop_queues(cx, place);
        self.configure(cx, place, 0);
        self.registers = Registers::default();
        self.config.reset();
    }

    /// Forgets queues and what is held for them.
    fn drop_queues(&mut self, cx: &mut Cx, place: &mut Place<'_>) {
        let held: Vec<u16> = self.slots.each().map(|(n, _)| n).collect();
        for slot in held {
            if let Some(io) = self.slots.get(slot).and_then(|s| s.io.take()) {
                cx.put_io(io);
            }
            self.slots.give_back(slot);
        }
        for sq in self.sqs.iter().flatten().filter(|sq| sq.wanted.qid != 0) {
            if let Some(c) = &self.controller {
                place.target.registry().leave(&c.association, sq.wanted.qid);
            }
        }
        self.sqs.clear();
        self.cqs.clear();
        self.io_queues = 0;
        self.doorbells.clear_shadow();
        self.fatal = false;
        self.aborts = 0;
        if let Some(c) = &mut self.controller {
            c.forget_event_requests();
        }
    }

    // --- memory

    /// May a range be mapped? `Ok(false)`: it is already.
    pub(crate) fn admits(&self, span: Span, file: Option<FileKey>, writable: bool) -> Result<bool, MapError> {
        self.memory.admits(span, file, writable)
    }

    /// Maps a range that was admitted. Queues whose memory it is work again.
    pub(crate) fn map(&mut self, span: Span, foreign: Option<Foreign>, file: Option<FileKey>, writable: bool) {
        self.memory.add(span, foreign, file, writable);
        let memory = &self.memory;
        for sq in self.sqs.iter_mut().flatten().filter(|q| q.ring.is_none()) {
            sq.ring = memory.ring(sq.wanted.span(SQE.into()), false);
        }
        for cq in self.cqs.iter_mut().flatten().filter(|q| q.ring.is_none()) {
            cq.ring = memory.ring(cq.wanted.span(CQE.into()), true);
        }
    }

    /// Can this range go? It has to be ranges that were mapped.
    pub(crate) fn can_unmap(&self, span: Span) -> bool {
        self.memory.can_remove(span)
    }

    /// Lets memory go; the function is still. `None`: all of it. Queues in it rest until it is mapped again.
    pub(crate) fn unmap(&mut self, place: &Place<'_>, span: Option<Span>) {
        debug_assert!(self.is_still());
        let span = span.unwrap_or(Span::ALL);
        for sq in self.sqs.iter_mut().flatten() {
            sq.ring.take_if(|r| r.meets(span));
        }
        for cq in self.cqs.iter_mut().flatten() {
            cq.ring.take_if(|r| r.meets(span));
        }
        self.doorbells.memory_goes(span);
        self.memory.remove(span, place.target.regions());
    }

    // --- interrupts

    /// Vectors of a kind of interrupt.
    pub(crate) fn vectors(kind: u32) -> Option<u32> {
        COUNTS.get(kind as usize).copied()
    }

    /// Assigns a vector that there is, or takes it away.
    pub(crate) fn assign(&mut self, kind: u32, vector: u32, bell: Option<Bell>) {
        self.irqs.assign(kind, vector, bell);
    }

    /// Takes every vector of a kind away.
    pub(crate) fn disable_irqs(&mut self, kind: u32) {
        self.irqs.disable(kind);
    }

    /// Fires a vector because the host asks for it.
    pub(crate) fn fire(&self, kind: u32, vector: u32) {
        self.irqs.fire(kind, vector);
    }

    // --- polling

    /// Does the controller take commands?
    pub(super) fn is_running(&self) -> bool {
        let on = self.controller.as_ref().is_some_and(|c| !c.association.epoch().is_multiple_of(2));
        on && !self.fatal && self.stillness == Stillness::No
    }

    /// Looks at every doorbell and takes commands. True if there were any.
    pub(crate) fn poll(&mut self, cx: &mut Cx, place: &mut Place<'_>) -> bool {
        if self.registers.shutdown_waits {
            self.begin_shutdown(cx, place);
        }
        if !self.is_running() {
            return false;
        }
        let mut worked = false;
        let mut at = 0;
        while let Some(next) = self.next_rung(at) {
            worked |= self.poll_queue(cx, place, next);
            if !self.is_running() {
                break;
            }
            at = next + 1;
        }
        place.namespaces.kick(cx);
        worked
    }

    /// The first queue from `at` on whose doorbell is not where its head is.
    #[inline]
    fn next_rung(&self, at: usize) -> Option<usize> {
        let doorbells = &self.doorbells;
        let rung = |sq: &Sq| doorbells.get(Which::Tail(sq.wanted.qid)) & 0xffff != sq.head;
        let found = self.sqs.get(at..)?.iter().position(|sq| sq.as_ref().is_some_and(rung))?;
        Some(at + found)
    }

    /// Takes what waits in one queue: its doorbell and the room for completions are looked at once for all of it. Admin commands may change
    /// both, and are taken one by one.
    #[inline]
    fn poll_queue(&mut self, cx: &mut Cx, place: &mut Place<'_>, at: usize) -> bool {
        let most = if at == 0 { 1 } else { ROUND };
        let mut taken = 0;
        while taken < ROUND {
            let ready = self.waiting(cx, place, at, most);
            let mut some = 0;
            while some < ready && self.take_command(cx, place, at) {
                some += 1;
            }
            taken += some;
            if some == 0 || at != 0 {
                break;
            }
        }
        taken > 0
    }

    /// How many commands of a queue can be taken, `most` of them: they are there, and so is room for their completions.
    #[inline]
    fn waiting(&mut self, cx: &mut Cx, place: &mut Place<'_>, at: usize, most: u32) -> u32 {
        let Some(Some(sq)) = self.sqs.get_mut(at) else { return 0 };
        let tail = self.doorbells.get(Which::Tail(sq.wanted.qid)) & 0xffff;
        if tail == sq.head || sq.ring.is_none() || sq.deleter.is_some() {
            return 0;
        }
        let Some(there) = sq.up_to(tail) else {
            if sq.wrong.replace(tail) != Some(tail) {
                self.wrong_doorbell(cx, place);
            }
            return 0;
        };
        sq.wrong = None;
        let cqid = usize::from(sq.cqid);
        let cq = self.cqs.get_mut(cqid).and_then(Option::as_mut);
        cq.map_or(0, |cq| cq.room(&self.doorbells, there.min(most)))
    }

    /// A doorbell that no queue can have: the host is told, and the queue waits for a better one (Base 2.1, 5.1.2.1).
    #[cold]
    fn wrong_doorbell(&mut self, cx: &mut Cx, place: &mut Place<'_>) {
        if let Some(c) = &mut self.controller {
            c.doorbell_invalid();
        }
        self.tell_events(cx, place);
    }

    /// Sends the interrupts that are due. `spare`: a host that looks by itself gets none; the last call before a rest spares nothing.
    pub(crate) fn interrupt(&mut self, spare: bool) {
        if !self.owing || self.irqs.is_silent() {
            return;
        }
        self.owing = false;
        let quiet = self.config.is_intx_off() || self.registers.masks_intx();
        let spare = spare && self.options.adaptive_irq;
        for cq in self.cqs.iter_mut().flatten().filter(|cq| cq.owes()) {
            // The admin queue's host waits for its interrupt.
            if let Some(vector) = cq.take_due(&self.doorbells, spare && cq.wanted.qid != 0) {
                self.irqs.complete(vector, quiet);
            }
            self.owing |= cq.owes();
        }
    }

    /// Is there something that a host could ring without a message, so that only looking finds it?
    pub(crate) fn needs_looking(&self) -> bool {
        self.is_running() && self.options.mappable_doorbells
    }

    /// Before it rests: asks hosts that ring by message to do so. False if there is work: look again.
    pub(crate) fn rest(&mut self) -> bool {
        if !self.doorbells.has_shadow() {
            return true;
        }
        let doorbells = &self.doorbells;
        self.sqs.iter().flatten().all(|sq| {
            doorbells.ask(sq.wanted.qid, sq.head);
            let tail = doorbells.get(Which::Tail(sq.wanted.qid)) & 0xffff;
            tail == sq.head || tail >= sq.wanted.size
        })
    }

    /// After a rest: it looks by itself again.
    pub(crate) fn wake_up(&mut self) {
        if self.doorbells.has_shadow() {
            self.sqs.iter().flatten().for_each(|sq| self.doorbells.ask_not(sq.wanted.qid));
        }
    }
}
