//! A layer that only forwards: the least that a layer can be, to copy from and to measure with.
//!
//! It keeps one word of each request on the request itself and no table. Everything that it says of itself is what the device beneath says.

use crate::host::{Brings, Host};
use doorbell_block::{Abort, BlockDevice, BlockQueue, Cx, DeviceInfo, Done, FRAMES, Io, OpenError, Token};
use doorbell_control::{Uuid, When, params};
use stack::Stacks;
use std::rc::Rc;
use std::sync::Arc;

mod derive;
mod stack;
#[cfg(test)]
mod tests;

/// A forwarding layer over any device.
pub struct Passthru {
    base: Arc<dyn BlockDevice>,
}

impl Passthru {
    /// A layer over `base`.
    pub fn new(base: Arc<dyn BlockDevice>) -> Passthru {
        Passthru { base }
    }
}

impl BlockDevice for Passthru {
    fn info(&self) -> Arc<DeviceInfo> {
        let below = self.base.info();
        Arc::new(DeviceInfo { frames: below.frames.saturating_add(1), ..(*below).clone() })
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        let needed = self.base.info().frames.saturating_add(1);
        if usize::from(needed) > FRAMES {
            return Err(OpenError::TooDeep { needed });
        }
        Ok(Box::new(Queue { base: self.base.open(cx, who, depth)? }))
    }
}

struct Queue {
    base: Box<dyn BlockQueue>,
}

impl BlockQueue for Queue {
    #[inline]
    fn submit(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        // The word of a layer that moves addresses: where its owner asked for. This one moves them by nothing.
        let lba = io.lba;
        io.push(lba);
        self.base.submit(cx, io);
    }

    #[inline]
    fn kick(&mut self, cx: &mut Cx) {
        self.base.kick(cx);
    }

    #[inline]
    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        let first = done.len();
        self.base.poll(cx, done);
        for io in done.iter_mut().skip(first) {
            io.lba = io.pop();
        }
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        self.base.abort(cx, which);
    }
}

const MODULE: &str = "passthru";
/// Where UUIDs of passthru devices are derived, as SPDK has it: saved configurations name them.
const NAMESPACE: Uuid = Uuid([0x7e, 0x25, 0x81, 0x2e, 0xc8, 0xc0, 0x4d, 0x3f, 0x85, 0x99, 0x16, 0xd7, 0x90, 0x55, 0x5b, 0x85]);

params! {
    /// Makes a passthru device.
    struct Create {
        /// Name of the device.
        name: String,
        /// The device beneath. When there is none of that name yet, the new one appears together with it.
        base_bdev_name: String,
        /// UUID of the device; derived from its base's when not given.
        uuid: Option<Uuid>,
    }

    /// Names a passthru device.
    struct Delete {
        /// Name of the device.
        name: String,
    }
}

/// The methods of this back end.
pub(crate) fn bring(host: &Host, brings: &mut Brings<'_>) {
    let stacks = Stacks::new(host);
    let it = stacks.clone();
    let create = move |params: Create| {
        let answer = it.create(params);
        async move { answer }
    };
    brings.methods.add("bdev_passthru_create", When::Runtime, "Makes a block device that forwards everything to another.", create);
    let it = stacks.clone();
    let delete = move |params: Delete| {
        let it = it.clone();
        async move { it.delete(&params.name).await }
    };
    brings.methods.add("bdev_passthru_delete", When::Runtime, "Deletes a passthru device.", delete);
    brings.examiners.push(Rc::new(stacks));
}
