//! What a completion's status means to the block layer, and whether the same command may be sent again.

use doorbell_block::{Op, Status as Ended};
use doorbell_wire_nvme::{Status, StatusCodeType};

/// The end of a request.
#[inline]
pub(crate) fn ended(status: Status, op: Op) -> Ended {
    if status.is_ok() { Ended::Ok } else { failed(status.code(), op) }
}

#[cold]
fn failed(code: Status, op: Op) -> Ended {
    match code {
        Status::INVALID_OPCODE => Ended::Unsupported,
        Status::LBA_OUT_OF_RANGE => Ended::OutOfRange,
        Status::CAPACITY_EXCEEDED | Status::INSUFFICIENT_CAPACITY => Ended::NoSpace,
        Status::WRITE_PROTECTED | Status::WRITE_TO_READ_ONLY if op.writes() => Ended::ReadOnly,
        Status::COMPARE_FAILURE => Ended::Miscompare,
        Status::ABORT_REQUESTED | Status::ABORTED_SQ_DELETION | Status::ABORTED_POWER_LOSS | Status::ABORTED_PREEMPT => Ended::Aborted,
        Status::INVALID_NAMESPACE => Ended::Gone,
        Status::NAMESPACE_NOT_READY | Status::FORMAT_IN_PROGRESS | Status::SANITIZE_IN_PROGRESS | Status::INTERRUPTED => Ended::Busy,
        Status::GUARD_CHECK => Ended::BadGuard,
        Status::APPLICATION_TAG_CHECK => Ended::BadApplicationTag,
        Status::REFERENCE_TAG_CHECK => Ended::BadReferenceTag,
        Status::ZONE_BOUNDARY | Status::ZONE_INVALID_WRITE => Ended::ZoneInvalidWrite,
        Status::ZONE_FULL => Ended::ZoneFull,
        Status::ZONE_READ_ONLY | Status::ZONE_OFFLINE | Status::INVALID_ZONE_TRANSITION => Ended::ZoneState,
        Status::TOO_MANY_ACTIVE_ZONES | Status::TOO_MANY_OPEN_ZONES => Ended::ZoneLimit,
        Status::INVALID_FIELD | Status::INVALID_PROTECTION_INFO | Status::PRP_OFFSET_INVALID | Status::COMMAND_SIZE_LIMIT => Ended::Invalid,
        _ if code.sct() == StatusCodeType::MEDIA && op.writes() => Ended::WriteError,
        _ if code.sct() == StatusCodeType::MEDIA => Ended::ReadError,
        _ if op.writes() => Ended::WriteError,
        _ if op.has_range() => Ended::ReadError,
        _ => Ended::Internal,
    }
}

/// Could the same command succeed if it is sent again? Errors of the medium are not among them: the device has tried, and whoever asked
/// should know (Base 2.1, 4.2.3).
pub(crate) fn may_repeat(status: Status) -> bool {
    if status.is_ok() || status.is_dnr() {
        return false;
    }
    let code = status.code();
    matches!(
        code,
        Status::ABORT_REQUESTED
            | Status::ABORTED_SQ_DELETION
            | Status::ABORTED_POWER_LOSS
            | Status::NAMESPACE_NOT_READY
            | Status::INTERRUPTED
            | Status::TRANSIENT_TRANSPORT_ERROR
            | Status::INTERNAL_ERROR
            | Status::DATA_TRANSFER_ERROR
    ) || code.sct() == StatusCodeType::PATH
}

/// Was the command refused before anything of it was done?
pub(crate) fn was_refused(status: Status) -> bool {
    status.code() == Status::NAMESPACE_NOT_READY
}

#[cfg(test)]
mod tests;
