//! The one table from how a block request ended to what an NVMe host is told.
//!
//! Do Not Retry is set exactly where the same command can never succeed: a host that may retry keeps its data.

use crate::{Association, Snapshot};
use doorbell_block::Status as Block;
use doorbell_wire_nvme::{Sqe, Status};

/// What a host is told.
pub(crate) const fn nvme(status: Block) -> Status {
    match status {
        Block::Ok => Status::SUCCESS,
        Block::Invalid => Status::INVALID_FIELD.dnr(),
        Block::OutOfRange => Status::LBA_OUT_OF_RANGE.dnr(),
        Block::Unsupported => Status::INVALID_OPCODE.dnr(),
        Block::ReadOnly => Status::WRITE_PROTECTED.dnr(),
        Block::ReadError => Status::UNRECOVERED_READ,
        Block::WriteError => Status::WRITE_FAULT,
        Block::NoSpace => Status::CAPACITY_EXCEEDED,
        Block::Miscompare => Status::COMPARE_FAILURE.dnr(),
        Block::Aborted => Status::ABORT_REQUESTED,
        Block::TimedOut => Status::INTERRUPTED,
        Block::Gone => Status::NAMESPACE_NOT_READY,
        Block::Busy => Status::INTERRUPTED,
        Block::Internal => Status::INTERNAL_ERROR,
        Block::BadGuard => Status::GUARD_CHECK.dnr(),
        Block::BadApplicationTag => Status::APPLICATION_TAG_CHECK.dnr(),
        Block::BadReferenceTag => Status::REFERENCE_TAG_CHECK.dnr(),
        Block::ZoneInvalidWrite => Status::ZONE_INVALID_WRITE.dnr(),
        Block::ZoneFull => Status::ZONE_FULL.dnr(),
        Block::ZoneState => Status::INVALID_ZONE_TRANSITION.dnr(),
        Block::ZoneLimit => Status::TOO_MANY_OPEN_ZONES,
    }
}

/// The status of a command that failed, as its host is told it: the error log has it, and when it may be sent again is said.
#[cold]
pub(crate) fn answered(association: &Association, snapshot: &Snapshot, sqe: &Sqe, qid: u16, status: Status) -> Status {
    association.errors().add(sqe, qid, status);
    let status = status.more();
    // What may succeed later, after the first delay (Base 2.1, 4.2.3.1: zero unless the host has enabled it).
    let [first, ..] = snapshot.retry_delays_100ms;
    if first != 0 && !status.is_dnr() && association.heeds_delays() { status.with_crd(1) } else { status }
}

#[cfg(test)]
mod tests;
