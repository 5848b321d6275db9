//! Commands for async code: the admin queue, and passthrough on an I/O queue.
//!
//! A future has no `Cx`: it leaves its command with a pump, a consumer of its reactor, which takes a box and buffers, submits, and wakes
//! the future when the box is back. Dropping a future detaches its command; the pump puts the box away when it returns.

use crate::error::CommandError;
use crate::link::{OwnerId, Raw};
use crate::pair::{Finished, Pair, RawOnly, Wants};
use doorbell_block::{Consumer, ConsumerId, Cx, Io, Status as Ended, Token};
use doorbell_reactor::Local;
use doorbell_wire_nvme::{Cqe, Sqe};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// What goes along with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing.
    None,
    /// So many bytes come back.
    In(u32),
    /// These bytes go out.
    Out(Vec<u8>),
}

/// A command's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The completion.
    pub cqe: Cqe,
    /// The bytes that came back.
    pub data: Vec<u8>,
}

struct Wanted {
    slot: usize,
    raw: Raw,
    payload: Payload,
}

enum Slot {
    Free,
    Waiting(Option<Waker>),
    Done(Result<Answer, CommandError>),
    Detached,
}

#[derive(Default)]
struct Inner {
    wanted: VecDeque<Wanted>,
    slots: Vec<Slot>,
    outstanding: u32,
    closing: bool,
    /// Slots whose commands nobody waits for any more.
    withdrawn: Vec<usize>,
}

impl Inner {
    fn end(&mut self, slot: usize, result: Result<Answer, CommandError>) {
        let Some(place) = self.slots.get_mut(slot) else { return };
        *place = match std::mem::replace(place, Slot::Free) {
            Slot::Waiting(waker) => {
                if let Some(waker) = waker {
                    waker.wake();
                }
                Slot::Done(result)
            }
            Slot::Detached | Slot::Free | Slot::Done(_) => Slot::Free,
        };
    }
}

struct Pump {
    pair: Rc<RefCell<Pair>>,
    owner: OwnerId,
    inner: Rc<RefCell<Inner>>,
    token: Token,
    me: ConsumerId,
    /// How many bytes come back of each command that is out, by its slot.
    done: Vec<(Box<Io>, Finished)>,
}

impl Pump {
    fn send(&mut self, cx: &mut Cx) {
        let mut any = false;
        loop {
            let Some(wanted) = self.inner.borrow_mut().wanted.pop_front() else { break };
            let bytes = match &wanted.payload {
                Payload::None => 0,
                Payload::In(bytes) => *bytes,
                Payload::Out(data) => u32::try_from(data.len()).unwrap_or(u32::MAX),
            };
            if u64::from(bytes) > cx.pool().longest() {
                self.inner.borrow_mut().end(wanted.slot, Err(CommandError::NotDone(Ended::Invalid)));
                continue;
            }
            let Some(mut io) = cx.request_long(bytes) else {
                self.inner.borrow_mut().wanted.push_front(wanted);
                cx.wait(self.token);
                break;
            };
            match &wanted.payload {
                Payload::Out(data) => io.sg.write_at(0, data),
                // What comes back short shows no one else's bytes.
                Payload::In(bytes) if *bytes > 0 => io.sg.fill(0, *bytes, 0),
                _ => {}
            }
            io.tag = (wanted.slot as u64) << 1 | u64::from(matches!(wanted.payload, Payload::In(_)));
            self.inner.borrow_mut().outstanding += 1;
            self.pair.borrow_mut().submit_raw(cx, io, Box::new(wanted.raw), self.owner);
            any = true;
        }
        if any {
            self.pair.borrow_mut().kick();
        }
    }

    /// What nobody waits for is not sent, if it was not yet.
    fn withdraw(&mut self, cx: &mut Cx) {
        let withdrawn = std::mem::take(&mut self.inner.borrow_mut().withdrawn);
        if !withdrawn.is_empty() {
            self.pair.borrow_mut().withdraw(cx, self.owner, |io| withdrawn.contains(&((io.tag >> 1) as usize)));
        }
    }

    fn receive(&mut self, cx: &mut Cx) {
        let mut done = std::mem::take(&mut self.done);
        self.pair.borrow_mut().look(cx);
        // All that ends is among the rest, as it asked.
        self.pair.borrow_mut().collect(self.owner, &mut done, &mut Vec::new());
        for (io, end) in done.drain(..) {
            let result = match end {
                Finished::Done(cqe) => {
                    let mut data = Vec::new();
                    if io.tag & 1 == 1 && cqe.status().is_ok() {
                        data.resize(io.sg.bytes() as usize, 0);
                        io.sg.read_at(0, &mut data);
                    }
                    Ok(Answer { cqe, data })
                }
                Finished::Misaligned => Err(CommandError::NotDone(Ended::Invalid)),
                Finished::Failed(why) => Err(CommandError::NotDone(why)),
                Finished::Reset => Err(CommandError::NotDone(Ended::Internal)),
            };
            let mut inner = self.inner.borrow_mut();
            inner.outstanding -= 1;
            inner.end((io.tag >> 1) as usize, result);
            cx.put_io(io);
        }
        self.done = done;
    }
}

impl Consumer for Pump {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        self.withdraw(cx);
        self.send(cx);
        self.receive(cx);
        let inner = self.inner.borrow();
        if inner.closing && inner.outstanding == 0 {
            self.pair.borrow_mut().leave(self.owner);
            cx.free_token(self.token);
            cx.dismiss(self.me);
        }
    }
}

/// The way for async code to a queue pair of its own reactor.
pub(crate) struct Commands {
    local: Local,
    inner: Rc<RefCell<Inner>>,
    token: Token,
}

/// Commands of async code at once, beyond which they wait for room in the queue all the same.
const DEPTH: u32 = 16;

impl Commands {
    pub(crate) async fn open(local: &Local, pair: Rc<RefCell<Pair>>) -> Commands {
        let inner = Rc::new(RefCell::new(Inner::default()));
        let shared = inner.clone();
        let token = local
            .with(move |cx| {
                let mut made = None;
                cx.adopt(|cx, me| {
                    let token = *made.insert(cx.token(me));
                    let owner = pair.borrow_mut().join(token, DEPTH, Wants::All, Arc::new(RawOnly));
                    Pump { pair, owner, inner: shared, token, me, done: Vec::new() }
                });
                made
            })
            .await;
        // `adopt` calls its closure.
        let token = token.unwrap_or(Token::from_word(u64::MAX));
        Commands { local: local.clone(), inner, token }
    }

    /// Sends a command and gives its answer, whatever its status is.
    pub(crate) async fn send(&self, sqe: Sqe, payload: Payload) -> Result<Answer, CommandError> {
        self.send_raw(Raw { sqe, pages: None }, payload).await
    }

    /// As `send`, also for commands that name rings.
    pub(crate) async fn send_raw(&self, raw: Raw, payload: Payload) -> Result<Answer, CommandError> {
        let slot = {
            let mut inner = self.inner.borrow_mut();
            let free = inner.slots.iter().position(|s| matches!(s, Slot::Free));
            let slot = free.unwrap_or_else(|| {
                inner.slots.push(Slot::Free);
                inner.slots.len() - 1
            });
            if let Some(place) = inner.slots.get_mut(slot) {
                *place = Slot::Waiting(None);
            }
            inner.wanted.push_back(Wanted { slot, raw, payload });
            slot
        };
        let token = self.token;
        self.local.call(move |cx| cx.wake(token));
        let waiting = Waiting { inner: self.inner.clone(), slot, local: self.local.clone(), token };
        poll_fn(|c| {
            let mut inner = waiting.inner.borrow_mut();
            match inner.slots.get_mut(slot) {
                Some(Slot::Waiting(waker)) => {
                    *waker = Some(c.waker().clone());
                    Poll::Pending
                }
                Some(place @ Slot::Done(_)) => match std::mem::replace(place, Slot::Free) {
                    Slot::Done(result) => Poll::Ready(result),
                    _ => Poll::Pending,
                },
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// As `send`; a status that is no success is an error.
    pub(crate) async fn run(&self, raw: Raw, payload: Payload) -> Result<Answer, CommandError> {
        let answer = self.send_raw(raw, payload).await?;
        match answer.cqe.status() {
            status if status.is_ok() => Ok(answer),
            status => Err(CommandError::Status(status)),
        }
    }
}

/// A future's place, given up when it is dropped.
struct Waiting {
    inner: Rc<RefCell<Inner>>,
    slot: usize,
    local: Local,
    token: Token,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.inner.borrow_mut();
        let unsent = inner.wanted.iter().position(|w| w.slot == self.slot).filter(|_| {
            // A command that was not sent yet is not.
            matches!(inner.slots.get(self.slot), Some(Slot::Waiting(_)))
        });
        if let Some(at) = unsent {
            inner.wanted.remove(at);
        }
        let Some(place) = inner.slots.get_mut(self.slot) else { return };
        *place = match std::mem::replace(place, Slot::Free) {
            Slot::Waiting(_) if unsent.is_none() => Slot::Detached,
            _ => Slot::Free,
        };
        if matches!(place, Slot::Detached) {
            inner.withdrawn.push(self.slot);
            let token = self.token;
            self.local.call(move |cx| cx.wake(token));
        }
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.inner.borrow_mut().closing = true;
        let token = self.token;
        self.local.call(move |cx| cx.wake(token));
    }
}
