//! Where the queues of a store's volumes and the owner of the store meet: who has a queue, and how they write to each other.
//!
//! Only plain words travel. A queue that needs a cluster, or gives clusters back, asks the owner's desk; the owner answers the queue by its
//! number, which no other queue ever gets. A queue that has gone is answered nothing.

use doorbell_block::{Address, Cx, DeviceId, Mail, Message, ReactorId, Status};
use doorbell_wire_blob::BlobId;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a queue asks the owner for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A cluster of its own for this one of the blob's.
    Populate {
        /// Which.
        at: u32,
    },
    /// These of the blob's clusters may be given back.
    Release {
        /// The queue's own number for it, below 2^31.
        walk: u32,
        /// The first.
        at: u32,
        /// How many.
        count: u32,
    },
}

/// What the owner answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What was asked for this cluster was done, or why not.
    Done(u32, Status),
    /// Clusters were given back, by the queue's own number for that, or why not.
    Released(u32, Status),
    /// The blob looks different now, or may be written again.
    Changed,
    /// There is no owner any more.
    Closed,
}

impl Ask {
    fn to_mail(self, queue: u32) -> Mail {
        match self {
            Ask::Populate { at } => [u64::from(queue), u64::from(at)],
            Ask::Release { walk, at, count } => {
                [u64::from(queue) | 1 << 32 | u64::from(walk) << 33, u64::from(at) | u64::from(count) << 32]
            }
        }
    }

    /// Who asks, and what.
    pub(crate) fn of_mail([who, what]: Mail) -> (u32, Ask) {
        let ask = match who >> 32 {
            0 => Ask::Populate { at: what as u32 },
            word => Ask::Release { walk: (word >> 1) as u32, at: what as u32, count: (what >> 32) as u32 },
        };
        (who as u32, ask)
    }
}

impl Answer {
    fn to_mail(self) -> Mail {
        match self {
            Answer::Done(at, status) => [0, u64::from(at) | (status as u64) << 32],
            Answer::Released(walk, status) => [1, u64::from(walk) | (status as u64) << 32],
            Answer::Changed => [2, 0],
            Answer::Closed => [3, 0],
        }
    }

    pub(crate) fn of_mail([kind, what]: Mail) -> Answer {
        let status = Status::ALL.get((what >> 32) as usize).copied().unwrap_or(Status::Internal);
        match kind {
            0 => Answer::Done(what as u32, status),
            1 => Answer::Released(what as u32, status),
            2 => Answer::Changed,
            _ => Answer::Closed,
        }
    }
}

#[derive(Clone, Copy)]
struct Member {
    blob: BlobId,
    reactor: ReactorId,
    address: Address,
}

/// What the queues of a store and its owner share.
pub(crate) struct Hub {
    /// What the reactors' lanes are filed under.
    store: DeviceId,
    /// Where the owner is, and its desk.
    desk: (ReactorId, Address),
    closed: AtomicBool,
    next: AtomicU32,
    members: Mutex<BTreeMap<u32, Member>>,
}

impl Hub {
    pub(crate) fn new(reactor: ReactorId, address: Address) -> Arc<Hub> {
        Arc::new(Hub {
            store: DeviceId::new(),
            desk: (reactor, address),
            closed: AtomicBool::new(false),
            next: AtomicU32::new(0),
            members: Mutex::default(),
        })
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<u32, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A queue comes; its number.
    pub(crate) fn join(&self, blob: BlobId, reactor: ReactorId, address: Address) -> u32 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.members().insert(number, Member { blob, reactor, address });
        number
    }

    /// A queue goes.
    pub(crate) fn leave(&self, queue: u32) {
        self.members().remove(&queue);
    }

    /// Whose queue it is; none that has gone.
    pub(crate) fn blob_of(&self, queue: u32) -> Option<BlobId> {
        self.members().get(&queue).map(|member| member.blob)
    }

    /// Has anybody a queue of this blob?
    pub(crate) fn is_open(&self, blob: BlobId) -> bool {
        self.members().values().any(|member| member.blob == blob)
    }

    /// Has anybody a queue?
    pub(crate) fn is_any_open(&self) -> bool {
        !self.members().is_empty()
    }

    /// Reactors with queues.
    pub(crate) fn reactors(&self) -> Vec<ReactorId> {
        let mut reactors: Vec<ReactorId> = self.members().values().map(|member| member.reactor).collect();
        reactors.sort();
        reactors.dedup();
        reactors
    }

    /// Asks the owner; false when there is none any more.
    pub(crate) fn ask(&self, cx: &mut Cx, queue: u32, ask: Ask) -> bool {
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        cx.send(self.desk.0, Message::Mail(self.desk.1, ask.to_mail(queue)));
        true
    }

    /// Answers a queue.
    pub(crate) fn answer(&self, cx: &mut Cx, queue: u32, answer: Answer) {
        let member = self.members().get(&queue).copied();
        if let Some(member) = member {
            cx.send(member.reactor, Message::Mail(member.address, answer.to_mail()));
        }
    }

    /// Tells all queues of some blobs.
    pub(crate) fn tell(&self, cx: &mut Cx, of: impl Fn(BlobId) -> bool, answer: Answer) {
        let members: Vec<Member> = self.members().values().filter(|member| of(member.blob)).copied().collect();
        for member in members {
            cx.send(member.reactor, Message::Mail(member.address, answer.to_mail()));
        }
    }

    /// There is no owner from now on.
    pub(crate) fn close(&self, cx: &mut Cx) {
        self.closed.store(true, Ordering::Release);
        self.tell(cx, |_| true, Answer::Closed);
    }

    /// The reactor's lane of this store.
    pub(crate) fn lane(&self, cx: &mut Cx) -> Rc<RefCell<Rc<Lane>>> {
        cx.local(self.store, |_| Rc::default())
    }
}

/// A reactor's requests that are under way beneath the volumes of one store, in two halves: when the owner turns them over, whatever is
/// submitted from then on counts for the other half, and the owner waits for the first to end. So it knows that nothing of what went before
/// is still under way, though there is never a moment at which nothing is.
#[derive(Default)]
pub(crate) struct Lane {
    second: Cell<bool>,
    under_way: [Cell<u64>; 2],
    waiting: RefCell<Option<doorbell_reactor::Sender<()>>>,
}

/// In a request's word: it counts for the second half.
pub(crate) const SECOND: u64 = 1 << 63;

impl Lane {
    /// A request goes down; the bit of its word.
    #[inline]
    pub(crate) fn enter(&self) -> u64 {
        let second = self.second.get();
        let count = &self.under_way[usize::from(second)];
        count.set(count.get() + 1);
        u64::from(second) << 63
    }

    /// So many of each half came back.
    #[inline]
    pub(crate) fn leave(&self, counts: [u64; 2]) {
        for (half, count) in self.under_way.iter().zip(counts) {
            half.set(half.get() - count);
        }
        if self.under_way[usize::from(!self.second.get())].get() == 0
            && let Some(waiting) = self.waiting.take()
        {
            waiting.send(());
        }
    }

    /// Turns over. What it gives is answered when nothing of what went before is under way.
    pub(crate) fn turn(&self) -> Option<doorbell_reactor::Receiver<()>> {
        let before = usize::from(self.second.replace(!self.second.get()));
        if self.under_way[before].get() == 0 {
            return None;
        }
        let (sender, receiver) = doorbell_reactor::oneshot();
        *self.waiting.borrow_mut() = Some(sender);
        Some(receiver)
    }
}
