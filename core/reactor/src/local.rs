//! A reactor as its async code sees it.

use crate::channel::{Gone, oneshot};
use crate::executor::Shared;
use doorbell_block::{Consumer, ConsumerId, Cx, Events, Message, Port, ReactorId, Ticks, Token};
use doorbell_sys::epoll::Interest;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A closure that wants the reactor's `Cx`.
pub(crate) type Call = Box<dyn FnOnce(&mut Cx)>;

/// A reactor's handle for its own async code. Stays on its thread.
#[derive(Clone)]
pub struct Local(Rc<Shared>);

struct Answer<R> {
    value: Cell<Option<R>>,
    waker: RefCell<Option<Waker>>,
}

impl Local {
    pub(crate) fn new(shared: Rc<Shared>) -> Local {
        Local(shared)
    }

    /// Starts a task on this reactor.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.0.spawn(Box::pin(future));
    }

    /// Tasks alive on this reactor.
    pub fn tasks(&self) -> usize {
        self.0.tasks.get()
    }

    /// When this turn began.
    pub fn now(&self) -> Ticks {
        Ticks(self.0.now.get())
    }

    /// How many reactors there are.
    pub fn reactors(&self) -> u32 {
        self.0.ports.len().max(1) as u32
    }

    /// The way into a reactor, for threads that are none.
    pub fn port(&self, of: ReactorId) -> Option<Port> {
        self.0.ports.get(of.0 as usize).cloned()
    }

    /// Queues a closure that runs with this reactor's `Cx` before the turn goes on; does not wait for it.
    pub fn call(&self, f: impl FnOnce(&mut Cx) + 'static) {
        self.0.call(Box::new(f));
    }

    /// Runs a closure with this reactor's `Cx`.
    pub async fn with<R: 'static>(&self, f: impl FnOnce(&mut Cx) -> R + 'static) -> R {
        let answer = Rc::new(Answer { value: Cell::new(None), waker: RefCell::new(None) });
        let there = answer.clone();
        self.call(move |cx| {
            there.value.set(Some(f(cx)));
            if let Some(w) = there.waker.borrow_mut().take() {
                w.wake();
            }
        });
        poll_fn(|c| match answer.value.take() {
            Some(v) => Poll::Ready(v),
            None => {
                *answer.waker.borrow_mut() = Some(c.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    /// Runs a closure with another reactor's `Cx` (or this one's), and brings back what it says. Control plane only.
    pub async fn visit<R: Send + 'static>(&self, at: ReactorId, f: impl FnOnce(&mut Cx) -> R + Send + 'static) -> Result<R, Gone> {
        let (tx, rx) = oneshot();
        self.call(move |cx| cx.send(at, Message::Visit(Box::new(move |cx| tx.send(f(cx))))));
        rx.await
    }

    /// Sleeps until `at`.
    pub async fn sleep_until(&self, at: Ticks) {
        let alarm = self.alarm().await;
        let shared = self.0.clone();
        self.with(move |cx| cx.wake_at(alarm.0, at)).await;
        let slept = Slept { local: self.clone(), token: alarm.0 };
        poll_fn(|c| {
            if shared.now.get() >= at.0 {
                return Poll::Ready(());
            }
            shared.waiting.borrow_mut().insert(slept.token, c.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Sleeps for `ns` nanoseconds.
    pub async fn sleep_ns(&self, ns: u64) {
        self.sleep_until(self.now().after(ns)).await;
    }

    async fn alarm(&self) -> Alarm {
        let consumer = self.consumer();
        Alarm(self.with(move |cx| cx.token(consumer)).await)
    }

    fn consumer(&self) -> ConsumerId {
        self.0.consumer.get().unwrap_or(ConsumerId(0))
    }

    /// Takes a consumer in on this reactor.
    pub async fn adopt<C: Consumer + 'static>(&self, make: impl FnOnce(&mut Cx, ConsumerId) -> C + 'static) -> ConsumerId {
        self.with(move |cx| cx.adopt(make)).await
    }

    /// Watches a non-blocking descriptor.
    pub async fn watch(&self, fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd> {
        let consumer = self.consumer();
        let fd = Rc::new(fd);
        let watched = fd.clone();
        let token = self
            .with(move |cx| {
                let token = cx.token(consumer);
                match cx.watch(watched.as_fd(), token, interest) {
                    Ok(()) => Ok(token),
                    Err(e) => {
                        cx.free_token(token);
                        Err(e)
                    }
                }
            })
            .await?;
        Ok(AsyncFd { fd, token, local: self.clone() })
    }
}

struct Alarm(Token);

/// Gives the token of a sleep back, also when the sleep is dropped.
struct Slept {
    local: Local,
    token: Token,
}

impl Drop for Slept {
    fn drop(&mut self) {
        let token = self.token;
        self.local.0.waiting.borrow_mut().remove(&token);
        self.local.call(move |cx| cx.free_token(token));
    }
}

/// A watched descriptor. Readiness comes edge by edge: try first, wait only after it would have blocked.
pub struct AsyncFd {
    fd: Rc<OwnedFd>,
    token: Token,
    local: Local,
}

impl AsyncFd {
    /// Waits until something happened to it since the last wait.
    pub async fn ready(&self) -> Events {
        let token = self.token;
        loop {
            let events = self.local.with(move |cx| cx.events(token)).await;
            if events != Events::default() {
                return events;
            }
            let mut waited = false;
            poll_fn(|c| {
                if std::mem::replace(&mut waited, true) {
                    return Poll::Ready(());
                }
                self.local.0.waiting.borrow_mut().insert(token, c.waker().clone());
                Poll::Pending
            })
            .await;
        }
    }

    /// Tries `attempt` until it does not say `WouldBlock`.
    pub async fn retry<T>(&self, mut attempt: impl FnMut(&OwnedFd) -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt(&self.fd) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => drop(self.ready().await),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl AsFd for AsyncFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for AsyncFd {
    fn drop(&mut self) {
        let (fd, token) = (self.fd.clone(), self.token);
        self.local.0.waiting.borrow_mut().remove(&token);
        self.local.call(move |cx| {
            cx.unwatch(fd.as_fd());
            cx.free_token(token);
        });
    }
}
