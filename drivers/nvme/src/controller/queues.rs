//! I/O queue pairs: which reactors have one, and under which number the controller knows it.

use super::Inner;
use super::commands::NewQueue;
use super::memory::{Memory, QueueParts};
use super::transport::Transport;
use crate::error::NvmeError;
use crate::link::{AnyLink, Place};
use crate::pair::Pair;
use crate::shared::{Event, PairId, Shared};
use doorbell_block::Cx;
use doorbell_pci::queue::Pages;
use doorbell_reactor::Gone;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// All queue pairs.
#[derive(Default)]
pub(crate) struct Queues {
    pairs: BTreeMap<u64, Entry>,
    /// Numbers under which the controller may still know a queue that could not be made whole, or deleted: not used again before a reset.
    spoilt: BTreeSet<u16>,
}

#[derive(Clone, Copy)]
struct Entry {
    id: PairId,
    qid: Option<u16>,
    /// How often it could not be made in a row.
    failures: u8,
}

impl Queues {
    /// All of them.
    pub(super) fn ids(&self) -> Vec<PairId> {
        self.pairs.values().map(|e| e.id).collect()
    }

    fn free_qid(&self, most: u32) -> Option<u16> {
        let most = u16::try_from(most).unwrap_or(u16::MAX);
        (1..=most).find(|qid| !self.spoilt.contains(qid) && self.pairs.values().all(|e| e.qid != Some(*qid)))
    }

    fn set(&mut self, id: PairId, qid: Option<u16>) {
        let entry = self.pairs.entry(id.number).or_insert(Entry { id, qid, failures: 0 });
        entry.qid = qid;
    }

    /// Is it one of them?
    pub(super) fn has(&self, id: PairId) -> bool {
        self.pairs.contains_key(&id.number)
    }

    /// Counts a failure to make it, or that it was made. How many there were in a row.
    fn count(&mut self, id: PairId, failed: bool) -> u8 {
        let Some(entry) = self.pairs.get_mut(&id.number) else { return 0 };
        entry.failures = if failed { entry.failures.saturating_add(1) } else { 0 };
        entry.failures
    }

    /// The number under which the controller knows a pair.
    pub(super) fn qid(&self, id: PairId) -> Option<u16> {
        self.pairs.get(&id.number)?.qid
    }

    /// The controller knows none any more.
    pub(super) fn forget_numbers(&mut self) {
        self.pairs.values_mut().for_each(|e| e.qid = None);
        self.spoilt.clear();
    }
}

/// What came of making a queue.
enum Made {
    /// It is there.
    Yes,
    /// The pair has gone, and the controller knows no queue of it.
    Unknown,
}

/// Does something with a pair on its reactor; `None` when it has gone.
pub(super) fn with_pair<R>(cx: &mut Cx, shared: &Shared, id: PairId, f: impl FnOnce(&mut Cx, &mut Pair) -> R) -> Option<R> {
    let pair = cx.local_source::<Pair, ()>(shared.device, |_| Err(())).ok()?;
    let mut pair = pair.borrow_mut();
    pair.is(id).then(|| f(cx, &mut pair))
}

impl Inner {
    /// The pairs that there are now.
    pub(super) fn pairs(&self) -> Vec<PairId> {
        self.queues.borrow().ids()
    }

    /// Visits a pair's reactor. `None` when the pair has gone.
    pub(super) async fn visit<R: Send + 'static>(&self, id: PairId, f: impl FnOnce(&mut Cx, &mut Pair) -> R + Send + 'static) -> Option<R> {
        let shared = self.shared.clone();
        let visited: Result<Option<R>, Gone> = self.env.local.visit(id.reactor, move |cx| with_pair(cx, &shared, id, f)).await;
        visited.ok().flatten()
    }

    /// A reactor has a pair that wants a link: makes the rings there, makes them known, and lets what waits go.
    pub(super) async fn serve(&self, id: PairId) -> Result<(), NvmeError> {
        let most = self.shared.pairs_max.load(Ordering::Relaxed);
        let qid = self.queues.borrow().free_qid(most);
        self.queues.borrow_mut().set(id, qid);
        let Some(qid) = qid else {
            // It was granted more before a reset than after it.
            tracing::error!(controller = %self.name, reactor = id.reactor.0, most, "no queue is left for this reactor");
            self.visit(id, |cx, pair| pair.end(cx)).await;
            return Ok(());
        };
        let made = self.make_queue(id, qid).await;
        let mut queues = self.queues.borrow_mut();
        match &made {
            Ok(Made::Yes) => {}
            Ok(Made::Unknown) => queues.set(id, None),
            Err(_) => {
                queues.set(id, None);
                // Over a network a connection that was not made is no queue, and one that was lost is none any more.
                if matches!(self.transport, Transport::Memory(_)) {
                    queues.spoilt.insert(qid);
                }
            }
        }
        queues.count(id, made.is_err());
        made.map(drop)
    }

    /// As `serve`, for a pair that was opened while the controller is in use. A target that restarts just now makes no queue, and is back in a
    /// moment: so it is tried a few times, during which its commands wait, before it ends.
    pub(super) async fn serve_or_end(self: &Rc<Self>, id: PairId) {
        const TRIES: u8 = 5;
        const PAUSE_NS: u64 = 500_000_000;
        let Err(error) = self.serve(id).await else { return };
        let failures = self.queues.borrow().pairs.get(&id.number).map_or(TRIES, |entry| entry.failures);
        if failures >= TRIES {
            tracing::error!(controller = %self.name, reactor = id.reactor.0, %error, "a queue pair could not be made");
            self.visit(id, |cx, pair| pair.end(cx)).await;
            return;
        }
        tracing::warn!(controller = %self.name, reactor = id.reactor.0, %error, "a queue pair could not be made; trying again");
        let (local, shared) = (self.env.local.clone(), self.shared.clone());
        self.env.local.spawn(async move {
            local.sleep_ns(PAUSE_NS).await;
            shared.tell(Event::Again(id));
        });
    }

    async fn make_queue(&self, id: PairId, qid: u16) -> Result<Made, NvmeError> {
        match &self.transport {
            Transport::Memory(memory) => self.make_rings(memory, id, qid).await,
            Transport::Tcp(tcp) => self.connect_queue(tcp, id, qid).await.map(|made| if made { Made::Yes } else { Made::Unknown }),
        }
    }

    async fn make_rings(&self, memory: &Memory, id: PairId, qid: u16) -> Result<Made, NvmeError> {
        let max_bytes = self.facts.borrow().as_ref().map_or(4096, |facts| facts.max_bytes);
        let vector = (u32::from(qid) < memory.vectors).then_some(u32::from(qid));
        let controller_memory = self.controller_memory.borrow().clone();
        let parts = QueueParts { vector, controller_memory, ..self.parts(memory, max_bytes) };
        let entries = parts.entries;
        let made = self.visit(id, move |_, pair| make_rings(pair, &parts)).await;
        // None: the pair has gone meanwhile, and with it who waited.
        let Some(made) = made else { return Ok(Made::Unknown) };
        let (sq, cq) = made?;
        // Before the device looks at them.
        let shadows = self.shadows(qid);
        if let Some((sq, cq)) = &shadows {
            sq.clear();
            cq.clear();
        }
        self.create_queue(&NewQueue { qid, entries, sq, cq, vector }).await?;
        let place = Place { qid, dstrd: memory.cap.dstrd(), shadows };
        let connected = self.visit(id, move |cx, pair| connect(cx, pair, place)).await;
        match connected {
            Some(connected) => connected.map(|()| Made::Yes),
            None if self.delete_queue(qid).await => Ok(Made::Unknown),
            None => Err(NvmeError::unusable(&self.name, "a queue that nobody wants any more could not be deleted")),
        }
    }

    /// A reactor has a pair, which is served when the controller is brought up again.
    pub(super) fn note_pair(&self, id: PairId) {
        self.queues.borrow_mut().set(id, None);
    }

    /// A pair has gone.
    pub(super) async fn retire(&self, id: PairId, tell: bool) {
        let entry = self.queues.borrow_mut().pairs.remove(&id.number);
        if let (Some(Entry { qid: Some(qid), .. }), Transport::Memory(_), true) = (entry, &self.transport, tell)
            && !self.delete_queue(qid).await
        {
            self.queues.borrow_mut().spoilt.insert(qid);
        }
    }
}

fn make_rings(pair: &mut Pair, parts: &QueueParts) -> Result<(Pages, Pages), NvmeError> {
    let (link, addresses) = parts.make()?;
    let name = parts.function.name();
    pair.set_link(AnyLink::Memory(link)).map_err(|e| NvmeError::unusable(name, format!("a queue cannot be watched: {e}")))?;
    Ok(addresses)
}

fn connect(cx: &mut Cx, pair: &mut Pair, place: Place) -> Result<(), NvmeError> {
    if let Some(link) = pair.link_mut() {
        link.connect(place)?;
    }
    pair.go_live(cx);
    Ok(())
}

/// Queue pairs that a controller may still have.
pub(crate) fn take_place(shared: &Arc<Shared>) -> bool {
    let most = shared.pairs_max.load(Ordering::Relaxed);
    shared.counters.pairs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n + 1)).is_ok()
}
