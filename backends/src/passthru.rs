//! A layer that only forwards: the least that a layer can be, to copy from and to measure with.
//!
//! It keeps one word of each request on the request itself and no table. Everything that it says of itself is what the device beneath says.

use doorbell_block::{Abort, BlockDevice, BlockQueue, Cx, DeviceInfo, Done, FRAMES, Io, OpenError, Token};
use std::sync::Arc;

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
