//! A device of plain memory with every operation, as simple as one can be: what the suite itself is tested on.
//!
//! It answers in the next poll and is shared by a mutex; nobody should copy it into anything fast.

use doorbell_block::{
    AtomicUnits, BlockDevice, BlockQueue, Cx, DeviceInfo, Done, Io, Op, OpSet, OpenError, ReadAfterUnmap, Status, Token, WriteCache,
};
use std::sync::{Arc, Mutex, PoisonError};

/// The device. Clones are the same memory.
#[derive(Clone)]
pub struct Ram {
    info: Arc<DeviceInfo>,
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Metadata of the blocks; a write without any leaves zeroes. Nothing of it is made or checked.
    beside: Arc<Mutex<Vec<u8>>>,
}

impl Ram {
    /// All zeroes, with every operation but seeks, which memory cannot answer.
    pub fn new(block_shift: u8, blocks: u64) -> Ram {
        let mut info = DeviceInfo::plain(block_shift, blocks);
        info.ops = OpSet::of(&Op::COMMON).without(Op::SeekData).without(Op::SeekHole);
        info.fua = true;
        info.read_after_unmap = ReadAfterUnmap::Zeroes;
        info.write_cache = WriteCache::WriteThrough;
        info.atomic = AtomicUnits { normal_blocks: 8, power_fail_blocks: 1 };
        Ram::with(info)
    }

    /// One that says what `info` says, and does no more than that.
    ///
    /// # Panics
    /// If memory cannot hold it.
    pub fn with(info: DeviceInfo) -> Ram {
        let bytes = Arc::new(Mutex::new(vec![0; info.bytes() as usize]));
        let each = info.metadata.map_or(0, |m| usize::from(m.bytes));
        let beside = Arc::new(Mutex::new(vec![0; info.blocks as usize * each]));
        Ram { info: Arc::new(info), bytes, beside }
    }
}

impl BlockDevice for Ram {
    fn info(&self) -> Arc<DeviceInfo> {
        self.info.clone()
    }

    fn open(&self, _cx: &mut Cx, who: Token, _depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        Ok(Box::new(RamQueue { ram: self.clone(), who, taken: Vec::new(), kicked: 0 }))
    }
}

struct RamQueue {
    ram: Ram,
    who: Token,
    taken: Vec<Box<Io>>,
    kicked: usize,
}

impl BlockQueue for RamQueue {
    fn submit(&mut self, _cx: &mut Cx, io: Box<Io>) {
        self.taken.push(io);
    }

    fn kick(&mut self, cx: &mut Cx) {
        self.kicked = self.taken.len();
        if self.kicked > 0 {
            cx.wake(self.who);
        }
    }

    fn poll(&mut self, _cx: &mut Cx, done: &mut Done) {
        let mut bytes = self.ram.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        for mut io in self.taken.drain(..std::mem::take(&mut self.kicked)) {
            let ended = serve(&self.ram.info, &mut bytes, &io);
            io.status = ended.and_then(|status| self.ram.serve_beside(&io).map(|()| status)).unwrap_or_else(|refused| refused);
            done.push(io);
        }
    }
}

impl Ram {
    /// The metadata of a request that was served otherwise.
    fn serve_beside(&self, io: &Io) -> Result<(), Status> {
        let each = self.info.metadata.map_or(0, |m| usize::from(m.bytes));
        if each == 0 || !matches!(io.op, Op::Read | Op::Write | Op::Compare) {
            return if io.meta.is_empty() { Ok(()) } else { Err(Status::Invalid) };
        }
        let range = io.lba as usize * each..(io.lba as usize + io.blocks as usize) * each;
        let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        let there = beside.get_mut(range).ok_or(Status::OutOfRange)?;
        if io.meta.is_empty() {
            if io.op == Op::Write {
                there.fill(0);
            }
            return Ok(());
        }
        if io.meta.bytes() as usize != there.len() {
            return Err(Status::Invalid);
        }
        match io.op {
            Op::Read => io.meta.write_at(0, there),
            Op::Write => io.meta.read_at(0, there),
            _ => {
                let mut given = vec![0; there.len()];
                io.meta.read_at(0, &mut given);
                if given != there {
                    return Err(Status::Miscompare);
                }
            }
        }
        Ok(())
    }
}

fn serve(info: &DeviceInfo, bytes: &mut [u8], io: &Io) -> Result<Status, Status> {
    if !info.ops.has(io.op) {
        return Err(Status::Unsupported);
    }
    if io.op.writes() && info.read_only {
        return Err(Status::ReadOnly);
    }
    let range = |lba: u64| {
        let end = lba.checked_add(u64::from(io.blocks)).filter(|end| *end <= info.blocks).ok_or(Status::OutOfRange)?;
        Ok((lba << info.block_shift) as usize..(end << info.block_shift) as usize)
    };
    if u64::from(io.sg.bytes()) != io.op.payload(io.blocks, info.block_shift) && io.op.has_range() {
        return Err(range(io.lba).map_or(Status::OutOfRange, |_: std::ops::Range<usize>| Status::Invalid));
    }
    match io.op {
        Op::Read => io.sg.write_at(0, &bytes[range(io.lba)?]),
        Op::Write => io.sg.read_at(0, &mut bytes[range(io.lba)?]),
        Op::WriteZeroes | Op::Unmap => bytes[range(io.lba)?].fill(0),
        Op::Compare | Op::CompareAndWrite => {
            let there = &mut bytes[range(io.lba)?];
            let mut half = vec![0; there.len()];
            io.sg.read_at(0, &mut half);
            if half != there {
                return Err(Status::Miscompare);
            }
            if io.op == Op::CompareAndWrite {
                io.sg.read_at(half.len() as u32, there);
            }
        }
        Op::Copy => bytes.copy_within(range(io.source)?, range(io.lba)?.start),
        Op::Flush | Op::Reset => {}
        _ => return Err(Status::Unsupported),
    }
    Ok(Status::Ok)
}
