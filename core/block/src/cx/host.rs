//! The side of `Cx` that the reactor itself uses. Consumers and queues have no business here.

use super::fair::{Fair, Line};
use super::mail::Post;
use super::{ConsumerId, Cx, Message, Newcomer, Port, ReactorId, Ticks, Timers};
use crate::token::Tokens;
use crate::{BlockQueue, Events, Io, Source, Token};
use doorbell_mem::Pool;
use doorbell_sys::epoll::Poller;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// The consumer that queues of leaving owners are handed to.
pub(super) const RETIREES: ConsumerId = ConsumerId(u32::MAX);
/// Key of what only ends a sleep.
const NO_TOKEN: u64 = u64::MAX;

pub(super) struct Retiree {
    pub(super) who: Token,
    pub(super) outstanding: u32,
    pub(super) queue: Box<dyn BlockQueue>,
}

/// What a reactor is made of.
pub struct CxParts {
    /// Which reactor.
    pub id: ReactorId,
    /// Boxes in its pool.
    pub boxes: u32,
    /// Its buffers.
    pub pool: Pool,
    /// The ways into every reactor, this one included, in order.
    pub ports: Vec<Port>,
    /// What it sleeps in; none in a simulation.
    pub poller: Option<Poller>,
}

/// Who came to a reactor and who left.
pub struct Changes {
    /// Consumers that are to run from now on.
    pub newcomers: Vec<Newcomer>,
    /// Consumers that are not to run any more.
    pub leavers: Vec<ConsumerId>,
    /// New sources: the reactor watches their descriptors and polls them while they have users.
    pub sources: Vec<Rc<RefCell<dyn Source>>>,
}

/// What one look at a ready token found.
pub enum Turn {
    /// This consumer is to run.
    Run(ConsumerId),
    /// Nothing to do: it was given back, or was a retired queue.
    Nothing,
}

impl Cx {
    /// A new one.
    pub fn new(parts: CxParts) -> Cx {
        Cx {
            now: Ticks(0),
            me: parts.id,
            tokens: Tokens::default(),
            ios: (0..parts.boxes).map(|_| Io::boxed(4)).collect(),
            boxes: parts.boxes,
            fair: Fair::new(parts.pool.classes()),
            pool: parts.pool,
            timers: Timers::default(),
            post: Post::new(parts.ports),
            poller: parts.poller,
            watched: 0,
            looks: 0,
            locals: HashMap::new(),
            consumers: 0,
            newcomers: Vec::new(),
            leavers: Vec::new(),
            sources: Vec::new(),
            retirees: Vec::new(),
            changed: false,
            stopping: false,
        }
    }

    /// One that stands alone, for tests and examples: `boxes` boxes and `buffers` buffers of `buffer_bytes`.
    pub fn for_test(boxes: u32, buffer_bytes: u32, buffers: u32) -> Cx {
        let pool = Pool::small(buffer_bytes, buffers);
        Cx::new(CxParts { id: ReactorId(0), boxes, pool, ports: Vec::new(), poller: None })
    }

    /// Takes another pool instead of the one it has, of which nothing may be out: while a process is set up. False when it is too late.
    pub fn set_pool(&mut self, pool: Pool) -> bool {
        let unused = self.pool.out() == 0 && !self.fair.contended();
        if unused {
            self.fair = Fair::new(pool.classes());
            self.pool = pool;
        }
        unused
    }

    pub(super) fn next_consumer(&mut self) -> ConsumerId {
        self.consumers += 1;
        ConsumerId(self.consumers - 1)
    }

    /// Begins a turn.
    #[inline]
    pub fn begin_turn(&mut self, now: Ticks) {
        self.now = now;
    }

    /// Wakes whose timers are due. True if there was one.
    #[inline]
    pub fn fire_timers(&mut self) -> bool {
        let mut any = false;
        while let Some((who, at)) = self.timers.due(self.now) {
            if self.tokens.take_due(who, at.0) {
                self.tokens.wake(who);
                any = true;
            }
        }
        any
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Ticks> {
        self.timers.next()
    }

    /// Handles a message for this reactor.
    pub fn receive(&mut self, message: Message) {
        match message {
            Message::Wake(t) => self.wake(t),
            Message::Mail(at, mail) => {
                if self.tokens.is_live(at.token) {
                    self.post.deliver(at, mail);
                    self.wake(at.token);
                }
            }
            Message::Visit(f) => f(self),
        }
    }

    /// Handles what this reactor sent to itself, and tries again what others had no room for. True if anything moved.
    #[inline]
    pub fn move_mail(&mut self) -> bool {
        self.has_mail_to_move() && self.move_all_mail()
    }

    #[cold]
    fn move_all_mail(&mut self) -> bool {
        let mut any = false;
        // Only what was there at the start: a visit that sends to itself runs next turn.
        for _ in 0..self.post.local() {
            let Some(m) = self.post.next_local() else { break };
            self.receive(m);
            any = true;
        }
        if self.post.has_parked() {
            self.post.retry();
        }
        any
    }

    /// Must this reactor not sleep for want of somebody else's room, or because it has mail for itself?
    #[inline]
    pub fn has_mail_to_move(&self) -> bool {
        self.post.has_parked() || self.post.local() > 0
    }

    /// Those who are ready are to run now: in this order, unless it is changed.
    #[inline]
    pub fn take_ready(&mut self) -> &mut [Token] {
        self.tokens.take_ready()
    }

    /// The next of those who are to run now.
    #[inline]
    pub fn next_ready(&mut self) -> Option<Token> {
        self.tokens.next()
    }

    /// Is any token ready?
    #[inline]
    pub fn any_ready(&self) -> bool {
        self.tokens.any_ready()
    }

    /// Begins the run of a ready token; polls it here when it is a retired queue's.
    #[inline]
    pub fn begin_run(&mut self, who: Token) -> Turn {
        match self.tokens.begin(who) {
            None => Turn::Nothing,
            Some(RETIREES) => {
                self.run_retired(who);
                Turn::Nothing
            }
            Some(consumer) => {
                if self.fair.contended() {
                    self.fair.begin(who);
                }
                Turn::Run(consumer)
            }
        }
    }

    /// Ends the run of a token.
    #[inline]
    pub fn end_run(&mut self) {
        if self.fair.contended() {
            self.fair.end();
        }
    }

    #[cold]
    fn run_retired(&mut self, who: Token) {
        let mut done = Vec::new();
        let mut all = std::mem::take(&mut self.retirees);
        all.retain_mut(|r| {
            if r.who != who {
                return true;
            }
            r.queue.poll(self, &mut done);
            r.outstanding = r.outstanding.saturating_sub(done.len() as u32);
            for io in done.drain(..) {
                self.put_io(io);
            }
            r.outstanding > 0
        });
        let gone = !all.iter().any(|r| r.who == who);
        all.append(&mut self.retirees);
        self.retirees = all;
        if gone {
            self.free_token(who);
        }
    }

    /// Queues of owners that left, which still wait for boxes.
    pub fn retired(&self) -> usize {
        self.retirees.len()
    }

    /// Ends a turn: calls those who wait for boxes or buffers, if some came back.
    #[inline]
    pub fn end_turn(&mut self) {
        if self.fair.contended() {
            let (boxes, pool, tokens) = (self.ios.len() as u32, &self.pool, &mut self.tokens);
            let free = |line: Line| line.class().map_or(boxes, |class| pool.free_of(class));
            self.fair.call(free, |t| tokens.wake(t));
        }
    }

    /// Who came and went since this was last asked.
    #[inline]
    pub fn changes(&mut self) -> Option<Changes> {
        if self.changed { Some(self.take_changes()) } else { None }
    }

    #[cold]
    fn take_changes(&mut self) -> Changes {
        self.changed = false;
        Changes {
            newcomers: std::mem::take(&mut self.newcomers),
            leavers: std::mem::take(&mut self.leavers),
            sources: std::mem::take(&mut self.sources),
        }
    }

    /// Watches a descriptor that only ends a sleep.
    pub fn watch_for_sleep(&mut self, fd: std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> {
        use doorbell_sys::epoll::{Interest, Mode};
        match &self.poller {
            Some(p) => p.add(fd, NO_TOKEN, Interest::READ, Mode::Level),
            None => Ok(()),
        }
    }

    /// Stops watching such a descriptor.
    pub fn unwatch_for_sleep(&mut self, fd: std::os::fd::BorrowedFd<'_>) {
        if let Some(p) = &self.poller {
            let _ = p.remove(fd);
        }
    }

    /// Are there descriptors to look at while awake?
    #[inline]
    pub fn watches(&self) -> bool {
        self.watched > 0
    }

    /// Looks at the watched descriptors, for at most `timeout` (none: until something happens), and wakes the tokens of those that are ready.
    pub fn look(&mut self, timeout: Option<Duration>) -> std::io::Result<usize> {
        let Some(poller) = &mut self.poller else { return Ok(0) };
        self.looks += 1;
        let n = poller.wait(timeout)?;
        for e in poller.events() {
            if e.key == NO_TOKEN {
                continue;
            }
            let mut events = Events::default();
            for (is, what) in [(e.readable, Events::READABLE), (e.writable, Events::WRITABLE), (e.hangup || e.error, Events::HANGUP)] {
                if is {
                    events = events.with(what);
                }
            }
            self.tokens.event(Token::from_word(e.key), events);
        }
        Ok(n)
    }

    /// How often this reactor has looked at its descriptors so far: each time is one system call.
    #[inline]
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// Asks the reactor to stop after this turn.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Was it asked to stop?
    #[inline]
    pub fn stopping(&self) -> bool {
        self.stopping
    }

    /// Tokens alive: for overviews and leak checks.
    pub fn live_tokens(&self) -> usize {
        self.tokens.live()
    }
}
