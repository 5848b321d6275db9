//! The other end of the queues: answers I/O commands at once and without their data; the rest the fault model does, with no fault planned.

use doorbell_block::{Armed, Cx, Source};
use doorbell_nvme_model::{LeanQueue, Model};
use doorbell_sys::alloc_count::allocations;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Calls after which the model is turned though there were commands to answer.
const MODEL_EVERY: u32 = 1024;

/// Answers commands.
pub(super) struct Responder {
    model: Arc<Mutex<Model>>,
    queue: Option<LeanQueue>,
    began: Instant,
    most: u32,
    calls: u32,
    /// What the model has allocated in this thread.
    allocated: Arc<AtomicU64>,
}

impl Responder {
    /// Answers up to `most` at a call.
    pub(super) fn new(model: &Arc<Mutex<Model>>, most: u32) -> Responder {
        Responder { model: model.clone(), queue: None, began: Instant::now(), most, calls: 0, allocated: Arc::default() }
    }

    /// Answers what there is; how many I/O commands that was. Not inlined, so that callgrind can leave it out by its name.
    #[inline(never)]
    pub(super) fn respond(&mut self) -> u32 {
        let n = self.queue.as_mut().map_or(0, |queue| queue.answer(self.most));
        self.calls += 1;
        if self.queue.is_none() || self.calls >= MODEL_EVERY {
            self.calls = 0;
            self.turn();
        }
        n
    }

    /// What the model has allocated in this thread, to be told apart from what the driver has.
    pub(super) fn allocated(&self) -> Arc<AtomicU64> {
        self.allocated.clone()
    }

    #[cold]
    fn turn(&mut self) {
        let before = allocations();
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.step(self.began.elapsed().as_nanos() as u64);
        if self.queue.is_none() {
            self.queue = model.lend_queue(1);
        }
        self.allocated.fetch_add(allocations() - before, Ordering::Relaxed);
    }
}

/// It in the driver's own thread, once a turn.
impl Source for Responder {
    fn reap(&mut self, _cx: &mut Cx, _budget: u32) -> u32 {
        self.respond();
        0
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn arm(&mut self) -> Armed {
        Armed::Ready
    }

    fn disarm(&mut self) {}

    fn busy(&self) -> bool {
        true
    }
}
