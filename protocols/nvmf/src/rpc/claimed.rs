//! A device that nobody else may write while it is a namespace.

use doorbell_bdev::{Claim, ClaimError, ClaimKind, Handle};
use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceInfo, OpenError, Token};
use std::sync::Arc;

/// Who claims, as SPDK names it.
const BY: &str = "NVMe-oF Target";

/// Open and claimed until it is dropped.
pub(super) struct Claimed {
    device: Arc<Handle>,
    _claim: Claim,
}

impl Claimed {
    /// Claims it; refused if somebody has.
    pub(super) fn new(device: Arc<Handle>) -> Result<Claimed, ClaimError> {
        let claim = device.claim(ClaimKind::ExclusiveWrite, BY)?;
        Ok(Claimed { device, _claim: claim })
    }
}

impl BlockDevice for Claimed {
    fn info(&self) -> Arc<DeviceInfo> {
        self.device.info()
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        self.device.open(cx, who, depth)
    }
}
