//! What an I/O command asks of a namespace's block queue: checks and translation, no state.

pub(crate) mod ranges;

use doorbell_block::{DeviceInfo, Flags, Op, OpSet, WriteCache};
use doorbell_wire_nvme::range::{CopyRange, DsmRange};
use doorbell_wire_nvme::{IoCommand, IoOpcode, NSID_ALL, ReadWrite, Sqe, Status};

/// What the path of an I/O needs to know of a namespace, in one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) blocks: u64,
    pub(crate) shift: u8,
    pub(crate) read_only: bool,
    pub(crate) volatile: bool,
    pub(crate) ops: OpSet,
    /// Largest transfer in bytes.
    pub(crate) longest: u32,
}

impl Facts {
    /// Is there nothing that a flush would do?
    pub(crate) fn needs_no_flush(&self) -> bool {
        !self.volatile && !self.ops.has(Op::Flush)
    }

    pub(crate) fn new(info: &DeviceInfo, read_only: bool, longest: u32) -> Facts {
        let volatile = info.write_cache == WriteCache::Volatile;
        Facts { blocks: info.blocks, shift: info.block_shift, read_only, volatile, ops: info.ops, longest }
    }
}

/// How a command goes on once its data is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One request.
    One,
    /// A read whose data nobody wants.
    Verify,
    /// One request for each range of a Dataset Management.
    Unmaps { ranges: u16 },
    /// One request for each source range of a Copy.
    Copies { ranges: u16 },
    /// A flush of every namespace.
    FlushAll,
    /// Nothing: hints that are not used.
    Nothing,
}

/// Where the data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    None,
    ToHost,
    FromHost,
}

/// A command that passed every check that needs no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) op: Op,
    pub(crate) flags: Flags,
    pub(crate) lba: u64,
    pub(crate) blocks: u32,
    pub(crate) shape: Shape,
    pub(crate) way: Way,
    /// Bytes of payload, to or from the host.
    pub(crate) bytes: u32,
    /// May the host's buffer be longer than that?
    pub(crate) loose: bool,
}

impl Plan {
    /// One that asks for nothing.
    pub(crate) const NOTHING: Plan =
        Plan { op: Op::Read, flags: Flags::NONE, lba: 0, blocks: 0, shape: Shape::Nothing, way: Way::None, bytes: 0, loose: false };
}

/// A flush of all namespaces, which belongs to none.
#[inline]
pub(crate) fn is_flush_all(sqe: &Sqe) -> bool {
    sqe.nsid() == NSID_ALL && matches!(IoCommand::parse(sqe), IoCommand::Flush)
}

/// The plan of a flush of all namespaces.
pub(crate) const FLUSH_ALL: Plan = Plan { op: Op::Flush, shape: Shape::FlushAll, ..Plan::NOTHING };

/// Checks a command against its namespace and says what is to be done.
pub(crate) fn plan(sqe: &Sqe, facts: &Facts) -> Result<Plan, Status> {
    // Most commands are these two, and of their many fields few mean something here.
    let plan = match sqe.io_opcode() {
        IoOpcode::READ => transfer(Op::Read, Way::ToHost, &ReadWrite::parse(sqe), facts)?,
        IoOpcode::WRITE => transfer(Op::Write, Way::FromHost, &ReadWrite::parse(sqe), facts)?,
        _ => other(sqe, facts)?,
    };
    if plan.shape != Shape::Nothing {
        if !facts.ops.has(plan.op) && plan.op != Op::Flush {
            return Err(Status::INVALID_OPCODE);
        }
        if facts.read_only && plan.op.writes() {
            return Err(Status::WRITE_PROTECTED);
        }
    }
    Ok(plan)
}

/// The plan of any other command, or of those; what the namespace can do is not looked at yet.
fn other(sqe: &Sqe, facts: &Facts) -> Result<Plan, Status> {
    Ok(match IoCommand::parse(sqe) {
        IoCommand::Read(c) => transfer(Op::Read, Way::ToHost, &c, facts)?,
        IoCommand::Write(c) => transfer(Op::Write, Way::FromHost, &c, facts)?,
        IoCommand::Compare(c) => transfer(Op::Compare, Way::FromHost, &c, facts)?,
        IoCommand::Verify(c) => Plan { shape: Shape::Verify, way: Way::None, ..transfer(Op::Read, Way::ToHost, &c, facts)? },
        // Nothing is volatile and the device has nothing to flush: done is done.
        IoCommand::Flush if facts.needs_no_flush() => Plan::NOTHING,
        IoCommand::Flush => Plan { op: Op::Flush, shape: Shape::One, ..Plan::NOTHING },
        IoCommand::WriteZeroes(c) => {
            if c.whole_namespace || c.extension_type != 0 {
                return Err(Status::INVALID_FIELD);
            }
            let unmap = if c.deallocate { Flags::MAY_UNMAP } else { Flags::NONE };
            let flags = if c.fua { unmap.with(Flags::FUA) } else { unmap };
            within(c.slba, c.blocks, facts)?;
            Plan { op: Op::WriteZeroes, flags, lba: c.slba, blocks: c.blocks, shape: Shape::One, ..Plan::NOTHING }
        }
        IoCommand::DatasetManagement(c) => {
            let shape = if c.deallocate { Shape::Unmaps { ranges: c.ranges } } else { Shape::Nothing };
            let bytes = u32::from(c.ranges) * 16;
            Plan { op: Op::Unmap, shape, way: Way::FromHost, bytes, loose: true, ..Plan::NOTHING }
        }
        IoCommand::Copy(c) => {
            if c.format != 0 || c.directive_type != 0 || c.extension_type != 0 {
                return Err(Status::INVALID_FIELD);
            }
            let flags = if c.fua { Flags::FUA } else { Flags::NONE };
            let (shape, bytes) = (Shape::Copies { ranges: c.ranges }, u32::from(c.ranges) * 32);
            Plan { op: Op::Copy, flags, lba: c.sdlba, shape, way: Way::FromHost, bytes, loose: true, ..Plan::NOTHING }
        }
        // A namespace with zones cannot be exported.
        IoCommand::ZoneSend(_) | IoCommand::ZoneReceive(_) | IoCommand::ZoneAppend(_) => return Err(Status::INVALID_OPCODE),
        IoCommand::WriteUncorrectable(_) | IoCommand::Fabrics(_) | IoCommand::Other(_) => return Err(Status::INVALID_OPCODE),
    })
}

/// The plan of a read or a write that the namespace can do; `None` for any other command, and for what has to be refused.
#[inline(always)]
pub(crate) fn plain(sqe: &Sqe, facts: &Facts) -> Option<Plan> {
    let (op, way) = match sqe.io_opcode() {
        IoOpcode::READ => (Op::Read, Way::ToHost),
        IoOpcode::WRITE if !facts.read_only => (Op::Write, Way::FromHost),
        _ => return None,
    };
    transfer(op, way, &ReadWrite::parse(sqe), facts).ok().filter(|plan| facts.ops.has(plan.op))
}

#[inline(always)]
fn transfer(op: Op, way: Way, c: &ReadWrite, facts: &Facts) -> Result<Plan, Status> {
    if c.extension_type != 0 || (op == Op::Write && c.directive_type != 0) {
        return Err(Status::INVALID_FIELD);
    }
    within(c.slba, c.blocks, facts)?;
    let bytes = u64::from(c.blocks) << facts.shift;
    let bytes = u32::try_from(bytes).ok().filter(|b| *b <= facts.longest).ok_or(Status::INVALID_FIELD)?;
    let flags = if c.fua && op == Op::Write { Flags::FUA } else { Flags::NONE };
    Ok(Plan { op, flags, lba: c.slba, blocks: c.blocks, shape: Shape::One, way, bytes, loose: false })
}

#[inline]
fn within(lba: u64, blocks: u32, facts: &Facts) -> Result<(), Status> {
    match lba.checked_add(u64::from(blocks)) {
        Some(end) if end <= facts.blocks => Ok(()),
        _ => Err(Status::LBA_OUT_OF_RANGE),
    }
}

/// A piece of a command with ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) lba: u64,
    pub(crate) source: u64,
    pub(crate) blocks: u32,
}

/// The `n`th range of a Dataset Management; `None` for one of no blocks.
pub(crate) fn unmap_piece(range: &DsmRange, facts: &Facts) -> Result<Option<Piece>, Status> {
    let (lba, blocks) = (range.slba.get(), range.blocks.get());
    within(lba, blocks, facts)?;
    Ok((blocks > 0).then_some(Piece { lba, source: 0, blocks }))
}

/// Checks all source ranges of a Copy and says how many blocks it writes.
pub(crate) fn check_copy(to: u64, ranges: &[CopyRange], facts: &Facts) -> Result<(), Status> {
    let total: u64 = ranges.iter().map(|r| u64::from(r.blocks())).sum();
    let end = to.checked_add(total).filter(|end| *end <= facts.blocks).ok_or(Status::LBA_OUT_OF_RANGE)?;
    for r in ranges {
        let (from, blocks) = (r.slba.get(), r.blocks());
        within(from, blocks, facts)?;
        if from < end && to < from + u64::from(blocks) {
            return Err(Status::OVERLAPPING_IO_RANGE);
        }
    }
    Ok(())
}

/// Do the two commands of a fused pair fit (NVM 1.1, 2.1.7)?
pub(crate) fn is_pair(first: &Plan, second: &Plan) -> bool {
    first.op == Op::Compare && second.op == Op::Write && (first.lba, first.blocks) == (second.lba, second.blocks)
}

#[cfg(test)]
mod tests;
