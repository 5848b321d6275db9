//! The block queues of a consumer (a group, a function): one for each namespace that its hosts reach, with a token of its own, so that only queues that have
//! something are polled.

use crate::io::Facts;
use crate::{Snapshot, Subsystem};
use doorbell_block::{Abort, BlockQueue, ConsumerId, Cx, Done, Io, IoId, OpenError, Ticks, Token};
use std::sync::Arc;

/// Names a queue of the group for as long as the group lives: a place is used again, a serial number is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct QueueId {
    at: u32,
    serial: u32,
}

/// How long a namespace that could not be opened rests before it is tried again.
const RETRY_NS: u64 = 1_000_000_000;

/// A block queue.
struct Queue {
    serial: u32,
    /// Of which namespace.
    namespace: u64,
    name: String,
    facts: Facts,
    token: Token,
    queue: Box<dyn BlockQueue>,
    outstanding: u32,
    /// Something was submitted since the last kick.
    unkicked: bool,
    /// Its namespace is gone: it is dropped once the last box is back.
    leaving: bool,
}

/// What a namespace id means to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its queue.
    Queue(QueueId),
    /// There is such a namespace, but its device gave no queue: it is asked again after a while.
    Broken,
    /// There is none.
    Nothing,
}

/// A namespace's queue, to which a command may go.
pub(crate) struct Reached<'a> {
    pub(crate) id: QueueId,
    queue: &'a mut Queue,
    unkicked: &'a mut Vec<u32>,
}

impl Reached<'_> {
    #[inline]
    pub(crate) fn facts(&self) -> &Facts {
        &self.queue.facts
    }

    /// Submits; the kick comes at the end of the run.
    #[inline]
    pub(crate) fn submit(self, cx: &mut Cx, io: Box<Io>) {
        self.queue.queue.submit(cx, io);
        self.queue.outstanding += 1;
        if !self.queue.unkicked {
            self.queue.unkicked = true;
            self.unkicked.push(self.id.at);
        }
    }
}

/// A subsystem that connections of this group reach.
struct Attached {
    subsystem: u64,
    users: u32,
    /// By namespace id.
    found: Vec<Found>,
}

/// What a token of a queue found when it ran.
#[derive(Default)]
pub(crate) struct Namespaces {
    queues: Vec<Option<Queue>>,
    attached: Vec<Option<Attached>>,
    unkicked: Vec<u32>,
    /// Tokens made since the group last looked, and the places of their queues.
    pub(crate) made: Vec<(Token, u32)>,
    serials: u32,
    /// When namespaces that could not be opened are to be tried again.
    retry_at: Option<Ticks>,
}

impl Namespaces {
    /// Reaches a subsystem; `None` when it is gone.
    pub(crate) fn attach(&mut self, cx: &mut Cx, me: ConsumerId, snapshot: &Snapshot, subsystem: u64) -> Option<u32> {
        let view = snapshot.by_id(subsystem)?;
        let known = self.attached.iter().position(|a| a.as_ref().is_some_and(|a| a.subsystem == subsystem));
        let at = match known.or_else(|| self.attached.iter().position(Option::is_none)) {
            Some(at) => at,
            None => {
                self.attached.push(None);
                self.attached.len() - 1
            }
        };
        let slot = self.attached.get_mut(at)?;
        let a = slot.get_or_insert_with(|| Attached { subsystem, users: 0, found: Vec::new() });
        a.users += 1;
        if known.is_none() || a.found.contains(&Found::Broken) {
            self.refresh_one(cx, me, snapshot, at, Some(view));
        }
        u32::try_from(at).ok()
    }

    /// One user less.
    pub(crate) fn detach(&mut self, cx: &mut Cx, me: ConsumerId, snapshot: &Snapshot, at: u32) {
        let at = at as usize;
        let Some(Some(a)) = self.attached.get_mut(at) else { return };
        a.users = a.users.saturating_sub(1);
        if a.users == 0 {
            self.refresh_one(cx, me, snapshot, at, None);
            if let Some(slot) = self.attached.get_mut(at) {
                *slot = None;
            }
        }
    }

    /// A new snapshot: opens, changes and drops what it says.
    pub(crate) fn refresh(&mut self, cx: &mut Cx, me: ConsumerId, snapshot: &Snapshot) {
        for at in 0..self.attached.len() {
            let Some(Some(a)) = self.attached.get(at) else { continue };
            let view = snapshot.by_id(a.subsystem);
            self.refresh_one(cx, me, snapshot, at, view);
        }
    }

    /// When the group has to call `retry`, if it has to.
    #[inline]
    pub(crate) fn retry_at(&self) -> Option<Ticks> {
        self.retry_at
    }

    /// Tries namespaces that could not be opened again, once that is due.
    pub(crate) fn retry(&mut self, cx: &mut Cx, me: ConsumerId, snapshot: &Snapshot) {
        if self.retry_at.take_if(|at| *at <= cx.now()).is_some() {
            self.refresh(cx, me, snapshot);
        }
    }

    fn refresh_one(&mut self, cx: &mut Cx, me: ConsumerId, snapshot: &Snapshot, at: usize, view: Option<&Arc<Subsystem>>) {
        let old = match self.attached.get_mut(at) {
            Some(Some(a)) => std::mem::take(&mut a.found),
            _ => return,
        };
        let longest = snapshot.options.max_io_bytes;
        let len = view.and_then(|v| v.namespaces.keys().next_back()).map_or(0, |n| *n as usize + 1);
        let mut found = vec![Found::Nothing; len];
        let mut kept = Vec::new();
        for n in view.iter().flat_map(|v| v.namespaces.values()) {
            let facts = Facts::new(&n.info, n.is_read_only(), longest);
            let same = |q: &Option<Queue>| q.as_ref().is_some_and(|q| q.namespace == n.id && !q.leaving);
            let now = match self.queues.iter().position(same) {
                Some(at) => {
                    kept.push(at);
                    match self.queues.get_mut(at) {
                        Some(Some(q)) => {
                            q.facts = facts;
                            u32::try_from(at).map_or(Found::Broken, |at| Found::Queue(QueueId { at, serial: q.serial }))
                        }
                        _ => Found::Broken,
                    }
                }
                None => {
                    let opened = self.open(cx, me, n, facts, snapshot.options.max_queue_depth.into());
                    let again = old.get(n.nsid as usize) == Some(&Found::Broken);
                    opened.unwrap_or_else(|error| {
                        self.retry_at.get_or_insert(cx.now().after(RETRY_NS));
                        if !again {
                            tracing::error!(device = %n.name, nsid = n.nsid, %error, "a namespace cannot be served on this reactor: it is tried again every second");
                        }
                        Found::Broken
                    })
                }
            };
            if let Some(slot) = found.get_mut(n.nsid as usize) {
                *slot = now;
            }
        }
        for gone in old {
            if let Found::Queue(q) = gone
                && !kept.contains(&(q.at as usize))
            {
                self.leave(cx, q);
            }
        }
        if let Some(Some(a)) = self.attached.get_mut(at) {
            a.found = found;
        }
    }

    fn open(&mut self, cx: &mut Cx, me: ConsumerId, n: &crate::Namespace, facts: Facts, depth: u32) -> Result<Found, OpenError> {
        let token = cx.token(me);
        let queue = match n.device.open(cx, token, depth) {
            Ok(queue) => queue,
            Err(error) => {
                cx.free_token(token);
                return Err(error);
            }
        };
        self.serials = self.serials.wrapping_add(1);
        let (name, serial) = (n.name.clone(), self.serials);
        let made = Queue { serial, namespace: n.id, name, facts, token, queue, outstanding: 0, unkicked: false, leaving: false };
        let at = match self.queues.iter().position(Option::is_none) {
            Some(at) => at,
            None => {
                self.queues.push(None);
                self.queues.len() - 1
            }
        };
        let Ok(index) = u32::try_from(at) else { return Ok(Found::Broken) };
        if let Some(slot) = self.queues.get_mut(at) {
            *slot = Some(made);
        }
        self.made.push((token, index));
        Ok(Found::Queue(QueueId { at: index, serial }))
    }

    /// Its namespace is gone.
    fn leave(&mut self, cx: &mut Cx, id: QueueId) {
        if let Some(q) = self.get(id) {
            q.leaving = true;
        }
        self.drop_idle(cx, id.at);
    }

    #[inline]
    fn get(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.queues.get_mut(id.at as usize)?.as_mut().filter(|q| q.serial == id.serial)
    }

    fn drop_idle(&mut self, cx: &mut Cx, at: u32) {
        if let Some(slot) = self.queues.get_mut(at as usize)
            && let Some(q) = slot.take_if(|q| q.leaving && q.outstanding == 0)
        {
            tracing::debug!(device = %q.name, "a namespace's queue is closed");
            cx.free_token(q.token);
        }
    }

    /// What a namespace id means in an attached subsystem.
    #[inline]
    pub(crate) fn find(&self, attached: u32, nsid: u32) -> Found {
        match self.attached.get(attached as usize) {
            Some(Some(a)) => a.found.get(nsid as usize).copied().unwrap_or(Found::Nothing),
            _ => Found::Nothing,
        }
    }

    /// The first queue of an attached subsystem whose namespace id is above `after` and whose device may have something to flush.
    pub(crate) fn next_to_flush(&self, attached: u32, after: u32) -> Option<(u32, QueueId)> {
        let Some(Some(a)) = self.attached.get(attached as usize) else { return None };
        let rest = a.found.iter().enumerate().skip(after as usize + 1);
        rest.filter_map(|(nsid, f)| match f {
            Found::Queue(q) if !self.facts(*q)?.needs_no_flush() => Some((u32::try_from(nsid).ok()?, *q)),
            _ => None,
        })
        .next()
    }

    #[inline]
    pub(crate) fn facts(&self, id: QueueId) -> Option<&Facts> {
        self.queues.get(id.at as usize)?.as_ref().filter(|q| q.serial == id.serial).map(|q| &q.facts)
    }

    /// A queue, unless it is going.
    #[inline]
    fn open_queue(&mut self, id: QueueId) -> Option<Reached<'_>> {
        let queue = self.queues.get_mut(id.at as usize)?.as_mut().filter(|q| q.serial == id.serial && !q.leaving)?;
        Some(Reached { id, queue, unkicked: &mut self.unkicked })
    }

    /// The queue of a namespace of an attached subsystem, if it works.
    #[inline]
    pub(crate) fn reach(&mut self, attached: u32, nsid: u32) -> Option<Reached<'_>> {
        match self.find(attached, nsid) {
            Found::Queue(id) => self.open_queue(id),
            Found::Broken | Found::Nothing => None,
        }
    }

    /// Submits; the kick comes at the end of the run.
    #[inline]
    pub(crate) fn submit(&mut self, cx: &mut Cx, id: QueueId, io: Box<Io>) -> Result<(), Box<Io>> {
        match self.open_queue(id) {
            Some(queue) => {
                queue.submit(cx, io);
                Ok(())
            }
            None => Err(io),
        }
    }

    /// One kick for everything submitted since.
    #[inline]
    pub(crate) fn kick(&mut self, cx: &mut Cx) {
        while let Some(at) = self.unkicked.pop() {
            if let Some(Some(q)) = self.queues.get_mut(at as usize) {
                q.unkicked = false;
                q.queue.kick(cx);
            }
        }
    }

    /// Polls the queue whose token ran.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Cx, at: u32, done: &mut Done) {
        let Some(Some(q)) = self.queues.get_mut(at as usize) else { return };
        let before = done.len();
        q.queue.poll(cx, done);
        let back = u32::try_from(done.len() - before).unwrap_or(u32::MAX);
        q.outstanding = q.outstanding.saturating_sub(back);
        if q.leaving {
            self.drop_idle(cx, at);
        }
    }

    /// Asks for one box back.
    pub(crate) fn abort(&mut self, cx: &mut Cx, at: QueueId, id: IoId) {
        if let Some(q) = self.get(at) {
            q.queue.abort(cx, Abort::One(id));
        }
    }

    /// The group goes: what is still outstanding is left to the reactor.
    pub(crate) fn retire_all(&mut self, cx: &mut Cx) {
        self.attached.clear();
        for q in self.queues.drain(..).flatten() {
            if q.outstanding == 0 {
                cx.free_token(q.token);
            } else {
                cx.retire(q.token, q.outstanding, q.queue);
            }
        }
    }
}
