//! A bell between tasks of one reactor.

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
