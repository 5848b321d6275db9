//! The consumer that makes the load. It keeps its boxes and buffers and sends each again as soon as it is back.
//!
//! What it costs itself is part of every figure, so a request that returns is touched once: its latency is the difference of two turns'
//! timestamps (the first lies in its tag), and only what differs from the last time is set anew.

use super::histogram::Histogram;
use super::pattern::Pattern;
use super::pattern::Picker;
use super::verify::{Mismatch, SLOTS_MAX, Verify};
use doorbell_block::{BlockDevice, BlockQueue, Consumer, ConsumerId, Cx, Done, Flags, Io, Op, OpenError, Status, Ticks, Token};
use doorbell_reactor::Sender;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// When a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// After this much time.
    AfterNs(u64),
    /// After at least so many requests.
    AfterIos(u64),
}

/// What one generator does.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it does.
    pub pattern: Pattern,
    /// How many of a hundred are reads, where the pattern has both.
    pub mix_percent: u8,
    /// Bytes of each request: whole blocks.
    pub io_bytes: u32,
    /// How many are out at once.
    pub depth: u32,
    /// The blocks it may touch.
    pub range: Range<u64>,
    /// When it ends.
    pub stop: Stop,
    /// Where its random numbers begin.
    pub seed: u64,
    /// Does it check what it reads? Then it writes first what it has not written yet.
    pub verify: bool,
    /// Where it says, once a turn, how many requests are done.
    pub progress: Option<Arc<AtomicU64>>,
}

impl Job {
    /// A pattern over the whole of a device, one request at a time, for a second.
    pub fn new(pattern: Pattern, io_bytes: u32) -> Job {
        Job {
            pattern,
            mix_percent: 50,
            io_bytes,
            depth: 1,
            range: 0..u64::MAX,
            stop: Stop::AfterNs(1_000_000_000),
            seed: 0x00D0_08BE_1100,
            verify: false,
            progress: None,
        }
    }
}

/// Why a generator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The device gave no queue.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Not whole blocks, or none.
    #[error("an I/O size of {io_bytes} is no multiple of the device's blocks of {block_bytes} bytes")]
    Size {
        /// Bytes asked for.
        io_bytes: u32,
        /// Bytes of a block.
        block_bytes: u32,
    },
    /// The load would write where zones are not written next.
    #[error("the device is zoned: its zones are written from their beginning on, which a load of `{}` does not do; read it instead", pattern.name())]
    Zoned {
        /// What the load does.
        pattern: Pattern,
    },
    /// There is no room for a single request.
    #[error("the device has room for {blocks} blocks here, and one request takes {needed}")]
    TooSmall {
        /// Blocks there are.
        blocks: u64,
        /// Blocks of a request.
        needed: u32,
    },
    /// Checking more than this would take too much memory.
    #[error("{slots} requests' worth of device is more than can be verified ({max}): choose a smaller --size or a larger --io-size")]
    TooMuchToVerify {
        /// Requests that fit on the device.
        slots: u64,
        /// The most.
        max: u64,
    },
    /// The reactor's pools are too small.
    #[error("the reactor has boxes and buffers for {got} requests only, not {depth}")]
    Pool {
        /// Requests asked for.
        depth: u32,
        /// Requests there was room for.
        got: u32,
    },
}

/// What one generator found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Requests done in time. What failed is none.
    pub ios: u64,
    /// Requests that failed, by status, in the order of `Status::ALL`.
    pub errors: [u64; Status::ALL.len()],
    /// From the first request to the last in time.
    pub elapsed_ns: u64,
    /// Time of the reactor's thread in between.
    pub cpu_ns: u64,
    /// How long the requests took.
    pub latency: Histogram,
    /// Requests that were read and compared.
    pub verified: u64,
    /// Reads whose data was wrong.
    pub mismatches: u64,
    /// The first of them.
    pub first_mismatch: Option<Mismatch>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Fresh,
    Load,
    /// Time is up: waits for what is out.
    Drain,
    /// Reads back what it wrote, from this slot on.
    ReadBack(u64),
}

/// The state of one, on its reactor.
pub struct Generator {
    queue: Option<Box<dyn BlockQueue>>,
    done: Done,
    picker: Picker,
    base: u64,
    io_blocks: u32,
    block_bytes: u32,
    stop: Stop,
    stop_at: Ticks,
    stop_after: u64,
    /// Boxes with their buffers that are not out.
    idle: Done,
    depth: usize,
    phase: Phase,
    started: Ticks,
    cpu_started_ns: u64,
    verify: Option<Verify>,
    outcome: Outcome,
    /// Requests that failed in time.
    failed: u64,
    /// The device has gone: there is no use in going on.
    gone: bool,
    answer: Option<Sender<Outcome>>,
    progress: Option<Arc<AtomicU64>>,
    me: ConsumerId,
    token: Token,
}

impl Generator {
    /// Opens a queue of the device on this reactor and begins with the next turn. The answer comes when the job has ended and
    /// every box and buffer is back in the reactor's pool.
    pub fn start(cx: &mut Cx, device: &dyn BlockDevice, job: &Job, answer: Sender<Outcome>) -> Result<(), StartError> {
        let info = device.info();
        let block_bytes = info.block_size();
        if job.io_bytes == 0 || !job.io_bytes.is_multiple_of(block_bytes) {
            return Err(StartError::Size { io_bytes: job.io_bytes, block_bytes });
        }
        // Its writes would come back to where they were, several at a time.
        if info.zones.is_some() && (job.pattern.writes() || job.verify) {
            return Err(StartError::Zoned { pattern: job.pattern });
        }
        let io_blocks = job.io_bytes >> info.block_shift;
        let (base, end) = (job.range.start.min(info.blocks), job.range.end.min(info.blocks));
        let blocks = end.saturating_sub(base);
        let slots = blocks / u64::from(io_blocks);
        if slots == 0 {
            return Err(StartError::TooSmall { blocks, needed: io_blocks });
        }
        if job.verify && slots > SLOTS_MAX {
            return Err(StartError::TooMuchToVerify { slots, max: SLOTS_MAX });
        }
        // Each slot has one request at a time when they are checked.
        let depth = if job.verify { job.depth.min(u32::try_from(slots).unwrap_or(u32::MAX)) } else { job.depth };
        let idle = take(cx, depth, job.io_bytes, io_blocks)?;
        let mut refused = None;
        cx.adopt(|cx, me| {
            let token = cx.token(me);
            let queue = device.open(cx, token, depth).map_err(|error| refused = Some(error)).ok();
            cx.wake(token);
            Generator {
                queue,
                done: Vec::with_capacity(idle.len()),
                picker: Picker::new(job.pattern, job.mix_percent, slots, job.seed),
                base,
                io_blocks,
                block_bytes,
                stop: job.stop,
                stop_at: Ticks(u64::MAX),
                stop_after: u64::MAX,
                depth: idle.len(),
                idle,
                phase: Phase::Fresh,
                started: cx.now(),
                cpu_started_ns: 0,
                verify: job.verify.then(|| Verify::new(slots, job.io_bytes, job.seed)),
                outcome: Outcome::default(),
                failed: 0,
                gone: false,
                answer: Some(answer),
                progress: job.progress.clone(),
                me,
                token,
            }
        });
        match refused {
            // Its first run finds no queue, gives everything back and leaves.
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// The first turn: from here on time counts.
    #[cold]
    fn begin(&mut self, cx: &mut Cx) {
        self.started = cx.now();
        self.cpu_started_ns = thread_cpu_ns();
        match self.stop {
            Stop::AfterNs(ns) => {
                self.stop_at = self.started.after(ns);
                cx.wake_at(self.token, self.stop_at); // also when the device answers nothing
            }
            Stop::AfterIos(ios) => self.stop_after = ios,
        }
        self.phase = Phase::Load;
        while let Some(mut io) = self.idle.pop() {
            self.again(&mut io, cx.now());
            match &mut self.queue {
                Some(queue) => queue.submit(cx, io),
                None => return self.idle.push(io),
            }
        }
    }

    fn submit(&mut self, cx: &mut Cx, io: Box<Io>) {
        match &mut self.queue {
            Some(queue) => queue.submit(cx, io),
            None => self.idle.push(io),
        }
    }

    /// Makes the next request of a box.
    fn again(&mut self, io: &mut Io, now: Ticks) {
        if self.verify.is_some() {
            self.again_verified(io);
        } else {
            io.op = self.picker.op();
            io.lba = self.base + self.picker.slot() * u64::from(self.io_blocks);
        }
        io.tag = now.0;
    }

    fn again_verified(&mut self, io: &mut Io) {
        let Some(verify) = &mut self.verify else { return };
        let (read, wanted) = (self.picker.op() == Op::Read, self.picker.slot());
        // There are at least as many slots as boxes, and this box has none.
        let slot = verify.free_from(wanted).unwrap_or(wanted);
        io.lba = self.base + slot * u64::from(self.io_blocks);
        if read && verify.known(slot) {
            io.op = Op::Read;
            verify.begin_read(slot);
        } else {
            io.op = Op::Write;
            verify.begin_write(slot, io, self.block_bytes);
        }
    }

    /// What came back is counted and, unless it is over, goes out again.
    #[inline]
    fn load(&mut self, cx: &mut Cx) {
        let now = cx.now();
        self.outcome.ios += self.done.len() as u64;
        let over = self.over(now);
        if over || self.verify.is_some() {
            return self.load_with_care(cx, over);
        }
        let Some(queue) = &mut self.queue else { return };
        for mut io in self.done.drain(..) {
            match io.status {
                Status::Ok => self.outcome.latency.record(now.0.wrapping_sub(io.tag)), // a reactor's time does not go back
                status => {
                    count_error(&mut self.outcome, status);
                    self.outcome.ios -= 1;
                    self.failed += 1;
                    self.gone |= status == Status::Gone;
                }
            }
            if self.picker.is_mixed() {
                io.op = self.picker.op();
            }
            io.lba = self.base + self.picker.slot() * u64::from(self.io_blocks);
            io.tag = now.0;
            queue.submit(cx, io);
        }
        queue.kick(cx);
        self.stop_if_gone(now);
    }

    /// Nothing comes of a device that has gone but errors, as fast as they can be made.
    #[inline]
    fn stop_if_gone(&mut self, now: Ticks) {
        if self.gone {
            self.stop_at = self.stop_at.min(now);
        }
    }

    /// The same, when what came back is checked, or is the last.
    #[cold]
    fn load_with_care(&mut self, cx: &mut Cx, over: bool) {
        let now = cx.now();
        let mut done = std::mem::take(&mut self.done);
        for mut io in done.drain(..) {
            match io.status {
                Status::Ok => self.outcome.latency.record(now.since(Ticks(io.tag))),
                status => {
                    self.outcome.ios -= 1;
                    self.failed += 1;
                    self.gone |= status == Status::Gone;
                }
            }
            self.judge(&io);
            if over {
                self.idle.push(io);
            } else {
                self.again(&mut io, now);
                self.submit(cx, io);
            }
        }
        self.done = done;
        self.stop_if_gone(now);
        match &mut self.queue {
            Some(queue) if !over => queue.kick(cx),
            _ => self.finish(cx),
        }
    }

    fn judge(&mut self, io: &Io) {
        if !io.status.is_ok() {
            count_error(&mut self.outcome, io.status);
        }
        if self.verify.is_some() {
            self.judge_data(io);
        }
    }

    fn judge_data(&mut self, io: &Io) {
        let Some(verify) = &mut self.verify else { return };
        let slot = (io.lba - self.base) / u64::from(self.io_blocks);
        if io.op == Op::Read && io.status.is_ok() {
            self.outcome.verified += 1;
        }
        if let Some(mismatch) = verify.end(slot, io, self.block_bytes) {
            self.outcome.mismatches += 1;
            self.outcome.first_mismatch.get_or_insert(mismatch);
        }
    }

    /// Is it over? Notes when, and how much of the thread's time went by.
    #[inline]
    fn over(&mut self, now: Ticks) -> bool {
        let over = now >= self.stop_at || self.outcome.ios + self.failed >= self.stop_after;
        if over {
            self.outcome.elapsed_ns = now.since(self.started);
            self.outcome.cpu_ns = thread_cpu_ns().saturating_sub(self.cpu_started_ns);
            self.phase = Phase::Drain;
        }
        over
    }

    /// After the time: what was out comes back, then what was written is read once more.
    #[cold]
    fn finish(&mut self, cx: &mut Cx) {
        for io in std::mem::take(&mut self.done) {
            self.judge(&io);
            self.idle.push(io);
        }
        if self.phase == Phase::Drain && self.idle.len() == self.depth && !self.gone {
            self.phase = Phase::ReadBack(0);
        }
        while let (Phase::ReadBack(from), Some(verify)) = (self.phase, &mut self.verify) {
            let Some(slot) = verify.known_from(from) else { break };
            let Some(mut io) = self.idle.pop() else { break };
            (io.op, io.lba) = (Op::Read, self.base + slot * u64::from(self.io_blocks));
            verify.begin_read(slot);
            self.phase = Phase::ReadBack(slot + 1);
            self.submit(cx, io);
        }
        if let Some(queue) = &mut self.queue {
            queue.kick(cx);
        }
        if self.idle.len() == self.depth {
            self.leave(cx);
        }
    }

    fn leave(&mut self, cx: &mut Cx) {
        for io in self.idle.drain(..) {
            cx.put_io(io);
        }
        self.queue = None;
        cx.free_token(self.token);
        cx.dismiss(self.me);
        if let Some(answer) = self.answer.take() {
            answer.send(std::mem::take(&mut self.outcome));
        }
    }
}

impl Consumer for Generator {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        let Some(queue) = &mut self.queue else { return self.leave(cx) };
        queue.poll(cx, &mut self.done);
        if self.phase == Phase::Load {
            self.load(cx);
            if let Some(progress) = &self.progress {
                progress.store(self.outcome.ios, Ordering::Relaxed);
            }
            return;
        }
        if self.phase == Phase::Fresh {
            self.begin(cx);
            if let Some(queue) = &mut self.queue {
                queue.kick(cx);
            }
            return;
        }
        self.finish(cx);
    }
}

#[cold]
fn count_error(outcome: &mut Outcome, status: Status) {
    if let Some(count) = outcome.errors.get_mut(status as usize) {
        *count += 1;
    }
}

/// Boxes with payload of `bytes` each, or none at all.
fn take(cx: &mut Cx, depth: u32, bytes: u32, blocks: u32) -> Result<Done, StartError> {
    let mut taken = Vec::with_capacity(depth as usize);
    for got in 0..depth.max(1) {
        match cx.request_long(bytes) {
            Some(mut io) => {
                io.blocks = blocks;
                io.flags = Flags::NONE;
                taken.push(io);
            }
            None => {
                for io in taken {
                    cx.put_io(io);
                }
                return Err(StartError::Pool { depth, got });
            }
        }
    }
    Ok(taken)
}

/// Time that the kernel and this thread's code took of its core.
fn thread_cpu_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests;
