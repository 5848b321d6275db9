//! Futures over a queue, for code in which nanoseconds do not count: metadata, examine, tools.
//!
//! A future takes its buffer by value and returns it. Dropping a future detaches it: its box comes back to the pool by itself.

use crate::Local;
use doorbell_block::{BlockDevice, BlockQueue, Consumer, ConsumerId, Cx, Done, Io, Op, OpenError, Status, Token};
use doorbell_mem::Seg;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

enum Slot {
    Free,
    Waiting(Option<Waker>),
    Done(Box<Io>),
    Detached,
}

type Prepare = Box<dyn FnOnce(&mut Io)>;

#[derive(Default)]
struct Inner {
    wanted: VecDeque<(usize, Prepare)>,
    slots: Vec<Slot>,
    outstanding: u32,
    closing: bool,
}

struct Pump {
    queue: Option<Box<dyn BlockQueue>>,
    inner: Rc<RefCell<Inner>>,
    token: Token,
    me: ConsumerId,
    done: Done,
}

/// A queue for async code.
pub struct AsyncQueue {
    inner: Rc<RefCell<Inner>>,
    local: Local,
    token: Token,
}

impl Consumer for Pump {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        let Some(queue) = &mut self.queue else { return };
        loop {
            let next = self.inner.borrow_mut().wanted.pop_front();
            let Some((slot, prepare)) = next else { break };
            let Some(mut io) = cx.take_io() else {
                self.inner.borrow_mut().wanted.push_front((slot, prepare));
                cx.wait(self.token);
                break;
            };
            prepare(&mut io);
            io.tag = slot as u64;
            self.inner.borrow_mut().outstanding += 1;
            queue.submit(cx, io);
        }
        queue.kick(cx);
        queue.poll(cx, &mut self.done);
        for io in self.done.drain(..) {
            self.inner.borrow_mut().outstanding -= 1;
            give_back(&self.inner, cx, io);
        }
        let leave = self.inner.borrow().closing;
        if leave && let Some(queue) = self.queue.take() {
            let outstanding = self.inner.borrow().outstanding;
            cx.retire(self.token, outstanding, queue);
            cx.dismiss(self.me);
        }
    }
}

fn give_back(inner: &Rc<RefCell<Inner>>, cx: &mut Cx, io: Box<Io>) {
    let mut n = inner.borrow_mut();
    let Some(slot) = n.slots.get_mut(io.tag as usize) else { return cx.put_io(io) };
    match std::mem::replace(slot, Slot::Free) {
        Slot::Waiting(waker) => {
            *slot = Slot::Done(io);
            if let Some(w) = waker {
                w.wake();
            }
        }
        _ => cx.put_io(io),
    }
}

struct Waiting<'a> {
    queue: &'a AsyncQueue,
    slot: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut n = self.queue.inner.borrow_mut();
        let Some(slot) = n.slots.get_mut(self.slot) else { return };
        match std::mem::replace(slot, Slot::Free) {
            Slot::Waiting(_) => *slot = Slot::Detached,
            Slot::Done(io) => self.queue.local.call(move |cx| cx.put_io(io)),
            Slot::Free | Slot::Detached => {}
        }
    }
}

impl AsyncQueue {
    /// Opens a device for async code on this reactor.
    pub async fn open(local: &Local, device: std::sync::Arc<dyn BlockDevice>, depth: u32) -> Result<AsyncQueue, OpenError> {
        let inner = Rc::new(RefCell::new(Inner::default()));
        let shared = inner.clone();
        let token = local
            .with(move |cx| {
                let mut opened = None;
                cx.adopt(|cx, me| {
                    let token = cx.token(me);
                    let queue = device.open(cx, token, depth);
                    let (queue, error) = match queue {
                        Ok(q) => (Some(q), None),
                        Err(e) => (None, Some(e)),
                    };
                    if error.is_some() {
                        cx.free_token(token);
                        cx.dismiss(me);
                    }
                    opened = Some(error.map_or(Ok(token), Err));
                    Pump { queue, inner: shared, token, me, done: Vec::new() }
                });
                opened.unwrap_or(Err(OpenError::Gone))
            })
            .await?;
        Ok(AsyncQueue { inner, local: local.clone(), token })
    }

    /// Sends a request that `prepare` fills in; gives the finished box to `take` and returns what it says.
    pub async fn request<R>(&self, prepare: impl FnOnce(&mut Io) + 'static, take: impl FnOnce(&mut Io) -> R) -> R {
        let slot = {
            let mut n = self.inner.borrow_mut();
            let free = n.slots.iter().position(|s| matches!(s, Slot::Free));
            let slot = free.unwrap_or_else(|| {
                n.slots.push(Slot::Free);
                n.slots.len() - 1
            });
            n.slots[slot] = Slot::Waiting(None);
            n.wanted.push_back((slot, Box::new(prepare)));
            slot
        };
        let token = self.token;
        self.local.call(move |cx| cx.wake(token));
        let waiting = Waiting { queue: self, slot };
        let mut io = poll_fn(|c| {
            let mut n = self.inner.borrow_mut();
            match n.slots.get_mut(slot) {
                Some(Slot::Waiting(w)) => {
                    *w = Some(c.waker().clone());
                    Poll::Pending
                }
                Some(s) => match std::mem::replace(s, Slot::Free) {
                    Slot::Done(io) => Poll::Ready(io),
                    other => {
                        *s = other;
                        Poll::Pending
                    }
                },
                None => Poll::Pending,
            }
        })
        .await;
        std::mem::forget(waiting); // it is done: nothing to detach
        let answer = take(&mut io);
        self.local.call(move |cx| cx.put_io(io));
        answer
    }

    async fn transfer(&self, op: Op, lba: u64, blocks: u32, buffer: Seg) -> (Status, Seg) {
        self.request(
            move |io| {
                (io.op, io.lba, io.blocks) = (op, lba, blocks);
                io.sg.push(buffer);
            },
            |io| {
                let buffer = io.sg.segs()[0].clone(); // a box comes back with the payload that it took
                io.sg.clear();
                (io.status, buffer)
            },
        )
        .await
    }

    /// Reads `blocks` from `lba` into `buffer`.
    pub async fn read(&self, lba: u64, blocks: u32, buffer: Seg) -> (Status, Seg) {
        self.transfer(Op::Read, lba, blocks, buffer).await
    }

    /// Writes `buffer` to `blocks` from `lba`.
    pub async fn write(&self, lba: u64, blocks: u32, buffer: Seg) -> (Status, Seg) {
        self.transfer(Op::Write, lba, blocks, buffer).await
    }

    /// A request without payload: flush, unmap, write zeroes, reset.
    pub async fn control(&self, op: Op, lba: u64, blocks: u32) -> Status {
        self.request(move |io| (io.op, io.lba, io.blocks) = (op, lba, blocks), |io| io.status).await
    }
}

impl Drop for AsyncQueue {
    fn drop(&mut self) {
        self.inner.borrow_mut().closing = true;
        let token = self.token;
        self.local.call(move |cx| cx.wake(token));
    }
}

#[cfg(test)]
mod tests;
