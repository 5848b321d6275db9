//! One reactor: what a turn does, and when it sleeps.
//!
//! A turn costs what its sources and its woken tokens cost, whatever else is open. The clock is read once.

use crate::executor::Executor;
use crate::load::{Load, LoadSnapshot};
use crate::local::Local;
use doorbell_block::{Armed, Changes, Consumer, ConsumerId, Cx, CxParts, Message, Source, Ticks, Token, Turn};
use doorbell_sys::ring::Receiver;
use doorbell_sys::wakeup::Sleeper;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Where time comes from.
pub trait Clock {
    /// Nanoseconds from an arbitrary start.
    fn now(&self) -> Ticks;
}

impl Clock for doorbell_sys::clock::AnyClock {
    #[inline]
    fn now(&self) -> Ticks {
        Ticks(doorbell_sys::clock::AnyClock::now(self))
    }
}

/// In which order those who were woken run.
pub trait Order {
    /// Rearranges them.
    fn arrange(&mut self, ready: &mut [Token]);
}

/// As they were woken.
pub struct Fifo;

impl Order for Fifo {
    #[inline]
    fn arrange(&mut self, _ready: &mut [Token]) {}
}

/// When to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polling {
    /// After this many nanoseconds without work.
    Adaptive {
        /// How long to look for work before sleeping.
        spin_ns: u64,
    },
    /// Never.
    Always,
}

/// What a reactor is made of.
pub struct ReactorParts<C, O> {
    /// Its side of the vocabulary.
    pub cx: CxParts,
    /// Its inbox.
    pub inbox: Receiver<Message>,
    /// What ends its sleep; none in a simulation, which never sleeps.
    pub sleeper: Option<Sleeper>,
    /// Its clock.
    pub clock: C,
    /// Its order.
    pub order: O,
    /// When it sleeps.
    pub polling: Polling,
}

/// A reactor.
pub struct Reactor<C, O> {
    cx: Cx,
    clock: C,
    order: O,
    polling: Polling,
    inbox: Receiver<Message>,
    sleeper: Option<Sleeper>,
    consumers: Vec<Option<Box<dyn Consumer>>>,
    sources: Vec<Rc<RefCell<dyn Source>>>,
    executor: Executor,
    load: Arc<Load>,
    count: LoadSnapshot,
    last: Ticks,
    worked: bool,
    idle_since: Ticks,
    /// Sources that were armed for the sleep that has begun.
    armed: usize,
}

/// Completions taken from one source in one turn.
const REAP_BUDGET: u32 = 512;
/// Messages handled in one turn.
const INBOX_BUDGET: usize = 256;
/// Turns between looks at descriptors while there is other work.
const LOOK_EVERY: u64 = 16;
/// Turns between publications of the load.
const PUBLISH_EVERY: u64 = 1024;
/// Turns between looks for sources that nobody uses any more, for reactors that never sleep.
const SWEEP_EVERY: u64 = 65_536;
/// The longest sleep while a message waits for room in another's inbox.
const PARKED_SLEEP_NS: u64 = 100_000;

impl<C: Clock, O: Order> Reactor<C, O> {
    /// Puts one together on the thread that will run it.
    pub fn new(parts: ReactorParts<C, O>) -> Self {
        let (ports, clock) = (parts.cx.ports.clone(), parts.clock);
        let mut cx = Cx::new(parts.cx);
        let now = clock.now();
        cx.begin_turn(now);
        if let Some(s) = &parts.sleeper
            && let Err(e) = cx.watch_for_sleep(s.fd())
        {
            tracing::error!(error = %e, "a reactor cannot be woken from sleep and will not sleep");
        }
        let executor = Executor::new(&mut cx, ports, parts.sleeper.as_ref().map(Sleeper::notifier));
        Reactor {
            cx,
            clock,
            order: parts.order,
            polling: parts.polling,
            inbox: parts.inbox,
            sleeper: parts.sleeper,
            consumers: Vec::new(),
            sources: Vec::new(),
            executor,
            load: Arc::default(),
            count: LoadSnapshot::default(),
            last: now,
            worked: false,
            idle_since: now,
            armed: 0,
        }
    }

    /// The handle for async code on this reactor.
    pub fn local(&self) -> Local {
        self.executor.local()
    }

    /// How busy it is.
    pub fn load(&self) -> Arc<Load> {
        self.load.clone()
    }

    /// Counts this thread's number in the load.
    pub fn set_tid(&mut self, tid: u64) {
        self.count.tid = tid;
    }

    /// What its consumers see; for set-up and tests.
    pub fn cx(&mut self) -> &mut Cx {
        &mut self.cx
    }

    /// One turn. True if there was work.
    pub fn turn(&mut self) -> bool {
        let now = self.clock.now();
        self.account(now);
        self.cx.begin_turn(now);
        let mut worked = self.receive();
        worked |= self.cx.move_mail();
        worked |= self.cx.fire_timers();
        worked |= self.reap();
        if self.cx.watches() && (!self.worked || self.count.turns.is_multiple_of(LOOK_EVERY)) {
            self.look(Some(Duration::ZERO));
        }
        if self.executor.pending() {
            self.executor.run(&mut self.cx);
            worked = true;
        }
        // Before anyone runs: a newcomer may have been woken already.
        if let Some(changes) = self.cx.changes() {
            self.install(changes);
        }
        worked |= self.run_ready();
        self.cx.end_turn();
        if self.count.turns.is_multiple_of(SWEEP_EVERY) {
            self.sweep_sources();
        }
        self.worked = worked;
        worked
    }

    /// Turns until asked to stop; sleeps when there is nothing to do.
    pub fn run(&mut self) {
        while !self.cx.stopping() {
            if self.turn() {
                self.idle_since = self.last;
            } else if let Polling::Adaptive { spin_ns } = self.polling
                && self.last.since(self.idle_since) >= spin_ns
            {
                self.sleep();
            }
        }
    }

    #[inline]
    fn account(&mut self, now: Ticks) {
        let spent = now.since(self.last);
        if self.worked {
            self.count.busy_ns += spent;
        } else {
            self.count.idle_ns += spent;
        }
        self.last = now;
        self.count.turns += 1;
        if self.count.turns.is_multiple_of(PUBLISH_EVERY) {
            self.load.publish(&self.count);
        }
    }

    #[inline]
    fn receive(&mut self) -> bool {
        !self.inbox.is_empty() && self.receive_all()
    }

    #[cold]
    fn receive_all(&mut self) -> bool {
        let mut any = false;
        for _ in 0..INBOX_BUDGET {
            let Some(m) = self.inbox.pop() else { break };
            self.cx.receive(m);
            any = true;
        }
        any
    }

    #[inline]
    fn reap(&mut self) -> bool {
        let mut n = 0;
        for s in &self.sources {
            let mut s = s.borrow_mut();
            if s.busy() {
                n += s.reap(&mut self.cx, REAP_BUDGET);
            }
        }
        n > 0
    }

    fn look(&mut self, timeout: Option<Duration>) {
        if let Err(e) = self.cx.look(timeout) {
            tracing::error!(error = %e, "epoll failed");
        }
    }

    #[inline]
    fn run_ready(&mut self) -> bool {
        if !self.cx.any_ready() {
            return false;
        }
        self.order.arrange(self.cx.take_ready());
        while let Some(token) = self.cx.next_ready() {
            if let Turn::Run(ConsumerId(n)) = self.cx.begin_run(token) {
                if let Some(Some(consumer)) = self.consumers.get_mut(n as usize) {
                    consumer.run(&mut self.cx, token);
                }
                self.cx.end_run();
            }
        }
        true
    }

    #[cold]
    fn install(&mut self, changes: Changes) {
        for (ConsumerId(n), consumer) in changes.newcomers {
            let n = n as usize;
            if self.consumers.len() <= n {
                self.consumers.resize_with(n + 1, || None);
            }
            if let Some(slot) = self.consumers.get_mut(n) {
                *slot = Some(consumer);
            }
        }
        for ConsumerId(n) in changes.leavers {
            if let Some(slot) = self.consumers.get_mut(n as usize) {
                *slot = None;
            }
        }
        for s in changes.sources {
            if let Some(fd) = s.borrow().descriptor()
                && let Err(e) = self.cx.watch_for_sleep(fd)
            {
                tracing::error!(error = %e, "a source cannot end a sleep");
            }
            self.sources.push(s);
        }
    }

    /// Lets go of sources that nobody uses any more.
    #[cold]
    fn sweep_sources(&mut self) {
        let cx = &mut self.cx;
        self.sources.retain(|s| {
            let used = Rc::strong_count(s) > 1 || s.borrow().busy();
            if !used && let Some(fd) = s.borrow().descriptor() {
                cx.unwatch_for_sleep(fd);
            }
            used
        });
    }

    /// Sleeps until something happens, unless something already has.
    fn sleep(&mut self) {
        if self.fall_asleep() {
            let limit = self.sleep_limit();
            self.load.publish(&self.count);
            self.count.sleeps += 1;
            if limit != Some(Duration::ZERO) {
                self.look(limit);
            }
        }
        self.wake_up();
    }

    /// The first half of a sleep: from here on whoever makes work rings. True if nothing has happened meanwhile, so that one may wait until
    /// [`Reactor::is_rung`] or the next timer; either way [`Reactor::wake_up`] comes next. False without a sleeper. For who turns reactors on
    /// a clock of his own; [`Reactor::run`] sleeps by itself.
    pub fn fall_asleep(&mut self) -> bool {
        self.sweep_sources();
        let Some(sleeper) = &mut self.sleeper else { return false };
        sleeper.prepare();
        for s in &self.sources {
            self.armed += 1;
            if s.borrow_mut().arm() == Armed::Ready {
                return false;
            }
        }
        self.inbox.is_empty() && !self.cx.any_ready() && !self.executor.pending()
    }

    /// Has anything rung that ends a sleep? Does not wait.
    pub fn is_rung(&mut self) -> bool {
        self.cx.look(Some(Duration::ZERO)).is_ok_and(|n| n > 0)
    }

    /// The second half of a sleep.
    pub fn wake_up(&mut self) {
        if let Some(sleeper) = &mut self.sleeper {
            sleeper.awake();
            self.worked = false;
        }
        for s in self.sources.iter().take(std::mem::take(&mut self.armed)) {
            s.borrow_mut().disarm();
        }
    }

    fn sleep_limit(&self) -> Option<Duration> {
        let now = self.clock.now();
        let timer = self.cx.next_timer().map(|at| at.since(now));
        let parked = self.cx.has_mail_to_move().then_some(PARKED_SLEEP_NS);
        let ns = match (timer, parked) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        Some(Duration::from_nanos(ns))
    }

    /// Ends: drops tasks, consumers and sources, and says what was still out.
    pub fn close(mut self) -> crate::Closed {
        self.executor.clear(&mut self.cx);
        self.consumers.clear();
        for _ in 0..3 {
            self.turn(); // calls that drops have queued, retired queues, mail
        }
        self.consumers.clear();
        self.sources.clear(); // what they hold in reserve goes home, after the kernel is done with it
        self.load.publish(&self.count);
        crate::Closed { reactor: self.cx.reactor(), boxes_out: self.cx.boxes_out(), buffers_out: self.cx.pool().out() }
    }
}

#[cfg(test)]
mod tests;
