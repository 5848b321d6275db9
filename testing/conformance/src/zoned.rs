//! A device of plain memory with zones, as simple as one can be: what the suite's cases for zones are tested on.
//!
//! As the device without zones it answers in the next poll and is shared by a mutex; nobody should copy it into anything fast. A zone that
//! is begun by a write when no more may be open takes the place of one that was opened so too; explicitly opened ones keep theirs.

use doorbell_block::{
    BlockDevice, BlockQueue, Cx, DeviceInfo, Done, Flags, Io, Op, OpSet, OpenError, Status, Token, Zone, ZoneKind, ZoneState, Zones,
};
use std::sync::{Arc, Mutex, PoisonError};

/// The device. Clones are the same memory.
#[derive(Clone)]
pub struct ZonedRam {
    info: Arc<DeviceInfo>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    bytes: Vec<u8>,
    zones: Vec<Zone>,
}

impl ZonedRam {
    /// `count` empty zones, of which `capacity` blocks each can be written.
    ///
    /// # Panics
    /// If memory cannot hold it.
    pub fn new(block_shift: u8, zones: Zones, count: u64, capacity: u64) -> ZonedRam {
        let mut info = DeviceInfo::plain(block_shift, zones.blocks * count);
        let more = [Op::Flush, Op::ZoneReport, Op::ZoneAppend, Op::ZoneOpen, Op::ZoneClose, Op::ZoneFinish, Op::ZoneReset];
        info.ops = more.into_iter().fold(OpSet::of(&[Op::Read, Op::Write, Op::Reset]), OpSet::with);
        info.fua = true;
        info.zones = Some(zones);
        let empty = |n: u64| {
            let start = n * zones.blocks;
            Zone { kind: ZoneKind::SequentialWriteRequired, state: ZoneState::Empty, start, capacity, write_pointer: start }
        };
        let inner = Inner { bytes: vec![0; info.bytes() as usize], zones: (0..count).map(empty).collect() };
        ZonedRam { info: Arc::new(info), inner: Arc::new(Mutex::new(inner)) }
    }
}

impl BlockDevice for ZonedRam {
    fn info(&self) -> Arc<DeviceInfo> {
        self.info.clone()
    }

    fn open(&self, _cx: &mut Cx, who: Token, _depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        Ok(Box::new(Queue { ram: self.clone(), who, taken: Vec::new(), kicked: 0 }))
    }
}

struct Queue {
    ram: ZonedRam,
    who: Token,
    taken: Vec<Box<Io>>,
    kicked: usize,
}

impl BlockQueue for Queue {
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
        let mut inner = self.ram.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for mut io in self.taken.drain(..std::mem::take(&mut self.kicked)) {
            io.status = inner.serve(&self.ram.info, &mut io).err().unwrap_or(Status::Ok);
            done.push(io);
        }
    }
}

fn is_open(zone: &Zone) -> bool {
    matches!(zone.state, ZoneState::ImplicitlyOpen | ZoneState::ExplicitlyOpen)
}

impl Inner {
    fn serve(&mut self, info: &DeviceInfo, io: &mut Io) -> Result<(), Status> {
        let Some(zones) = info.zones.filter(|_| info.ops.has(io.op)) else { return Err(Status::Unsupported) };
        let all = io.op.manages_zones() && io.flags.has(Flags::ALL_ZONES);
        let inside = match io.op {
            Op::Flush | Op::Reset => true,
            op if op.has_range() => io.end().is_some_and(|end| end <= info.blocks),
            _ => all || io.lba < info.blocks,
        };
        if !inside {
            return Err(Status::OutOfRange);
        }
        if io.op != Op::ZoneReport && u64::from(io.sg.bytes()) != io.op.payload(io.blocks, info.block_shift) {
            return Err(Status::Invalid);
        }
        let shift = info.block_shift;
        match io.op {
            Op::Read => io.sg.write_at(0, &self.bytes[(io.lba << shift) as usize..][..io.sg.bytes() as usize]),
            Op::Write | Op::ZoneAppend => self.write(&zones, shift, io)?,
            Op::ZoneReport if (io.sg.bytes() as usize) < Zone::BYTES => return Err(Status::Invalid),
            Op::ZoneReport => {
                let room = io.sg.bytes() as usize / Zone::BYTES;
                let from = self.zones.iter().skip((io.lba / zones.blocks) as usize).take(room);
                io.result = from.zip(0u32..).map(|(zone, n)| io.sg.write_at(n * Zone::BYTES as u32, &zone.encode())).count() as u64;
            }
            op if op.manages_zones() && all => {
                let those = (0..self.zones.len()).filter(|n| concerns(op, self.zones[*n].state)).collect::<Vec<_>>();
                those.into_iter().try_for_each(|n| self.manage(&zones, op, n))?;
            }
            op if op.manages_zones() => {
                let number = Some(io.lba).filter(|lba| lba.is_multiple_of(zones.blocks)).ok_or(Status::Invalid)? / zones.blocks;
                self.manage(&zones, op, number as usize)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self, zones: &Zones, shift: u8, io: &mut Io) -> Result<(), Status> {
        if io.blocks == 0 {
            return Err(Status::Invalid);
        }
        let number = (io.lba / zones.blocks) as usize;
        let zone = self.zones[number];
        let append = io.op == Op::ZoneAppend;
        if append && (io.lba != zone.start || io.blocks > zones.max_append_blocks) {
            return Err(Status::Invalid);
        }
        let first = if append { zone.write_pointer } else { io.lba };
        let end = first + u64::from(io.blocks);
        match zone.state {
            ZoneState::Full => return Err(Status::ZoneFull),
            ZoneState::ReadOnly | ZoneState::Offline => return Err(Status::ZoneState),
            _ if first != zone.write_pointer || end > zone.start + zone.capacity => return Err(Status::ZoneInvalidWrite),
            _ => {}
        }
        if !is_open(&zone) {
            self.make_room(zones, zone.state == ZoneState::Empty)?;
            self.zones[number].state = ZoneState::ImplicitlyOpen;
        }
        io.sg.read_at(0, &mut self.bytes[(first << shift) as usize..(end << shift) as usize]);
        let zone = &mut self.zones[number];
        zone.write_pointer = end;
        if end == zone.start + zone.capacity {
            zone.state = ZoneState::Full;
        }
        io.result = first;
        Ok(())
    }

    /// May one more be open, and active if it is not yet?
    fn make_room(&mut self, zones: &Zones, activates: bool) -> Result<(), Status> {
        let active = self.zones.iter().filter(|z| is_open(z) || z.state == ZoneState::Closed).count();
        if activates && zones.max_active > 0 && active >= zones.max_active as usize {
            return Err(Status::ZoneLimit);
        }
        if zones.max_open == 0 || self.zones.iter().filter(|z| is_open(z)).count() < zones.max_open as usize {
            return Ok(());
        }
        let other = self.zones.iter_mut().find(|z| z.state == ZoneState::ImplicitlyOpen).ok_or(Status::ZoneLimit)?;
        other.state = ZoneState::Closed;
        Ok(())
    }

    fn manage(&mut self, zones: &Zones, op: Op, number: usize) -> Result<(), Status> {
        let zone = *self.zones.get(number).ok_or(Status::OutOfRange)?;
        let state = match (op, zone.state) {
            (_, ZoneState::ReadOnly | ZoneState::Offline) => return Err(Status::ZoneState),
            (Op::ZoneOpen, ZoneState::Full) | (Op::ZoneClose, ZoneState::Full | ZoneState::Empty) => return Err(Status::ZoneState),
            (Op::ZoneOpen, ZoneState::ImplicitlyOpen | ZoneState::ExplicitlyOpen) => ZoneState::ExplicitlyOpen,
            (Op::ZoneOpen, from) => {
                self.make_room(zones, from == ZoneState::Empty)?;
                ZoneState::ExplicitlyOpen
            }
            (Op::ZoneClose, _) => ZoneState::Closed,
            (Op::ZoneFinish, _) => ZoneState::Full,
            _ => ZoneState::Empty,
        };
        let zone = &mut self.zones[number];
        zone.state = state;
        if state == ZoneState::Empty {
            zone.write_pointer = zone.start;
        }
        Ok(())
    }
}

/// Which zones an operation on all of them is for.
fn concerns(op: Op, state: ZoneState) -> bool {
    let open = matches!(state, ZoneState::ImplicitlyOpen | ZoneState::ExplicitlyOpen);
    match op {
        Op::ZoneOpen => state == ZoneState::Closed,
        Op::ZoneClose => open,
        Op::ZoneFinish => open || state == ZoneState::Closed,
        _ => open || matches!(state, ZoneState::Closed | ZoneState::Full),
    }
}

#[cfg(test)]
mod tests;
