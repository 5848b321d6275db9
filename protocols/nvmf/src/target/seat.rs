//! A group's place in the target: where new connections are left for it, and what it counts.

use super::lock;
use doorbell_block::{Message, Port, ReactorId, Token};
use doorbell_sys::socket::Stream;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A connection on its way to its group.
pub(crate) struct Incoming {
    pub(crate) stream: Stream,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
}

/// Counters of a group. One thread writes them, without read-modify-write; anybody may look.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) admin_queues: AtomicU32,
    pub(crate) io_queues: AtomicU32,
    pub(crate) admin_queues_ever: AtomicU64,
    pub(crate) io_queues_ever: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) waits: AtomicU64,
    pub(crate) receives: AtomicU64,
    pub(crate) sends: AtomicU64,
    pub(crate) looks: AtomicU64,
    pub(crate) copied_bytes: AtomicU64,
}

/// How a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GroupStats {
    /// Its reactor.
    pub reactor: u32,
    /// Admin queues now.
    pub admin_queues: u32,
    /// I/O queues now.
    pub io_queues: u32,
    /// Admin queues ever.
    pub admin_queues_ever: u64,
    /// I/O queues ever.
    pub io_queues_ever: u64,
    /// I/O commands answered.
    pub completed: u64,
    /// How often a connection waited for boxes or buffers.
    pub waits: u64,
    /// Receiving system calls, those that found nothing too.
    pub receives: u64,
    /// Sending system calls.
    pub sends: u64,
    /// Looks of its reactor at descriptors, sleeping or not: a system call each.
    pub looks: u64,
    /// Bytes from hosts that were copied in user space on the way from the socket to their place.
    pub copied_bytes: u64,
}

/// A group's place.
pub(crate) struct Seat {
    pub(crate) reactor: ReactorId,
    pub(crate) token: Token,
    port: Option<Port>,
    incoming: Mutex<Vec<Incoming>>,
    connections: AtomicU32,
    /// It has connections of NVMe/TCP; else it is one endpoint of vfio-user.
    is_group: bool,
    /// Somebody tries to wake it again and again.
    retrying: AtomicBool,
    closed: AtomicBool,
    pub(crate) counters: Counters,
}

/// Between two tries to wake a group whose reactor's inbox is full.
const RETRY: Duration = Duration::from_millis(1);

impl Seat {
    pub(crate) fn new(reactor: ReactorId, token: Token, port: Option<Port>) -> Seat {
        Seat {
            reactor,
            token,
            port,
            incoming: Mutex::default(),
            connections: AtomicU32::new(0),
            is_group: true,
            retrying: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// The same, of an endpoint of vfio-user: no connection is given to it.
    pub(crate) fn of_endpoint(self) -> Seat {
        Seat { is_group: false, ..self }
    }

    pub(crate) fn is_group(&self) -> bool {
        self.is_group
    }

    /// Makes its group look. When its inbox is full a thread of its own tries again until there is room: what the group is to see must not
    /// wait for somebody else's traffic.
    pub(crate) fn wake(self: &Arc<Self>) {
        if self.try_wake() || self.retrying.swap(true, Ordering::AcqRel) {
            return;
        }
        let seat = self.clone();
        let retry = move || {
            while !seat.try_wake() && !seat.closed.load(Ordering::Acquire) {
                std::thread::sleep(RETRY);
            }
            seat.retrying.store(false, Ordering::Release);
            // Whoever came between the last try and this relied on it.
            seat.try_wake();
        };
        if let Err(error) = std::thread::Builder::new().name("wake".to_string()).spawn(retry) {
            self.retrying.store(false, Ordering::Release);
            tracing::error!(%error, reactor = self.reactor.0, "a reactor with a full inbox could not be told of a change");
        }
    }

    fn try_wake(&self) -> bool {
        self.port.as_ref().is_none_or(|port| port.send(Message::Wake(self.token)).is_ok())
    }

    /// Its group goes.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn give(self: &Arc<Self>, incoming: Incoming) {
        lock(&self.incoming).push(incoming);
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    pub(crate) fn take(&self) -> Vec<Incoming> {
        std::mem::take(&mut *lock(&self.incoming))
    }

    /// Connections that it has not taken yet.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.incoming).len()
    }

    pub(crate) fn one_left(&self) {
        let _ = self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }

    pub(crate) fn load(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn stats(&self) -> GroupStats {
        let c = &self.counters;
        GroupStats {
            reactor: self.reactor.0,
            admin_queues: c.admin_queues.load(Ordering::Relaxed),
            io_queues: c.io_queues.load(Ordering::Relaxed),
            admin_queues_ever: c.admin_queues_ever.load(Ordering::Relaxed),
            io_queues_ever: c.io_queues_ever.load(Ordering::Relaxed),
            completed: c.completed.load(Ordering::Relaxed),
            waits: c.waits.load(Ordering::Relaxed),
            receives: c.receives.load(Ordering::Relaxed),
            sends: c.sends.load(Ordering::Relaxed),
            looks: c.looks.load(Ordering::Relaxed),
            copied_bytes: c.copied_bytes.load(Ordering::Relaxed),
        }
    }
}
