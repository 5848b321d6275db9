//! A queue under test and its owner on a reactor, for async cases: requests with payloads cut as told, and what came back.
//!
//! The owner polls only when its token is woken, so a queue that finishes something and wakes nobody is found out: the case runs out of
//! patience, one last poll is made, and what that brings is the proof.

use crate::case::{Failure, Patience};
use crate::checked::{Checked, Ledger};
use doorbell_block::{Abort, BlockDevice, BlockQueue, Consumer, ConsumerId, Cx, Done, Flags, Io, IoId, Op, Status, Token};
use doorbell_mem::Seg;
use doorbell_reactor::Local;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// How a payload is cut into segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// One segment.
    One,
    /// Segments of these lengths, over and over, each a buffer of its own.
    Apart(Vec<u32>),
    /// Segments of these lengths, over and over, all shares of few buffers.
    Shares(Vec<u32>),
    /// One segment that begins this many bytes into its buffer.
    Skewed(u32),
}

/// What goes down, or comes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// None.
    None,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Room for this many.
    Room(u32),
}

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked for.
    pub op: Op,
    /// How.
    pub flags: Flags,
    /// First block.
    pub lba: u64,
    /// How many.
    pub blocks: u32,
    /// Where a copy comes from.
    pub source: u64,
    /// Its payload.
    pub payload: Payload,
    /// Cut how.
    pub cuts: Cuts,
    /// Its owner's own.
    pub tag: u64,
}

impl Request {
    /// A request without payload.
    pub fn plain(op: Op, lba: u64, blocks: u32) -> Request {
        Request { op, flags: Flags::NONE, lba, blocks, source: 0, payload: Payload::None, cuts: Cuts::One, tag: 0 }
    }

    /// One that sends bytes.
    pub fn send(op: Op, lba: u64, blocks: u32, bytes: Vec<u8>) -> Request {
        Request { payload: Payload::Bytes(bytes), ..Request::plain(op, lba, blocks) }
    }

    /// A read.
    pub fn read(lba: u64, blocks: u32, shift: u8) -> Request {
        Request { payload: Payload::Room(blocks << shift), ..Request::plain(Op::Read, lba, blocks) }
    }

    /// A copy.
    pub fn copy(source: u64, lba: u64, blocks: u32) -> Request {
        Request { source, ..Request::plain(Op::Copy, lba, blocks) }
    }

    /// With these cuts.
    pub fn cut(self, cuts: Cuts) -> Request {
        Request { cuts, ..self }
    }

    /// With these flags.
    pub fn flagged(self, flags: Flags) -> Request {
        Request { flags, ..self }
    }

    /// With this tag.
    pub fn tagged(self, tag: u64) -> Request {
        Request { tag, ..self }
    }
}

/// A request that came back.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Which box.
    pub id: IoId,
    /// What was asked.
    pub op: Op,
    /// Its tag.
    pub tag: u64,
    /// How it ended.
    pub status: Status,
    /// What a seek found, how many zones were reported, where an append went.
    pub result: u64,
    /// The payload of a read or a report.
    pub data: Vec<u8>,
}

struct Inner {
    queue: Option<Checked>,
    done: Done,
    waker: Option<Waker>,
    token: Token,
    runs: u64,
}

struct Owner(Rc<RefCell<Inner>>);

impl Consumer for Owner {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        let mut inner = self.0.borrow_mut();
        inner.runs += 1;
        let Inner { queue, done, waker, .. } = &mut *inner;
        let Some(queue) = queue else { return };
        queue.poll(cx, done);
        if !done.is_empty()
            && let Some(w) = waker.take()
        {
            w.wake();
        }
    }
}

/// A queue and its owner.
pub struct Rig {
    local: Local,
    inner: Rc<RefCell<Inner>>,
    ledger: Rc<RefCell<Ledger>>,
    consumer: ConsumerId,
    token: Token,
    patience: Patience,
}

/// A payload in segments. `None` when the pool has not enough.
pub(crate) fn segments(cx: &mut Cx, payload: &Payload, cuts: &Cuts) -> Option<Vec<Seg>> {
    let total = match payload {
        Payload::None => return Some(Vec::new()),
        Payload::Bytes(b) => b.len() as u32,
        Payload::Room(n) => *n,
    };
    let lengths = |cuts: &[u32]| {
        let mut left = total;
        let mut out = Vec::new();
        for n in cuts.iter().copied().filter(|n| *n > 0).cycle() {
            if left == 0 {
                break;
            }
            out.push(n.min(left));
            left -= n.min(left);
        }
        out
    };
    let mut segs = Vec::new();
    match cuts {
        Cuts::One => segs.push(cx.buffer(total)?),
        Cuts::Skewed(skew) => segs.push(cx.buffer(total + skew)?.slice(*skew, total)),
        Cuts::Apart(cuts) => {
            for n in lengths(cuts) {
                segs.push(cx.buffer(n)?);
            }
        }
        Cuts::Shares(cuts) => {
            let most = cx.largest_buffer();
            let (mut whole, mut at) = (cx.buffer(total.min(most))?, 0);
            for n in lengths(cuts) {
                if at + n > whole.len() {
                    (whole, at) = (cx.buffer(most)?, 0);
                }
                segs.push(whole.slice(at, n));
                at += n;
            }
        }
    }
    if let Payload::Bytes(bytes) = payload {
        let mut at = 0;
        for s in &segs {
            s.write_at(0, &bytes[at..at + s.len() as usize]);
            at += s.len() as usize;
        }
    }
    Some(segs)
}

/// Fills a box. False when the pool has not enough buffers.
pub(crate) fn prepare(cx: &mut Cx, io: &mut Io, request: &Request) -> bool {
    (io.op, io.flags, io.lba, io.blocks) = (request.op, request.flags, request.lba, request.blocks);
    (io.source, io.tag, io.result) = (request.source, request.tag, 0);
    match segments(cx, &request.payload, &request.cuts) {
        Some(segs) => segs.into_iter().for_each(|s| io.sg.push(s)),
        None => return false,
    }
    true
}

fn finished(cx: &mut Cx, io: Box<Io>) -> Finished {
    let mut data = Vec::new();
    if matches!(io.op, Op::Read | Op::ZoneReport) && io.status.is_ok() {
        data = vec![0; io.sg.bytes() as usize];
        io.sg.read_at(0, &mut data);
    }
    let out = Finished { id: io.id(), op: io.op, tag: io.tag, status: io.status, result: io.result, data };
    cx.put_io(io);
    out
}

impl Rig {
    /// Opens a queue of `device`.
    pub async fn open(local: &Local, device: Arc<dyn BlockDevice>, depth: u32, patience: Patience) -> Result<Rig, Failure> {
        let opened = local
            .with(move |cx| {
                let mut opened = None;
                let consumer = cx.adopt(|cx, me| {
                    let token = cx.token(me);
                    let queue = device.open(cx, token, depth).map(Checked::new);
                    let (queue, ledger) = match queue {
                        Ok((q, l)) => (Some(q), Ok(l)),
                        Err(e) => (None, Err(e)),
                    };
                    let inner = Rc::new(RefCell::new(Inner { queue, done: Vec::new(), waker: None, token, runs: 0 }));
                    opened = Some((inner.clone(), ledger, token));
                    Owner(inner)
                });
                let Some((inner, ledger, token)) = opened else { unreachable!("adopt calls what it is given") };
                if ledger.is_err() {
                    cx.free_token(token);
                    cx.dismiss(consumer);
                }
                ledger.map(|ledger| (inner, ledger, token, consumer))
            })
            .await;
        let (inner, ledger, token, consumer) = opened.map_err(|e| Failure::new(format!("open failed: {e}")))?;
        Ok(Rig { local: local.clone(), inner, ledger, consumer, token, patience })
    }

    /// Its reactor.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Submits requests and kicks once. The boxes' numbers come back in order.
    pub async fn issue(&self, requests: Vec<Request>) -> Result<Vec<IoId>, Failure> {
        let inner = self.inner.clone();
        let issued = self.local.with(move |cx| {
            let mut inner = inner.borrow_mut();
            let Some(queue) = &mut inner.queue else { return None };
            let mut ids = Vec::new();
            for request in &requests {
                let mut io = cx.take_io()?;
                if !prepare(cx, &mut io, request) {
                    cx.put_io(io);
                    return None;
                }
                ids.push(io.id());
                queue.submit(cx, io);
            }
            queue.kick(cx);
            Some(ids)
        });
        issued.await.ok_or_else(|| Failure::new("the test's own pool has too few boxes or buffers for this case".to_owned()))
    }

    /// Waits until `n` requests have come back.
    pub async fn collect(&self, n: usize) -> Result<Vec<Finished>, Failure> {
        let mut all = Vec::new();
        while all.len() < n {
            let some = poll_fn(|c| {
                let mut inner = self.inner.borrow_mut();
                if inner.done.is_empty() {
                    inner.waker = Some(c.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(std::mem::take(&mut inner.done))
            });
            match self.patience.wait(&self.local, some).await {
                Some(done) => all.extend(self.local.with(move |cx| done.into_iter().map(|io| finished(cx, io)).collect::<Vec<_>>()).await),
                None => return Err(self.autopsy(n - all.len()).await),
            }
        }
        self.verdict()?;
        Ok(all)
    }

    /// Patience ran out: looks whether anything was there for whoever had polled.
    async fn autopsy(&self, missing: usize) -> Failure {
        let inner = self.inner.clone();
        let found = self.local.with(move |cx| {
            let mut inner = inner.borrow_mut();
            let mut late = Vec::new();
            if let Some(queue) = &mut inner.queue {
                queue.poll(cx, &mut late);
            }
            let n = late.len();
            late.into_iter().for_each(|io| cx.put_io(io));
            n
        });
        let found = found.await;
        if let Err(broken) = self.verdict() {
            return broken;
        }
        let missing_now = self.ledger.borrow().missing();
        Failure::new(match found {
            0 => format!("{missing} boxes did not come back: {missing_now}"),
            n => format!("poll had {n} finished boxes, and the token had not been woken"),
        })
    }

    /// Has the queue kept the contract so far?
    pub fn verdict(&self) -> Result<(), Failure> {
        match self.ledger.borrow().violations() {
            [] => Ok(()),
            some => Err(Failure::new(some.join("\n"))),
        }
    }

    /// One request, there and back.
    pub async fn run(&self, request: Request) -> Result<Finished, Failure> {
        let mut done = self.run_all(vec![request]).await?;
        done.pop().ok_or_else(|| Failure::new("a box came back and was not there".to_owned()))
    }

    /// Requests, there and back, in the order in which they came back.
    pub async fn run_all(&self, requests: Vec<Request>) -> Result<Vec<Finished>, Failure> {
        let n = requests.len();
        self.issue(requests).await?;
        self.collect(n).await
    }

    /// How often its owner was woken.
    pub fn runs(&self) -> u64 {
        self.inner.borrow().runs
    }

    /// Asks boxes back early.
    pub async fn abort(&self, which: Abort) {
        let inner = self.inner.clone();
        let abort = move |cx: &mut Cx| {
            if let Some(queue) = &mut inner.borrow_mut().queue {
                queue.abort(cx, which);
                queue.kick(cx);
            }
        };
        self.local.with(abort).await;
    }

    /// Leaves the queue to the reactor, with whatever is outstanding, and waits until that has come back.
    pub async fn leave(self) -> Result<(), Failure> {
        let (inner, consumer, token) = (self.inner.clone(), self.consumer, self.token);
        let outstanding = self.ledger.borrow().out() as u32;
        let retire = move |cx: &mut Cx| {
            let (queue, done) = {
                let mut inner = inner.borrow_mut();
                debug_assert_eq!(inner.token, token);
                (inner.queue.take(), std::mem::take(&mut inner.done))
            };
            done.into_iter().for_each(|io| cx.put_io(io));
            cx.dismiss(consumer);
            if let Some(queue) = queue {
                cx.retire(token, outstanding, Box::new(queue));
            }
        };
        self.local.with(retire).await;
        let local = self.local.clone();
        let gone = async {
            while local.with(|cx| cx.retired()).await > 0 {
                local.sleep_ns(100_000).await;
            }
        };
        if self.patience.wait(&self.local, gone).await.is_none() {
            let missing = self.ledger.borrow().missing();
            return Err(Failure::new(format!("the queue was left with {outstanding} boxes out, and these never came back: {missing}")));
        }
        self.verdict()
    }
}
