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

/// Hears of the end and the size of a device that something is built on. The end of its handle is the end, too.
pub(crate) struct Ear(Arc<Mutex<Heard>>);

/// What a handle tells the ear by.
struct Mouth(Arc<Mutex<Heard>>);

impl Mouth {
    fn tell(&self, event: Event) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Removed => heard.removed = true,
            Event::Resized => heard.resized = true,
        }
        if let Some(waker) = heard.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Mouth {
    fn drop(&mut self) {
        self.tell(Event::Removed);
    }
}

impl Ear {
    /// An ear, and what the device is opened with that it hears of.
    pub(crate) fn new() -> (Ear, Box<dyn Fn(Event) + Send + Sync>) {
        let heard = Arc::default();
        let mouth = Mouth(Arc::clone(&heard));
        (Ear(heard), Box::new(move |event| mouth.tell(event)))
    }

    /// Whether the end has come.
    pub(crate) fn is_removed(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).removed
    }

    /// Waits for the end.
    pub(crate) async fn removed(&self) {
        while self.next().await != Event::Removed {}
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
