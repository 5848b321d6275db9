//! Tokens and the list of who is ready.
//!
//! A wake is idempotent until its token runs: the flag is cleared before the run, so a wake during it makes another.

use crate::ConsumerId;

/// Names a consumer's queue (or connection) on one reactor. Index and generation: a token that was given back wakes nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Token {
    /// As one word: what an event queue carries.
    pub fn to_word(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// From its word.
    pub fn from_word(word: u64) -> Token {
        Token { slot: word as u32, generation: (word >> 32) as u32 }
    }
}

/// What a watched file descriptor reported since it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Events(u8);

impl Events {
    /// It may be read, or the peer has closed.
    pub const READABLE: Events = Events(1);
    /// It may be written.
    pub const WRITABLE: Events = Events(2);
    /// The peer is gone or the descriptor is in error.
    pub const HANGUP: Events = Events(4);

    /// Is any of `e` set?
    pub fn any(self, e: Events) -> bool {
        self.0 & e.0 != 0
    }

    /// With `e`.
    pub fn with(self, e: Events) -> Events {
        Events(self.0 | e.0)
    }
}

#[derive(Default)]
struct Slot {
    generation: u32,
    consumer: u32,
    live: bool,
    ready: bool,
    events: Events,
    /// When the earliest timer of this token is due; `u64::MAX` for none.
    due: u64,
}

/// The wake list of a reactor.
#[derive(Default)]
pub(crate) struct Tokens {
    slots: Vec<Slot>,
    free: Vec<u32>,
    ready: Vec<Token>,
    /// Who runs in this turn, and how far that has come.
    running: Vec<Token>,
    next: usize,
}

impl Tokens {
    pub(crate) fn make(&mut self, consumer: ConsumerId) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.ready.reserve(self.slots.len());
            self.running.reserve(self.slots.len());
            self.slots.len() as u32 - 1
        });
        let s = &mut self.slots[slot as usize];
        (s.consumer, s.live, s.ready, s.events, s.due) = (consumer.0, true, false, Events::default(), u64::MAX);
        Token { slot, generation: s.generation }
    }

    #[inline]
    fn of(&mut self, t: Token) -> Option<&mut Slot> {
        self.slots.get_mut(t.slot as usize).filter(|s| s.generation == t.generation && s.live)
    }

    pub(crate) fn is_live(&mut self, t: Token) -> bool {
        self.of(t).is_some()
    }

    pub(crate) fn give_back(&mut self, t: Token) {
        if let Some(s) = self.of(t) {
            s.live = false;
            s.generation = s.generation.wrapping_add(1);
            self.free.push(t.slot);
        }
    }

    #[inline]
    pub(crate) fn wake(&mut self, t: Token) {
        if let Some(s) = self.slots.get_mut(t.slot as usize)
            && s.generation == t.generation
            && !s.ready
            && s.live
        {
            s.ready = true;
            self.ready.push(t);
        }
    }

    pub(crate) fn event(&mut self, t: Token, e: Events) {
        if let Some(s) = self.of(t) {
            s.events = s.events.with(e);
            self.wake(t);
        }
    }

    pub(crate) fn take_events(&mut self, t: Token) -> Events {
        self.of(t).map(|s| std::mem::take(&mut s.events)).unwrap_or_default()
    }

    /// Those who are ready now are to run, in the order in which they were woken; who is woken from now on is ready for the next time.
    #[inline]
    pub(crate) fn take_ready(&mut self) -> &mut [Token] {
        self.running.clear();
        self.next = 0;
        std::mem::swap(&mut self.ready, &mut self.running);
        &mut self.running
    }

    /// The next of those who are to run.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Token> {
        let token = *self.running.get(self.next)?;
        self.next += 1;
        Some(token)
    }

    /// Clears the flag and says whose it is; `None` when it was given back meanwhile.
    #[inline]
    pub(crate) fn begin(&mut self, t: Token) -> Option<ConsumerId> {
        let s = self.of(t)?;
        s.ready = false;
        Some(ConsumerId(s.consumer))
    }

    pub(crate) fn reassign(&mut self, t: Token, to: ConsumerId) {
        if let Some(s) = self.of(t) {
            s.consumer = to.0;
        }
    }

    #[inline]
    pub(crate) fn any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Notes a timer; false when an earlier one stands.
    pub(crate) fn set_due(&mut self, t: Token, at: u64) -> bool {
        match self.of(t) {
            Some(s) if at < s.due => {
                s.due = at;
                true
            }
            _ => false,
        }
    }

    /// Is this timer the one that stands? Then it is taken.
    pub(crate) fn take_due(&mut self, t: Token, at: u64) -> bool {
        match self.of(t) {
            Some(s) if s.due == at => {
                s.due = u64::MAX;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
