//! An endpoint without a reactor, and a client with memory, doorbells and queues of its own: what tests and fuzzers drive.
//!
//! Everything runs in one thread, in turns; time stands still unless told to move.

use super::endpoint::{Endpoint, Parts};
use crate::pcie::Function;
use crate::{MemoryDevice, NewNamespace, NewSubsystem, Target, VfioUserOptions};
use doorbell_block::{BlockDevice, Consumer, ConsumerId, Cx, CxParts, ReactorId, Ticks, Turn};
use doorbell_mem::{Backing, ClassSpec, Foreign, Pool, PoolSpec, Regions, Seg};
use doorbell_sys::passed::{Bell, sealed_memory};
use doorbell_sys::socket::{Recv, Stream, UnixListener};
use doorbell_wire_nvme::register::{Aqa, Cc, Csts};
use doorbell_wire_nvme::{Cid, Cqe, Psdt, SglDescriptor, Sqe, U32, bytes, view};
use doorbell_wire_vfio_user::*;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The subsystem that is served.
pub(crate) const NQN: &str = "nqn.2026-11.io.doorbell:vfio";
/// Where the client's memory lies in its own addresses.
pub(crate) const BASE: u64 = 0x1_0000_0000;
/// Bytes of it.
pub(crate) const LEN: u64 = 4 << 20;
/// Where its data may lie in it.
pub(crate) const DATA: u64 = 0x10_0000;
/// Entries of its queues.
pub(crate) const ENTRIES: u16 = 32;
const TURNS: u32 = 100_000;

/// An endpoint.
pub(crate) struct Rig {
    pub(crate) cx: Cx,
    pub(crate) target: Target,
    endpoint: Option<Endpoint>,
    now: u64,
}

fn namespace(device: Arc<dyn BlockDevice>) -> NewNamespace {
    let (name, uuid) = ("memory0".to_string(), *b"uuid of a device");
    NewNamespace { nsid: None, device, name, uuid, nguid: None, eui64: None, read_only: false }
}

/// A socket that nobody can find any more.
fn hidden_listener() -> UnixListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("doorbell-rig-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&path, 1).unwrap();
    std::fs::remove_file(&path).unwrap();
    listener
}

impl Rig {
    /// With these options; nothing spins, and nobody looks unless told to.
    pub(crate) fn new(options: VfioUserOptions, device: impl BlockDevice + 'static, boxes: u32) -> Rig {
        let device: Arc<dyn BlockDevice> = Arc::new(device);
        let classes = [512, 4096, 131_072].map(|size| ClassSpec { size, count: 16 }).to_vec();
        let pool = Pool::new(&Regions::new(), &PoolSpec { classes, backing: Backing::Ordinary, node: None }).unwrap();
        let mut cx = Cx::new(CxParts { id: ReactorId(0), boxes, pool, ports: Vec::new(), poller: None });
        let target = Target::new();
        let options = VfioUserOptions { common: crate::TransportOptions { spin_ns: 0, ..options.common.clone() }, ..options };
        target.create_vfio_user(options).unwrap();
        target.create_subsystem(NewSubsystem { allow_any_host: true, ..NewSubsystem::new(NQN) }).unwrap();
        target.add_namespace(NQN, namespace(device)).unwrap();
        let folder: Arc<str> = "/nowhere".into();
        let subsystem = target.note_endpoint(NQN, &folder).unwrap();
        let options = target.vfio_user().unwrap();
        let function = Function::new(&target, options.clone()).unwrap();
        let parts = Parts { subsystem, folder, listener: hidden_listener(), options };
        // Nothing here is watched, so that no descriptor tells of anything: every settling looks at all.
        let endpoint = Endpoint::new(&mut cx, ConsumerId(0), &target, parts, function, None);
        Rig { cx, target, endpoint: Some(endpoint), now: 0 }
    }

    /// One as it is by default.
    pub(crate) fn plain() -> Rig {
        Rig::new(VfioUserOptions::default(), MemoryDevice::new(9, 4096), 64)
    }

    /// A client's end of a new connection.
    pub(crate) fn connect(&mut self) -> Peer {
        let (ours, theirs) = Stream::pair().unwrap();
        if let Some(e) = &mut self.endpoint {
            e.begin(&mut self.cx, ours);
        }
        self.settle();
        Peer { stream: theirs, id: 0 }
    }

    /// Is there a client, or what is left of one?
    pub(crate) fn is_busy(&self) -> bool {
        self.endpoint.as_ref().is_some_and(Endpoint::is_busy)
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, ns: u64) {
        self.now += ns;
        self.settle();
    }

    /// Lets time pass, and tells nobody: only timers run.
    #[cfg(test)]
    pub(crate) fn pass(&mut self, ns: u64) {
        self.now += ns;
        while self.turn() {}
    }

    /// In how many of the steps of a time something ran by itself.
    #[cfg(test)]
    pub(crate) fn turns_in(&mut self, ns: u64, step: u64) -> u64 {
        let mut turns = 0;
        for _ in 0..ns / step {
            self.now += step;
            turns += u64::from(self.turn());
            while self.turn() {}
        }
        turns
    }

    /// Turns until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        for token in self.endpoint.iter().flat_map(Endpoint::tokens) {
            self.cx.wake(token);
        }
        for _ in 0..TURNS {
            if !self.turn() {
                return;
            }
        }
        panic!("the endpoint does not come to rest");
    }

    fn turn(&mut self) -> bool {
        self.cx.begin_turn(Ticks(self.now));
        self.cx.move_mail();
        self.cx.fire_timers();
        let ready = self.cx.take_ready().to_vec();
        for &token in &ready {
            if let Turn::Run(_) = self.cx.begin_run(token) {
                if let Some(e) = &mut self.endpoint {
                    e.run(&mut self.cx, token);
                }
                self.cx.end_run();
            }
        }
        self.cx.end_turn();
        !ready.is_empty() || self.cx.any_ready() || self.cx.has_mail_to_move()
    }
}

/// A client's socket.
pub(crate) struct Peer {
    pub(crate) stream: Stream,
    id: u16,
}

/// An answer: its body and what came with it, or the error.
pub(crate) type Answer = Result<(Vec<u8>, Vec<OwnedFd>), u32>;

impl Peer {
    /// Sends bytes as they are.
    pub(crate) fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        // A server that has hung up is not this client's to judge.
        let _ = self.stream.send_passing(bytes, fds);
    }

    /// Sends a command.
    pub(crate) fn tell(&mut self, command: Command, body: &[u8], fds: &[BorrowedFd<'_>]) -> u16 {
        self.id += 1;
        let header = Header::request(self.id, command, body.len()).unwrap();
        self.send(&[&header.encode()[..], body].concat(), fds);
        self.id
    }

    /// What the server has said; `None` when it says nothing (yet).
    pub(crate) fn hear(&mut self) -> Option<(Header, Answer)> {
        let (mut head, mut fds) = ([0; 16], Vec::new());
        let Ok(Recv::Bytes(16)) = self.stream.recv_passed(&mut head, &mut fds) else { return None };
        let (header, _) = Header::decode(&head).unwrap();
        let mut body = vec![0; header.body_len(1 << 21).unwrap()];
        if !body.is_empty() {
            assert_eq!(self.stream.recv_passed(&mut body, &mut fds).unwrap(), Recv::Bytes(body.len()));
        }
        Some((header, header.failure().map_or(Ok((body, fds)), Err)))
    }

    /// Is the connection over?
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.stream.recv(&mut [0; 1]), Ok(Recv::Closed(_)))
    }

    /// A command and its answer.
    pub(crate) fn call(&mut self, rig: &mut Rig, command: Command, body: &[u8], fds: &[BorrowedFd<'_>]) -> Answer {
        let id = self.tell(command, body, fds);
        rig.settle();
        let (header, answer) = self.hear().expect("no answer came");
        assert!(header.answers(id) && header.command == command, "{header:?}");
        answer
    }

    /// Begins, without a text.
    pub(crate) fn version(&mut self, rig: &mut Rig) -> Answer {
        self.call(rig, Command::VERSION, &Version { major: 0, minor: 1, text: None }.encode_fixed(), &[])
    }

    pub(crate) fn map(&mut self, rig: &mut Rig, fd: Option<BorrowedFd<'_>>, offset: u64, address: u64, size: u64, flags: u32) -> Answer {
        let map = DmaMap { argsz: 32, flags: DmaMapFlags(flags), offset, address, size };
        let fds: Vec<_> = fd.into_iter().collect();
        self.call(rig, Command::DMA_MAP, &map.encode(), &fds)
    }

    pub(crate) fn unmap(&mut self, rig: &mut Rig, address: u64, size: u64) -> Answer {
        let unmap = DmaUnmap { argsz: 24, flags: DmaUnmapFlags(0), address, size };
        self.call(rig, Command::DMA_UNMAP, &unmap.encode(), &[])
    }

    pub(crate) fn read(&mut self, rig: &mut Rig, region: u32, offset: u64, count: u32) -> Result<Vec<u8>, u32> {
        let access = RegionAccess { offset, region, count };
        let (body, _) = self.call(rig, Command::REGION_READ, &access.encode(), &[])?;
        Ok(RegionAccess::decode_data(&body).unwrap().1.to_vec())
    }

    pub(crate) fn write(&mut self, rig: &mut Rig, region: u32, offset: u64, data: &[u8]) -> Result<(), u32> {
        let access = RegionAccess { offset, region, count: data.len() as u32 };
        self.call(rig, Command::REGION_WRITE, &[&access.encode()[..], data].concat(), &[]).map(drop)
    }

    pub(crate) fn register(&mut self, rig: &mut Rig, offset: u64) -> u32 {
        u32::from_le_bytes(self.read(rig, 0, offset, 4).unwrap().try_into().unwrap())
    }

    pub(crate) fn csts(&mut self, rig: &mut Rig) -> Csts {
        Csts::from_bits(self.register(rig, 0x1c))
    }

    pub(crate) fn irqs(&mut self, rig: &mut Rig, set: &SetIrqs<'_>, bells: &[&Bell]) -> Answer {
        let fds: Vec<_> = bells.iter().map(|b| b.as_fd()).collect();
        self.call(rig, Command::DEVICE_SET_IRQS, &set.encode_fixed(), &fds)
    }

    /// The doorbells, as the server lets them be mapped.
    pub(crate) fn doorbells(&mut self, rig: &mut Rig) -> Option<Seg> {
        let info = RegionInfo { argsz: 4096, index: 0, ..RegionInfo::default() };
        let (body, mut fds) = self.call(rig, Command::DEVICE_GET_REGION_INFO, &info.encode(), &[]).ok()?;
        let (info, mut caps) = RegionInfo::decode_reply(&body).unwrap();
        let Capability::SparseMmap(sparse) = caps.next()?.unwrap() else { return None };
        let area = sparse.iter().next().unwrap();
        let map = Foreign::map(&Regions::new(), fds.pop().unwrap(), info.offset + area.offset, area.size as usize).unwrap();
        map.seg(0, area.size as u32)
    }
}

/// A queue pair of the client's.
#[derive(Clone, Copy, Default)]
struct Pair {
    sq: u64,
    cq: u64,
    size: u32,
    tail: u32,
    head: u32,
    phase: bool,
}

/// A client with memory, doorbells and queues.
pub(crate) struct Guest {
    pub(crate) peer: Peer,
    pub(crate) memory: Foreign,
    pub(crate) file: OwnedFd,
    doorbells: Option<Seg>,
    pairs: Vec<Pair>,
    cid: u16,
}

impl Guest {
    /// Everything up to the enabled controller, in the order of `spdk`'s client: memory first.
    pub(crate) fn new(rig: &mut Rig) -> Guest {
        let mut guest = Guest::attached(rig);
        guest.enable(rig);
        guest
    }

    /// Attached and its memory mapped; the controller is off.
    pub(crate) fn attached(rig: &mut Rig) -> Guest {
        let mut peer = rig.connect();
        peer.version(rig).unwrap();
        let file = sealed_memory("guest", LEN).unwrap();
        peer.map(rig, Some(file.as_fd()), 0, BASE, LEN, 3).unwrap();
        let memory = Foreign::map(&Regions::new(), file.try_clone().unwrap(), 0, LEN as usize).unwrap();
        let doorbells = peer.doorbells(rig);
        Guest { peer, memory, file, doorbells, pairs: Vec::new(), cid: 0 }
    }

    pub(crate) fn enable(&mut self, rig: &mut Rig) {
        let pair = Pair { sq: 0, cq: 0x1000, size: ENTRIES.into(), phase: true, ..Pair::default() };
        self.pairs = vec![pair];
        self.memory.seg(0, 0x2000).unwrap().fill(0, 0x2000, 0);
        let aqa = Aqa::new().with_asqs(ENTRIES - 1).with_acqs(ENTRIES - 1);
        self.peer.write(rig, 0, 0x24, &aqa.into_bits().to_le_bytes()).unwrap();
        self.peer.write(rig, 0, 0x28, &BASE.to_le_bytes()).unwrap();
        self.peer.write(rig, 0, 0x30, &((BASE + 0x1000) & 0xffff_ffff).to_le_bytes()[..4]).unwrap();
        self.peer.write(rig, 0, 0x34, &1u32.to_le_bytes()).unwrap();
        self.set_cc(rig, Cc::new().with_en(true).with_iosqes(6).with_iocqes(4));
        assert!(self.peer.csts(rig).rdy());
    }

    pub(crate) fn set_cc(&mut self, rig: &mut Rig, cc: Cc) {
        self.peer.write(rig, 0, 0x14, &cc.into_bits().to_le_bytes()).unwrap();
    }

    /// Makes an I/O queue pair with interrupt vector `qid`.
    pub(crate) fn create(&mut self, rig: &mut Rig, qid: u16) {
        let at = 0x1_0000 + u64::from(qid) * 0x4000;
        self.memory.seg(at, 0x4000).unwrap().fill(0, 0x4000, 0);
        let size = u32::from(ENTRIES);
        let dword = u32::from(qid) | (size - 1) << 16;
        let cq = prp(raw(5), BASE + at + 0x2000, 0);
        let cq = Sqe { cdw10: U32::new(dword), cdw11: U32::new(3 | u32::from(qid) << 16), ..cq };
        assert!(self.command(rig, 0, &cq).status().is_ok());
        let sq = prp(raw(1), BASE + at, 0);
        let sq = Sqe { cdw10: U32::new(dword), cdw11: U32::new(1 | u32::from(qid) << 16), ..sq };
        assert!(self.command(rig, 0, &sq).status().is_ok());
        let index = usize::from(qid);
        self.pairs.resize(self.pairs.len().max(index + 1), Pair::default());
        self.pairs[index] = Pair { sq: at, cq: at + 0x2000, size, tail: 0, head: 0, phase: true };
    }

    /// Rings a doorbell.
    pub(crate) fn ring(&mut self, rig: &mut Rig, offset: u32, value: u32) {
        match &self.doorbells {
            Some(page) => page.store32(offset, value),
            None => self.peer.write(rig, 0, 0x1000 + u64::from(offset), &value.to_le_bytes()).unwrap(),
        }
    }

    /// Puts a command into a queue, with an identifier of its own, without ringing.
    pub(crate) fn push(&mut self, qid: u16, sqe: &Sqe) -> Cid {
        self.cid = self.cid.wrapping_add(1);
        let sqe = sqe.with_cid(Cid(self.cid));
        let p = &mut self.pairs[usize::from(qid)];
        self.memory.seg(p.sq + u64::from(p.tail) * 64, 64).unwrap().write_at(0, bytes(&sqe));
        p.tail = (p.tail + 1) % p.size;
        Cid(self.cid)
    }

    /// Tells how far a queue is.
    pub(crate) fn kick(&mut self, rig: &mut Rig, qid: u16) {
        let tail = self.pairs[usize::from(qid)].tail;
        self.ring(rig, u32::from(qid) * 8, tail);
    }

    /// The next completion, if there is one.
    pub(crate) fn reap(&mut self, rig: &mut Rig, qid: u16) -> Option<Cqe> {
        let p = &mut self.pairs[usize::from(qid)];
        let mut raw = [0; 16];
        self.memory.seg(p.cq + u64::from(p.head) * 16, 16).unwrap().read_at(0, &mut raw);
        let cqe = *view::<Cqe>(&raw)?;
        if cqe.phase() != p.phase {
            return None;
        }
        p.head += 1;
        if p.head == p.size {
            (p.head, p.phase) = (0, !p.phase);
        }
        let head = p.head;
        self.ring(rig, u32::from(qid) * 8 + 4, head);
        Some(cqe)
    }

    /// A command and its completion.
    pub(crate) fn command(&mut self, rig: &mut Rig, qid: u16, sqe: &Sqe) -> Cqe {
        let cid = self.push(qid, sqe);
        self.kick(rig, qid);
        rig.settle();
        let cqe = self.reap(rig, qid).expect("no completion came");
        assert_eq!((cqe.cid(), cqe.sqid.get()), (cid, qid));
        cqe
    }

    /// As `reap`, where doorbells lie in its memory at `shadow`.
    #[cfg(test)]
    pub(crate) fn reap_shadow(&mut self, qid: u16, shadow: u64) -> Option<Cqe> {
        let p = &mut self.pairs[usize::from(qid)];
        let mut raw = [0; 16];
        self.memory.seg(p.cq + u64::from(p.head) * 16, 16).unwrap().read_at(0, &mut raw);
        let cqe = *view::<Cqe>(&raw)?;
        p.head += 1;
        let head = p.head;
        self.put(shadow + u64::from(qid) * 8 + 4, &head.to_le_bytes());
        (cqe.phase()).then_some(cqe)
    }

    /// Writes into its memory, at an offset.
    pub(crate) fn put(&self, at: u64, data: &[u8]) {
        self.memory.seg(at, data.len() as u32).unwrap().write_at(0, data);
    }

    /// Reads its memory.
    pub(crate) fn get(&self, at: u64, len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        self.memory.seg(at, len as u32).unwrap().read_at(0, &mut data);
        data
    }
}

/// A command with PRPs for a data pointer.
pub(crate) fn prp(mut sqe: Sqe, one: u64, two: u64) -> Sqe {
    sqe.flags.set_psdt(Psdt::PRP);
    let pointer = [one.to_le_bytes(), two.to_le_bytes()].concat();
    sqe.dptr = *view::<SglDescriptor>(&pointer).unwrap();
    sqe
}

/// A command of this opcode.
pub(crate) fn raw(opcode: u8) -> Sqe {
    prp(Sqe::new(opcode), 0, 0)
}
