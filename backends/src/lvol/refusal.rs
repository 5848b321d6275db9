//! Errors of stores and volumes in SPDK's words.

use doorbell_blobstore::Error as Blob;
use doorbell_control::RpcError;
use doorbell_lvol::Error;

const EPERM: i32 = 1;
const EIO: i32 = 5;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

fn errno(error: &Error) -> i32 {
    match error {
        Error::Name { .. } | Error::Empty | Error::Nameless { .. } => EINVAL,
        Error::Exists(_) | Error::SameUuid(_) => EEXIST,
        Error::Blobstore(error) => match error {
            Blob::NoBuffers { .. } => ENOMEM,
            Blob::Read { .. } | Blob::Write { .. } | Blob::Flush { .. } | Blob::Fill { .. } | Blob::Lent => EIO,
            Blob::NoSpace { .. } | Blob::NoPages { .. } => ENOSPC,
            Blob::StoreBusy | Blob::InUse(_) => EBUSY,
            Blob::Clones { .. } | Blob::ReadOnly(_) | Blob::ReadOnlyDevice => EPERM,
            Blob::ParentAlready { .. } => EEXIST,
            Blob::TooLarge { .. } => EFBIG,
            Blob::Stopped { .. } => EROFS,
            Blob::NoBlob(_) | Blob::NoExternal { .. } | Blob::Unusable { .. } => ENODEV,
            _ => EINVAL,
        },
    }
}

/// SPDK answers what goes wrong on the way with the code of bad parameters and the text of an errno.
pub(super) fn refused(error: impl Into<Error>) -> RpcError {
    coded(RpcError::INVALID_PARAMS, error.into())
}

/// Some of its methods answer with another code.
pub(super) fn refused_inside(error: impl Into<Error>) -> RpcError {
    coded(RpcError::INTERNAL_ERROR, error.into())
}

fn coded(code: i64, error: Error) -> RpcError {
    RpcError::new(code, RpcError::errno(errno(&error)).message).because(error)
}
