//! One table from what the kernel answers to how a request ended.

use doorbell_block::{Op, Status};
use rustix::io::Errno;

/// How a request ends on which the kernel gave this error.
#[cold]
pub(super) fn of_errno(error: Errno, op: Op) -> Status {
    match error {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Status::NoSpace,
        Errno::NXIO | Errno::NODEV | Errno::NOMEDIUM | Errno::SHUTDOWN | Errno::STALE => Status::Gone,
        Errno::TIMEDOUT | Errno::TIME => Status::TimedOut,
        Errno::AGAIN | Errno::NOMEM | Errno::BUSY | Errno::INTR => Status::Busy,
        Errno::INVAL => Status::Invalid,
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY => Status::Unsupported,
        Errno::PERM | Errno::ROFS | Errno::BADF | Errno::ACCESS | Errno::TXTBSY if op.writes() => Status::ReadOnly,
        Errno::CANCELED => Status::Aborted,
        Errno::FAULT => Status::Internal,
        _ => failed(op),
    }
}

/// A failure of the medium.
pub(super) fn failed(op: Op) -> Status {
    match op {
        Op::Read | Op::Compare => Status::ReadError,
        _ => Status::WriteError,
    }
}
