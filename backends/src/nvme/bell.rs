//! A bell between tasks of one reactor, and a word that is said once.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// Rings when there is something to look at.
#[derive(Default)]
pub(super) struct Bell {
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.rung.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Has `c` woken by the next ring.
    pub(super) fn listen(&self, c: &Context<'_>) {
        *self.waker.borrow_mut() = Some(c.waker().clone());
    }

    /// Until it was rung since the last wait.
    pub(super) async fn wait(&self) {
        poll_fn(|c| {
            if self.rung.replace(false) {
                return Poll::Ready(());
            }
            self.listen(c);
            Poll::Pending
        })
        .await;
    }
}

/// That something is to stop: said once, and heard by whoever asks.
#[derive(Default)]
pub(super) struct Stopping {
    said: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl Stopping {
    pub(super) fn say(&self) {
        self.said.set(true);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn is_said(&self) -> bool {
        self.said.get()
    }

    /// Until it is said.
    pub(super) async fn heard(&self) {
        poll_fn(|c| {
            if self.is_said() {
                return Poll::Ready(());
            }
            let mut wakers = self.wakers.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(c.waker())) {
                wakers.push(c.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}
