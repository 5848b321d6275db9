//! The owners of a queue pair: who they are, what of theirs waits and what has ended.

use super::Translate;
use crate::link::{Flight, OwnerId};
use doorbell_block::{Cx, Done, Io, Status as Ended, Token};
use doorbell_wire_nvme::{Cqe, SqeWords};
use std::collections::VecDeque;
use std::sync::Arc;

/// How a command ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Finished {
    /// The controller completed it.
    Done(Cqe),
    /// Its segments do not lie as the device needs them.
    Misaligned,
    /// It was not done, or nobody knows.
    Failed(Ended),
    /// The reset that it asked for is done.
    Reset,
}

/// What an owner wants to know of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// What went well has its status set, and no more is said of it.
    Status,
    /// How each ended.
    All,
}

struct Owner {
    generation: u32,
    /// None once it has left.
    who: Option<Token>,
    translate: Arc<dyn Translate + Send + Sync>,
    waiting: VecDeque<Flight>,
    wants: Wants,
    /// It was woken for what is here.
    told: bool,
    /// What went well, of those who want no more than that.
    fine: Done,
    finished: Vec<(Box<Io>, Finished)>,
}

impl Owner {
    /// Something is there for it. Whoever had something already was woken for that, and takes all that there is.
    #[inline(always)]
    fn tell(&mut self, cx: &mut Cx) {
        if !self.told {
            self.wake(cx);
        }
    }

    #[cold]
    fn wake(&mut self, cx: &mut Cx) {
        self.told = true;
        if let Some(who) = self.who {
            cx.wake(who);
        }
    }
}

/// All owners.
#[derive(Default)]
pub(super) struct Lines {
    owners: Vec<Owner>,
    parked: usize,
    turn: usize,
}

impl Lines {
    pub(super) fn join(&mut self, who: Token, depth: u32, wants: Wants, translate: Arc<dyn Translate + Send + Sync>) -> OwnerId {
        let depth = depth as usize;
        let free = self.owners.iter().position(|owner| owner.who.is_none());
        let index = match free {
            Some(index) => index,
            None => {
                let none = translate.clone();
                let (waiting, fine, finished) = (VecDeque::new(), Vec::new(), Vec::new());
                self.owners.push(Owner { generation: 0, who: None, translate: none, waiting, wants, told: false, fine, finished });
                self.owners.len() - 1
            }
        };
        let mut generation = 0;
        if let Some(owner) = self.owners.get_mut(index) {
            (owner.who, owner.translate, owner.wants, owner.told) = (Some(who), translate, wants, false);
            owner.waiting.reserve(depth);
            owner.fine.reserve(depth);
            owner.finished.reserve(depth);
            generation = owner.generation;
        }
        OwnerId { index: index as u32, generation }
    }

    pub(super) fn leave(&mut self, id: OwnerId) {
        if let Some(owner) = self.owner(id) {
            owner.who = None;
            owner.generation = owner.generation.wrapping_add(1);
            // None, unless it was dropped with requests out: those are lost, and counted by the pool.
            let lost = owner.waiting.len();
            owner.waiting.clear();
            owner.fine.clear();
            owner.finished.clear();
            self.parked -= lost;
        }
    }

    #[inline]
    fn owner(&mut self, id: OwnerId) -> Option<&mut Owner> {
        self.owners.get_mut(id.index as usize).filter(|owner| owner.generation == id.generation)
    }

    pub(super) fn token(&mut self, id: OwnerId) -> Option<Token> {
        self.owner(id)?.who
    }

    /// Does something of it wait, so that nothing may overtake it?
    #[inline]
    pub(super) fn waits(&mut self, id: OwnerId) -> bool {
        self.parked > 0 && self.owner(id).is_some_and(|owner| !owner.waiting.is_empty())
    }

    #[inline]
    pub(super) fn any_waits(&self) -> bool {
        self.parked > 0
    }

    pub(super) fn command(&mut self, flight: &Flight) -> Option<SqeWords> {
        self.owner(flight.owner)?.translate.command(&flight.io)
    }

    /// May it be sent again though it may have been done already?
    #[cold]
    pub(super) fn may_repeat(&mut self, flight: &Flight) -> bool {
        self.owner(flight.owner).is_some_and(|owner| owner.translate.may_repeat(&flight.io))
    }

    pub(super) fn park_first(&mut self, flight: Flight) {
        self.park(flight, VecDeque::push_front);
    }

    pub(super) fn park_last(&mut self, flight: Flight) {
        self.park(flight, VecDeque::push_back);
    }

    fn park(&mut self, flight: Flight, put: fn(&mut VecDeque<Flight>, Flight)) {
        if let Some(owner) = self.owner(flight.owner) {
            put(&mut owner.waiting, flight);
            self.parked += 1;
        }
    }

    /// The next that may go, by turns among the owners.
    pub(super) fn next(&mut self) -> Option<Flight> {
        for _ in 0..self.owners.len() {
            self.turn = if self.turn + 1 < self.owners.len() { self.turn + 1 } else { 0 };
            if let Some(flight) = self.owners.get_mut(self.turn).and_then(|owner| owner.waiting.pop_front()) {
                self.parked -= 1;
                return Some(flight);
            }
        }
        None
    }

    /// Takes all that wait and bring their own commands: those are never sent after a reset, whose rings and namespaces are others.
    pub(super) fn take_raw(&mut self) -> Vec<Flight> {
        let mut taken = Vec::new();
        for owner in &mut self.owners {
            let (raw, kept): (VecDeque<Flight>, VecDeque<Flight>) =
                std::mem::take(&mut owner.waiting).into_iter().partition(|flight| flight.raw.is_some());
            owner.waiting = kept;
            taken.extend(raw);
        }
        self.parked -= taken.len();
        taken
    }

    /// Takes those of an owner that wait and that `asked` names.
    pub(super) fn take_waiting(&mut self, id: OwnerId, asked: impl Fn(&Flight) -> bool) -> Vec<Flight> {
        let Some(owner) = self.owner(id) else { return Vec::new() };
        let (taken, kept): (VecDeque<Flight>, VecDeque<Flight>) = std::mem::take(&mut owner.waiting).into_iter().partition(asked);
        owner.waiting = kept;
        self.parked -= taken.len();
        taken.into()
    }

    /// A command has ended.
    pub(super) fn finish(&mut self, cx: &mut Cx, flight: Flight, end: Finished) {
        if let Some(owner) = self.owner(flight.owner) {
            owner.tell(cx);
            owner.finished.push((flight.io, end));
        }
    }

    /// A request of which the command was made went well, as nearly all do.
    #[inline(always)]
    pub(super) fn went_well(&mut self, cx: &mut Cx, flight: Flight, cqe: impl Into<Cqe>) {
        let Flight { mut io, raw, owner, .. } = flight;
        debug_assert!(raw.is_none());
        // Nothing, which the compiler cannot know.
        std::mem::forget(raw);
        if let Some(owner) = self.owner(owner) {
            owner.tell(cx);
            match owner.wants {
                Wants::Status => {
                    io.status = Ended::Ok;
                    owner.fine.push(io);
                }
                Wants::All => owner.finished.push((io, Finished::Done(cqe.into()))),
            }
        }
    }

    /// Appends all that has ended of an owner's: what went well to `fine`, where it wants no more, the rest to `rest`.
    #[inline]
    pub(super) fn collect(&mut self, id: OwnerId, rest: &mut Vec<(Box<Io>, Finished)>, fine: &mut Done) {
        if let Some(owner) = self.owner(id) {
            owner.told = false;
            fine.append(&mut owner.fine);
            rest.append(&mut owner.finished);
        }
    }
}
