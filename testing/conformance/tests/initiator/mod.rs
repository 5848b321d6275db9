//! A host over the driver's NVMe/TCP queues, and a load whose every byte is known: what the tests against several targets share.

use doorbell_mem::{Pool, SgList};
use doorbell_nvme::discovery::{Log, Reading};
use doorbell_nvme::session::Session;
use doorbell_nvme::{HostName, TcpOffer, TcpSpec};
use doorbell_wire_nvme::fabrics::CNTLID_DYNAMIC;
use doorbell_wire_nvme::identify::{Controller, Namespace};
use doorbell_wire_nvme::{AdminCommand, Cns, DISCOVERY_NQN, Identify, IoCommand, ReadWrite, Sqe, Status, view};
use std::net::SocketAddr;

pub(crate) const HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:0f3a7a52-6d0c-4b8e-9c55-6f6d6f5a2b10";

pub(crate) fn spec(at: SocketAddr, nqn: &str, qid: u16, cntlid: u16) -> TcpSpec {
    TcpSpec {
        addresses: vec![at],
        source: None,
        priority: 0,
        subsystem: nqn.to_string(),
        host: HostName { nqn: HOST.to_string(), id: *b"doorbell host id" },
        offer: TcpOffer::default(),
        qid,
        cntlid,
        depth: if qid == 0 { 31 } else { 64 },
        keep_alive_ms: 0,
        flow_control: false,
        in_capsule: 0,
        connect_timeout_ns: 60_000_000_000,
    }
}

/// A connected host with one I/O queue.
pub(crate) struct Connected {
    pub(crate) admin: Session,
    pub(crate) io: Session,
    /// Of namespace 1: bytes of a block, and blocks.
    pub(crate) block: u32,
    pub(crate) blocks: u64,
}

/// Connects to a subsystem; `wanted` changes what both queues are to be like.
pub(crate) fn connect(at: SocketAddr, nqn: &str, wanted: impl Fn(&mut TcpSpec)) -> Connected {
    let mut of_admin = spec(at, nqn, 0, CNTLID_DYNAMIC);
    wanted(&mut of_admin);
    let mut admin = Session::connect(of_admin).unwrap();
    admin.enable().unwrap();
    let page = admin.identify(Identify { cns: Cns::CONTROLLER, ..Identify::default() }, 0).unwrap();
    let controller: &Controller = view(&page).unwrap();
    assert_eq!(controller.subnqn.as_str(), Ok(nqn));
    let namespace = admin.identify(Identify { cns: Cns::NAMESPACE, ..Identify::default() }, 1).unwrap();
    let namespace: &Namespace = view(&namespace).unwrap();
    let mut of_io = spec(at, nqn, 1, admin.cntlid());
    of_io.in_capsule = controller.in_capsule_len() as u32;
    wanted(&mut of_io);
    let io = Session::connect(of_io).unwrap();
    Connected { admin, io, block: namespace.block_len().unwrap() as u32, blocks: namespace.nsze.get() }
}

/// What a discovery controller has to tell.
#[allow(dead_code, reason = "not every target has one here")]
pub(crate) fn discover(at: SocketAddr) -> Log {
    let mut admin = Session::connect(spec(at, DISCOVERY_NQN, 0, CNTLID_DYNAMIC)).unwrap();
    admin.enable().unwrap();
    let mut reading = Reading::new(2048);
    loop {
        let command = reading.command();
        let mut bytes = vec![0; command.len as usize];
        admin.demand("Get Log Page", &AdminCommand::GetLogPage(command).encode(), &mut bytes).unwrap();
        if let Some(log) = reading.take(&bytes).unwrap() {
            return log;
        }
    }
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn transfer(write: bool, lba: u64, blocks: u32) -> Sqe {
    let what = ReadWrite { slba: lba, blocks, ..ReadWrite::default() };
    if write { IoCommand::Write(what) } else { IoCommand::Read(what) }.encode().with_nsid(1)
}

/// Bytes of a place: commands of a place never overlap in time, so that what a read finds is known.
const PLACE: u32 = 128 << 10;

/// Writes, and reads that find what was written before; the namespace begins with zeroes.
pub(crate) struct Load {
    pool: Pool,
    random: Random,
    /// Bytes of a block.
    unit: u32,
    /// How often each block was written.
    versions: Vec<u64>,
    /// Per place: what is under way there: from, blocks, write.
    busy: Vec<Option<(u64, u32, bool)>>,
}

impl Load {
    pub(crate) fn new(host: &Connected, depth: usize) -> Load {
        let places = depth.min((host.blocks * u64::from(host.block) / u64::from(PLACE)) as usize);
        Load {
            pool: Pool::small(PLACE, 4 * depth as u32),
            random: Random(7),
            unit: host.block,
            versions: vec![0; host.blocks as usize],
            busy: vec![None; places],
        }
    }

    /// What block `lba` holds now.
    fn expected(&self, lba: u64) -> Vec<u8> {
        let version = self.versions[lba as usize];
        let words = (0..u64::from(self.unit) / 8).map(|n| if version == 0 { 0 } else { lba << 40 ^ version << 12 ^ n });
        words.flat_map(u64::to_le_bytes).collect()
    }

    /// A payload of so many bytes in one piece to three.
    fn payload(&mut self, bytes: u32) -> SgList {
        let (mut list, mut left) = (SgList::default(), bytes);
        while left > 0 {
            let halves = list.segs().len() < 2 && left > 512 && self.random.below(2) == 0;
            let piece = if halves { 512 * (1 + self.random.below(u64::from(left / 512)) as u32) } else { left };
            list.push(self.pool.get(piece).unwrap());
            left -= piece;
        }
        list.fill(0, bytes, 0xee);
        list
    }

    fn start(&mut self, io: &mut Session, place: usize) {
        let bytes = [self.unit, 4096, 4096, 4096, 8192, 32768, PLACE - self.unit, PLACE][self.random.below(8) as usize];
        let (blocks, per_place) = (bytes / self.unit, u64::from(PLACE / self.unit));
        let lba = place as u64 * per_place + self.random.below(per_place - u64::from(blocks) + 1);
        let write = self.random.below(2) == 0;
        let payload = self.payload(bytes);
        for at in (0..blocks).filter(|_| write) {
            let lba = lba + u64::from(at);
            self.versions[lba as usize] += 1;
            payload.write_at(at * self.unit, &self.expected(lba));
        }
        io.start(&transfer(write, lba, blocks), payload, place as u64).unwrap();
        self.busy[place] = Some((lba, blocks, write));
    }

    fn ended(&mut self, place: usize, status: Status, payload: &SgList) {
        let (lba, blocks, write) = self.busy[place].take().expect("each command ends once");
        assert_eq!(status, Status::SUCCESS, "{blocks} blocks at {lba}");
        let mut got = vec![0; self.unit as usize];
        for at in (0..blocks).filter(|_| !write) {
            payload.read_at(at * self.unit, &mut got);
            assert!(got == self.expected(lba + u64::from(at)), "block {} has other bytes", lba + u64::from(at));
        }
    }

    /// Runs `count` commands, as many at once as there are places.
    pub(crate) fn run(&mut self, io: &mut Session, count: usize) {
        let mut left = count;
        for place in 0..self.busy.len() {
            self.start(io, place);
            left -= 1;
        }
        while io.in_flight() > 0 {
            let mut ended = Vec::new();
            io.wait(|e| ended.push(e)).unwrap();
            for e in ended {
                self.ended(e.tag as usize, e.cqe.status(), &e.payload);
                if left > 0 {
                    left -= 1;
                    self.start(io, e.tag as usize);
                }
            }
        }
    }
}
