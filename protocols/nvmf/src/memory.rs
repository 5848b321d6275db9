//! A device of ordinary memory that does every operation: for tests, fuzzing and examples. What people serve is `backends`' malloc.

use doorbell_block::{
    AtomicUnits, BlockDevice, BlockQueue, Cx, DeviceInfo, Done, Flags, Io, Op, OpSet, OpenError, ReadAfterUnmap, Status, Token, WriteCache,
};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A memory device. Clones share their blocks.
#[derive(Clone)]
pub struct MemoryDevice {
    info: Arc<DeviceInfo>,
    bytes: Arc<Mutex<Vec<u8>>>,
    forced: Arc<AtomicU32>,
    flushes: Arc<AtomicU32>,
    failures: Arc<AtomicU32>,
    refusals: Arc<AtomicU32>,
}

impl MemoryDevice {
    /// `blocks` blocks of `1 << block_shift` bytes.
    pub fn new(block_shift: u8, blocks: u64) -> MemoryDevice {
        let bytes = usize::try_from(blocks << block_shift).unwrap_or(0);
        let info = DeviceInfo {
            ops: OpSet::of(&Op::COMMON),
            fua: true,
            read_after_unmap: ReadAfterUnmap::Zeroes,
            atomic: AtomicUnits { normal_blocks: 64, power_fail_blocks: 1 },
            ..DeviceInfo::plain(block_shift, blocks)
        };
        MemoryDevice {
            info: Arc::new(info),
            bytes: Arc::new(Mutex::new(vec![0; bytes])),
            forced: Arc::default(),
            flushes: Arc::default(),
            failures: Arc::default(),
            refusals: Arc::default(),
        }
    }

    /// The same, saying that completed writes are lost when the power goes.
    pub fn volatile(self) -> MemoryDevice {
        let info = DeviceInfo { write_cache: WriteCache::Volatile, ..DeviceInfo::clone(&self.info) };
        MemoryDevice { info: Arc::new(info), ..self }
    }

    /// The next `times` that it is opened it refuses, as one does for whom the process has no descriptors left.
    pub fn refuse(&self, times: u32) {
        self.refusals.store(times, Ordering::Relaxed);
    }

    /// The next `times` that it is to flush it fails.
    pub fn fail_flushes(&self, times: u32) {
        self.failures.store(times, Ordering::Relaxed);
    }

    /// Flushes that it did.
    pub fn flushes(&self) -> u32 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// Writes that were asked to be durable when done.
    pub fn forced(&self) -> u32 {
        self.forced.load(Ordering::Relaxed)
    }
}

impl BlockDevice for MemoryDevice {
    fn info(&self) -> Arc<DeviceInfo> {
        self.info.clone()
    }

    fn open(&self, _cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        if self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
            return Err(OpenError::Resources("no descriptors are left".to_string()));
        }
        Ok(Box::new(MemoryQueue { device: self.clone(), who, taken: Vec::with_capacity(depth as usize) }))
    }
}

struct MemoryQueue {
    device: MemoryDevice,
    who: Token,
    taken: Vec<Box<Io>>,
}

impl BlockQueue for MemoryQueue {
    fn submit(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        let mut bytes = self.device.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if io.flags.has(Flags::FUA) {
            self.device.forced.fetch_add(1, Ordering::Relaxed);
        }
        io.status = carry_out(&mut io, &mut bytes, self.device.info.block_shift);
        if io.op == Op::Flush {
            match self.device.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)) {
                Ok(_) => io.status = Status::WriteError,
                Err(_) => drop(self.device.flushes.fetch_add(1, Ordering::Relaxed)),
            }
        }
        self.taken.push(io);
        cx.wake(self.who);
    }

    fn kick(&mut self, _cx: &mut Cx) {}

    fn poll(&mut self, _cx: &mut Cx, done: &mut Done) {
        done.append(&mut self.taken);
    }
}

/// The bytes of `blocks` from `lba`.
fn part(bytes: &mut [u8], lba: u64, blocks: u32, shift: u8) -> Option<&mut [u8]> {
    let from = usize::try_from(lba.checked_mul(1 << shift)?).ok()?;
    let len = usize::try_from(u64::from(blocks) << shift).ok()?;
    bytes.get_mut(from..from.checked_add(len)?)
}

fn carry_out(io: &mut Io, bytes: &mut [u8], shift: u8) -> Status {
    if u64::from(io.sg.bytes()) < io.op.payload(io.blocks, shift) {
        return Status::Invalid;
    }
    let Some(at) = part(bytes, io.lba, io.blocks, shift) else { return Status::OutOfRange };
    match io.op {
        Op::Flush | Op::Reset => Status::Ok,
        Op::Read => {
            io.sg.write_at(0, at);
            Status::Ok
        }
        Op::Write => {
            io.sg.read_at(0, at);
            Status::Ok
        }
        Op::WriteZeroes | Op::Unmap => {
            at.fill(0);
            Status::Ok
        }
        Op::Compare | Op::CompareAndWrite => {
            let mut wanted = vec![0; at.len()];
            io.sg.read_at(0, &mut wanted);
            if wanted != at {
                return Status::Miscompare;
            }
            if io.op == Op::CompareAndWrite {
                io.sg.read_at(u32::try_from(wanted.len()).unwrap_or(u32::MAX), at);
            }
            Status::Ok
        }
        Op::Copy => {
            let Some(from) = part(bytes, io.source, io.blocks, shift).map(|p| p.to_vec()) else { return Status::OutOfRange };
            let Some(to) = part(bytes, io.lba, io.blocks, shift) else { return Status::OutOfRange };
            to.copy_from_slice(&from);
            Status::Ok
        }
        Op::SeekData => {
            io.result = io.lba;
            Status::Ok
        }
        Op::SeekHole => {
            io.result = u64::MAX;
            Status::Ok
        }
        _ => Status::Unsupported,
    }
}
