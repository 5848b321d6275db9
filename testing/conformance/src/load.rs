//! Random mixed load on a range of a device, held against a plain model: an ordinary consumer, so that it runs on any reactor.
//!
//! What is in flight never overlaps, so that every answer is certain. Where the pool is empty it waits its turn like anybody.

use crate::case::Failure;
use crate::checked::{Checked, Ledger};
use crate::model::Model;
use crate::rig::{Cuts, Payload, Request, prepare};
use crate::shape::Shape;
use doorbell_block::{BlockDevice, BlockQueue, Consumer, ConsumerId, Cx, DeviceInfo, Done, Flags, Io, Op, ReadAfterUnmap, Status, Token};
use doorbell_reactor::Sender;
use doorbell_sim::Entropy;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// Of how many buffers a payload may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// As many as the device allows.
    Any,
    /// One: what an owner does who shares a scarce pool, in which everyone gets as many buffers as boxes.
    OneBuffer,
}

/// What a load does.
#[derive(Clone, Debug)]
pub struct LoadSpec {
    /// Its chance.
    pub seed: u64,
    /// The blocks that are its own.
    pub region: Range<u64>,
    /// How many requests.
    pub requests: u64,
    /// How many at a time.
    pub depth: u32,
    /// Their payloads.
    pub pieces: Pieces,
}

struct Flight {
    request: Request,
    /// What a write brings, what a compare expects.
    bytes: Vec<u8>,
    want: Status,
}

struct Load {
    spec: LoadSpec,
    info: DeviceInfo,
    shape: Shape,
    ops: Vec<Op>,
    entropy: Entropy,
    model: Model,
    queue: Option<Checked>,
    ledger: Rc<RefCell<Ledger>>,
    flights: HashMap<u64, Flight>,
    busy: Vec<(u64, u64, u64)>,
    parked: Option<Flight>,
    issued: u64,
    /// Where the final reading of everything has got to.
    reread: u64,
    done: Done,
    token: Token,
    me: ConsumerId,
    answer: Option<Sender<Result<u64, Failure>>>,
}

/// The operations of a load: what the device claims, those that move data more often.
fn mix(info: &DeviceInfo) -> Vec<Op> {
    let mut ops = vec![Op::Read; 3];
    if !info.read_only {
        ops.extend([Op::Write; 4]);
        ops.extend([Op::WriteZeroes, Op::Unmap, Op::CompareAndWrite, Op::Copy]);
    }
    ops.extend([Op::Compare, Op::Flush]);
    ops.retain(|op| info.ops.has(*op));
    ops
}

/// Starts a load on the reactor of `cx`. Its answer is how many requests it made.
pub fn start(cx: &mut Cx, device: &dyn BlockDevice, spec: LoadSpec, answer: Sender<Result<u64, Failure>>) {
    let info = (*device.info()).clone();
    cx.adopt(|cx, me| {
        let token = cx.token(me);
        let (queue, ledger, answer) = match device.open(cx, token, spec.depth) {
            Ok(queue) => {
                let (queue, ledger) = Checked::new(queue);
                cx.wake(token);
                (Some(queue), ledger, Some(answer))
            }
            Err(e) => {
                cx.dismiss(me);
                cx.free_token(token);
                answer.send(Err(Failure::new(format!("open failed: {e}"))));
                (None, Rc::default(), None)
            }
        };
        let model = Model::new(spec.region.start, spec.region.end - spec.region.start, info.block_shift);
        Load {
            shape: Shape::of(&info),
            ops: mix(&info),
            entropy: Entropy::new(spec.seed),
            reread: spec.region.start,
            flights: HashMap::new(),
            busy: Vec::new(),
            parked: None,
            issued: 0,
            done: Vec::new(),
            model,
            queue,
            ledger,
            token,
            me,
            answer,
            info,
            spec,
        }
    });
}

impl Load {
    fn is_free(&self, lba: u64, blocks: u64) -> bool {
        self.busy.iter().all(|(_, at, n)| lba + blocks <= *at || at + n <= lba)
    }

    fn cuts(&mut self, len: u32) -> Cuts {
        match self.shape.cuts(&mut self.entropy, len) {
            Cuts::Apart(lengths) if self.spec.pieces == Pieces::OneBuffer => Cuts::Shares(lengths),
            cuts => cuts,
        }
    }

    /// A random request on blocks that are free; `None` when chance found none.
    fn propose(&mut self) -> Option<Flight> {
        let op = *self.entropy.pick(&self.ops);
        if op == Op::Flush {
            return Some(Flight { request: Request::plain(op, 0, 0), bytes: Vec::new(), want: Status::Ok });
        }
        let (lba, blocks) = self.shape.range(&mut self.entropy, op, &self.spec.region)?;
        if !self.is_free(lba, u64::from(blocks)) {
            return None;
        }
        let mut request = Request::plain(op, lba, blocks);
        let size = (blocks as usize) << self.info.block_shift;
        let (mut bytes, mut want) = (Vec::new(), Status::Ok);
        match op {
            Op::Read => request.payload = Payload::Room(size as u32),
            Op::Write => {
                bytes = vec![0; size];
                self.entropy.fill(&mut bytes);
                request.payload = Payload::Bytes(bytes.clone());
                if self.info.fua && self.entropy.below(8) == 0 {
                    request.flags = Flags::FUA;
                }
            }
            Op::Compare | Op::CompareAndWrite => {
                let mut sent = self.model.expected(lba, u64::from(blocks))?.to_vec();
                if self.entropy.below(3) == 0 {
                    let at = self.entropy.below(size as u64) as usize;
                    sent[at] ^= 0x40;
                    want = Status::Miscompare;
                }
                if op == Op::CompareAndWrite {
                    bytes = vec![0; size];
                    self.entropy.fill(&mut bytes);
                    sent.extend_from_slice(&bytes);
                }
                request.payload = Payload::Bytes(sent);
            }
            Op::Copy => {
                let n = u64::from(blocks);
                let span = (self.spec.region.end - self.spec.region.start).checked_sub(n)?;
                request.source = self.spec.region.start + self.entropy.below(span + 1);
                let apart = request.source + n <= lba || lba + n <= request.source;
                if !apart || !self.is_free(request.source, n) {
                    return None;
                }
            }
            Op::WriteZeroes if self.entropy.coin() => request.flags = Flags::MAY_UNMAP,
            _ => {}
        }
        let len = match &request.payload {
            Payload::None => 0,
            Payload::Bytes(b) => b.len() as u32,
            Payload::Room(n) => *n,
        };
        request.cuts = self.cuts(len);
        Some(Flight { request, bytes, want })
    }

    /// The next read of the final round, which reads everything once.
    fn next_reread(&mut self) -> Option<Flight> {
        let left = self.spec.region.end - self.reread;
        if left == 0 {
            return None;
        }
        let boundary = u64::from(self.info.limits.boundary_blocks);
        let mut blocks = self.shape.most(Op::Read).min(left).min(64);
        if boundary > 0 {
            blocks = blocks.min(boundary - self.reread % boundary);
        }
        let mut request = Request::read(self.reread, blocks as u32, self.info.block_shift);
        request.cuts = self.cuts((blocks as u32) << self.info.block_shift);
        Some(Flight { request, bytes: Vec::new(), want: Status::Ok })
    }

    fn next(&mut self) -> Option<Flight> {
        if let Some(parked) = self.parked.take() {
            return Some(parked);
        }
        if self.issued >= self.spec.requests {
            // What is in flight must land before it is read for the last time.
            if self.flights.values().any(|f| f.request.op != Op::Read) {
                return None;
            }
            let flight = self.next_reread()?;
            self.reread += u64::from(flight.request.blocks);
            return Some(flight);
        }
        for _ in 0..16 {
            if let Some(flight) = self.propose() {
                return Some(flight);
            }
        }
        None
    }

    /// Sends what may be sent. False when the pool is empty.
    fn issue(&mut self, cx: &mut Cx) -> bool {
        let mut enough = true;
        while enough && self.flights.len() < self.spec.depth as usize {
            let Some(flight) = self.next() else { break };
            enough = self.send(cx, flight);
        }
        if let Some(queue) = &mut self.queue {
            queue.kick(cx); // also what went before the pool was empty
        }
        enough
    }

    /// Sends one. Parks it when the pool is empty.
    fn send(&mut self, cx: &mut Cx, flight: Flight) -> bool {
        let Some(mut io) = cx.take_io() else {
            self.parked = Some(flight);
            return false;
        };
        if !prepare(cx, &mut io, &flight.request) {
            cx.put_io(io);
            self.parked = Some(flight);
            return false;
        }
        let tag = self.issued;
        io.tag = tag;
        self.issued += 1;
        let r = &flight.request;
        if r.op.has_range() {
            self.busy.push((tag, r.lba, u64::from(r.blocks)));
        }
        if r.op == Op::Copy {
            self.busy.push((tag, r.source, u64::from(r.blocks)));
        }
        self.flights.insert(tag, flight);
        if let Some(queue) = &mut self.queue {
            queue.submit(cx, io);
        }
        true
    }

    /// Holds a finished request against the model.
    fn settle(&mut self, io: &Io) -> Result<(), Failure> {
        let Some(Flight { request: r, bytes, want }) = self.flights.remove(&io.tag) else {
            return Err(Failure::new(format!("a box came back with tag {}, which nobody gave it", io.tag)));
        };
        self.busy.retain(|(tag, ..)| *tag != io.tag);
        let about = || {
            format!("request {}, {:?} of {} blocks at {} (source {}, {:?}, {:?})", io.tag, r.op, r.blocks, r.lba, r.source, r.flags, r.cuts)
        };
        if io.status != want {
            return Err(Failure::new(format!("{} ended as {} and should have been {}", about(), io.status, want)));
        }
        let blocks = u64::from(r.blocks);
        match r.op {
            Op::Read => {
                let mut data = vec![0; io.sg.bytes() as usize];
                io.sg.read_at(0, &mut data);
                return self.model.check(r.lba, &data).map_err(|why| Failure::new(format!("{}: {why}", about())));
            }
            Op::Write => self.model.write(r.lba, &bytes),
            Op::CompareAndWrite if want.is_ok() => self.model.write(r.lba, &bytes),
            Op::WriteZeroes => self.model.zero(r.lba, blocks),
            Op::Unmap => match self.info.read_after_unmap {
                ReadAfterUnmap::Zeroes => self.model.zero(r.lba, blocks),
                ReadAfterUnmap::Undefined => self.model.forget(r.lba, blocks),
            },
            Op::Copy => self.model.copy(r.source, r.lba, blocks),
            _ => {}
        }
        Ok(())
    }

    /// Ends: leaves the queue to the reactor and says how it went.
    fn end(&mut self, cx: &mut Cx, outcome: Result<u64, Failure>) {
        if let Some(queue) = self.queue.take() {
            cx.retire(self.token, self.flights.len() as u32, Box::new(queue));
        }
        cx.dismiss(self.me);
        if let Some(answer) = self.answer.take() {
            answer.send(outcome);
        }
    }
}

impl Consumer for Load {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        let Some(queue) = &mut self.queue else { return };
        queue.poll(cx, &mut self.done);
        // A broken contract explains what it leads to.
        let broken = self.ledger.borrow().violations().join("\n");
        let mut wrong = (!broken.is_empty()).then(|| Failure::new(broken));
        for io in std::mem::take(&mut self.done) {
            if let Err(e) = self.settle(&io) {
                wrong.get_or_insert(e);
            }
            cx.put_io(io);
        }
        if let Some(e) = wrong {
            let seed = self.spec.seed;
            return self.end(cx, Err(Failure::new(format!("load with seed {seed}: {e}"))));
        }
        if !self.issue(cx) {
            cx.wait(self.token);
        } else if self.flights.is_empty() {
            if self.reread == self.spec.region.end {
                let n = self.issued;
                return self.end(cx, Ok(n));
            }
            cx.wake(self.token); // chance proposed nothing that was allowed: once more
        }
    }
}
