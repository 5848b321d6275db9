//! The owner's desk: where queues' asks arrive, and the task that does what has gathered there.

use super::Inner;
use crate::hub::{Ask, Hub};
use doorbell_block::{Address, Consumer, ConsumerId, Cx, Layer, Token};
use doorbell_reactor::Local;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};

/// What arrived.
#[derive(Default)]
pub(super) struct Inbox {
    asks: RefCell<VecDeque<(u32, Ask)>>,
    waker: RefCell<Option<Waker>>,
    closed: Cell<bool>,
    desk: Cell<Option<(Token, ConsumerId)>>,
}

impl Inbox {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Takes all that is there, once there is something; `None` when nothing comes any more.
    async fn take(&self) -> Option<Vec<(u32, Ask)>> {
        poll_fn(|c| {
            if self.closed.get() {
                return Poll::Ready(None);
            }
            let mut asks = self.asks.borrow_mut();
            if asks.is_empty() {
                *self.waker.borrow_mut() = Some(c.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Some(asks.drain(..).collect()))
        })
        .await
    }

    /// Takes what has come by now.
    fn more(&self) -> Vec<(u32, Ask)> {
        self.asks.borrow_mut().drain(..).collect()
    }

    /// The desk goes, and the task ends.
    pub(super) fn close(&self, local: &Local) {
        self.closed.set(true);
        self.wake();
        if let Some((token, me)) = self.desk.take() {
            local.call(move |cx| {
                cx.free_token(token);
                cx.dismiss(me);
            });
        }
    }
}

struct Desk {
    address: Address,
    inbox: Weak<Inbox>,
}

impl Consumer for Desk {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        let Some(inbox) = self.inbox.upgrade() else { return };
        while let Some(mail) = cx.mail(self.address) {
            inbox.asks.borrow_mut().push_back(Ask::of_mail(mail));
        }
        inbox.wake();
    }
}

/// Opens a desk on this reactor.
pub(super) async fn open(local: &Local) -> (Arc<Hub>, Rc<Inbox>) {
    let inbox = Rc::new(Inbox::default());
    let shared = inbox.clone();
    let hub = local.with(move |cx| {
        let mut hub = None;
        cx.adopt(|cx, me| {
            let address = Address { token: cx.token(me), layer: Layer(0) };
            hub = Some(Hub::new(cx.reactor(), address));
            shared.desk.set(Some((address.token, me)));
            Desk { address, inbox: Rc::downgrade(&shared) }
        });
        hub
    });
    match hub.await {
        Some(hub) => (hub, inbox),
        None => unreachable!("a consumer is made where it is taken in"),
    }
}

/// Does what queues ask for, until the store is closed.
pub(super) fn serve(inner: &Rc<Inner>) {
    let (weak, inbox) = (Rc::downgrade(inner), inner.inbox.clone());
    inner.local.spawn(async move {
        while let Some(mut asks) = inbox.take().await {
            let Some(inner) = weak.upgrade() else { return };
            let mut state = inner.state.lock().await;
            // Whatever came while the lock was waited for goes along.
            asks.extend(inbox.more());
            let answers = state.round(asks).await;
            drop(state);
            let hub = inner.hub.clone();
            inner.local.call(move |cx| answers.into_iter().for_each(|(queue, answer)| hub.answer(cx, queue, answer)));
        }
    });
}
