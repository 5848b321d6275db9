//! What a task that watches the device beneath is told of it.

use doorbell_bdev::Event;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// What the base's registry says, kept until the task asks.
#[derive(Default)]
struct Heard {
    removed: bool,
    resized: bool,
    waker: Option<Waker>,
}

/// Hears of the end and the size of a device that something is built on. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Ear(Arc<Mutex<Heard>>);

impl Ear {
    /// What the device's handle is opened with.
    pub(crate) fn hear(&self, event: Event) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Removed => heard.removed = true,
            Event::Resized => heard.resized = true,
        }
        if let Some(waker) = heard.waker.take() {
            waker.wake();
        }
    }

    /// What came next. The end before anything else: a size means nothing then.
    pub(crate) async fn next(&self) -> Event {
        poll_fn(|c| {
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.removed {
                return Poll::Ready(Event::Removed);
            }
            if std::mem::take(&mut heard.resized) {
                return Poll::Ready(Event::Resized);
            }
            heard.waker = Some(c.waker().clone());
            Poll::Pending
        })
        .await
    }
}
