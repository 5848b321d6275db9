//! One reactor's group, without a reactor: turned by hand, fed by pipes.

use super::Host;
use crate::tcp::Group;
use crate::{MemoryDevice, NewNamespace, NewSubsystem, Target, TransportOptions, Wire};
use doorbell_block::{Consumer, ConsumerId, Cx, CxParts, Events, ReactorId, Ticks, Token, Turn};
use doorbell_mem::{Backing, ClassSpec, Pool, PoolSpec, Regions, SgList};
use doorbell_sys::socket::{Closed, Recv, SendPart, Sent};
use doorbell_wire_nvme_tcp::HostOffer;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// The subsystem that is served.
pub(crate) const NQN: &str = "nqn.2026-11.io.doorbell:test";
/// Where, and from where hosts come.
pub(crate) const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4420);
pub(crate) const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 50000);
/// Turns after which a world that has not come to rest is hanging.
const TURNS: u32 = 100_000;

/// What is on its way between the two ends.
#[derive(Default)]
pub(crate) struct Bytes {
    pub(crate) to_target: VecDeque<u8>,
    pub(crate) to_host: VecDeque<u8>,
    /// The host has hung up.
    pub(crate) hung_up: bool,
    /// The target has said that no more comes.
    pub(crate) finished: bool,
    /// Bytes that the host's end still takes.
    pub(crate) room: usize,
    /// Bytes of one receive at most: how the network cuts.
    pub(crate) cut: usize,
    /// Bytes that were left after the last turn.
    left: usize,
    /// The target's token.
    pub(crate) token: Option<Token>,
}

/// The target's end of a pipe.
#[derive(Clone)]
pub(crate) struct Pipe(pub(crate) Rc<RefCell<Bytes>>);

impl Pipe {
    fn pull(&mut self, into: &mut dyn FnMut(u8), room: usize) -> Recv {
        let mut p = self.0.borrow_mut();
        let n = p.to_target.len().min(room).min(p.cut);
        if n == 0 && p.hung_up {
            return Recv::Closed(Closed::Orderly);
        }
        if n == 0 {
            return Recv::WouldBlock;
        }
        p.to_target.drain(..n).for_each(into);
        Recv::Bytes(n)
    }
}

impl Wire for Pipe {
    fn recv(&mut self, into: &mut [u8]) -> io::Result<Recv> {
        let room = into.len();
        let mut slots = into.iter_mut();
        Ok(self.pull(&mut |b| slots.next().into_iter().for_each(|s| *s = b), room))
    }

    fn recv_into(&mut self, sg: &SgList, offset: u32, len: u32, tail: &mut [u8]) -> io::Result<Recv> {
        let mut at = 0;
        let room = len as usize + tail.len();
        let mut slots = tail.iter_mut();
        let mut put = |b| {
            if at < len {
                sg.write_at(offset + at, &[b]);
                at += 1;
            } else {
                slots.next().into_iter().for_each(|s| *s = b);
            }
        };
        Ok(self.pull(&mut put, room))
    }

    fn send(&mut self, parts: &[SendPart<'_>]) -> io::Result<Sent> {
        let mut p = self.0.borrow_mut();
        if p.hung_up {
            return Ok(Sent::Closed(Closed::Orderly));
        }
        if p.room == 0 {
            return Ok(Sent::WouldBlock);
        }
        let mut all = Vec::new();
        for part in parts {
            match part {
                SendPart::Bytes(bytes) => all.extend_from_slice(bytes),
                SendPart::Segs(sg, offset, len) => sg.each_chunk(*offset, *len, |c| all.extend_from_slice(c)),
            }
        }
        all.truncate(p.room);
        p.room -= all.len();
        p.to_host.extend(&all);
        Ok(Sent::Bytes(all.len()))
    }

    fn finish(&mut self) {
        self.0.borrow_mut().finished = true;
    }

    fn watch(&mut self, _cx: &mut Cx, who: Token) -> io::Result<()> {
        self.0.borrow_mut().token = Some(who);
        Ok(())
    }

    fn unwatch(&mut self, _cx: &mut Cx) {
        self.0.borrow_mut().token = None;
    }

    fn events(&mut self, _cx: &mut Cx, _who: Token) -> Events {
        Events::READABLE.with(Events::WRITABLE)
    }
}

/// A target with one namespace, and its reactor.
pub(crate) struct World {
    pub(crate) cx: Cx,
    pub(crate) target: Target,
    group: Group,
    pipes: Vec<Pipe>,
    now: u64,
}

impl World {
    /// One with `buffers` buffers of each size.
    pub(crate) fn new(buffers: u32) -> World {
        World::with(buffers, &TransportOptions::default(), MemoryDevice::new(9, 2048))
    }

    pub(crate) fn with(buffers: u32, options: &TransportOptions, device: MemoryDevice) -> World {
        let classes = [512, 4096, 131_072].map(|size| ClassSpec { size, count: buffers }).to_vec();
        let spec = PoolSpec { classes, backing: Backing::Ordinary, node: None };
        #[allow(clippy::panic)] // Tests and fuzzers have the memory.
        let pool = Pool::new(&Regions::new(), &spec).unwrap_or_else(|e| panic!("{e}"));
        let mut cx = Cx::new(CxParts { id: ReactorId(0), boxes: 256, pool, ports: Vec::new(), poller: None });
        let target = Target::new();
        // Nothing spins: time stands still unless told to move.
        let _ = target.create_transport(TransportOptions { spin_ns: 0, ..options.clone() });
        let _ = target.create_subsystem(NewSubsystem { allow_any_host: true, ..NewSubsystem::new(NQN) });
        let _ = target.add_namespace(NQN, namespace(device, "memory0"));
        let listener = crate::Listener { traddr: LOCAL.ip().to_string(), trsvcid: LOCAL.port().to_string(), bound: LOCAL };
        let _ = target.note_listener(NQN, listener);
        let group = Group::new(&mut cx, ConsumerId(0), &target, None);
        World { cx, target, group, pipes: Vec::new(), now: 0 }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn boxes_out(&self) -> u32 {
        self.cx.boxes_out()
    }

    pub(crate) fn connections(&self) -> u32 {
        self.target.connections()
    }

    /// A new connection.
    pub(crate) fn open(&mut self) -> Pipe {
        let pipe = Pipe(Rc::new(RefCell::new(Bytes { room: usize::MAX, cut: usize::MAX, ..Bytes::default() })));
        self.target.admit(u32::MAX);
        self.group.accept(&mut self.cx, Box::new(pipe.clone()), LOCAL, PEER);
        self.pipes.push(pipe.clone());
        pipe
    }

    /// A host that has not sent anything yet.
    pub(crate) fn host(&mut self, offer: HostOffer) -> Host {
        Host::new(self, offer)
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, ns: u64) {
        self.now += ns;
        self.settle();
    }

    /// Turns until nothing is left to do.
    ///
    /// # Panics
    /// If that does not come.
    pub(crate) fn settle(&mut self) {
        for pipe in &self.pipes {
            let p = pipe.0.borrow();
            if let Some(token) = p.token.filter(|_| p.hung_up || !p.to_target.is_empty()) {
                self.cx.wake(token);
            }
        }
        self.group.run_group(&mut self.cx);
        for _ in 0..TURNS {
            if !self.turn() {
                return;
            }
        }
        assert!(!self.cx.any_ready(), "the target does not come to rest");
    }

    /// What the network has cut comes on as long as the target takes it.
    fn arrive(&mut self) {
        for pipe in &self.pipes {
            let mut p = pipe.0.borrow_mut();
            let left = p.to_target.len();
            if let Some(token) = p.token.filter(|_| left > 0 && left != p.left) {
                self.cx.wake(token);
            }
            p.left = left;
        }
    }

    fn turn(&mut self) -> bool {
        self.cx.begin_turn(Ticks(self.now));
        self.cx.move_mail();
        self.cx.fire_timers();
        let ready = self.cx.take_ready().to_vec();
        for &token in &ready {
            if let Turn::Run(_) = self.cx.begin_run(token) {
                self.group.run(&mut self.cx, token);
                self.cx.end_run();
            }
        }
        self.cx.end_turn();
        self.arrive();
        !ready.is_empty() || self.cx.any_ready() || self.cx.has_mail_to_move()
    }
}

/// A namespace on a memory device.
pub(crate) fn namespace(device: MemoryDevice, name: &str) -> NewNamespace {
    let (name, uuid) = (name.to_string(), *b"uuid of a device");
    NewNamespace { nsid: None, device: Arc::new(device), name, uuid, nguid: None, eui64: None, read_only: false }
}
