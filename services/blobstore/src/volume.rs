//! A blob as a block device: a layer that only translates, fills in zeroes where there is nothing, and asks the owner of the store where it needs
//! a cluster.
//!
//! A read or write stays within a cluster (`limits.boundary_blocks` says so; the block layer splits what does not). It goes where the blob has a
//! cluster of its own; a read, where there is none, to the first parent that has one, which all lie on one device, else to the parent outside of
//! the store, else it is zeroes. No table is kept of those: the one word of a request is the address that it was asked for. What there is a table
//! for is rare: unmaps and zeroes over several clusters, reads that reach past the end of an outside parent.
//!
//! Invariants: a cluster that a map shows is durably the blob's, so that a flush of the device beneath is all that a flush needs; nothing is
//! written to a cluster that is not the blob's own; a request is parked for one reason at a time, and whatever parks it gives it back.

mod info;
mod parked;
mod queue;
mod walk;

use crate::hub::Hub;
use crate::view::Shared;
use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceInfo, FRAMES, Op, OpenError, Token};
use doorbell_wire_blob::BlobId;
pub(crate) use info::shape_of;
use std::sync::Arc;

/// A blob, to be read and written.
#[derive(Clone)]
pub struct Volume {
    base: Arc<dyn BlockDevice>,
    shared: Arc<Shared>,
    /// Whose it is, where there is an owner: of a store that is only read there is none.
    owner: Option<(Arc<Hub>, BlobId)>,
}

impl Volume {
    pub(crate) fn new(base: Arc<dyn BlockDevice>, shared: Arc<Shared>, owner: Option<(Arc<Hub>, BlobId)>) -> Volume {
        Volume { base, shared, owner }
    }

    /// Clusters that are its own at present. It looks through its map: not for the path of a request.
    pub fn allocated_clusters(&self) -> u64 {
        self.shared.view().chain.first().map_or(0, |map| map.allocated().count() as u64)
    }
}

impl BlockDevice for Volume {
    fn info(&self) -> Arc<DeviceInfo> {
        let info = self.shared.shape.info();
        if !self.shared.word().is_read_only() || info.read_only {
            return info;
        }
        // It was made read-only after its shape.
        let ops = Op::ALL.iter().filter(|op| op.writes()).fold(info.ops, |ops, op| ops.without(*op));
        Arc::new(DeviceInfo { read_only: true, ops, ..(*info).clone() })
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        let needed = self.info().frames;
        if usize::from(needed) > FRAMES {
            return Err(OpenError::TooDeep { needed });
        }
        let queue = queue::Queue::open(cx, self, who, depth)?;
        Ok(Box::new(queue))
    }
}
