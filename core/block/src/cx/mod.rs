//! One turn of a reactor, as its consumers and queues see it. Always an argument, never thread-local.

mod fair;
mod host;
mod mail;
mod timers;

pub use host::{Changes, CxParts, Turn};
pub use mail::{Address, Layer, Mail, Message, Port, ReactorId, SendError};
pub use timers::Timers;

use crate::token::Tokens;
use crate::{BlockQueue, DeviceId, Events, Io, Source, Token};
use doorbell_mem::{Pool, Seg, SgList};
use doorbell_sys::epoll::{Interest, Mode, Poller};
use fair::{Fair, Line};
use mail::Post;
use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::{Rc, Weak};

/// Nanoseconds of the reactor's clock, from an arbitrary start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticks(pub u64);

impl Ticks {
    /// This much later.
    #[inline]
    pub const fn after(self, ns: u64) -> Ticks {
        Ticks(self.0.saturating_add(ns))
    }

    /// Nanoseconds since `earlier`; zero if it is later.
    #[inline]
    pub const fn since(self, earlier: Ticks) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Which consumer of a reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerId(pub u32);

/// Whoever owns queues: a protocol's group of connections, a load generator, the pump behind async code.
pub trait Consumer {
    /// One of its tokens was woken.
    fn run(&mut self, cx: &mut Cx, token: Token);
}

/// A consumer that is to be installed, and its name.
pub type Newcomer = (ConsumerId, Box<dyn Consumer>);

/// One turn of a reactor.
pub struct Cx {
    now: Ticks,
    me: ReactorId,
    tokens: Tokens,
    ios: Vec<Box<Io>>,
    boxes: u32,
    pool: Pool,
    fair: Fair,
    timers: Timers,
    post: Post,
    poller: Option<Poller>,
    watched: u32,
    looks: u64,
    locals: HashMap<(DeviceId, TypeId), Weak<dyn Any>>,
    consumers: u32,
    newcomers: Vec<Newcomer>,
    leavers: Vec<ConsumerId>,
    sources: Vec<Rc<RefCell<dyn Source>>>,
    retirees: Vec<host::Retiree>,
    /// Did consumers come or go, or sources come?
    changed: bool,
    stopping: bool,
}

impl Cx {
    /// When this turn began.
    #[inline]
    pub fn now(&self) -> Ticks {
        self.now
    }

    /// Which reactor this is.
    #[inline]
    pub fn reactor(&self) -> ReactorId {
        self.me
    }

    // --- who runs

    /// Makes `who` run this turn or the next. Idempotent.
    #[inline]
    pub fn wake(&mut self, who: Token) {
        self.tokens.wake(who);
    }

    /// Makes `who` run at `at` or soon after. An earlier timer of the same token stands; one that fires for nothing is harmless.
    pub fn wake_at(&mut self, who: Token, at: Ticks) {
        if self.tokens.set_due(who, at.0) {
            self.timers.add(at, who);
        }
    }

    /// A new name for something of `consumer`.
    pub fn token(&mut self, consumer: ConsumerId) -> Token {
        self.tokens.make(consumer)
    }

    /// Gives a name back: wakes, timers and mail for it go nowhere from now on.
    pub fn free_token(&mut self, who: Token) {
        self.fair.forget(who);
        self.post.forget(who);
        self.tokens.give_back(who);
    }

    /// Takes in a consumer, which runs from the next turn on.
    pub fn adopt<C: Consumer + 'static>(&mut self, make: impl FnOnce(&mut Cx, ConsumerId) -> C) -> ConsumerId {
        let id = self.next_consumer();
        let consumer = make(self, id);
        self.newcomers.push((id, Box::new(consumer)));
        self.changed = true;
        id
    }

    /// Lets a consumer go, after this turn.
    pub fn dismiss(&mut self, who: ConsumerId) {
        self.leavers.push(who);
        self.changed = true;
    }

    // --- boxes and buffers

    /// A box and a buffer of `bytes`, or neither. While others wait for either, they go first.
    #[inline]
    pub fn request(&mut self, bytes: u32) -> Option<(Box<Io>, Seg)> {
        let io = self.take_io()?;
        match self.buffer(bytes) {
            Some(buffer) => Some((io, buffer)),
            None => {
                self.ios.push(io);
                None
            }
        }
    }

    /// A box with buffers of `bytes` in all (none for 0), in pieces no larger than the pool has them, or nothing.
    pub fn request_long(&mut self, bytes: u32) -> Option<Box<Io>> {
        let mut io = self.take_io()?;
        if bytes == 0 || self.gather(bytes, &mut io.sg) {
            return Some(io);
        }
        self.ios.push(io);
        None
    }

    /// A box of the reactor's pool. While others wait for one, they go first.
    #[inline]
    pub fn take_io(&mut self) -> Option<Box<Io>> {
        if self.fair.contended() {
            return self.take_io_in_turn();
        }
        match self.ios.pop() {
            Some(io) => Some(io),
            None => {
                self.fair.refuse(Line::BOXES, 1);
                None
            }
        }
    }

    #[cold]
    fn take_io_in_turn(&mut self) -> Option<Box<Io>> {
        let io = if self.fair.admits(Line::BOXES, 1, self.ios.len() as u32) { self.ios.pop() } else { None };
        match io {
            Some(_) => self.fair.took(Line::BOXES, 1),
            None => self.fair.refuse(Line::BOXES, 1),
        }
        io
    }

    /// Puts a box back. Its payload is dropped.
    #[inline]
    pub fn put_io(&mut self, mut io: Box<Io>) {
        io.clean();
        self.ios.push(io);
    }

    /// A buffer by itself. While others wait for one of its class, they go first.
    #[inline]
    pub fn buffer(&mut self, bytes: u32) -> Option<Seg> {
        if self.fair.contended() {
            return self.buffer_in_turn(bytes);
        }
        let buffer = self.pool.get(bytes);
        if buffer.is_none()
            && let Some(class) = self.pool.class_of(bytes)
        {
            self.fair.refuse(Line::of_class(class), 1);
        }
        buffer
    }

    #[cold]
    fn buffer_in_turn(&mut self, bytes: u32) -> Option<Seg> {
        let own = self.pool.class_of(bytes)?;
        for class in own..self.pool.classes() {
            let line = Line::of_class(class);
            if self.fair.admits(line, 1, self.pool.free_of(class))
                && let Some(buffer) = self.pool.get_of(class, bytes)
            {
                self.fair.took(Line::of_class(own), 1);
                return Some(buffer);
            }
        }
        self.fair.refuse(Line::of_class(own), 1);
        self.pool.count_miss(own);
        None
    }

    /// Appends buffers of `bytes` in all to `list`, or none. What is longer than the largest buffer comes in pieces of that size; what is
    /// longer than [`Pool::longest`] never comes, so whoever sets a limit to requests looks at that.
    pub fn gather(&mut self, bytes: u32, list: &mut SgList) -> bool {
        let largest = self.pool.largest().max(1);
        if bytes <= largest {
            return self.buffer(bytes).map(|buffer| list.push(buffer)).is_some();
        }
        let (class, need) = (self.pool.classes().saturating_sub(1), bytes.div_ceil(largest));
        let (line, free) = (Line::of_class(class), self.pool.free_of(class));
        // All at once, so that nobody holds some while waiting for more.
        if free < need || (self.fair.contended() && !self.fair.admits(line, need, free)) {
            self.fair.refuse(line, need);
            self.pool.count_miss(class);
            return false;
        }
        self.fair.took(line, need);
        let mut left = bytes;
        while left > 0 {
            let Some(piece) = self.pool.get_of(class, left.min(largest)) else { break };
            left -= piece.len();
            list.push(piece);
        }
        left == 0
    }

    /// Wakes `who`, in turn, when what was refused last comes back: called after a refusal, before anything else is asked for.
    #[cold]
    pub fn wait(&mut self, who: Token) {
        self.fair.wait(who);
    }

    /// The largest buffer that can ever be had.
    pub fn largest_buffer(&self) -> u32 {
        self.pool.largest()
    }

    /// The reactor's pool of buffers: for reserves made at open. Takers on the path of requests use `request` or `buffer`, which are fair.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Boxes in the pool.
    #[inline]
    pub fn spare_boxes(&self) -> usize {
        self.ios.len()
    }

    /// Boxes out of the pool. Zero when nothing is outstanding, or a box was lost.
    pub fn boxes_out(&self) -> u32 {
        self.boxes.saturating_sub(self.ios.len() as u32)
    }

    // --- devices

    /// The reactor's one `T` of a device (its hardware queue pair, its ring): made on first use, gone with its last user.
    pub fn local<T: 'static>(&mut self, device: DeviceId, make: impl FnOnce(&mut Cx) -> T) -> Rc<RefCell<T>> {
        if let Some(found) = self.find_local(device) {
            return found;
        }
        let made = Rc::new(RefCell::new(make(self)));
        self.file_local(device, &made);
        made
    }

    /// As `local`, for what is polled: it becomes a source of this reactor until its last user lets go.
    pub fn local_source<T: Source + 'static, E>(
        &mut self,
        device: DeviceId,
        make: impl FnOnce(&mut Cx) -> Result<T, E>,
    ) -> Result<Rc<RefCell<T>>, E> {
        if let Some(found) = self.find_local(device) {
            return Ok(found);
        }
        let made = Rc::new(RefCell::new(make(self)?));
        self.file_local(device, &made);
        self.sources.push(made.clone());
        self.changed = true;
        Ok(made)
    }

    fn find_local<T: 'static>(&self, device: DeviceId) -> Option<Rc<RefCell<T>>> {
        let any = self.locals.get(&(device, TypeId::of::<T>()))?.upgrade()?;
        any.downcast::<RefCell<T>>().ok()
    }

    fn file_local<T: 'static>(&mut self, device: DeviceId, made: &Rc<RefCell<T>>) {
        let any: Rc<dyn Any> = made.clone();
        self.locals.retain(|_, weak| weak.strong_count() > 0);
        self.locals.insert((device, TypeId::of::<T>()), Rc::downgrade(&any));
    }

    /// Takes a queue whose owner is leaving, with its token; polls it until `outstanding` boxes are back, then drops both.
    pub fn retire(&mut self, who: Token, outstanding: u32, queue: Box<dyn BlockQueue>) {
        self.fair.forget(who);
        self.tokens.reassign(who, host::RETIREES);
        self.retirees.push(host::Retiree { who, outstanding, queue });
        self.wake(who);
    }

    // --- other reactors

    /// Sends plain words to a token of another reactor, or of this one. Never blocks: what does not fit waits here.
    pub fn send(&mut self, to: ReactorId, message: Message) {
        self.post.send(self.me, to, message);
    }

    /// A name for a layer, so that mail reaches it among all that share its token.
    pub fn layer(&mut self) -> Layer {
        self.post.layer()
    }

    /// The oldest mail for `at`.
    #[inline]
    pub fn mail(&mut self, at: Address) -> Option<Mail> {
        if self.post.no_mail() { None } else { self.post.take(at) }
    }

    /// How many reactors there are.
    pub fn reactors(&self) -> u32 {
        self.post.peers()
    }

    // --- file descriptors

    /// Watches a descriptor: `who` is woken when it becomes readable or writable, and finds out by `events`. Edge by edge: read until it would block.
    pub fn watch(&mut self, fd: BorrowedFd<'_>, who: Token, interest: Interest) -> io::Result<()> {
        let poller = self.poller.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        poller.add(fd, who.to_word(), interest, Mode::Edge)?;
        self.watched += 1;
        Ok(())
    }

    /// Stops watching.
    pub fn unwatch(&mut self, fd: BorrowedFd<'_>) {
        if let Some(poller) = &self.poller
            && poller.remove(fd).is_ok()
        {
            self.watched -= 1;
        }
    }

    /// What a watched descriptor reported since this was last asked.
    pub fn events(&mut self, who: Token) -> Events {
        self.tokens.take_events(who)
    }
}

#[cfg(test)]
mod tests;
