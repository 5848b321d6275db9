//! What a controller's queue pairs on all reactors, its namespaces and its supervisor share. Nothing here is touched on the path of a
//! request but counters of errors.

use crate::link::{Faults, QueueKind};
use crate::options::Policy;
use doorbell_block::{DeviceId, IoId, ReactorId};
use doorbell_wire_nvme::Cid;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Names a queue pair of a controller: its reactor and a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PairId {
    pub(crate) reactor: ReactorId,
    pub(crate) number: u64,
}

/// What the supervisor is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A reactor has a queue pair that wants a link.
    Opened(PairId),
    /// The same once more, if it still has: there was none to be had before.
    Again(PairId),
    /// A queue pair has gone.
    Closed(PairId),
    /// A link of this bring-up is lost.
    Lost(u64, String),
    /// A command of a pair is to be aborted.
    Abort(PairId, Cid, IoId),
    /// Somebody asks for a reset, after this bring-up.
    Reset(Why, u64),
    /// The namespaces have changed.
    Rescan,
    /// Its owner has it stand still.
    Disable,
    /// Its owner has it brought up again after that.
    Enable,
    /// Its owner lets the controller go.
    Detach,
}

/// Why a controller is reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Asked,
    /// The whole subsystem is to be reset with it.
    Subsystem,
    TimedOut,
    Fatal,
    Lost(String),
    /// The way that it is reached by is taken away.
    PathRemoved,
    /// It stood still, and is not to any more.
    Enabled,
}

/// How a controller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It is being brought up for the first time.
    Connecting,
    /// Commands go through.
    Live,
    /// It is being reset or reconnected; commands wait.
    Resetting,
    /// Its owner has it stand still; commands wait until it is enabled again.
    Disabled,
    /// It is lost, or was let go.
    Gone,
}

impl State {
    /// A word for people and overviews.
    pub const fn name(self) -> &'static str {
        match self {
            State::Connecting => "connecting",
            State::Live => "enabled",
            State::Resetting => "resetting",
            State::Disabled => "disabled",
            State::Gone => "failed",
        }
    }
}

#[derive(Default)]
struct MailBox {
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

/// Counts of a controller, for overviews.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) retries: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) pairs: AtomicU32,
}

/// What all share.
pub(crate) struct Shared {
    pub(crate) name: String,
    /// What each reactor's queue pair is filed under, and what the admin queue is.
    pub(crate) device: DeviceId,
    pub(crate) admin_device: DeviceId,
    pub(crate) policy: Policy,
    pub(crate) counters: Counters,
    state: AtomicU32,
    /// Queue pairs at most, as granted.
    pub(crate) pairs_max: AtomicU32,
    next_pair: AtomicU64,
    /// Rises with each attempt to bring the controller back: what was lost before it is no news.
    pub(crate) epoch: AtomicU64,
    /// It has been away for so long that commands fail at once.
    pub(crate) failing: AtomicBool,
    retry_delays_ms: [AtomicU32; 3],
    admin_faults: Arc<Faults>,
    io_faults: Arc<Faults>,
    mail: Mutex<MailBox>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(name: &str, policy: Policy) -> Shared {
        Shared {
            name: name.to_owned(),
            device: DeviceId::new(),
            admin_device: DeviceId::new(),
            policy,
            counters: Counters::default(),
            state: AtomicU32::new(State::Connecting as u32),
            pairs_max: AtomicU32::new(0),
            next_pair: AtomicU64::new(1),
            epoch: AtomicU64::new(1),
            failing: AtomicBool::new(false),
            retry_delays_ms: Default::default(),
            admin_faults: Arc::default(),
            io_faults: Arc::default(),
            mail: Mutex::default(),
        }
    }

    /// What an operator asked for of its queues of a kind.
    pub(crate) fn faults(&self, kind: QueueKind) -> &Arc<Faults> {
        match kind {
            QueueKind::Admin => &self.admin_faults,
            QueueKind::Io => &self.io_faults,
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Connecting,
            1 => State::Live,
            2 => State::Resetting,
            3 => State::Disabled,
            _ => State::Gone,
        }
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u32, Ordering::Release);
    }

    /// A number for a new queue pair.
    pub(crate) fn pair_id(&self, reactor: ReactorId) -> PairId {
        PairId { reactor, number: self.next_pair.fetch_add(1, Ordering::Relaxed) }
    }

    /// Tells the supervisor. From any reactor.
    pub(crate) fn tell(&self, event: Event) {
        let waker = {
            let mut mail = lock(&self.mail);
            mail.events.push_back(event);
            mail.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Asks for a reset, unless one begins before this is heard. Gives the bring-up that it comes after.
    pub(crate) fn ask_for_reset(&self, why: Why) -> u64 {
        let epoch = self.epoch.load(Ordering::Acquire);
        self.tell(Event::Reset(why, epoch));
        epoch
    }

    /// The next event, if there is one.
    pub(crate) fn try_event(&self) -> Option<Event> {
        lock(&self.mail).events.pop_front()
    }

    /// The next event.
    pub(crate) async fn event(&self) -> Event {
        poll_fn(|c| {
            let mut mail = lock(&self.mail);
            match mail.events.pop_front() {
                Some(event) => Poll::Ready(event),
                None => {
                    mail.waker = Some(c.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// CRDT1 to 3 of the identify data, in units of 100 ms.
    pub(crate) fn set_retry_delays(&self, delays_100ms: [u16; 3]) {
        for (to, from) in self.retry_delays_ms.iter().zip(delays_100ms) {
            to.store(u32::from(from) * 100, Ordering::Relaxed);
        }
    }

    /// How long to wait before a command that failed is sent again. A delay beyond ten seconds is cut: it is the device's word only.
    pub(crate) fn retry_delay_ns(&self, crd: u8) -> u64 {
        const LONGEST_MS: u32 = 10_000;
        let index = usize::from(crd).checked_sub(1);
        let ms = index.and_then(|n| self.retry_delays_ms.get(n)).map_or(0, |ms| ms.load(Ordering::Relaxed));
        u64::from(ms.min(LONGEST_MS)) * 1_000_000
    }

    pub(crate) fn count_retry(&self) {
        self.counters.retries.fetch_add(1, Ordering::Relaxed);
    }
}
