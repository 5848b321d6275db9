//! Several reactors, a network and virtual time in one OS thread, from one seed.
//!
//! In each round every reactor takes one turn, in an order that the seed fixes, and time moves a little. When a round found nothing to do
//! time jumps to the next timer or arrival; when there is none either, nothing can ever happen again: that is a [`Stalled::Deadlock`],
//! which is how a lost wake-up shows. The same seed gives the same [`Machine::trace`], as long as what runs takes time, order and entropy
//! from here alone.

#[cfg(test)]
mod tests;

use crate::entropy::Entropy;
use crate::pipe::Network;
use crate::time::{SimClock, SimOrder, Trace};
use doorbell_block::{Cx, CxParts, Port, ReactorId, Ticks};
use doorbell_mem::{Backing, ClassSpec, Pool, PoolSpec, Regions};
use doorbell_reactor::{Clock, Closed, Local, Polling, Reactor, ReactorParts, StartError};
use doorbell_sys::epoll::Poller;
use doorbell_sys::{ring, wakeup};
use std::cell::RefCell;
use std::future::Future;
use std::ops::RangeInclusive;
use std::rc::Rc;

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// All of its chance.
    pub seed: u64,
    /// How many reactors.
    pub reactors: u32,
    /// Boxes of each.
    pub boxes: u32,
    /// Buffers of each.
    pub classes: Vec<ClassSpec>,
    /// Messages that fit in an inbox.
    pub inbox: usize,
    /// What one turn takes.
    pub turn_ns: RangeInclusive<u64>,
    /// Where memory comes from: what a simulated device attaches to. A registry of its own for each machine.
    pub regions: Regions,
    /// Reactors sleep now and then when they have nothing to do: then only a timer, a message or a descriptor that became readable has one
    /// turn again.
    pub sleeps: bool,
}

impl Default for MachineSpec {
    fn default() -> Self {
        let class = |size, count| ClassSpec { size, count };
        MachineSpec {
            seed: 0,
            reactors: 1,
            boxes: 512,
            classes: vec![class(512, 128), class(4 << 10, 256), class(64 << 10, 32), class(1 << 20, 4)],
            inbox: 64,
            turn_ns: 50..=500,
            regions: Regions::new(),
            sleeps: false,
        }
    }
}

/// Why a machine gave up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stalled {
    /// Nothing is ready and no timer runs, yet the condition does not hold: a wake-up was lost.
    #[error("seed {seed}: at {at_ns} ns nothing is ready, no timer runs, and what was waited for has not happened: a wake-up was lost")]
    Deadlock {
        /// Its seed.
        seed: u64,
        /// When.
        at_ns: u64,
    },
    /// The condition did not come true in the time allowed.
    #[error("seed {seed}: what was waited for has not happened within {budget_ns} ns of virtual time")]
    OverBudget {
        /// Its seed.
        seed: u64,
        /// The time allowed.
        budget_ns: u64,
    },
}

/// Reactors that turn in one thread.
pub struct Machine {
    seed: u64,
    clock: SimClock,
    entropy: Entropy,
    trace: Trace,
    network: Network,
    turn_ns: RangeInclusive<u64>,
    order: Vec<usize>,
    reactors: Vec<Reactor<SimClock, SimOrder>>,
    sleeps: bool,
    /// Which reactors are asleep.
    asleep: Vec<bool>,
    /// Which had nothing to do in their last turn.
    idle: Vec<bool>,
    slept: u64,
    outside: Option<Ticks>,
}

impl Machine {
    /// A machine of `reactors`, with the usual boxes and buffers.
    ///
    /// # Panics
    /// If the host has no memory or descriptors left.
    pub fn new(seed: u64, reactors: u32) -> Machine {
        match Machine::with(&MachineSpec { seed, reactors, ..MachineSpec::default() }) {
            Ok(m) => m,
            Err(e) => panic!("{e}"),
        }
    }

    /// A machine as told.
    pub fn with(spec: &MachineSpec) -> Result<Machine, StartError> {
        let (clock, trace, mut entropy) = (SimClock::new(), Trace::default(), Entropy::new(spec.seed));
        let mut ports = Vec::new();
        let mut inboxes = Vec::new();
        for reactor in 0..spec.reactors.max(1) {
            let (sender, inbox) = ring::ring(spec.inbox);
            let (sleeper, notifier) = wakeup::pair().map_err(|source| StartError::System { reactor, source })?;
            ports.push(Port { sender, notifier });
            // One that never sleeps is never rung.
            inboxes.push((inbox, spec.sleeps.then_some(sleeper)));
        }
        let mut reactors = Vec::new();
        for (n, (inbox, sleeper)) in inboxes.into_iter().enumerate() {
            let reactor = n as u32;
            let poller = if spec.sleeps { Some(Poller::new().map_err(|source| StartError::System { reactor, source })?) } else { None };
            let pool = PoolSpec { classes: spec.classes.clone(), backing: Backing::Ordinary, node: None };
            let pool = Pool::new(&spec.regions, &pool)?;
            let cx = CxParts { id: ReactorId(n as u32), boxes: spec.boxes, pool, ports: ports.clone(), poller };
            let order = SimOrder::new(entropy.fork(), trace.clone());
            let parts = ReactorParts { cx, inbox, sleeper, clock: clock.clone(), order, polling: Polling::Always };
            reactors.push(Reactor::new(parts));
        }
        let network = Network::new(clock.clone(), entropy.fork(), trace.clone());
        let order = (0..reactors.len()).collect();
        let (turn_ns, asleep, idle) = (spec.turn_ns.clone(), vec![false; reactors.len()], vec![false; reactors.len()]);
        let (seed, sleeps) = (spec.seed, spec.sleeps);
        Ok(Machine { seed, clock, entropy, trace, network, turn_ns, order, reactors, sleeps, asleep, idle, slept: 0, outside: None })
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Its clock.
    pub fn clock(&self) -> SimClock {
        self.clock.clone()
    }

    /// Its network.
    pub fn network(&self) -> Network {
        self.network.clone()
    }

    /// A stream of entropy for the test's own use.
    pub fn fork(&mut self) -> Entropy {
        self.entropy.fork()
    }

    /// What happened so far.
    pub fn trace(&self) -> Trace {
        self.trace.clone()
    }

    /// How many reactors.
    pub fn reactors(&self) -> u32 {
        self.reactors.len() as u32
    }

    /// The handle for async code on reactor `n`.
    ///
    /// # Panics
    /// If there is no such reactor.
    pub fn local(&self, n: u32) -> Local {
        self.reactors[n as usize].local()
    }

    /// What consumers of reactor `n` see.
    ///
    /// # Panics
    /// If there is no such reactor.
    pub fn cx(&mut self, n: u32) -> &mut Cx {
        self.reactors[n as usize].cx()
    }

    /// One turn of every reactor. True if there was work.
    pub fn round(&mut self) -> bool {
        self.entropy.shuffle(&mut self.order);
        let mut worked = false;
        for at in 0..self.order.len() {
            let n = self.order[at];
            self.clock.advance(self.entropy.within(&self.turn_ns));
            for (who, token) in self.network.due() {
                if let Some(reactor) = self.reactors.get_mut(who.0 as usize) {
                    reactor.cx().wake(token);
                    worked = true;
                }
            }
            let this = self.turn(n);
            self.trace.note(self.clock.now().0 << 9 | (n as u64) << 1 | u64::from(this));
            worked |= this;
        }
        // Mail that waits for room moves without counting as work.
        worked || self.reactors.iter_mut().any(|r| r.cx().has_mail_to_move() || r.cx().any_ready())
    }

    /// One turn of reactor `n`, unless it sleeps on. True if there was work.
    fn turn(&mut self, n: usize) -> bool {
        let now = self.clock.now();
        let (Some(reactor), Some(asleep)) = (self.reactors.get_mut(n), self.asleep.get_mut(n)) else { return false };
        if *asleep {
            let is_due = reactor.cx().next_timer().is_some_and(|at| at <= now);
            let has_work = reactor.cx().has_mail_to_move() || reactor.cx().any_ready();
            if !is_due && !has_work && !reactor.is_rung() {
                return false;
            }
            reactor.wake_up();
            *asleep = false;
            self.idle[n] = false;
        }
        // A while after it last found nothing: something may have come since.
        if self.sleeps && self.idle.get(n) == Some(&true) && self.entropy.coin() {
            *asleep = reactor.fall_asleep();
            if *asleep {
                self.slept += 1;
                return false;
            }
            reactor.wake_up();
        }
        let worked = reactor.turn();
        if let Some(idle) = self.idle.get_mut(n) {
            *idle = !worked;
        }
        worked
    }

    /// How often a reactor fell asleep.
    pub fn slept(&self) -> u64 {
        self.slept
    }

    /// Something outside happens at `at`, by whoever turns the machine: time does not jump past it. The last that was said holds.
    pub fn expect(&mut self, at: Option<Ticks>) {
        self.outside = at;
    }

    /// Jumps to the next timer or arrival. False if there is none.
    pub fn skip(&mut self) -> bool {
        // Each round takes time: what was expected may be due by now.
        let timers = self.reactors.iter_mut().filter_map(|r| r.cx().next_timer());
        match timers.chain(self.network.next()).chain(self.outside.take()).min() {
            Some(at) => {
                self.clock.advance_to(at);
                true
            }
            None => false,
        }
    }

    /// Turns until `done`, for at most `budget_ns` of virtual time.
    pub fn run_until(&mut self, budget_ns: u64, mut done: impl FnMut(&mut Machine) -> bool) -> Result<(), Stalled> {
        let end = self.clock.now().after(budget_ns);
        loop {
            if done(self) {
                return Ok(());
            }
            if self.clock.now() > end {
                return Err(Stalled::OverBudget { seed: self.seed, budget_ns });
            }
            if self.round() {
                continue;
            }
            // Whatever is outside may have been told something without anybody here having had work.
            if done(self) {
                return Ok(());
            }
            if !self.skip() {
                return Err(Stalled::Deadlock { seed: self.seed, at_ns: self.clock.now().0 });
            }
        }
    }

    /// Runs a future of reactor 0 to its end, for at most `budget_ns` of virtual time.
    pub fn run<T: 'static, F: Future<Output = T> + 'static>(
        &mut self,
        budget_ns: u64,
        main: impl FnOnce(Local) -> F,
    ) -> Result<T, Stalled> {
        let answer = Rc::new(RefCell::new(None));
        let there = answer.clone();
        let future = main(self.local(0));
        self.local(0).spawn(async move {
            let value = future.await;
            *there.borrow_mut() = Some(value);
        });
        self.run_until(budget_ns, |_| answer.borrow().is_some())?;
        let value = answer.borrow_mut().take();
        match value {
            Some(v) => Ok(v),
            None => unreachable!("the run ended because there was an answer"),
        }
    }

    /// Lets what is still under way end (for at most `budget_ns`), closes the reactors, and says what each had lost.
    pub fn close(mut self, budget_ns: u64) -> Vec<Closed> {
        let end = self.clock.now().after(budget_ns);
        self.outside = None;
        while self.clock.now() <= end && (self.round() || self.skip()) {}
        self.reactors.into_iter().map(Reactor::close).collect()
    }

    /// Virtual time.
    pub fn now(&self) -> Ticks {
        self.clock.now()
    }
}
