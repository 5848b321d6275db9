//! Controllers across reactors: ids, and the finding of a controller by its I/O queues. Locked at connect and disconnect only.

use super::lock;
use super::traffic::{Traffic, TrafficSum};
use crate::Subsystem;
use crate::controller::ErrorLog;
use doorbell_block::{ReactorId, Token};
use doorbell_wire_nvme::fabrics::CNTLID_DYNAMIC;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A connection: its reactor and its token there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Where {
    pub(crate) reactor: ReactorId,
    pub(crate) token: Token,
}

#[derive(Clone, Debug)]
struct Queue {
    qid: u16,
    at: Where,
    depth: u16,
    peer: SocketAddr,
    local: SocketAddr,
    endpoint: Option<Arc<str>>,
    traffic: Arc<Traffic>,
}

/// What the queues of one controller share across reactors: two flags that change seldom, and who they are.
pub struct Association {
    pub(crate) id: u64,
    pub(crate) subsystem: u64,
    pub(crate) nqn: String,
    pub(crate) host_nqn: String,
    pub(crate) host_id: [u8; 16],
    pub(crate) cntlid: u16,
    /// How often the controller was enabled and disabled: odd while it is enabled. A queue belongs to one number, so that it also notices
    /// what was over before it looked.
    epoch: AtomicU64,
    ended: AtomicBool,
    /// I/O queues that the controller has granted.
    granted: AtomicU16,
    keep_alive_ms: AtomicU64,
    /// The host has turned the write cache off.
    write_through: AtomicBool,
    /// The host was told that there is no write cache, and will send no flushes until it resets the controller.
    told_no_cache: AtomicBool,
    /// The host heeds retry delays that a status asks for.
    heeds_delays: AtomicBool,
    errors: Mutex<ErrorLog>,
    queues: Mutex<Vec<Queue>>,
    /// Traffic of the queues that have left.
    past: Mutex<TrafficSum>,
}

impl Association {
    /// Must a completed write to a device with a volatile cache be durable, since the host will not flush?
    #[inline]
    pub(crate) fn forces_unit_access(&self) -> bool {
        self.write_through.load(Ordering::Relaxed) || self.told_no_cache.load(Ordering::Relaxed)
    }

    pub(crate) fn is_write_through(&self) -> bool {
        self.write_through.load(Ordering::Relaxed)
    }

    pub(crate) fn set_write_through(&self, on: bool) {
        self.write_through.store(on, Ordering::Relaxed);
    }

    /// The host was told that there is no write cache. It goes on believing that until it resets the controller, whatever it, or a tool of
    /// its administrator's, is told later: its block layer asks once.
    pub(crate) fn told_no_cache(&self) {
        self.told_no_cache.store(true, Ordering::Relaxed);
    }

    /// The controller begins anew: its host has been told nothing.
    pub(crate) fn told_nothing(&self) {
        self.told_no_cache.store(false, Ordering::Relaxed);
    }

    /// Does the host wait as long as a status asks it to before it sends the command again?
    pub(crate) fn heeds_delays(&self) -> bool {
        self.heeds_delays.load(Ordering::Relaxed)
    }

    pub(crate) fn set_heeds_delays(&self, on: bool) {
        self.heeds_delays.store(on, Ordering::Relaxed);
    }

    /// The log of commands that failed. Locked when one fails, and when it is read.
    pub(crate) fn errors(&self) -> MutexGuard<'_, ErrorLog> {
        lock(&self.errors)
    }

    /// The present number of its life: odd while I/O queues may be connected and used, and another for each time.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Said by the admin queue alone.
    pub(crate) fn set_enabled(&self, on: bool) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        if (epoch % 2 == 1) != on {
            self.epoch.store(epoch.wrapping_add(1), Ordering::Release);
        }
    }

    /// Is it over? Then every queue closes.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn grant(&self, queues: u16) {
        self.granted.store(queues, Ordering::Relaxed);
    }

    pub(crate) fn granted(&self) -> u16 {
        self.granted.load(Ordering::Relaxed)
    }

    pub(crate) fn set_keep_alive(&self, ms: u64) {
        self.keep_alive_ms.store(ms, Ordering::Relaxed);
    }

    /// The folder of the vfio-user socket by which its host came, if it did.
    pub(crate) fn endpoint(&self) -> Option<Arc<str>> {
        lock(&self.queues).iter().find_map(|q| q.endpoint.clone())
    }

    /// Where queue `qid` is.
    pub(crate) fn queue(&self, qid: u16) -> Option<Where> {
        lock(&self.queues).iter().find(|q| q.qid == qid).map(|q| q.at)
    }

    /// Marks it ended and names every connection but the caller's.
    pub(crate) fn end(&self, but: Option<Where>) -> Vec<Where> {
        self.ended.store(true, Ordering::Release);
        lock(&self.queues).iter().map(|q| q.at).filter(|at| Some(*at) != but).collect()
    }

    /// What its queues have read and written, those that have left too.
    pub(crate) fn traffic(&self) -> TrafficSum {
        let queues = lock(&self.queues);
        let mut sum = *lock(&self.past);
        queues.iter().for_each(|q| sum.add(&q.traffic));
        sum
    }

    /// Every I/O connection.
    pub(crate) fn io_queues(&self) -> Vec<Where> {
        lock(&self.queues).iter().filter(|q| q.qid != 0).map(|q| q.at).collect()
    }
}

/// A controller, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerInfo {
    /// Its id.
    pub cntlid: u16,
    /// Its host.
    pub host_nqn: String,
    /// The host's id.
    pub host_id: [u8; 16],
    /// I/O queues.
    pub io_queues: u16,
    /// Keep-alive timeout in milliseconds, 0 for none.
    pub keep_alive_ms: u64,
}

/// A queue of a controller, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// The controller.
    pub cntlid: u16,
    /// Its id; 0 for the admin queue.
    pub qid: u16,
    /// Its entries.
    pub depth: u16,
    /// The host.
    pub host_nqn: String,
    /// Reactor that serves it.
    pub reactor: u32,
    /// The host's end.
    pub peer: SocketAddr,
    /// This end.
    pub local: SocketAddr,
    /// The folder of its socket, if it came by vfio-user and so has no addresses.
    pub endpoint: Option<Arc<str>>,
}

/// A connection that wants to be a queue.
#[derive(Clone, Debug)]
pub(crate) struct Join<'a> {
    pub(crate) host_nqn: &'a str,
    pub(crate) host_id: [u8; 16],
    pub(crate) cntlid: u16,
    pub(crate) qid: u16,
    pub(crate) depth: u16,
    pub(crate) at: Where,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) endpoint: Option<Arc<str>>,
    pub(crate) traffic: Arc<Traffic>,
}

impl Join<'_> {
    fn queue(&self) -> Queue {
        let Join { qid, at, depth, peer, local, .. } = *self;
        Queue { qid, at, depth, peer, local, endpoint: self.endpoint.clone(), traffic: self.traffic.clone() }
    }
}

/// Why it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// No such controller, or no id left.
    Controller,
    /// It is another host's.
    Host,
    /// It is not enabled.
    NotEnabled,
    /// The queue is connected already, or beyond what was granted.
    Queue,
}

#[derive(Default)]
struct Book {
    controllers: HashMap<(u64, u16), Arc<Association>>,
    next_cntlid: HashMap<u64, u16>,
    next_id: u64,
}

/// The controllers of all reactors.
#[derive(Default)]
pub(crate) struct Registry(Mutex<Book>);

impl Registry {
    /// Begins a controller for an admin queue.
    pub(crate) fn begin(&self, subsystem: &Subsystem, join: &Join<'_>) -> Result<Arc<Association>, JoinError> {
        let mut book = lock(&self.0);
        let (from, to) = subsystem.cntlids;
        let next = book.next_cntlid.get(&subsystem.id).copied().filter(|n| (from..=to).contains(n)).unwrap_or(from);
        let wanted = if join.cntlid == CNTLID_DYNAMIC { None } else { Some(join.cntlid) };
        if wanted.is_some_and(|id| !(from..=to).contains(&id)) {
            return Err(JoinError::Controller);
        }
        let mut candidates = wanted.into_iter().chain((next..=to).chain(from..next).filter(|_| wanted.is_none()));
        let cntlid = candidates.find(|id| !book.controllers.contains_key(&(subsystem.id, *id))).ok_or(JoinError::Controller)?;
        book.next_cntlid.insert(subsystem.id, cntlid.saturating_add(1));
        book.next_id += 1;
        let made = Arc::new(Association {
            id: book.next_id,
            subsystem: subsystem.id,
            nqn: subsystem.nqn.clone(),
            host_nqn: join.host_nqn.to_string(),
            host_id: join.host_id,
            cntlid,
            epoch: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            granted: AtomicU16::new(0),
            keep_alive_ms: AtomicU64::new(0),
            write_through: AtomicBool::new(false),
            told_no_cache: AtomicBool::new(false),
            heeds_delays: AtomicBool::new(false),
            errors: Mutex::default(),
            queues: Mutex::new(vec![join.queue()]),
            past: Mutex::default(),
        });
        book.controllers.insert((subsystem.id, cntlid), made.clone());
        Ok(made)
    }

    /// Finds the controller that an I/O queue belongs to and adds the queue, which lives as long as the epoch.
    pub(crate) fn join(&self, subsystem: u64, join: &Join<'_>) -> Result<(Arc<Association>, u64), JoinError> {
        let book = lock(&self.0);
        let found = book.controllers.get(&(subsystem, join.cntlid)).ok_or(JoinError::Controller)?;
        if found.has_ended() {
            return Err(JoinError::Controller);
        }
        if found.host_nqn != join.host_nqn || found.host_id != join.host_id {
            return Err(JoinError::Host);
        }
        let epoch = found.epoch();
        if epoch.is_multiple_of(2) {
            return Err(JoinError::NotEnabled);
        }
        let mut queues = lock(&found.queues);
        if join.qid > found.granted() || queues.iter().any(|q| q.qid == join.qid) {
            return Err(JoinError::Queue);
        }
        queues.push(join.queue());
        drop(queues);
        Ok((found.clone(), epoch))
    }

    /// A queue has closed. The controller is forgotten with its admin queue.
    pub(crate) fn leave(&self, association: &Association, qid: u16) {
        let mut queues = lock(&association.queues);
        let mut past = lock(&association.past);
        queues.extract_if(.., |q| q.qid == qid).for_each(|gone| past.add(&gone.traffic));
        drop((queues, past));
        if qid == 0 {
            let key = (association.subsystem, association.cntlid);
            let mut book = lock(&self.0);
            if book.controllers.get(&key).is_some_and(|a| a.id == association.id) {
                book.controllers.remove(&key);
            }
        }
    }

    fn of(&self, nqn: &str) -> Vec<Arc<Association>> {
        let mut all: Vec<_> = lock(&self.0).controllers.values().filter(|a| a.nqn == nqn).cloned().collect();
        all.sort_by_key(|a| a.cntlid);
        all
    }

    /// Ids of the controllers of a subsystem, in rising order.
    pub(crate) fn cntlids(&self, subsystem: u64) -> Vec<u16> {
        let mut all: Vec<u16> = lock(&self.0).controllers.keys().filter(|(s, _)| *s == subsystem).map(|(_, id)| *id).collect();
        all.sort_unstable();
        all
    }

    pub(super) fn controllers(&self, nqn: &str) -> Vec<ControllerInfo> {
        let info = |a: &Arc<Association>| ControllerInfo {
            cntlid: a.cntlid,
            host_nqn: a.host_nqn.clone(),
            host_id: a.host_id,
            io_queues: u16::try_from(a.io_queues().len()).unwrap_or(u16::MAX),
            keep_alive_ms: a.keep_alive_ms.load(Ordering::Relaxed),
        };
        self.of(nqn).iter().map(info).collect()
    }

    pub(super) fn queues(&self, nqn: &str) -> Vec<QueueInfo> {
        let mut all = Vec::new();
        for a in self.of(nqn) {
            all.extend(lock(&a.queues).iter().map(|q| QueueInfo {
                cntlid: a.cntlid,
                qid: q.qid,
                depth: q.depth,
                host_nqn: a.host_nqn.clone(),
                reactor: q.at.reactor.0,
                peer: q.peer,
                local: q.local,
                endpoint: q.endpoint.clone(),
            }));
        }
        all
    }
}
