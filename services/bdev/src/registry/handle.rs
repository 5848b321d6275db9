//! An open device.

use super::{Access, Bdev, Claim, ClaimError, ClaimKind, Event};
use crate::queue::ServiceQueue;
use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceInfo, OpenError, Token};
use doorbell_control::Uuid;
use std::sync::{Arc, Weak};

/// An open device: what consumers open queues on. It closes when the last share of it, its queues' included, is gone.
pub struct Handle {
    bdev: Arc<Bdev>,
    access: Access,
    on_event: Box<dyn Fn(Event) + Send + Sync>,
    me: Weak<Handle>,
}

impl Handle {
    pub(super) fn new(bdev: Arc<Bdev>, access: Access, on_event: Box<dyn Fn(Event) + Send + Sync>) -> Arc<Handle> {
        Arc::new_cyclic(|me| Handle { bdev, access, on_event, me: me.clone() })
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        self.bdev.name()
    }

    /// The device's UUID.
    pub fn uuid(&self) -> Uuid {
        self.bdev.uuid()
    }

    /// The device.
    pub fn bdev(&self) -> &Arc<Bdev> {
        &self.bdev
    }

    /// How it was opened.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Claims the device; the claim ends when it is dropped.
    pub fn claim(&self, kind: ClaimKind, by: &str) -> Result<Claim, ClaimError> {
        Claim::take(&self.bdev, kind, by)
    }

    pub(super) fn tell(&self, event: Event) {
        (self.on_event)(event);
    }
}

impl BlockDevice for Handle {
    fn info(&self) -> Arc<DeviceInfo> {
        let mut info = self.bdev.info();
        info.read_only |= self.access == Access::Read;
        Arc::new(info)
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        let me = self.me.upgrade().ok_or(OpenError::Gone)?;
        Ok(Box::new(ServiceQueue::open(cx, me, who, depth)?))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.bdev.closed();
    }
}
