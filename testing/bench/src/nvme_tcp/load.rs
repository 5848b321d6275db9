//! The load: so many commands outstanding on one I/O queue, until a count or a time is reached.
//!
//! One loop: receive, take what came, answer R2Ts, refill, send everything in one call. It spins; its core is its own. Data of reads is
//! counted against what was asked for and not looked at; what the blocks hold is other tests' business.

use super::host::Host;
use super::link::Came;
use doorbell::perf::block::Histogram;
use doorbell_sys::clock::AnyClock;
use doorbell_sys::socket::{SendPart, Sent, Stream};
use doorbell_wire_nvme::{Cid, Cqe, IoCommand, ReadWrite, Sgl};
use doorbell_wire_nvme_tcp::{C2hData, C2hTransfer, Connection, Decoded, HEADER_ROOM, Pdu, R2t, R2tWindow};
use std::collections::VecDeque;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) write: bool,
    pub(super) io_bytes: u32,
    pub(super) depth: u16,
    pub(super) stop: Stop,
}

/// When to issue no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    AfterIos(u64),
    AfterNs(u64),
}

/// What came of it.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) ios: u64,
    pub(super) elapsed_ns: u64,
    pub(super) latency: Histogram,
}

/// A command that is under way; its place in the table is its identifier.
#[derive(Clone, Copy)]
struct Flight {
    began_ns: u64,
    reads: C2hTransfer,
    writes: R2tWindow,
    /// Bytes of a write that the target has not asked for yet.
    left: u32,
}

/// Something to send: a piece of the headers or of the one payload that all writes share.
enum Piece {
    Head(usize, usize),
    Data(usize),
}

/// Headers not sent yet, in order, with the payload between them.
struct Outbox {
    heads: Vec<u8>,
    pieces: VecDeque<Piece>,
    payload: Vec<u8>,
}

/// Pieces of one system call: a capsule and its data for each command of the deepest case, and some.
const PIECES: usize = 512;

impl Outbox {
    fn head(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), String> {
        let start = self.heads.len();
        self.heads.resize(start + HEADER_ROOM, 0);
        let n = write(&mut self.heads[start..]).ok_or("a header did not fit")?;
        self.heads.truncate(start + n);
        match self.pieces.back_mut() {
            Some(Piece::Head(_, end)) if *end == start => *end += n,
            _ => self.pieces.push_back(Piece::Head(start, start + n)),
        }
        Ok(())
    }

    fn data(&mut self, len: u32) {
        self.pieces.push_back(Piece::Data(len as usize));
    }

    /// Sends what it can in one call.
    fn flush(&mut self, stream: &Stream) -> Result<(), String> {
        if self.pieces.is_empty() {
            return Ok(());
        }
        let mut parts = [SendPart::Bytes(&[]); PIECES];
        let count = self.pieces.len().min(PIECES);
        for (part, piece) in parts.iter_mut().zip(&self.pieces) {
            *part = match piece {
                Piece::Head(from, to) => SendPart::Bytes(&self.heads[*from..*to]),
                Piece::Data(len) => SendPart::Bytes(&self.payload[..*len]),
            };
        }
        match stream.send_vectored(&parts[..count]).map_err(|e| e.to_string())? {
            Sent::Bytes(n) => self.sent(n),
            Sent::WouldBlock => {}
            Sent::Closed(how) => return Err(format!("the target has gone: {how}")),
        }
        Ok(())
    }

    fn sent(&mut self, mut taken: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            let left = match piece {
                Piece::Head(from, to) => *to - *from,
                Piece::Data(len) => *len,
            };
            if taken < left {
                match piece {
                    Piece::Head(from, _) => *from += taken,
                    Piece::Data(len) => *len -= taken,
                }
                return;
            }
            taken -= left;
            self.pieces.pop_front();
        }
        self.heads.clear();
    }
}

/// A loop's state.
struct Load<'a> {
    job: &'a Job,
    slots: u64,
    blocks: u32,
    in_capsule: bool,
    flights: Vec<Option<Flight>>,
    free: Vec<u16>,
    out: Outbox,
    /// Payload of a read that has still to come, and the command that ends with it.
    skip: usize,
    ending: Option<Cid>,
    seed: u64,
    done: Outcome,
    issued: u64,
}

/// Runs a job on the host's I/O queue.
pub(super) fn run(host: &mut Host, job: &Job, clock: &AnyClock) -> Result<Outcome, String> {
    let blocks = job.io_bytes >> host.block_shift;
    if u64::from(job.io_bytes) > host.longest || blocks == 0 || host.blocks < u64::from(blocks) || job.depth >= super::host::ENTRIES {
        return Err(format!("{job:?} does not fit the namespace, the controller or the queue"));
    }
    let mut load = Load {
        job,
        slots: host.blocks / u64::from(blocks),
        blocks,
        in_capsule: job.io_bytes <= host.in_capsule,
        flights: vec![None; job.depth.into()],
        free: (0..job.depth).rev().collect(),
        out: Outbox { heads: Vec::new(), pieces: VecDeque::new(), payload: vec![0x5a; job.io_bytes as usize] },
        skip: 0,
        ending: None,
        seed: 0x9e37_79b9_7f4a_7c15,
        done: Outcome::default(),
        issued: 0,
    };
    let (began, mut heard) = (clock.now(), clock.now());
    loop {
        let now = clock.now();
        let more = match job.stop {
            Stop::AfterIos(n) => load.issued < n,
            Stop::AfterNs(ns) => now - began < ns,
        };
        if more {
            load.refill(host, now)?;
        } else if load.free.len() == load.flights.len() {
            load.done.elapsed_ns = now - began;
            return Ok(load.done);
        }
        load.out.flush(&host.io.stream)?;
        match host.io.receive()? {
            Came::Something => {
                heard = clock.now();
                load.take(host, heard)?;
            }
            Came::Nothing if now.saturating_sub(heard) > super::link::PATIENCE.as_nanos() as u64 => {
                return Err("the target has stopped answering".into());
            }
            Came::Nothing => std::hint::spin_loop(),
        }
    }
}

impl Load<'_> {
    fn next_lba(&mut self) -> u64 {
        // Marsaglia's xorshift; scaled by a multiplication.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let slot = (u128::from(self.seed) * u128::from(self.slots)) >> 64;
        u64::try_from(slot).unwrap_or(0) * u64::from(self.blocks)
    }

    /// Issues commands until all places are taken.
    fn refill(&mut self, host: &Host, now_ns: u64) -> Result<(), String> {
        let limit = match self.job.stop {
            Stop::AfterIos(n) => n,
            Stop::AfterNs(_) => u64::MAX,
        };
        while self.issued < limit
            && let Some(cid) = self.free.pop()
        {
            let what = ReadWrite { slba: self.next_lba(), blocks: self.blocks, ..ReadWrite::default() };
            let len = self.job.io_bytes;
            let (command, inside) = match self.job.write {
                true => (IoCommand::Write(what), self.in_capsule),
                false => (IoCommand::Read(what), false),
            };
            let sgl = if inside { Sgl::Offset { offset: 0, len } } else { Sgl::Transport { len } };
            let sqe = command.encode().with_cid(Cid(cid)).with_nsid(1).with_sgl(sgl);
            let codec = &host.io.codec;
            self.out.head(|out| codec.write_capsule_cmd(out, &sqe, if inside { len } else { 0 }))?;
            if inside {
                self.out.data(len);
            }
            let asked = if self.job.write && !inside { len } else { 0 };
            let came = if self.job.write { 0 } else { len };
            self.flights[usize::from(cid)] = Some(Flight {
                began_ns: now_ns,
                reads: C2hTransfer::new(came),
                writes: R2tWindow::new(asked, codec.agreed().max_r2t),
                left: asked,
            });
            self.issued += 1;
        }
        Ok(())
    }

    /// Takes what came.
    fn take(&mut self, host: &mut Host, now_ns: u64) -> Result<(), String> {
        let (codec, bytes) = host.io.bytes();
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let skipped = self.skip.min(rest.len());
            (at, self.skip) = (at + skipped, self.skip - skipped);
            if self.skip == 0
                && let Some(cid) = self.ending.take()
            {
                self.end(cid, now_ns)?;
            }
            let rest = &rest[skipped..];
            if rest.is_empty() {
                break;
            }
            match codec.decode(rest).map_err(|v| format!("the target broke a rule: {v}"))? {
                Decoded::Need(_) => break,
                Decoded::Pdu(frame) => {
                    match frame.pdu {
                        Pdu::C2hData(data) => self.data(&data)?,
                        Pdu::CapsuleResp(cqe) => self.answer(cqe, now_ns)?,
                        Pdu::R2t(r2t) => self.asked(codec, r2t)?,
                        other => return Err(format!("the target sent {other:?} on an I/O queue")),
                    }
                    // The header is there; payload is thrown away as it comes.
                    let header = frame.data_offset.min(rest.len());
                    at += header;
                    self.skip = frame.len() - header;
                }
            }
        }
        host.io.keep_from(at);
        Ok(())
    }

    fn flight(&mut self, cid: Cid) -> Result<&mut Flight, String> {
        let found = self.flights.get_mut(usize::from(cid.0)).and_then(Option::as_mut);
        found.ok_or_else(|| format!("the target answered command {}, which is not under way", cid.0))
    }

    fn data(&mut self, data: &C2hData) -> Result<(), String> {
        let flight = self.flight(data.cccid)?;
        flight.reads.accept(data).map_err(|fault| format!("data of a read: {fault}"))?;
        self.ending = data.success.then_some(data.cccid);
        Ok(())
    }

    /// A command succeeded; all of its data must have moved.
    fn answer(&mut self, cqe: &Cqe, now_ns: u64) -> Result<(), String> {
        if !cqe.status().is_ok() {
            return Err(format!("a command failed: {}", cqe.status()));
        }
        self.end(cqe.cid(), now_ns)
    }

    fn end(&mut self, cid: Cid, now_ns: u64) -> Result<(), String> {
        let flight = *self.flight(cid)?;
        if !flight.reads.is_full() || flight.left > 0 {
            return Err(format!("command {} ended before its data had moved", cid.0));
        }
        self.flights[usize::from(cid.0)] = None;
        self.free.push(cid.0);
        self.done.ios += 1;
        self.done.latency.record(now_ns.saturating_sub(flight.began_ns));
        Ok(())
    }

    /// Sends what an R2T asks for.
    fn asked(&mut self, codec: &Connection, r2t: R2t) -> Result<(), String> {
        let flight = self.flight(r2t.cccid)?;
        flight.writes.accept(&r2t).map_err(|fault| format!("an R2T: {fault}"))?;
        flight.writes.answered();
        flight.left = flight.left.saturating_sub(r2t.len);
        for part in r2t.answers(codec.agreed().max_h2c_data) {
            self.out.head(|out| codec.write_h2c_data(out, &part))?;
            self.out.data(part.len);
        }
        Ok(())
    }
}
