//! One folder with its socket, its client and its function: a consumer of its reactor.

use super::VFIO_USER_HOST;
use super::client::Client;
use super::message::{Message, Read};
use super::serve::{Served, release, serve, version};
use crate::namespaces::Namespaces;
use crate::pcie::{Function, Place};
use crate::target::{Ending, Seat};
use crate::{Snapshot, Subsystem, Target, VfioUserOptions};
use doorbell_block::{Consumer, ConsumerId, Cx, Done, Events, Port, Ticks, Token};
use doorbell_sys::epoll::Interest;
use doorbell_sys::socket::{Stream, UnixListener};
use doorbell_wire_vfio_user::{Command, errno};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Nothing,
    /// The listening socket, and news of the target.
    Listen,
    /// The client's socket.
    Client,
    /// Looking at doorbells.
    Poll,
    Queue(u32),
}

/// What an endpoint is made of.
pub(super) struct Parts {
    pub(super) subsystem: u64,
    pub(super) folder: Arc<str>,
    pub(super) listener: UnixListener,
    pub(super) options: Arc<VfioUserOptions>,
}

/// The first time between two looks at doorbells, once there was nothing to do for a while; it doubles.
const FIRST_LOOK_NS: u64 = 20_000;
/// Messages of a client that are served in one turn.
const AT_ONCE: u32 = 32;
/// Rounds of polling between two looks whether memory has been taken away.
const LOOK_AT_MEMORY_EVERY: u32 = 256;

pub(crate) struct Endpoint {
    me: ConsumerId,
    target: Target,
    seat: Arc<Seat>,
    parts: Parts,
    snapshot: Arc<Snapshot>,
    /// The target's version that it is made of.
    version: u64,
    namespaces: Namespaces,
    function: Function,
    page: Vec<u8>,
    done: Done,
    completed: u64,
    listen: Token,
    socket: Token,
    poll: Token,
    roles: Vec<Role>,
    client: Option<Client>,
    /// The client is gone, and its function has to be still before the next one comes.
    leaving: bool,
    /// It goes as soon as nobody uses it.
    closing: bool,
    spin_until: Ticks,
    look_ns: u64,
    resting: bool,
    rounds: u32,
}

impl Endpoint {
    pub(super) fn new(cx: &mut Cx, me: ConsumerId, target: &Target, parts: Parts, function: Function, port: Option<Port>) -> Endpoint {
        let (listen, socket, poll) = (cx.token(me), cx.token(me), cx.token(me));
        let seat = Arc::new(Seat::new(cx.reactor(), listen, port).of_endpoint());
        target.take_seat(seat.clone());
        let snapshot = target.snapshot();
        let mut endpoint = Endpoint {
            me,
            target: target.clone(),
            seat,
            version: snapshot.version,
            snapshot: own(&snapshot, &parts.options),
            parts,
            namespaces: Namespaces::default(),
            function,
            page: Vec::with_capacity(8192),
            done: Vec::with_capacity(256),
            completed: 0,
            listen,
            socket,
            poll,
            roles: Vec::new(),
            client: None,
            leaving: false,
            closing: false,
            spin_until: Ticks(0),
            look_ns: FIRST_LOOK_NS,
            resting: false,
            rounds: 0,
        };
        endpoint.name(listen, Role::Listen);
        endpoint.name(socket, Role::Client);
        endpoint.name(poll, Role::Poll);
        if let Err(error) = cx.watch(endpoint.parts.listener.as_fd(), listen, Interest::READ)
            && error.kind() != std::io::ErrorKind::Unsupported
        {
            tracing::error!(folder = %endpoint.parts.folder, %error, "a vfio-user socket cannot be watched");
        }
        cx.wake(listen);
        endpoint
    }

    /// Is there a client, or what is left of one?
    pub(super) fn is_busy(&self) -> bool {
        self.client.is_some() || self.leaving
    }

    /// Its tokens, for who has no descriptors to be woken by.
    pub(super) fn tokens(&self) -> [Token; 3] {
        [self.listen, self.socket, self.poll]
    }

    fn name(&mut self, token: Token, role: Role) {
        let at = slot(token);
        if self.roles.len() <= at {
            self.roles.resize(at + 1, Role::Nothing);
        }
        if let Some(r) = self.roles.get_mut(at) {
            *r = role;
        }
    }

    /// The function, and what it needs around it.
    fn with<T>(&mut self, f: impl FnOnce(&mut Function, &mut Place<'_>) -> T) -> T {
        let mut place = Place {
            me: self.me,
            token: self.poll,
            target: &self.target,
            snapshot: &self.snapshot,
            namespaces: &mut self.namespaces,
            page: &mut self.page,
            completed: &mut self.completed,
        };
        f(&mut self.function, &mut place)
    }

    /// Its subsystem, if it is to be served here.
    fn subsystem(&self) -> Option<Arc<Subsystem>> {
        let found = self.snapshot.by_id(self.parts.subsystem)?;
        found.endpoints.contains(&self.parts.folder).then(|| found.clone())
    }

    // --- what the operator changes

    #[inline]
    fn catch_up(&mut self, cx: &mut Cx) {
        if self.target.is_newer(self.version) {
            self.take_news(cx);
        }
    }

    #[cold]
    fn take_news(&mut self, cx: &mut Cx) {
        let snapshot = self.target.snapshot();
        self.version = snapshot.version;
        self.snapshot = own(&snapshot, &self.parts.options);
        let snapshot = self.snapshot.clone();
        self.namespaces.refresh(cx, self.me, &snapshot);
        match self.subsystem().filter(|_| snapshot.ending != Ending::Hard) {
            None => self.close(cx),
            Some(s) if !s.admits(VFIO_USER_HOST) => self.drop_client(cx, "its subsystem no longer admits clients of vfio-user"),
            Some(s) => self.with(|f, place| f.update(cx, place, &s)),
        }
    }

    fn close(&mut self, cx: &mut Cx) {
        if !std::mem::replace(&mut self.closing, true) {
            cx.unwatch(self.parts.listener.as_fd());
            self.drop_client(cx, "it is not served here any more");
        }
    }

    /// Everything of it goes.
    fn end(&mut self, cx: &mut Cx) {
        self.namespaces.retire_all(cx);
        for token in [self.listen, self.socket, self.poll] {
            cx.free_token(token);
        }
        self.roles.clear();
        self.target.leave_seat(&self.seat);
        cx.dismiss(self.me);
    }

    // --- the client

    fn accept(&mut self, cx: &mut Cx) {
        if self.client.is_some() || self.leaving || self.closing || self.snapshot.ending != Ending::No {
            return;
        }
        match self.parts.listener.accept() {
            Ok(Some(stream)) => self.begin(cx, stream),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(folder = %self.parts.folder, %error, "cannot take a vfio-user client for the moment");
                cx.wake_at(self.listen, cx.now().after(100_000_000));
            }
        }
    }

    /// Takes a client.
    pub(super) fn begin(&mut self, cx: &mut Cx, stream: Stream) {
        if let Err(error) = cx.watch(stream.as_fd(), self.socket, Interest::BOTH)
            && error.kind() != std::io::ErrorKind::Unsupported
        {
            tracing::error!(folder = %self.parts.folder, %error, "a vfio-user client cannot be watched");
            return;
        }
        let mut client = Client::new(stream);
        let deadline = cx.now().after(self.snapshot.options.handshake_timeout_ns);
        client.deadline = Some(deadline);
        self.client = Some(client);
        cx.wake_at(self.socket, deadline);
        cx.wake(self.socket);
    }

    fn drop_client(&mut self, cx: &mut Cx, why: &str) {
        let Some(client) = self.client.take() else { return };
        tracing::info!(folder = %self.parts.folder, why, "vfio-user client gone");
        cx.unwatch(client.stream.as_fd());
        self.leaving = true;
        self.with(|f, place| f.be_still(cx, place, true));
    }

    /// Reads and serves what has come.
    fn run_client(&mut self, cx: &mut Cx) {
        if let Some(c) = &self.client
            && c.deadline.is_some_and(|at| cx.now() >= at)
        {
            return self.drop_client(cx, "it did not say all of a message in time");
        }
        for _ in 0..AT_ONCE {
            let Some(client) = &mut self.client else { return };
            if client.held.is_some() || client.owes() || client.ends {
                break;
            }
            let read = client.input.read(&client.stream);
            match read {
                Ok(Read::Message(message)) => self.take(cx, message),
                Ok(Read::Later) => {
                    let timeout = self.snapshot.options.handshake_timeout_ns;
                    match (client.input.is_partial() || !client.agreed, client.deadline) {
                        (true, None) => {
                            let at = cx.now().after(timeout);
                            client.deadline = Some(at);
                            cx.wake_at(self.socket, at);
                        }
                        (false, Some(_)) => client.deadline = None,
                        // The earliest timer of a token stands: one that fired has to be set again.
                        (true, Some(at)) => cx.wake_at(self.socket, at),
                        _ => {}
                    }
                    return self.send(cx);
                }
                Ok(Read::Gone) => return self.drop_client(cx, "it closed its socket"),
                Ok(Read::Broken(why)) => return self.drop_client(cx, why),
                Err(error) => {
                    tracing::warn!(folder = %self.parts.folder, %error, "cannot read from a vfio-user client");
                    return self.drop_client(cx, "reading failed");
                }
            }
            self.send(cx);
        }
        // There may be more.
        if self.client.as_ref().is_some_and(|c| c.held.is_none() && !c.owes()) {
            cx.wake(self.socket);
        }
    }

    fn send(&mut self, cx: &mut Cx) {
        let Some(client) = &mut self.client else { return };
        match client.send() {
            Ok(true) if client.ends && !client.owes() => self.drop_client(cx, "it was told why"),
            Ok(true) => {}
            Ok(false) => self.drop_client(cx, "it is gone"),
            Err(error) => {
                tracing::warn!(folder = %self.parts.folder, %error, "cannot send to a vfio-user client");
                self.drop_client(cx, "sending failed");
            }
        }
    }

    fn take(&mut self, cx: &mut Cx, message: Message) {
        if !message.header.is_command() {
            return self.drop_client(cx, "it answers what nobody asked");
        }
        // By message or not, somebody is at work.
        self.stir(cx);
        let agreed = self.client.as_ref().is_some_and(|c| c.agreed);
        if !agreed {
            return self.greet(cx, &message);
        }
        let Some(mut client) = self.client.take() else { return };
        let served = self.with(|f, place| {
            let served = serve(cx, place, f, &mut client, message);
            if let Served::Waits { abort } = served {
                f.be_still(cx, place, abort);
            }
            served
        });
        self.client = Some(client);
        if let Served::Waits { .. } = served {
            self.release(cx);
        }
    }

    /// The first message.
    fn greet(&mut self, cx: &mut Cx, message: &Message) {
        let subsystem = self.subsystem();
        let Some(mut client) = self.client.take() else { return };
        let refused = if message.header.command != Command::VERSION {
            Some((errno::EINVAL, "it did not begin with its version"))
        } else if let Some(s) = subsystem.filter(|s| s.admits(VFIO_USER_HOST)) {
            match version(&mut client, message) {
                Err(error) => Some((error, "its version message is malformed")),
                Ok(()) => {
                    let folder = self.parts.folder.clone();
                    let begun = self.with(|f, place| f.connect(cx, place, &s, VFIO_USER_HOST, &folder));
                    (!begun).then_some((errno::EBUSY, "there is no controller id left"))
                }
            }
        } else {
            Some((errno::EPERM, "its subsystem admits neither any host nor clients of vfio-user"))
        };
        match refused {
            None => {
                client.agreed = true;
                let c = &self.seat.counters;
                c.admin_queues.store(1, Relaxed);
                c.admin_queues_ever.store(c.admin_queues_ever.load(Relaxed) + 1, Relaxed);
                tracing::info!(folder = %self.parts.folder, "vfio-user client connected");
            }
            Some((error, why)) => {
                tracing::warn!(folder = %self.parts.folder, why, "vfio-user client refused");
                client.refuse(&message.header, error);
                client.ends = true;
            }
        }
        self.client = Some(client);
        self.name_queues(cx);
    }

    /// Does what waited for stillness, once there is.
    fn release(&mut self, cx: &mut Cx) {
        if !self.function.is_still() {
            return;
        }
        if std::mem::take(&mut self.leaving) {
            self.with(|f, place| f.disconnect(cx, place));
            self.seat.counters.admin_queues.store(0, Relaxed);
            self.count_queues();
            cx.wake(self.listen);
            if self.closing {
                self.end(cx);
            }
            return;
        }
        let Some(mut client) = self.client.take() else { return };
        if let Some(held) = client.held.take() {
            self.with(|f, place| {
                release(cx, place, f, &mut client, &held);
                f.go_on();
            });
            cx.wake(self.socket);
        }
        self.client = Some(client);
        self.send(cx);
        self.stir(cx);
    }

    // --- polling

    /// There was work: doorbells are looked at in every turn for a while.
    fn stir(&mut self, cx: &mut Cx) {
        self.spin_until = cx.now().after(self.snapshot.options.spin_ns);
        self.look_ns = FIRST_LOOK_NS;
        if std::mem::take(&mut self.resting) {
            self.function.wake_up();
        }
        cx.wake(self.poll);
    }

    fn run_poll(&mut self, cx: &mut Cx) {
        if self.client.is_none() {
            return;
        }
        // What was posted before this turn: its host has had the time to see it.
        self.function.interrupt(true);
        let worked = self.with(|f, place| f.poll(cx, place));
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds.is_multiple_of(LOOK_AT_MEMORY_EVERY) && self.function.is_broken() {
            return self.drop_client(cx, "it has taken away memory that it had lent");
        }
        if worked {
            self.count_queues();
            return self.stir(cx);
        }
        if cx.now() < self.spin_until {
            return cx.wake(self.poll);
        }
        self.rest(cx);
    }

    /// Lets others see how many queues there are.
    fn count_queues(&self) {
        let (c, now) = (&self.seat.counters, self.function.io_queues());
        let before = c.io_queues.load(Relaxed);
        if now == before {
            return;
        }
        c.io_queues.store(now, Relaxed);
        if now > before {
            c.io_queues_ever.store(c.io_queues_ever.load(Relaxed) + u64::from(now - before), Relaxed);
        }
    }

    /// Nothing to do for a while: looks less often, or waits to be told.
    fn rest(&mut self, cx: &mut Cx) {
        self.function.interrupt(false);
        if self.function.is_broken() {
            return self.drop_client(cx, "it has taken away memory that it had lent");
        }
        if self.function.needs_looking() {
            let longest = self.parts.options.idle_look_ns;
            if longest == 0 {
                return cx.wake(self.poll);
            }
            cx.wake_at(self.poll, cx.now().after(self.look_ns.min(longest)));
            self.look_ns = self.look_ns.saturating_mul(2).min(longest);
            return;
        }
        self.resting = true;
        if !self.function.rest() {
            self.stir(cx);
        }
    }

    fn run_queue(&mut self, cx: &mut Cx, at: u32) {
        let mut done = std::mem::take(&mut self.done);
        self.namespaces.poll(cx, at, &mut done);
        self.with(|f, place| {
            for io in done.drain(..) {
                f.completed(cx, place, io);
            }
            // Commands of several requests have submitted the next.
            place.namespaces.kick(cx);
        });
        self.done = done;
        self.stir(cx);
        self.seat.counters.completed.store(self.completed, Relaxed);
    }

    fn name_queues(&mut self, cx: &mut Cx) {
        if let Some(at) = self.namespaces.retry_at() {
            cx.wake_at(self.listen, at);
        }
        for (token, at) in std::mem::take(&mut self.namespaces.made) {
            self.name(token, Role::Queue(at));
        }
    }

    fn run_listen(&mut self, cx: &mut Cx) {
        if self.namespaces.retry_at().is_some() {
            let snapshot = self.snapshot.clone();
            self.namespaces.retry(cx, self.me, &snapshot);
        }
        self.accept(cx);
    }
}

/// The snapshot, with the options of this transport in the place of TCP's.
fn own(snapshot: &Arc<Snapshot>, options: &VfioUserOptions) -> Arc<Snapshot> {
    Arc::new(Snapshot { options: Arc::new(options.common.clone()), ..Snapshot::clone(snapshot) })
}

/// A token's place among those of its reactor.
#[inline]
fn slot(token: Token) -> usize {
    (token.to_word() & 0xffff_ffff) as usize
}

impl Consumer for Endpoint {
    fn run(&mut self, cx: &mut Cx, token: Token) {
        let role = self.roles.get(slot(token)).copied().unwrap_or(Role::Nothing);
        self.catch_up(cx);
        match role {
            Role::Listen => self.run_listen(cx),
            Role::Client => {
                let _: Events = cx.events(token);
                self.send(cx);
                self.run_client(cx);
            }
            Role::Poll => self.run_poll(cx),
            Role::Queue(at) => self.run_queue(cx, at),
            Role::Nothing => {}
        }
        if self.leaving || self.client.as_ref().is_some_and(|c| c.held.is_some()) {
            self.release(cx);
        } else if self.closing && !self.roles.is_empty() {
            self.end(cx);
        }
        if !self.namespaces.made.is_empty() || self.namespaces.retry_at().is_some() {
            self.name_queues(cx);
        }
    }
}
