//! A reactor's connections.
//!
//! A token of its own tells it of new connections and snapshots; each connection and each namespace's queue has a token too, so that a run
//! costs what its token has to do, whatever else is open.

use super::connection::{Connection, Count, Shared};
use super::receive::SCRATCH;
use super::wire::Wire;
use crate::namespaces::Namespaces;
use crate::target::{Ending, Incoming, Seat, Target};
use doorbell_block::{Consumer, ConsumerId, Cx, Port, Ticks, Token};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

#[cfg(test)]
mod tests;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Nothing,
    Group,
    Connection(u32),
    Queue(u32),
}

/// Log lines of a peer, so many in a while.
#[derive(Default)]
pub(crate) struct LogLimit {
    peers: HashMap<IpAddr, (Ticks, u32)>,
}

impl LogLimit {
    const LINES: u32 = 64;
    const WINDOW_NS: u64 = 10_000_000_000;
    const PEERS: usize = 1024;

    /// May a line about this peer be written?
    pub(crate) fn allow(&mut self, now: Ticks, peer: IpAddr) -> bool {
        if self.peers.len() >= Self::PEERS {
            self.peers.retain(|_, (since, _)| now.since(*since) < Self::WINDOW_NS);
        }
        if self.peers.len() >= Self::PEERS && !self.peers.contains_key(&peer) {
            return false;
        }
        let (since, lines) = self.peers.entry(peer).or_insert((now, 0));
        if now.since(*since) >= Self::WINDOW_NS {
            (*since, *lines) = (now, 0);
        }
        *lines += 1;
        if *lines == Self::LINES {
            tracing::warn!(%peer, "too many events of this peer: no more are told for ten seconds");
        }
        *lines < Self::LINES
    }
}

pub(crate) struct Group {
    shared: Shared,
    token: Token,
    roles: Vec<Role>,
    connections: Vec<Option<Box<Connection>>>,
    scratch: Box<[u8]>,
    next_id: u64,
}

impl Group {
    /// Makes the group of this reactor and takes its seat in the target.
    pub(crate) fn install(cx: &mut Cx, target: &Target, port: Option<Port>) {
        cx.adopt(|cx, me| Group::new(cx, me, target, port));
    }

    /// For a reactor that does not exist: a test, a fuzzer.
    pub(crate) fn new(cx: &mut Cx, me: ConsumerId, target: &Target, port: Option<Port>) -> Group {
        let token = cx.token(me);
        let seat = Arc::new(Seat::new(cx.reactor(), token, port));
        target.take_seat(seat.clone());
        let shared = Shared {
            me,
            target: target.clone(),
            seat,
            snapshot: target.snapshot(),
            namespaces: Namespaces::default(),
            page: Vec::with_capacity(8192),
            count: Count::default(),
            spinning: 0,
            log: LogLimit::default(),
            done: Vec::with_capacity(256),
        };
        let mut group =
            Group { shared, token, roles: Vec::new(), connections: Vec::new(), scratch: vec![0; SCRATCH].into_boxed_slice(), next_id: 0 };
        group.name(token, Role::Group);
        cx.wake(token);
        group
    }

    /// Remembers what a token is for.
    fn name(&mut self, token: Token, role: Role) {
        let at = slot(token);
        if self.roles.len() <= at {
            self.roles.resize(at + 1, Role::Nothing);
        }
        if let Some(r) = self.roles.get_mut(at) {
            *r = role;
        }
    }

    /// Takes a connection.
    pub(crate) fn accept(&mut self, cx: &mut Cx, mut wire: Box<dyn Wire>, local: SocketAddr, peer: SocketAddr) -> Option<Token> {
        let at = match self.connections.iter().position(Option::is_none) {
            Some(at) => at,
            None => {
                self.connections.push(None);
                self.connections.len() - 1
            }
        };
        self.next_id += 1;
        // Unique in the process: the reactor, then a number.
        let id = u64::from(cx.reactor().0) << 40 | self.next_id;
        let index = u32::try_from(at).ok()?;
        let token = cx.token(self.shared.me);
        if let Err(error) = wire.watch(cx, token) {
            tracing::error!(%peer, %error, "a connection cannot be watched");
            cx.free_token(token);
            self.left();
            return None;
        }
        let connection = Connection::new(cx, index, token, wire, (local, peer), &self.shared, id);
        self.name(token, Role::Connection(index));
        if let Some(place) = self.connections.get_mut(at) {
            *place = Some(Box::new(connection));
        }
        Some(token)
    }

    fn left(&self) {
        self.shared.target.left();
        self.shared.seat.one_left();
    }

    /// Does what its own token asks for, for who has no ports to send wakes by.
    pub(crate) fn run_group(&mut self, cx: &mut Cx) {
        self.look(cx);
    }

    fn look(&mut self, cx: &mut Cx) {
        for Incoming { stream, local, peer } in self.shared.seat.take() {
            self.accept(cx, Box::new(stream), local, peer);
        }
        self.catch_up(cx);
        if self.shared.namespaces.retry_at().is_some() {
            let snapshot = self.shared.snapshot.clone();
            self.shared.namespaces.retry(cx, self.shared.me, &snapshot);
            self.name_queues(cx);
        }
    }

    /// Reads the snapshot if there is a new one.
    fn catch_up(&mut self, cx: &mut Cx) {
        if !self.shared.target.is_newer(self.shared.snapshot.version) {
            return;
        }
        self.shared.snapshot = self.shared.target.snapshot();
        let snapshot = self.shared.snapshot.clone();
        self.shared.namespaces.refresh(cx, self.shared.me, &snapshot);
        for at in 0..self.connections.len() {
            if let Some(Some(c)) = self.connections.get_mut(at) {
                c.refresh(cx, &mut self.shared);
            }
            self.bury(cx, at);
        }
        self.name_queues(cx);
        if snapshot.ending == Ending::Hard {
            self.end(cx);
        }
    }

    fn end(&mut self, cx: &mut Cx) {
        if self.connections.iter().any(Option::is_some) {
            return;
        }
        self.shared.namespaces.retire_all(cx);
        cx.free_token(self.token);
        self.shared.target.leave_seat(&self.shared.seat);
        cx.dismiss(self.shared.me);
    }

    /// Learns the tokens of new queues, and when to try again those that could not be opened.
    fn name_queues(&mut self, cx: &mut Cx) {
        if let Some(at) = self.shared.namespaces.retry_at() {
            cx.wake_at(self.token, at);
        }
        for (token, at) in std::mem::take(&mut self.shared.namespaces.made) {
            self.name(token, Role::Queue(at));
        }
    }

    /// Forgets a connection that has closed and whose boxes are back.
    fn bury(&mut self, cx: &mut Cx, at: usize) {
        let Some(place) = self.connections.get_mut(at) else { return };
        if let Some(gone) = place.take_if(|c| c.is_gone()) {
            cx.free_token(gone.token);
            if let Some(role) = self.roles.get_mut(slot(gone.token)) {
                *role = Role::Nothing;
            }
            self.left();
            if self.shared.snapshot.ending == Ending::Hard {
                self.end(cx);
            }
        }
    }

    fn run_connection(&mut self, cx: &mut Cx, at: u32) {
        if self.shared.target.is_newer(self.shared.snapshot.version) {
            self.catch_up(cx);
        }
        if let Some(Some(c)) = self.connections.get_mut(at as usize) {
            c.run(cx, &mut self.shared, &mut self.scratch);
        }
        self.judge(cx, at as usize);
        self.shared.namespaces.kick(cx);
        if !self.shared.namespaces.made.is_empty() || self.shared.namespaces.retry_at().is_some() {
            self.name_queues(cx);
        }
        self.bury(cx, at as usize);
        self.publish(cx);
    }

    /// Lets a connection go whose peer has taken nothing for too long, if another suffers from that.
    fn judge(&mut self, cx: &mut Cx, at: usize) {
        let Some(Some(c)) = self.connections.get_mut(at) else { return };
        if !std::mem::take(&mut c.suspect) {
            return;
        }
        let patience = self.shared.snapshot.options.send_timeout_ns;
        if self.connections.iter().flatten().any(|c| c.suffers(cx, patience))
            && let Some(Some(c)) = self.connections.get_mut(at)
        {
            c.close(cx, &mut self.shared, "it takes nothing of what is sent to it, while others wait for buffers");
        }
    }

    fn run_queue(&mut self, cx: &mut Cx, at: u32) {
        let mut done = std::mem::take(&mut self.shared.done);
        self.shared.namespaces.poll(cx, at, &mut done);
        for io in done.drain(..) {
            let connection = io.tag >> 32;
            let place = usize::try_from(connection).ok().and_then(|at| self.connections.get_mut(at));
            match place {
                Some(Some(c)) => c.completed(cx, &mut self.shared, io),
                _ => cx.put_io(io),
            }
        }
        self.shared.done = done;
        // Commands of several requests have submitted the next.
        self.shared.namespaces.kick(cx);
        self.publish(cx);
    }

    /// Lets others see the counts: stores, nobody else writes them.
    #[inline]
    fn publish(&self, cx: &Cx) {
        let (count, seen) = (&self.shared.count, &self.shared.seat.counters);
        seen.completed.store(count.completed, Relaxed);
        seen.receives.store(count.receives, Relaxed);
        seen.sends.store(count.sends, Relaxed);
        seen.copied_bytes.store(count.copied_bytes, Relaxed);
        seen.looks.store(cx.looks(), Relaxed);
    }
}

/// A token's place among those of its reactor.
#[inline]
fn slot(token: Token) -> usize {
    (token.to_word() & 0xffff_ffff) as usize
}

impl Consumer for Group {
    fn run(&mut self, cx: &mut Cx, token: Token) {
        match self.roles.get(slot(token)).copied().unwrap_or(Role::Nothing) {
            Role::Group => self.look(cx),
            Role::Connection(at) => self.run_connection(cx, at),
            Role::Queue(at) => self.run_queue(cx, at),
            Role::Nothing => {}
        }
    }
}
