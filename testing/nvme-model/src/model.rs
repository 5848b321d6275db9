//! The controller: its registers, its time, and what becomes of a command.

use crate::disk::{Disk, DiskSpec};
use crate::interrupt::Vectors;
use crate::maintain::Maintenance;
use crate::memory::Memory;
use crate::plan::{Fault, Plan, Stuck};
use crate::queue::{Completion, Looks, Submission};
use crate::shadow::Shadows;
use doorbell_mem::{Foreign, MemError, Region, Regions};
use doorbell_sim::Entropy;
use doorbell_wire_nvme::register::{Aqa, Cap, Cc, Csts, NSSR_MAGIC, Property, ShutdownNotice, ShutdownStatus, Version};
use doorbell_wire_nvme::{Cid, Sqe, Status};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands taken in.
    pub commands: u64,
    /// Answers written.
    pub answers: u64,
    /// Accesses to memory that was not mapped for it.
    pub stray_dma: u64,
    /// Breaches of the rules by the driver: a doorbell out of range, a queue that cannot be.
    pub driver_errors: u64,
    /// Times that it was enabled.
    pub enabled: u32,
    /// Commands whose data was in a scatter gather list.
    pub lists: u64,
    /// Commands found by a shadow doorbell whose register was not rung.
    pub unrung: u64,
    /// Namespaces taken away or given back.
    pub changes: u32,
    /// Fused pairs that were done, or failed.
    pub fused: u64,
    /// Interrupts sent.
    pub interrupts: u64,
    /// Firmwares that were committed.
    pub commits: u32,
    /// Formats that were done.
    pub formats: u32,
    /// Resets of the whole subsystem.
    pub subsystem_resets: u32,
}

/// What becomes of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    Twice,
    Lost,
    Swallowed,
    WrongId,
    Lie,
    Failed(Status),
}

/// A command under way.
pub(crate) struct Under {
    pub(crate) due: u64,
    pub(crate) sqid: u16,
    pub(crate) sqe: Sqe,
    /// The other half of a fused pair.
    pub(crate) second: Option<Sqe>,
    pub(crate) fate: Fate,
}

impl Under {
    /// The identifiers under which it is answered.
    pub(crate) fn cids(&self) -> impl Iterator<Item = Cid> {
        [Some(self.sqe.cid()), self.second.map(|sqe| sqe.cid())].into_iter().flatten()
    }
}

/// A controller.
pub struct Model {
    pub(crate) plan: Plan,
    pub(crate) entropy: Entropy,
    pub(crate) memory: Memory,
    pub(crate) submissions: BTreeMap<u16, Submission>,
    pub(crate) completions: BTreeMap<u16, Completion>,
    pub(crate) under: Vec<Under>,
    pub(crate) awaiting: Vec<Cid>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) counters: Counters,
    pub(crate) bus_master: bool,
    /// Until then its registers are not to be seen.
    away_until: u64,
    /// Namespaces have changed, and nobody was told yet.
    pub(crate) changed: bool,
    pub(crate) shadows: Option<Shadows>,
    pub(crate) vectors: Vectors,
    pub(crate) maintenance: Maintenance,
    doorbells: Arc<Region>,
    now: u64,
    began: Option<u64>,
    cc: Cc,
    csts: Csts,
    aqa: u64,
    asq: u64,
    acq: u64,
    /// RDY becomes this, then.
    becoming: Option<(u64, bool)>,
    gone: bool,
    accesses: u64,
}

impl Model {
    /// A controller with these namespaces, disabled.
    pub fn new(plan: Plan, entropy: Entropy, disks: &[DiskSpec]) -> Result<Arc<Mutex<Model>>, MemError> {
        let doorbells = Foreign::scratch(&Regions::new(), 4096)?.region().clone();
        Ok(Arc::new(Mutex::new(Model {
            plan,
            entropy,
            memory: Memory::default(),
            submissions: BTreeMap::new(),
            completions: BTreeMap::new(),
            under: Vec::new(),
            awaiting: Vec::new(),
            disks: disks.iter().map(|d| Disk::new(*d)).collect(),
            counters: Counters::default(),
            bus_master: false,
            away_until: 0,
            changed: false,
            shadows: None,
            vectors: Vectors::default(),
            maintenance: Maintenance::default(),
            doorbells,
            now: 0,
            began: None,
            cc: Cc::new(),
            csts: Csts::new(),
            aqa: 0,
            asq: 0,
            acq: 0,
            becoming: None,
            gone: false,
            accesses: 0,
        })))
    }

    pub(crate) fn doorbells(&self) -> Arc<Region> {
        self.doorbells.clone()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        Counters { stray_dma: self.memory.strays, ..self.counters }
    }

    /// Was it taken away?
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.gone && self.plan.announced
    }

    /// Takes it away: nothing reaches it, and it reaches nothing.
    pub fn remove(&mut self) {
        self.gone = true;
        self.forget();
    }

    /// Counts an access; false when there is nothing there any more.
    pub(crate) fn access(&mut self) -> bool {
        self.accesses += 1;
        if self.plan.removed_after_accesses.is_some_and(|n| self.accesses > n) {
            self.remove();
        }
        !self.gone && self.now >= self.away_until
    }

    fn forget(&mut self) {
        self.submissions.clear();
        self.completions.clear();
        self.under.clear();
        self.awaiting.clear();
        self.vectors.forget();
        // Base 2.1, Annex B.5: they are configured anew after a reset.
        self.shadows = None;
    }

    pub(crate) fn reset_function(&mut self) -> bool {
        if self.plan.resettable {
            self.stopped();
            self.cc = Cc::new();
        }
        self.plan.resettable
    }

    fn cap(&self) -> Cap {
        Cap::new().with_mqes(self.plan.mqes).with_cqr(true).with_timeout_500ms(2).with_css(1).with_nssrs(true)
    }

    /// A reset of the subsystem: for a while there is nothing to be seen, and then a function as after power-on.
    fn reset_subsystem(&mut self) {
        self.stopped();
        self.csts.set_nssro(true);
        self.counters.subsystem_resets += 1;
        (self.cc, self.aqa, self.asq, self.acq, self.bus_master) = (Cc::new(), 0, 0, 0, false);
        self.away_until = self.now + self.entropy.below(5_000_000);
    }

    pub(crate) fn read_register(&self, offset: u64) -> u64 {
        match Property(offset as u32) {
            Property::CAP => self.cap().into_bits(),
            Property::VS => Version::V2_0.into_bits().into(),
            Property::CC => self.cc.into_bits().into(),
            Property::CSTS => self.csts.into_bits().into(),
            Property::AQA => self.aqa,
            Property::ASQ => self.asq,
            Property::ACQ => self.acq,
            _ => 0,
        }
    }

    pub(crate) fn write_register(&mut self, offset: u64, value: u64) {
        match Property(offset as u32) {
            Property::CC => self.configure(Cc::from_bits(value as u32)),
            Property::AQA => self.aqa = value,
            Property::ASQ => self.asq = value,
            Property::ACQ => self.acq = value,
            Property::NSSR if value == u64::from(NSSR_MAGIC) => self.reset_subsystem(),
            _ => self.counters.driver_errors += 1,
        }
    }

    fn configure(&mut self, cc: Cc) {
        let was = std::mem::replace(&mut self.cc, cc);
        let soon = self.now + self.entropy.below(3_000_000);
        if cc.en() && !was.en() {
            self.counters.enabled += 1;
            match self.plan.stuck {
                Stuck::NeverReady(from) if self.counters.enabled >= from => {}
                Stuck::FailsAtStart(every) if self.counters.enabled.is_multiple_of(every) => self.csts.set_cfs(true),
                _ => self.becoming = Some((soon, true)),
            }
        } else if !cc.en() && was.en() && self.plan.stuck != Stuck::NeverStops {
            // What is under way may still be done until it says that it has stopped.
            self.becoming = Some((soon, false));
            if !self.csts.rdy() {
                self.stopped();
            }
        }
        if cc.shn() != ShutdownNotice::NONE && was.shn() == ShutdownNotice::NONE {
            self.csts.set_shst(ShutdownStatus::COMPLETE);
        }
    }

    /// A reset of the controller, however it came about.
    fn stopped(&mut self) {
        self.forget();
        self.activate();
        (self.csts, self.becoming) = (Csts::new(), None);
    }

    fn started(&mut self) {
        let aqa = Aqa::from_bits(self.aqa as u32);
        self.silence_doorbell(0);
        self.silence_doorbell(1);
        self.add_completion(0, self.acq, aqa.acqs() + 1, (self.plan.vectors > 0).then_some(0));
        self.add_submission(0, 0, self.asq, aqa.asqs() + 1);
        self.csts.set_rdy(true);
    }

    pub(crate) fn add_completion(&mut self, cqid: u16, base: u64, entries: u16, vector: Option<u16>) {
        self.silence_doorbell(u32::from(cqid) * 2 + 1);
        self.completions.insert(cqid, Completion { base, entries, tail: 0, phase: true, vector });
    }

    pub(crate) fn add_submission(&mut self, sqid: u16, cqid: u16, base: u64, entries: u16) {
        self.silence_doorbell(u32::from(sqid) * 2);
        self.submissions
            .insert(sqid, Submission { cqid, base, entries, head: 0, seen: 0, overlooked: None, lent: false, looks: Looks::WhenRung });
    }

    /// Virtual time.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Does it answer?
    pub(crate) fn is_enabled(&self) -> bool {
        self.cc.en()
    }

    /// The completion queue of a submission queue.
    pub(crate) fn completion_of(&self, sqid: u16) -> u16 {
        self.submissions.get(&sqid).map_or(0, |queue| queue.cqid)
    }

    /// When it next has something to do by itself.
    pub fn next_due(&self) -> Option<u64> {
        if self.gone {
            return None;
        }
        let began = self.began.unwrap_or(self.now);
        let removal = self.plan.removed_at_ns.map(|at| began + at);
        let fatal = self.plan.fatal_at_ns.first().map(|at| began + at);
        let own = self.vectors.next_due().into_iter().chain(self.sanitize_due());
        let dues = self.under.iter().map(|u| u.due).chain(self.becoming.map(|(at, _)| at)).chain(removal).chain(fatal).chain(own);
        dues.filter(|at| *at > self.now).min()
    }

    /// Does what is due.
    pub fn step(&mut self, now: u64) {
        let began = *self.began.get_or_insert(now);
        self.now = now;
        if self.plan.removed_at_ns.is_some_and(|at| now >= began + at) {
            self.remove();
        }
        if self.gone {
            return;
        }
        if self.plan.fatal_at_ns.first().is_some_and(|at| now >= began + at) {
            self.plan.fatal_at_ns.remove(0);
            if self.csts.rdy() {
                self.csts.set_cfs(true);
            }
        }
        if let Some((at, ready)) = self.becoming
            && now >= at
        {
            self.becoming = None;
            if ready { self.started() } else { self.stopped() }
        }
        self.sanitize();
        if self.csts.rdy() && !self.csts.cfs() {
            if self.cc.en() {
                self.fetch();
            }
            self.work();
            self.maybe_change();
            self.maybe_tell();
            self.notify();
        }
    }

    /// A command was fetched, or both of a fused pair.
    pub(crate) fn begin(&mut self, sqid: u16, sqe: Sqe, second: Option<Sqe>) {
        self.counters.commands += 1;
        let told = self.plan.script.pop_front();
        let fate = match told {
            Some(fault) => self.fate_of(fault),
            None => self.fate(),
        };
        let late = told == Some(Fault::Late) || self.entropy.chance(self.plan.rates.late);
        let takes = if late { self.entropy.below(2_500_000_000) } else { self.entropy.below(100_000) };
        let takes = takes + self.begin_maintenance(sqid, &sqe);
        self.under.push(Under { due: self.now + takes, sqid, sqe, second, fate });
    }

    /// What a line of the plan's script means.
    fn fate_of(&mut self, fault: Fault) -> Fate {
        match fault {
            Fault::None | Fault::Late => Fate::Answered,
            Fault::Lost => Fate::Lost,
            Fault::Swallowed => Fate::Swallowed,
            Fault::Twice => Fate::Twice,
            Fault::WrongId => Fate::WrongId,
            Fault::Status(status) => Fate::Failed(status),
            Fault::Fatal => {
                self.csts.set_cfs(true);
                Fate::Swallowed
            }
            Fault::Removed => {
                self.remove();
                Fate::Swallowed
            }
        }
    }

    fn fate(&mut self) -> Fate {
        const PASSING: [Status; 4] =
            [Status::INTERRUPTED, Status::NAMESPACE_NOT_READY, Status::INTERNAL_ERROR, Status::DATA_TRANSFER_ERROR];
        const LASTING: [Status; 4] = [Status::INVALID_FIELD, Status::UNRECOVERED_READ, Status::WRITE_FAULT, Status::LBA_OUT_OF_RANGE];
        let rates = self.plan.rates;
        let e = &mut self.entropy;
        let passing = e.pick(&PASSING).with_crd(e.below(4) as u8);
        let lasting = if e.coin() { e.pick(&LASTING).dnr() } else { *e.pick(&LASTING) };
        let fates = [
            (rates.lost, Fate::Lost),
            (rates.swallowed, Fate::Swallowed),
            (rates.duplicate, Fate::Twice),
            (rates.wrong_id, Fate::WrongId),
            (rates.lie, Fate::Lie),
            (rates.passing_error, Fate::Failed(passing)),
            (rates.lasting_error, Fate::Failed(lasting)),
        ];
        fates.into_iter().find(|(rate, _)| e.chance(*rate)).map_or(Fate::Answered, |(_, fate)| fate)
    }

    fn work(&mut self) {
        let mut at = 0;
        while let Some(under) = self.under.get(at) {
            let answers = 1 + u32::from(under.second.is_some());
            if under.due > self.now || !self.has_room(self.completion_of(under.sqid), answers) {
                at += 1;
                continue;
            }
            let mut under = self.under.remove(at);
            match under.second.take() {
                Some(second) => self.finish_pair(&under, &second),
                None => self.finish(&under),
            }
        }
    }

    fn finish(&mut self, under: &Under) {
        let cid = under.sqe.cid();
        let done = match under.fate {
            Fate::Swallowed => return,
            Fate::Failed(status) => Some((status, 0)),
            _ if under.sqid == 0 => self.administer(&under.sqe),
            _ => Some((self.transfer(&under.sqe), 0)),
        };
        // Until it has stopped data may still move, but nothing is answered.
        let Some((status, dw0)) = done.filter(|_| self.cc.en()) else { return };
        let named = match under.fate {
            Fate::Lost => return,
            Fate::WrongId => self.stray_id(under.sqid),
            Fate::Lie => self.other(under).unwrap_or(cid),
            _ => cid,
        };
        self.answer(under.sqid, named, status, dw0);
        if under.fate == Fate::Twice && self.has_room(self.completion_of(under.sqid), 1) {
            self.answer(under.sqid, named, status, dw0);
        }
    }
}
