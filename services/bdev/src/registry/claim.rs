//! Claims: who may write a device while others have it open.

use super::{Bdev, lock};
use std::sync::{Arc, Mutex};

/// What a claim forbids others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimKind {
    /// Only the claimer writes; a module that builds on the device takes this.
    ExclusiveWrite,
    /// One writer among many readers.
    ReadManyWriteOne,
    /// Nobody writes.
    ReadManyWriteNone,
    /// All who know the key write.
    ReadManyWriteShared {
        /// The key.
        key: u64,
    },
}

/// Why a claim was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block device {name} is claimed by {by}")]
pub struct ClaimError {
    /// Which device.
    pub name: String,
    /// Who claims it.
    pub by: String,
}

struct Held {
    number: u64,
    kind: ClaimKind,
    by: String,
}

#[derive(Default)]
pub(super) struct Claims(Mutex<(u64, Vec<Held>)>);

impl Claims {
    pub(super) fn first(&self) -> Option<(ClaimKind, String)> {
        lock(&self.0).1.first().map(|h| (h.kind, h.by.clone()))
    }
}

fn agree(a: ClaimKind, b: ClaimKind) -> bool {
    match (a, b) {
        (ClaimKind::ReadManyWriteNone, ClaimKind::ReadManyWriteNone) => true,
        (ClaimKind::ReadManyWriteShared { key: a }, ClaimKind::ReadManyWriteShared { key: b }) => a == b,
        _ => false,
    }
}

/// A claim, while it is held.
pub struct Claim {
    bdev: Arc<Bdev>,
    number: u64,
}

impl Claim {
    pub(super) fn take(bdev: &Arc<Bdev>, kind: ClaimKind, by: &str) -> Result<Claim, ClaimError> {
        let mut c = lock(&bdev.claims.0);
        if let Some(other) = c.1.iter().find(|h| !agree(h.kind, kind)) {
            return Err(ClaimError { name: bdev.name().to_owned(), by: other.by.clone() });
        }
        c.0 += 1;
        let number = c.0;
        c.1.push(Held { number, kind, by: by.to_owned() });
        Ok(Claim { bdev: bdev.clone(), number })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.bdev.claims.0).1.retain(|h| h.number != self.number);
    }
}
