//! I/O queue pairs: which reactors have one, and under which number the controller knows it.

use super::Inner;
use super::commands::NewQueue;
use super::memory::{Memory, QueueParts};
use super::transport::Transport;
use crate::error::NvmeError;
use crate::link::Place;
use crate::pair::Pair;
use crate::shared::{PairId, Shared};
use doorbell_block::Cx;
use doorbell_pci::queue::Pages;
use doorbell_reactor::Gone;
use std::collections::{BTreeMap, BTreeSet};
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
        self.pairs.insert(id.number, Entry { id, qid });
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
        if made.is_err() {
            let mut queues = self.queues.borrow_mut();
            queues.set(id, None);
            queues.spoilt.insert(qid);
        }
        made
    }

    /// As `serve`, for a pair that nobody waits for to come back: without a queue it ends.
    pub(super) async fn serve_or_end(&self, id: PairId) {
        if let Err(error) = self.serve(id).await {
            tracing::error!(controller = %self.name, reactor = id.reactor.0, %error, "a queue pair could not be made");
            self.visit(id, |cx, pair| pair.end(cx)).await;
        }
    }

    async fn make_queue(&self, id: PairId, qid: u16) -> Result<(), NvmeError> {
        match &self.transport {
            Transport::Memory(memory) => self.make_rings(memory, id, qid).await,
            Transport::Tcp(tcp) => self.connect_queue(tcp, id, qid).await.map(drop),
        }
    }

    async fn make_rings(&self, memory: &Memory, id: PairId, qid: u16) -> Result<(), NvmeError> {
        let max_bytes = self.facts.borrow().as_ref().map_or(4096, |facts| facts.max_bytes);
        let vector = (u32::from(qid) < memory.vectors).then_some(u32::from(qid));
        let parts = QueueParts { vector, ..self.parts(memory, max_bytes) };
        let entries = parts.entries;
        let made = self.visit(id, move |_, pair| make_rings(pair, &parts)).await;
        // None: the pair has gone meanwhile, and with it who waited.
        let Some(made) = made else { return Ok(()) };
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
            Some(connected) => connected,
            None => {
                self.delete_queue(qid).await;
                Ok(())
            }
        }
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
    pair.set_link(Box::new(link)).map_err(|e| NvmeError::unusable(name, format!("a queue cannot be watched: {e}")))?;
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
