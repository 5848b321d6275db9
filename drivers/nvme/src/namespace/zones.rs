//! Zones of a namespace: what it says of them, the commands that they need, and its reports as a block device gives them.
//!
//! What the namespace says is checked: a report's zones lie side by side from the one asked for, inside of the namespace, and an append
//! went into its zone. Nothing of a zone's state is kept here; each report asks the device.

use doorbell_block::{Flags, Io, Op, Status, Zone, ZoneKind, ZoneState, Zones};
use doorbell_mem::SgList;
use doorbell_wire_nvme::identify::{Namespace, Ozcs, ZonedNamespace};
use doorbell_wire_nvme::zone::{ReportHeader, ZoneDescriptor, ZoneType};
use doorbell_wire_nvme::{IoCommand, Protection, ZoneAppend, ZoneFilter, ZoneReceive, ZoneReceiveAction, ZoneSend, ZoneSendAction, view};

/// What a zoned namespace and its controller say of zones.
pub(crate) struct ZonedPages {
    pub(crate) namespace: Box<ZonedNamespace>,
    /// ZASL.
    pub(crate) append_log2: u8,
}

/// A namespace's zones, and the boundary that its reads must not cross.
pub(super) struct Found {
    pub(super) zones: Zones,
    /// 0 for none.
    pub(super) boundary: u32,
}

/// Every operation on zones.
pub(super) const OPS: [Op; 7] =
    [Op::ZoneReport, Op::ZoneAppend, Op::ZoneOpen, Op::ZoneClose, Op::ZoneFinish, Op::ZoneReset, Op::ZoneOffline];

/// Bytes of a report asked for at once: 255 zones. Whoever wants more asks again.
const REPORT: u32 = 16 << 10;
const HEADER: u32 = size_of::<ReportHeader>() as u32;
const DESCRIPTOR: u32 = size_of::<ZoneDescriptor>() as u32;

impl ZonedPages {
    /// `max_bytes` is what a command carries at most.
    pub(super) fn find(&self, raw: &Namespace, max_bytes: u32, shift: u8) -> Result<Found, String> {
        let format = self.namespace.lbafe.get(raw.format_index()).copied().unwrap_or_default();
        let (size, blocks) = (format.zsze.get(), raw.nsze.get());
        if size == 0 || !blocks.is_multiple_of(size) {
            return Err(format!("its zones of {size} blocks do not fill its {blocks} blocks"));
        }
        let Ok(boundary) = u32::try_from(size) else { return Err(format!("its zones of {size} blocks are too long")) };
        // A power of two of memory pages of 4 KiB (ZNS 1.1, 4.1.5.2).
        let append_bytes = match self.append_log2 {
            0 => u64::from(max_bytes),
            log2 => 4096u64.checked_shl(log2.into()).filter(|b| *b >= 4096).unwrap_or(u64::MAX).min(max_bytes.into()),
        };
        let max_append_blocks = u32::try_from(append_bytes >> shift).unwrap_or(u32::MAX).min(super::describe::BLOCKS_MAX).min(boundary);
        let limit = |zero_based| ZonedNamespace::limit(zero_based).unwrap_or(0);
        let (max_open, max_active) = (limit(self.namespace.mor), limit(self.namespace.mar));
        let across = Ozcs::from_bits(self.namespace.ozcs.get()).read_across();
        let zones = Zones { blocks: size, max_open, max_active, max_append_blocks };
        Ok(Found { zones, boundary: if across { 0 } else { boundary } })
    }
}

/// Can this be asked of these zones?
pub(super) fn check(zones: &Zones, io: &Io) -> Status {
    let misplaced = !io.lba.is_multiple_of(zones.blocks);
    match io.op {
        Op::ZoneAppend if misplaced || io.blocks == 0 || io.blocks > zones.max_append_blocks => Status::Invalid,
        op if op.manages_zones() && misplaced && !io.flags.has(Flags::ALL_ZONES) => Status::Invalid,
        _ => Status::Ok,
    }
}

/// Does it move a write pointer, so that doing it twice is not doing it once?
pub(super) fn moves_pointer(op: Op) -> bool {
    matches!(op, Op::Write | Op::WriteZeroes | Op::WriteUncorrectable | Op::Copy | Op::ZoneAppend)
}

/// The command of a request that only zones know; `None` for any other.
pub(super) fn command(io: &Io, protection: Protection, remap: bool) -> Option<IoCommand> {
    let action = match io.op {
        Op::ZoneReport => {
            let (action, filter) = (ZoneReceiveAction::REPORT, ZoneFilter::ALL);
            return Some(IoCommand::ZoneReceive(ZoneReceive { slba: io.lba, len: io.sg.bytes().into(), action, filter, partial: true }));
        }
        Op::ZoneAppend => {
            let fua = io.flags.has(Flags::FUA);
            let append = ZoneAppend { zslba: io.lba, blocks: io.blocks, fua, remap, protection, ..ZoneAppend::default() };
            return Some(IoCommand::ZoneAppend(append));
        }
        Op::ZoneOpen => ZoneSendAction::OPEN,
        Op::ZoneClose => ZoneSendAction::CLOSE,
        Op::ZoneFinish => ZoneSendAction::FINISH,
        Op::ZoneReset => ZoneSendAction::RESET,
        Op::ZoneOffline => ZoneSendAction::OFFLINE,
        _ => return None,
    };
    let all = io.flags.has(Flags::ALL_ZONES);
    Some(IoCommand::ZoneSend(ZoneSend { slba: if all { 0 } else { io.lba }, action, all, option: false }))
}

/// Bytes of the device's own report that are asked for, for room of `bytes` in the payload.
pub(super) fn report_bytes(bytes: u32, max_bytes: u32) -> u32 {
    let most = (REPORT.min(max_bytes) - HEADER) / DESCRIPTOR;
    HEADER + DESCRIPTOR * (bytes / Zone::BYTES as u32).clamp(1, most)
}

/// Puts the device's report into the payload.
pub(super) fn translate(io: &mut Io, report: &SgList, zones: &Zones, blocks: u64) {
    match take_report(io, report, zones, blocks) {
        Some(count) => io.result = count.into(),
        None => {
            tracing::warn!(lba = io.lba, "a report of zones makes no sense");
            io.status = Status::ReadError;
        }
    }
}

fn take_report(io: &mut Io, report: &SgList, zones: &Zones, blocks: u64) -> Option<u32> {
    let mut header = [0; HEADER as usize];
    report.read_at(0, &mut header);
    let room = (report.bytes() - HEADER) / DESCRIPTOR;
    let left = (blocks / zones.blocks).checked_sub(io.lba / zones.blocks)?;
    let count =
        u32::try_from(view::<ReportHeader>(&header)?.zones.get()).ok().filter(|n| (1..=room).contains(n) && u64::from(*n) <= left)?;
    let mut start = io.lba - io.lba % zones.blocks;
    for i in 0..count {
        let mut bytes = [0; DESCRIPTOR as usize];
        report.read_at(HEADER + DESCRIPTOR * i, &mut bytes);
        let zone = zone(view::<ZoneDescriptor>(&bytes)?, start, zones)?;
        io.sg.write_at(i * Zone::BYTES as u32, &zone.encode());
        start += zones.blocks;
    }
    Some(count)
}

fn zone(raw: &ZoneDescriptor, start: u64, zones: &Zones) -> Option<Zone> {
    let state = ZoneState::of(raw.state().0)?;
    let (capacity, write_pointer) = (raw.zcap.get(), raw.wp.get());
    let writable = !matches!(state, ZoneState::Full | ZoneState::ReadOnly | ZoneState::Offline);
    let pointer_fits = !writable || write_pointer.checked_sub(start).is_some_and(|written| written <= capacity);
    let fits = raw.kind() == ZoneType::SEQUENTIAL_WRITE_REQUIRED && raw.zslba.get() == start && capacity <= zones.blocks && pointer_fits;
    fits.then_some(Zone { kind: ZoneKind::SequentialWriteRequired, state, start, capacity, write_pointer })
}

/// Where an append went, by the device; a place outside of its zone is not believed.
pub(super) fn appended(io: &mut Io, first: u64, zones: &Zones) {
    let inside = first.checked_sub(io.lba).is_some_and(|at| at.checked_add(io.blocks.into()).is_some_and(|end| end <= zones.blocks));
    match inside {
        true => io.result = first,
        false => {
            tracing::warn!(zone = io.lba, first, "an append is said to have gone elsewhere");
            io.status = Status::WriteError;
        }
    }
}

#[cfg(test)]
mod tests;
