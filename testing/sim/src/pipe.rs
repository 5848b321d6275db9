//! A network of byte pipes: chunks of seeded size arrive after seeded delays, in order; a pipe may stall, and it may be cut.
//!
//! A [`PipeEnd`] reads and writes without a `Cx`, as a socket does; what becomes ready wakes the token it is bound to, on whichever reactor
//! that lives, through the [`Machine`](crate::Machine) that turns. Readiness comes edge by edge: read and write until it would block.
//!
//! Invariants: bytes come out as they went in, once; no end waits for ever for an event that has happened.

#[cfg(test)]
mod tests;

use crate::entropy::Entropy;
use crate::time::{SimClock, Trace};
use doorbell_block::{ReactorId, Ticks, Token};
use doorbell_reactor::Clock;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::RangeInclusive;
use std::rc::{Rc, Weak};

/// How a pipe behaves.
#[derive(Clone, Debug)]
pub struct PipeSpec {
    /// Bytes that arrive together.
    pub chunk: RangeInclusive<u64>,
    /// How long a chunk takes. One that would overtake the chunk before it arrives with that.
    pub delay_ns: RangeInclusive<u64>,
    /// How many chunks in a million take `stall_ns` longer.
    pub stalls_per_million: u32,
    /// The length of a stall.
    pub stall_ns: u64,
    /// Bytes under way and unread, in each direction; a writer beyond it would block.
    pub capacity: usize,
    /// How many writes in a million cut the pipe.
    pub cuts_per_million: u32,
}

impl Default for PipeSpec {
    fn default() -> Self {
        PipeSpec {
            chunk: 1..=16_384,
            delay_ns: 1_000..=100_000,
            stalls_per_million: 1_000,
            stall_ns: 5_000_000,
            capacity: 64 << 10,
            cuts_per_million: 0,
        }
    }
}

struct Chunk {
    at: Ticks,
    bytes: Vec<u8>,
    read: usize,
}

/// One direction.
#[derive(Default)]
struct Way {
    chunks: VecDeque<Chunk>,
    held: usize,
    /// When the writer's end closed, once all before it has arrived.
    closed: Option<Ticks>,
    /// A writer met a full pipe and waits for room.
    writer_waits: bool,
    written: u64,
    read: u64,
}

struct Pipe {
    spec: PipeSpec,
    entropy: Entropy,
    cut: bool,
    /// Ends that were dropped: nobody will read there again.
    dropped: [bool; 2],
    held_until: Ticks,
    /// Whom to wake at either end.
    owners: [Option<(ReactorId, Token)>; 2],
    /// `ways[n]` carries what end `n` writes.
    ways: [Way; 2],
}

type Event = (ReactorId, Token);
/// An end of a pipe that somebody may have let go of.
type AnEnd = (Weak<RefCell<Pipe>>, usize);

struct Net {
    clock: SimClock,
    entropy: Entropy,
    trace: Trace,
    order: u64,
    events: BTreeMap<(Ticks, u64), AnEnd>,
}

impl Net {
    /// Looks at end `end` of a pipe at `at`.
    fn at(&mut self, at: Ticks, pipe: &Rc<RefCell<Pipe>>, end: usize) {
        self.order += 1;
        self.events.insert((at, self.order), (Rc::downgrade(pipe), end));
    }
}

/// Every pipe of a machine. Clones are the same network.
#[derive(Clone)]
pub struct Network(Rc<RefCell<Net>>);

impl Network {
    pub(crate) fn new(clock: SimClock, entropy: Entropy, trace: Trace) -> Network {
        Network(Rc::new(RefCell::new(Net { clock, entropy, trace, order: 0, events: BTreeMap::new() })))
    }

    /// A pipe, and its two ends.
    pub fn pipe(&self, spec: PipeSpec) -> (PipeEnd, PipeEnd) {
        let entropy = self.0.borrow_mut().entropy.fork();
        let ways = [Way::default(), Way::default()];
        let pipe = Pipe { spec, entropy, cut: false, dropped: [false; 2], held_until: Ticks(0), owners: [None; 2], ways };
        let pipe = Rc::new(RefCell::new(pipe));
        let end = |n| PipeEnd { net: self.clone(), pipe: pipe.clone(), me: n };
        (end(0), end(1))
    }

    /// Whom to wake now.
    pub(crate) fn due(&self) -> Vec<Event> {
        let mut net = self.0.borrow_mut();
        let now = net.clock.now();
        let mut out = Vec::new();
        while let Some(entry) = net.events.first_entry().filter(|e| e.key().0 <= now) {
            let (pipe, end) = entry.remove();
            let Some(pipe) = pipe.upgrade() else { continue };
            if let Some(owner) = pipe.borrow().owners[end] {
                out.push(owner);
            }
        }
        out
    }

    /// When the next chunk arrives somewhere.
    pub(crate) fn next(&self) -> Option<Ticks> {
        self.0.borrow().events.first_key_value().map(|((at, _), _)| *at)
    }
}

/// One end of a pipe. Dropping it closes it: the other reads what is under way and then the end of the stream.
pub struct PipeEnd {
    net: Network,
    pipe: Rc<RefCell<Pipe>>,
    me: usize,
}

impl PipeEnd {
    /// Whom to wake when it may be read or written again. It is woken once at once, since it may be ready already.
    pub fn bind(&self, reactor: ReactorId, token: Token) {
        self.pipe.borrow_mut().owners[self.me] = Some((reactor, token));
        let mut net = self.net.0.borrow_mut();
        let now = net.clock.now();
        net.at(now, &self.pipe, self.me);
    }

    /// Wakes nobody from now on.
    pub fn unbind(&self) {
        self.pipe.borrow_mut().owners[self.me] = None;
    }

    /// Reads what has arrived: how many bytes, zero at the end of the stream, `WouldBlock` when nothing is there, `ConnectionReset` after a cut.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.pipe.borrow_mut();
        let mut net = self.net.0.borrow_mut();
        let now = net.clock.now();
        if pipe.cut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let held_until = pipe.held_until;
        let way = &mut pipe.ways[1 - self.me];
        let mut n = 0;
        while n < into.len()
            && let Some(chunk) = way.chunks.front_mut().filter(|c| c.at.max(held_until) <= now)
        {
            let part = (into.len() - n).min(chunk.bytes.len() - chunk.read);
            into[n..n + part].copy_from_slice(&chunk.bytes[chunk.read..chunk.read + part]);
            (n, chunk.read) = (n + part, chunk.read + part);
            if chunk.read == chunk.bytes.len() {
                way.chunks.pop_front();
            }
        }
        way.held -= n;
        way.read += n as u64;
        let ended = way.chunks.is_empty() && way.closed.is_some_and(|at| at <= now);
        if n > 0 && std::mem::take(&mut way.writer_waits) {
            net.at(now, &self.pipe, 1 - self.me);
        }
        if n == 0 && !ended && !into.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        net.trace.note_bytes(&into[..n]);
        Ok(n)
    }

    /// Writes some: how many bytes were taken, `WouldBlock` when the pipe is full, `BrokenPipe` when the other end is gone,
    /// `ConnectionReset` after a cut.
    pub fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let now = self.net.0.borrow().clock.now();
        let mut pipe = self.pipe.borrow_mut();
        if pipe.cut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if pipe.dropped[1 - self.me] || pipe.ways[self.me].closed.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let cuts = pipe.spec.cuts_per_million;
        if pipe.entropy.chance(cuts) {
            drop(pipe);
            self.cut();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let room = pipe.spec.capacity.saturating_sub(pipe.ways[self.me].held);
        let taken = from.len().min(room);
        if taken == 0 && !from.is_empty() {
            pipe.ways[self.me].writer_waits = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        pipe.ways[self.me].writer_waits = taken < from.len();
        let mut rest = &from[..taken];
        while !rest.is_empty() {
            let at = self.arrival(&mut pipe, now);
            let Pipe { spec, entropy, ways, .. } = &mut *pipe;
            let (bytes, more) = rest.split_at((entropy.within(&spec.chunk).max(1) as usize).min(rest.len()));
            ways[self.me].chunks.push_back(Chunk { at, bytes: bytes.to_vec(), read: 0 });
            self.net.0.borrow_mut().at(at, &self.pipe, 1 - self.me);
            rest = more;
        }
        pipe.ways[self.me].held += taken;
        pipe.ways[self.me].written += taken as u64;
        Ok(taken)
    }

    /// When something sent now gets there: never before what was sent before it.
    fn arrival(&self, pipe: &mut Pipe, now: Ticks) -> Ticks {
        let Pipe { spec, entropy, held_until, ways, .. } = pipe;
        let stall = if entropy.chance(spec.stalls_per_million) { spec.stall_ns } else { 0 };
        let at = now.after(entropy.within(&spec.delay_ns).saturating_add(stall)).max(*held_until);
        ways[self.me].chunks.back().map_or(at, |c| at.max(c.at))
    }

    /// Closes this end for writing: the other reads what is under way and then the end of the stream.
    pub fn shutdown(&mut self) {
        let now = self.net.0.borrow().clock.now();
        let mut pipe = self.pipe.borrow_mut();
        if pipe.cut || pipe.ways[self.me].closed.is_some() {
            return;
        }
        let at = self.arrival(&mut pipe, now);
        pipe.ways[self.me].closed = Some(at);
        self.net.0.borrow_mut().at(at, &self.pipe, 1 - self.me);
    }

    /// Cuts the pipe: what is under way is lost, both ends are reset.
    pub fn cut(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.cut = true;
        pipe.ways = [Way::default(), Way::default()];
        let mut net = self.net.0.borrow_mut();
        let now = net.clock.now();
        for end in 0..2 {
            net.at(now, &self.pipe, end);
        }
    }

    /// Holds everything back for `ns`.
    pub fn stall(&mut self, ns: u64) {
        let mut pipe = self.pipe.borrow_mut();
        let mut net = self.net.0.borrow_mut();
        let until = net.clock.now().after(ns);
        pipe.held_until = pipe.held_until.max(until);
        for way in &mut pipe.ways {
            way.chunks.iter_mut().for_each(|c| c.at = c.at.max(until));
            way.closed = way.closed.map(|at| at.max(until));
        }
        for end in 0..2 {
            net.at(until, &self.pipe, end);
        }
    }

    /// Has it been cut?
    pub fn is_cut(&self) -> bool {
        self.pipe.borrow().cut
    }

    /// Bytes written into this end and read out of it, so far.
    pub fn moved(&self) -> (u64, u64) {
        let pipe = self.pipe.borrow();
        (pipe.ways[self.me].written, pipe.ways[1 - self.me].read)
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.pipe.borrow_mut().owners[self.me] = None;
        self.shutdown();
        // Nobody will read what comes: a writer that waits for room learns that there is nobody.
        let mut pipe = self.pipe.borrow_mut();
        pipe.dropped[self.me] = true;
        let way = &mut pipe.ways[1 - self.me];
        (way.held, way.chunks) = (0, VecDeque::new());
        if std::mem::take(&mut way.writer_waits) {
            let mut net = self.net.0.borrow_mut();
            let now = net.clock.now();
            net.at(now, &self.pipe, 1 - self.me);
        }
    }
}
