//! A queue over TCP and a controller that does anything: what fuzzers and tests drive.
//!
//! [`fuzz_link`] takes any bytes. It must neither panic nor hang; each command comes back once; no memory but a reading command's own is
//! written.

use crate::link::tcp::{HostName, Progress, TcpLink, TcpOffer, TcpSpec};
use crate::link::{Completed, Flight, Link, OwnerId};
use doorbell_block::{Io, Ticks};
use doorbell_mem::{Pool, Seg};
use doorbell_sys::socket::{Recv, Stream};
use doorbell_wire_nvme::{Cid, Cqe, IoCommand, ReadWrite, Sqe, Status};
use doorbell_wire_nvme_tcp::{C2hData, Connection, ControllerOffer, Crc32c, Decoded, HEADER_ROOM, R2t};
use std::collections::HashMap;

/// What is left of the fuzzer's bytes.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> u32 {
        self.byte().unwrap_or(0).into()
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(n).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }
}

/// Bytes before and after each payload that nobody may touch.
const MARGIN: u32 = 512;
/// Longest payload.
const LONGEST: u32 = 32 << 10;
const GUARD: u8 = 0xa5;
const UNREAD: u8 = 0x5a;

struct World {
    link: TcpLink,
    pool: Pool,
    peer: Stream,
    codec: Connection,
    now: Ticks,
    /// Of each command that is out: its whole block, and whether it reads.
    out: HashMap<u64, (Seg, bool)>,
    next: u64,
    done: Vec<Completed>,
}

impl World {
    fn new(mode: u8) -> Option<World> {
        let (ours, peer) = Stream::pair().ok()?;
        let spec = TcpSpec {
            addresses: Vec::new(),
            source: None,
            priority: 0,
            subsystem: "nqn.2026-11.io.doorbell:fuzz".to_string(),
            host: HostName { nqn: "nqn.2026-11.io.doorbell:fuzzer".to_string(), id: [1; 16] },
            offer: TcpOffer { header_digest: mode & 1 != 0, data_digest: mode & 2 != 0, hpda: mode >> 6 },
            qid: u16::from(mode & 8 == 0),
            cntlid: 1,
            depth: 8,
            keep_alive_ms: 0,
            flow_control: mode & 16 != 0,
            in_capsule: 4096,
            connect_timeout_ns: 1_000_000_000,
        };
        let link = TcpLink::over(Ticks(0), spec, ours).ok()?;
        let codec = Connection::controller(ControllerOffer { max_h2c_data: 4096, ..ControllerOffer::default() });
        let pool = Pool::small(LONGEST + 2 * MARGIN, 16);
        let mut world = World { link, pool, peer, codec, now: Ticks(0), out: HashMap::new(), next: 0, done: Vec::new() };
        if mode & 4 != 0 {
            world.greet();
        }
        Some(world)
    }

    /// As an honest controller begins.
    fn greet(&mut self) {
        let mut bytes = [0; 4096];
        let ic_req = self.peer.recv(&mut bytes);
        if let Ok(Recv::Bytes(n)) = ic_req {
            assert!(matches!(self.codec.decode(bytes.get(..n).unwrap_or_default()), Ok(Decoded::Pdu(_))), "the ICReq is none");
        }
        self.say(|codec, out| codec.write_ic_resp(out));
        self.reap(u32::MAX);
        self.drain();
        self.say(|codec, out| codec.write_capsule_resp(out, &Cqe::new(Cid(0), Status::SUCCESS).with_dw0(1).with_sqhd(1)));
        self.reap(u32::MAX);
        assert_eq!(self.link.progress(), Progress::Ready { cntlid: 1 });
    }

    fn say(&self, write: impl FnOnce(&Connection, &mut [u8]) -> Option<usize>) {
        let mut out = [0; HEADER_ROOM];
        let n = write(&self.codec, &mut out).unwrap_or(0);
        // A link that is over hears nothing.
        let _ = self.peer.send(out.get(..n).unwrap_or_default());
    }

    /// Throws away what the link has sent.
    fn drain(&self) {
        let mut bytes = [0; 16384];
        while matches!(self.peer.recv(&mut bytes), Ok(Recv::Bytes(_))) {}
    }

    /// Gives the link a command; `kind` says which.
    fn submit(&mut self, kind: u8, units: u32) {
        let len = (units * 512).min(LONGEST);
        let Some(mut block) = self.pool.get(LONGEST + 2 * MARGIN) else { return };
        block.bytes().unwrap_or_default().fill(GUARD);
        block.fill(MARGIN, len, UNREAD);
        let what = ReadWrite { blocks: units, ..ReadWrite::default() };
        let (sqe, reads) = match kind {
            0 => (IoCommand::Flush.encode(), false),
            1 => (IoCommand::Write(what).encode(), false),
            2 => (Sqe::new(6), true),
            _ => (IoCommand::Read(what).encode(), true),
        };
        let mut io = Io::boxed(2);
        io.tag = self.next;
        let half = len / 3;
        io.sg.push(block.slice(MARGIN, half));
        io.sg.push(block.slice(MARGIN + half, len - half));
        let flight = Flight { io, raw: None, owner: OwnerId { index: 0, generation: 0 }, since: self.now, tries: 0 };
        if self.link.submit(flight, &sqe).is_ok() {
            self.out.insert(self.next, (block, reads));
            self.next += 1;
        }
        self.link.kick();
    }

    fn reap(&mut self, budget: u32) {
        // Its end is looked at last.
        let _ = self.link.reap(self.now, budget, &mut self.done);
        for done in std::mem::take(&mut self.done) {
            self.came_back(done.flight, done.cqe.status() == Status::SUCCESS);
        }
    }

    fn came_back(&mut self, flight: Flight, well: bool) {
        let Some((block, reads)) = self.out.remove(&flight.io.tag) else { panic!("a command came back twice") };
        let len = flight.io.sg.bytes();
        let count = |offset: u32, len: u32, byte: u8| {
            let mut same = 0;
            block.each_chunk(offset, len, |chunk| same += chunk.iter().filter(|b| **b == byte).count());
            same
        };
        assert_eq!(count(0, MARGIN, GUARD), MARGIN as usize, "memory before the payload was written");
        let behind = block.len() - MARGIN - len;
        assert_eq!(count(MARGIN + len, behind, GUARD), behind as usize, "memory behind the payload was written");
        let untouched = count(MARGIN, len, UNREAD);
        assert!(reads || untouched == len as usize, "the payload of a write was written");
        // What a controller here sends as data has no such byte.
        assert!(!reads || !well || untouched == 0, "a read succeeded without all of its data");
    }

    /// An identifier: mostly one that is in flight.
    fn cid(&self, pick: u32) -> Cid {
        let mut cids = Vec::new();
        self.link.each(&mut |cid, _| cids.push(cid));
        cids.get(pick as usize % 12).copied().unwrap_or(Cid((pick * 257) as u16))
    }

    fn data(&mut self, bytes: &mut Bytes<'_>, op: u8) {
        let (pick, offset, units) = (bytes.number(), bytes.number(), bytes.number());
        let (last, success) = (op & 8 != 0, op & 24 == 24);
        let data = C2hData { cccid: self.cid(pick), offset: offset * 512, len: units * 64, last, success };
        let mut payload = vec![(units as u8) & 0x0f; data.len as usize];
        if self.codec.agreed().data_digest && data.len > 0 {
            let right = u32::from(op & 32 != 0);
            payload.extend((Crc32c::of(&payload) ^ right).to_le_bytes());
        }
        self.say(|codec, out| codec.write_c2h_data(out, &data));
        let _ = self.peer.send(&payload);
    }
}

/// Drives a link with what `data` says: commands of its own, and PDUs, garbage and time from its peer.
///
/// # Panics
/// If the link has a bug: a command lost or doubled, memory written that is not a read's own.
#[allow(clippy::panic)] // A fuzzer is told by a panic.
pub fn fuzz_link(data: &[u8]) {
    let mut bytes = Bytes(data);
    let Some(mut world) = World::new(bytes.byte().unwrap_or(0)) else { return };
    while let Some(op) = bytes.byte() {
        match op & 7 {
            0 => {
                let raw = bytes.take(usize::from(op >> 3) + 1);
                let _ = world.peer.send(raw);
            }
            1 => {
                let (pick, status) = (bytes.number(), bytes.number());
                let status = if status < 128 { Status::SUCCESS } else { Status::from_bits(status as u16) };
                let cqe = Cqe::new(world.cid(pick), status).with_sqhd(u16::from(op >> 3));
                world.say(|codec, out| codec.write_capsule_resp(out, &cqe));
            }
            2 => world.data(&mut bytes, op),
            3 => {
                let (pick, offset, units) = (bytes.number(), bytes.number(), bytes.number());
                let r2t = R2t { cccid: world.cid(pick), ttag: op.into(), offset: offset * 512, len: units * 512 };
                world.say(|codec, out| codec.write_r2t(out, &r2t));
            }
            4 => {
                let units = bytes.number();
                world.submit(op >> 3 & 3, units);
            }
            5 => world.reap(u32::from(op >> 3) + 1),
            6 => world.now = world.now.after(u64::from(op >> 3) * 100_000_000),
            _ => world.drain(),
        }
    }
    world.reap(u32::MAX);
    for flight in world.link.reclaim().unwrap_or_default() {
        world.came_back(flight, false);
    }
    assert!(world.out.is_empty(), "commands were lost");
    assert_eq!(world.link.in_flight(), 0);
    assert_eq!(world.pool.out(), 0, "buffers were lost");
}

#[cfg(test)]
mod tests;
