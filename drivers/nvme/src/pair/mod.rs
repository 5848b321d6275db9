//! A reactor's queue pair of one controller: a source, shared by whoever has something open there.
//!
//! It takes commands in any state and holds them while there is no link (connecting, resetting). Who finds no room waits in one line per
//! owner, and owners are let in by turns. Commands that may succeed when sent again are, a few times.
//!
//! Invariants: a flight is in the link, in exactly one line, among the delayed, or finished; while it is borrowed it calls nothing of `Cx`
//! but `wake` and `wake_at`; nothing of a link is given back to owners before the link has reclaimed it.

mod faulty;
mod fused;
mod lines;
mod resets;
mod watch;

pub(crate) use lines::{Finished, Wants};
pub(crate) use watch::Overdue;

use crate::controller::take_place;
use crate::link::{AnyLink, Completed, Flight, Link, Lost, OwnerId, Raw, Stage};
use crate::shared::{Event, PairId, Shared, State};
use crate::status::{may_repeat, was_refused};
use doorbell_block::{Abort, Armed, Cx, Done, Io, IoId, OpenError, Source, Status as Ended, Ticks, Token};
use doorbell_mem::Leaving;
use doorbell_pci::queue::Refusal;
use doorbell_sys::epoll::{Interest, Mode, Poller};
use doorbell_wire_nvme::{Cid, CqeWords, SqeWords, Status};
use lines::Lines;
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Makes the command of a request. One for each owner: its namespace.
pub(crate) trait Translate {
    /// The command of `io` where it is one of those that nearly all are, and can be told in a few steps.
    fn plain(&self, _io: &Io) -> Option<SqeWords> {
        None
    }

    /// The command of `io`; `None` once its namespace is another or none.
    fn command(&self, io: &Io) -> Option<SqeWords>;

    /// May `io` be sent again though it may have been done already?
    fn may_repeat(&self, _io: &Io) -> bool {
        true
    }
}

/// For owners whose flights bring their commands along.
pub(crate) struct RawOnly;

impl Translate for RawOnly {
    fn command(&self, _: &Io) -> Option<SqeWords> {
        None
    }
}

/// How a pair stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It waits for a link, or for its controller.
    Held,
    /// Commands go through.
    Live,
    /// Commands go through, but new ones wait until there is room for a fused pair.
    Gathering,
    /// Nothing will ever go through again.
    Gone,
}

/// A queue pair.
pub(crate) struct Pair {
    link: Option<AnyLink>,
    life: Life,
    /// While held: give commands back at once instead of holding them.
    failing: bool,
    lines: Lines,
    delayed: Vec<(Ticks, Flight)>,
    done: Vec<Completed>,
    id: PairId,
    pub(crate) shared: Arc<Shared>,
    now: Ticks,
    /// Its link was lost, and the supervisor was told.
    told: bool,
    /// What its links make readable: one descriptor, whichever link it has.
    poller: Poller,
    /// It has just slept: look once, also for nothing.
    look_once: bool,
    /// Is it one of the controller's I/O queues?
    is_io: bool,
    /// Who found no room for a fused pair.
    wake_for_room: Vec<Token>,
    /// Whose fused pair the room is gathered for.
    gathers_for: Option<OwnerId>,
    /// Resets that were asked for, with the bring-up that they came after.
    resets: Vec<(u64, Flight)>,
    /// With the device, and asked back by their owners.
    asked: Vec<IoId>,
    /// Which bring-up its link belongs to.
    epoch: u64,
    /// Its link may have commands end as an operator asked for.
    admits_faults: bool,
}

impl Pair {
    /// One without a link.
    pub(crate) fn new(shared: Arc<Shared>, id: PairId, now: Ticks) -> io::Result<Pair> {
        Ok(Pair {
            link: None,
            life: Life::Held,
            failing: false,
            lines: Lines::default(),
            delayed: Vec::new(),
            done: Vec::with_capacity(256),
            id,
            shared,
            now,
            told: false,
            poller: Poller::new()?,
            look_once: false,
            is_io: false,
            wake_for_room: Vec::new(),
            gathers_for: None,
            resets: Vec::new(),
            asked: Vec::new(),
            epoch: 0,
            admits_faults: false,
        })
    }

    /// This reactor's pair of a controller: made, and the supervisor told, if there is none.
    pub(crate) fn of(cx: &mut Cx, shared: &Arc<Shared>) -> Result<Rc<RefCell<Pair>>, OpenError> {
        cx.local_source(shared.device, |cx| {
            if shared.state() == State::Gone {
                return Err(OpenError::Gone);
            }
            if !take_place(shared) {
                let most = shared.pairs_max.load(Ordering::Relaxed);
                return Err(OpenError::Resources(format!("{} has {most} I/O queues, and as many reactors use it already", shared.name)));
            }
            let id = shared.pair_id(cx.reactor());
            match Pair::new(shared.clone(), id, cx.now()) {
                Ok(mut pair) => {
                    pair.is_io = true;
                    pair.failing = shared.failing.load(Ordering::Acquire);
                    shared.tell(Event::Opened(id));
                    // Its supervisor may have ended since: then nobody hears it.
                    if shared.state() == State::Gone {
                        pair.life = Life::Gone;
                    }
                    Ok(pair)
                }
                Err(error) => {
                    shared.counters.pairs.fetch_sub(1, Ordering::Relaxed);
                    Err(OpenError::Resources(error.to_string()))
                }
            }
        })
    }

    /// Is it this one?
    pub(crate) fn is(&self, id: PairId) -> bool {
        self.id == id
    }

    /// Takes an owner in.
    pub(crate) fn join(&mut self, who: Token, depth: u32, wants: Wants, translate: Arc<dyn Translate + Send + Sync>) -> OwnerId {
        self.lines.join(who, depth, wants, translate)
    }

    /// Lets an owner go; nothing of it is outstanding.
    pub(crate) fn leave(&mut self, id: OwnerId) {
        self.lines.leave(id);
        self.gather_no_more(id);
    }

    /// Takes a request, of which `translate` makes the command: what its owner came with, if it goes at once.
    #[inline(always)]
    pub(crate) fn submit(&mut self, cx: &mut Cx, io: Box<Io>, owner: OwnerId, translate: &impl Translate) {
        let flight = Flight { io, raw: None, owner, since: cx.now(), tries: 0 };
        if self.life != Life::Live || self.lines.waits(owner) {
            return self.hold(cx, flight);
        }
        if let Some(AnyLink::Memory(link)) = &mut self.link {
            return match link.put_made(flight, translate) {
                Ok(()) => {}
                Err((flight, why)) => self.came_back(cx, flight, why),
            };
        }
        let submitted = match &mut self.link {
            Some(link) => submit_made(&mut **link, flight, translate),
            None => Err((flight, Refusal::Full)),
        };
        if let Err((flight, why)) = submitted {
            self.came_back(cx, flight, why);
        }
    }

    /// Takes a command that is not made of its request.
    pub(crate) fn submit_raw(&mut self, cx: &mut Cx, io: Box<Io>, raw: Box<Raw>, owner: OwnerId) {
        self.now = cx.now();
        let flight = Flight { io, raw: Some(raw), owner, since: self.now, tries: 0 };
        if self.life != Life::Live || self.lines.waits(owner) {
            return self.hold(cx, flight);
        }
        if let Some(flight) = self.start(cx, flight) {
            self.lines.park_last(flight);
        }
    }

    #[cold]
    fn came_back(&mut self, cx: &mut Cx, flight: Flight, why: Refusal) {
        match why {
            Refusal::Full => self.lines.park_last(flight),
            why => self.refused(cx, flight, why),
        }
    }

    #[cold]
    fn hold(&mut self, cx: &mut Cx, flight: Flight) {
        match self.life {
            Life::Gone => self.lines.finish(cx, flight, Finished::Failed(Ended::Gone)),
            // Whoever brings the controller up must hear at once that its connection is lost.
            Life::Held if self.failing || (self.told && !self.is_io) => self.lines.finish(cx, flight, Finished::Failed(Ended::Aborted)),
            _ => self.lines.park_last(flight),
        }
    }

    /// Gives a command to the link; back when there is no room.
    fn start(&mut self, cx: &mut Cx, mut flight: Flight) -> Option<Flight> {
        flight.since = self.now;
        let Some(link) = self.link.as_mut().filter(|link| link.has_room()) else { return Some(flight) };
        let sqe = match &flight.raw {
            Some(raw) => raw.sqe,
            None => match self.lines.command(&flight) {
                Some(sqe) => sqe.into(),
                // What waited over a reset is not sent to whatever has its namespace's number now.
                None => {
                    self.lines.finish(cx, flight, Finished::Failed(Ended::Gone));
                    return None;
                }
            },
        };
        match link.submit(flight, &sqe) {
            Ok(()) => None,
            Err((flight, Refusal::Full)) => Some(flight),
            Err((flight, why)) => {
                self.refused(cx, flight, why);
                None
            }
        }
    }

    #[cold]
    fn refused(&mut self, cx: &mut Cx, flight: Flight, why: Refusal) {
        let end = match why {
            // Many small segments become a few large ones.
            Refusal::Misaligned | Refusal::TooLong => Finished::Misaligned,
            Refusal::Full => Finished::Failed(Ended::Invalid),
            Refusal::Unmapped => Finished::Failed(Ended::Internal),
            Refusal::Nothing => Finished::Failed(Ended::Gone),
            Refusal::Uncarried => Finished::Failed(Ended::Unsupported),
        };
        self.lines.finish(cx, flight, end);
    }

    /// Tells the device of what was submitted.
    #[inline]
    pub(crate) fn kick(&mut self) {
        if let Some(link) = &mut self.link {
            link.kick();
        }
    }

    /// Appends all that has ended of an owner's: what went well to `fine`, if it wants no more than that said, the rest to `rest`.
    #[inline]
    pub(crate) fn collect(&mut self, id: OwnerId, rest: &mut Vec<(Box<Io>, Finished)>, fine: &mut Done) {
        self.lines.collect(id, rest, fine);
    }

    /// Gives back what waits. What the device has is asked back by its supervisor where the device can.
    pub(crate) fn abort(&mut self, cx: &mut Cx, id: OwnerId, which: Abort) {
        let asked = |flight: &Flight| flight.owner == id && (which == Abort::All || which == Abort::One(flight.io.id()));
        for flight in self.lines.take_waiting(id, asked) {
            self.lines.finish(cx, flight, Finished::Failed(Ended::Aborted));
        }
        let (back, kept) = std::mem::take(&mut self.delayed).into_iter().partition(|(_, flight)| asked(flight));
        self.delayed = kept;
        let back: Vec<(Ticks, Flight)> = back;
        for (_, flight) in back {
            self.lines.finish(cx, flight, Finished::Failed(Ended::Aborted));
        }
        self.abort_resets(cx, asked);
        self.gather_no_more(id);
        if let Some(link) = &self.link {
            let mut asked_back = Vec::new();
            link.each(&mut |cid, flight| {
                if asked(flight) {
                    asked_back.push((cid, flight.io.id()));
                }
            });
            for (cid, io) in asked_back {
                if !self.asked.contains(&io) {
                    self.asked.push(io);
                    self.shared.tell(Event::Abort(self.id, cid, io));
                }
            }
        }
    }

    #[inline]
    fn end_completed(&mut self, cx: &mut Cx) {
        let mut done = std::mem::take(&mut self.done);
        for completed in done.drain(..) {
            self.completed(cx, completed);
        }
        self.done = done;
    }

    #[inline]
    fn completed(&mut self, cx: &mut Cx, done: Completed) {
        let Completed { flight, cqe } = done;
        let status = cqe.status();
        if status.is_ok() && self.asked.is_empty() && flight.raw.is_none() {
            return self.lines.went_well(cx, flight, cqe);
        }
        let asked = self.was_asked(&flight);
        let finished = asked || status.is_ok() || flight.raw.is_some() || !may_repeat(status);
        if finished || flight.tries >= self.shared.policy.retries || !(was_refused(status) || self.lines.may_repeat(&flight)) {
            return self.lines.finish(cx, flight, Finished::Done(cqe));
        }
        self.repeat(cx, flight, status);
    }

    /// Was it asked back by its owner? Then it ends, however it comes.
    #[cold]
    fn was_asked(&mut self, flight: &Flight) -> bool {
        let at = self.asked.iter().position(|id| *id == flight.io.id());
        at.map(|at| self.asked.swap_remove(at)).is_some()
    }

    /// Sends a command again, now or when its controller asks to (CRD: Base 2.1, 4.2.3.1).
    #[cold]
    fn repeat(&mut self, cx: &mut Cx, mut flight: Flight, status: Status) {
        flight.tries += 1;
        self.shared.count_retry();
        let delay_ns = self.shared.retry_delay_ns(status.crd());
        if delay_ns == 0 {
            return self.lines.park_first(flight);
        }
        let due = self.now.after(delay_ns);
        if let Some(who) = self.lines.token(flight.owner) {
            cx.wake_at(who, due);
        }
        self.delayed.push((due, flight));
    }

    /// Goes on with what waits, as far as there is room.
    #[inline]
    fn let_in(&mut self, cx: &mut Cx) {
        if !self.delayed.is_empty() {
            self.end_delays();
        }
        if !self.wake_for_room.is_empty() {
            self.wake_for_room.drain(..).for_each(|who| cx.wake(who));
        }
        if self.life != Life::Live || !self.lines.any_waits() {
            return;
        }
        while let Some(flight) = self.lines.next() {
            if let Some(flight) = self.start(cx, flight) {
                self.lines.park_first(flight);
                break;
            }
        }
        self.kick();
    }

    #[cold]
    fn end_delays(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.delayed).into_iter().partition(|(at, _)| *at <= now);
        self.delayed = later;
        let due: Vec<(Ticks, Flight)> = due;
        for (_, flight) in due.into_iter().rev() {
            self.lines.park_first(flight);
        }
    }

    /// An owner was woken: perhaps for a delay that has ended.
    pub(crate) fn look(&mut self, cx: &mut Cx) {
        if !self.delayed.is_empty() {
            self.now = cx.now();
            self.let_in(cx);
        }
    }

    // --- what its supervisor does, on its reactor

    /// Gives it a link, through which nothing goes yet.
    pub(crate) fn set_link(&mut self, link: AnyLink) -> io::Result<()> {
        if let Some(fd) = link.descriptor() {
            self.poller.add(fd, 0, Interest::READ, Mode::Level)?;
        }
        (self.link, self.admits_faults) = (Some(link), false);
        if self.faults().any() {
            self.admit_faults();
        }
        self.told = false;
        self.epoch = self.shared.epoch.load(Ordering::Acquire);
        Ok(())
    }

    /// Drives a link that connects by itself, and says how far it is.
    pub(crate) fn advance(&mut self, cx: &mut Cx) -> Stage {
        self.reap(cx, 8);
        match &self.link {
            Some(link) => link.stage(),
            None => Stage::Failed("the queue has no link".to_owned()),
        }
    }

    /// Its link, to connect it.
    pub(crate) fn link_mut(&mut self) -> Option<&mut AnyLink> {
        self.link.as_mut()
    }

    /// The controller knows the queue: what waits goes.
    pub(crate) fn go_live(&mut self, cx: &mut Cx) {
        self.now = cx.now();
        self.failing = false;
        if self.told {
            // It was lost before it was of use.
            return self.shared.tell(Event::Lost(self.epoch, "the connection was lost at once".to_owned()));
        }
        self.life = Life::Live;
        self.end_resets(cx);
        self.let_in(cx);
    }

    fn carries(&self) -> bool {
        matches!(self.life, Life::Live | Life::Gathering)
    }

    /// Holds what comes.
    pub(crate) fn hold_back(&mut self) {
        if self.carries() {
            (self.life, self.gathers_for) = (Life::Held, None);
        }
    }

    /// Whoever waits, and whoever comes while it is held, gets an error at once.
    pub(crate) fn fail_fast(&mut self, cx: &mut Cx) {
        if self.life == Life::Held {
            self.failing = true;
            self.end_all(cx, Ended::Aborted);
        }
    }

    /// Takes back all that its link had, which its controller has forgotten: it waits again, or has ended. False while the controller may
    /// still touch some of it.
    pub(crate) fn take_back(&mut self, cx: &mut Cx) -> bool {
        self.hold_back();
        self.end_raw(cx);
        let Some(link) = &mut self.link else { return true };
        let Some(back) = link.reclaim() else { return false };
        for mut flight in back.into_iter().rev() {
            flight.tries += 1;
            let asked = !self.asked.is_empty() && self.was_asked(&flight);
            let spent = flight.raw.is_some() || flight.tries > self.shared.policy.retries.max(1);
            if asked || spent || !self.lines.may_repeat(&flight) {
                self.lines.finish(cx, flight, Finished::Failed(Ended::Aborted));
            } else {
                self.lines.park_first(flight);
            }
        }
        if self.failing {
            self.end_all(cx, Ended::Aborted);
        }
        true
    }

    /// Commands that were put together elsewhere end, also those that only wait: they name rings and namespaces as these were before.
    fn end_raw(&mut self, cx: &mut Cx) {
        let (raw, kept) = std::mem::take(&mut self.delayed).into_iter().partition(|(_, flight)| flight.raw.is_some());
        self.delayed = kept;
        let delayed: Vec<(Ticks, Flight)> = raw;
        for flight in self.lines.take_raw().into_iter().chain(delayed.into_iter().map(|(_, flight)| flight)) {
            self.lines.finish(cx, flight, Finished::Failed(Ended::Aborted));
        }
    }

    /// Nobody waits any more for a command of `owner` with this tag: if it was not sent yet, it is not.
    pub(crate) fn withdraw(&mut self, cx: &mut Cx, owner: OwnerId, asked: impl Fn(&Io) -> bool) {
        for flight in self.lines.take_waiting(owner, |flight| asked(&flight.io)) {
            self.lines.finish(cx, flight, Finished::Failed(Ended::Aborted));
        }
    }

    /// Is anything with the device?
    pub(crate) fn has_some(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.in_flight() > 0)
    }

    /// Is this request with the device, under this identifier?
    pub(crate) fn has(&self, cid: Cid, io: IoId) -> bool {
        let mut found = false;
        if let Some(link) = &self.link {
            link.each(&mut |at, flight| found |= at == cid && flight.io.id() == io);
        }
        found
    }

    /// Drops its link, which has been taken back.
    pub(crate) fn drop_link(&mut self) {
        if let Some(link) = self.link.take()
            && let Some(fd) = link.descriptor()
        {
            // It goes with its descriptor anyway.
            let _ = self.poller.remove(fd);
        }
    }

    /// Nothing will ever go through again.
    pub(crate) fn end(&mut self, cx: &mut Cx) {
        self.life = Life::Gone;
        self.end_all(cx, Ended::Gone);
    }

    fn end_all(&mut self, cx: &mut Cx, why: Ended) {
        self.wake_for_room.drain(..).for_each(|who| cx.wake(who));
        for (_, flight) in std::mem::take(&mut self.delayed) {
            self.lines.finish(cx, flight, Finished::Failed(why));
        }
        while let Some(flight) = self.lines.next() {
            self.lines.finish(cx, flight, Finished::Failed(why));
        }
        self.fail_resets(cx, why);
    }

    #[cold]
    fn lost(&mut self, why: Lost) {
        if !std::mem::replace(&mut self.told, true) && self.carries() {
            self.hold_back();
            self.shared.tell(Event::Lost(self.epoch, why.to_string()));
        }
    }
}

/// Gives a request to a link behind its trait.
#[inline(never)]
fn submit_made(link: &mut dyn Link, flight: Flight, translate: &impl Translate) -> Result<(), (Flight, Refusal)> {
    match translate.command(&flight.io) {
        _ if !link.has_room() => Err((flight, Refusal::Full)),
        Some(sqe) => link.submit(flight, &sqe.into()),
        None => Err((flight, Refusal::Nothing)),
    }
}

/// Keeps a completion that needs a second look.
#[cold]
fn keep(done: &mut Vec<Completed>, leaving: Leaving<'_, Flight>, cqe: CqeWords) {
    done.push(Completed { flight: leaving.take(), cqe: cqe.into() });
}

impl Source for Pair {
    #[inline]
    fn reap(&mut self, cx: &mut Cx, budget: u32) -> u32 {
        self.now = cx.now();
        self.look_once = false;
        let reaped = match &mut self.link {
            // Without a stop on the way, but for what needs a second look.
            Some(AnyLink::Memory(link)) => {
                let (lines, done, nothing_asked) = (&mut self.lines, &mut self.done, self.asked.is_empty());
                Ok(link.reap_each(budget, |leaving, cqe| {
                    if !cqe.status().is_ok() || !nothing_asked || leaving.item().raw.is_some() {
                        return keep(done, leaving, cqe);
                    }
                    lines.went_well(cx, leaving.take(), cqe);
                }))
            }
            Some(AnyLink::Other(link)) => link.reap(self.now, budget, &mut self.done),
            None => Ok(0),
        };
        if !self.done.is_empty() {
            self.end_completed(cx);
        }
        self.let_in(cx);
        match reaped {
            Ok(n) => n,
            Err(why) => {
                self.lost(why);
                // Its supervisor may be waiting for one of these itself.
                if !self.is_io {
                    self.take_back(cx);
                }
                0
            }
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.poller.as_fd())
    }

    fn arm(&mut self) -> Armed {
        match &mut self.link {
            Some(link) if !self.told => link.arm(),
            _ => Armed::Armed,
        }
    }

    fn disarm(&mut self) {
        self.look_once = true;
        if let Some(link) = &mut self.link {
            link.disarm();
        }
    }

    #[inline]
    fn busy(&self) -> bool {
        // Whoever waits for room for a fused pair is woken by a look; while it is held there is none to be had.
        let waits = (self.life == Life::Live && self.lines.any_waits()) || (self.carries() && !self.wake_for_room.is_empty());
        !self.told && self.link.as_ref().is_some_and(|link| self.look_once || link.is_busy() || waits)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if self.is_io {
            self.shared.counters.pairs.fetch_sub(1, Ordering::Relaxed);
        }
        self.shared.tell(Event::Closed(self.id));
    }
}

#[cfg(test)]
mod tests;
