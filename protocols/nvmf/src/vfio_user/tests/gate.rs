//! A device that keeps what it is given until it is told to go on.

use crate::MemoryDevice;
use doorbell_block::{Abort, BlockDevice, BlockQueue, Cx, DeviceInfo, Done, Flags, Io, Op, OpenError, Status, Token};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Clone)]
pub(super) struct Gate {
    inner: MemoryDevice,
    shut: Arc<AtomicBool>,
    /// Does it heed aborts?
    stubborn: bool,
    owner: Arc<Mutex<Option<Token>>>,
    /// Writes that had to last at once.
    forced: Arc<AtomicU32>,
}

impl Gate {
    pub(super) fn new(stubborn: bool) -> Gate {
        Gate::before(MemoryDevice::new(9, 4096), stubborn)
    }

    pub(super) fn before(inner: MemoryDevice, stubborn: bool) -> Gate {
        Gate { inner, shut: Arc::default(), stubborn, owner: Arc::default(), forced: Arc::default() }
    }

    pub(super) fn forced(&self) -> u32 {
        self.forced.load(Ordering::Relaxed)
    }

    pub(super) fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    pub(super) fn open(&self, rig: &mut super::Rig) {
        self.shut.store(false, Ordering::Relaxed);
        if let Some(owner) = *self.owner.lock().unwrap() {
            rig.cx.wake(owner);
        }
        rig.settle();
    }
}

impl BlockDevice for Gate {
    fn info(&self) -> Arc<DeviceInfo> {
        self.inner.info()
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        *self.owner.lock().unwrap() = Some(who);
        let inner = self.inner.open(cx, who, depth)?;
        Ok(Box::new(Queue { gate: self.clone(), who, inner, held: Vec::new(), back: Vec::new() }))
    }
}

struct Queue {
    gate: Gate,
    who: Token,
    inner: Box<dyn BlockQueue>,
    held: Vec<Box<Io>>,
    back: Vec<Box<Io>>,
}

impl BlockQueue for Queue {
    fn submit(&mut self, cx: &mut Cx, io: Box<Io>) {
        if io.op == Op::Write && io.flags.has(Flags::FUA) {
            self.gate.forced.fetch_add(1, Ordering::Relaxed);
        }
        if self.gate.shut.load(Ordering::Relaxed) { self.held.push(io) } else { self.inner.submit(cx, io) }
    }

    fn kick(&mut self, cx: &mut Cx) {
        self.inner.kick(cx);
    }

    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        if !self.gate.shut.load(Ordering::Relaxed) {
            self.held.drain(..).for_each(|io| self.inner.submit(cx, io));
        }
        done.append(&mut self.back);
        self.inner.poll(cx, done);
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        if self.gate.stubborn {
            return;
        }
        for mut io in std::mem::take(&mut self.held) {
            let goes = match which {
                Abort::One(id) => io.id() == id,
                Abort::All => true,
            };
            if goes {
                io.status = Status::Aborted;
                self.back.push(io);
            } else {
                self.held.push(io);
            }
        }
        cx.wake(self.who);
    }
}
