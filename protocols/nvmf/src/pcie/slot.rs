//! The commands of a function that are under way: a table by slot.

use crate::io::Plan;
use crate::io::ranges::Progress;
use crate::namespaces::QueueId;
use doorbell_block::{Io, IoId};
use doorbell_mem::SgList;
use doorbell_wire_nvme::{Cid, Sqe};

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Step {
    /// The slot is free.
    #[default]
    Free,
    /// It is being looked at, waits for its other half, or is answered later.
    Held,
    /// An asynchronous event request.
    Waiting,
    /// Its box is at the namespace's queue.
    AtDevice,
}

/// The queue of what nobody asked for: the flush of a shutdown.
pub(super) const NOBODY: u16 = u16::MAX;

/// A command.
pub(super) struct Slot {
    pub(super) step: Step,
    /// Its submission queue.
    pub(super) qid: u16,
    pub(super) sqe: Sqe,
    pub(super) plan: Plan,
    pub(super) queue: QueueId,
    /// Its box, while it is here.
    pub(super) io: Option<Box<Io>>,
    /// Its box, wherever that is.
    pub(super) id: Option<IoId>,
    pub(super) ranges: SgList,
    pub(super) progress: Progress,
    /// The second half of a fused pair, of the first.
    pub(super) partner: Option<u16>,
    /// An Abort command that waits for its end.
    pub(super) aborter: Option<u16>,
    /// When its box comes back without an error, it is answered, and that is all there is to do.
    pub(super) direct: bool,
}

/// A free slot, to be filled; it stays free until it is taken.
pub(super) struct Next<'a> {
    pub(super) number: u16,
    pub(super) slot: &'a mut Slot,
    free: &'a mut Vec<u16>,
}

impl Next<'_> {
    /// Takes it, for a command whose entry and plan it holds: its box goes to the queue at once.
    #[inline]
    pub(super) fn take_direct(self, qid: u16, queue: QueueId, id: IoId) {
        self.free.pop();
        let s = self.slot;
        (s.step, s.qid, s.queue, s.id) = (Step::AtDevice, qid, queue, Some(id));
        (s.partner, s.aborter, s.direct) = (None, None, true);
    }
}

/// The table. It grows to what is needed at once.
#[derive(Default)]
pub(super) struct Slots {
    all: Vec<Slot>,
    free: Vec<u16>,
}

/// Commands of a function under way at most.
const SLOTS_MAX: usize = 8192;

impl Slots {
    #[inline]
    pub(super) fn get(&mut self, slot: u16) -> Option<&mut Slot> {
        self.all.get_mut(usize::from(slot)).filter(|s| s.step != Step::Free)
    }

    /// The slot that is free next; none when there are as many as there may be.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Next<'_>> {
        if self.free.is_empty() {
            self.grow()?;
        }
        let number = *self.free.last()?;
        Some(Next { number, slot: self.all.get_mut(usize::from(number))?, free: &mut self.free })
    }

    #[cold]
    fn grow(&mut self) -> Option<()> {
        let slot = u16::try_from(self.all.len()).ok().filter(|n| usize::from(*n) < SLOTS_MAX)?;
        self.all.push(Slot {
            step: Step::Free,
            qid: 0,
            sqe: Sqe::default(),
            plan: Plan::NOTHING,
            queue: QueueId::default(),
            io: None,
            id: None,
            ranges: SgList::default(),
            progress: Progress::default(),
            partner: None,
            aborter: None,
            direct: false,
        });
        self.free.push(slot);
        Some(())
    }

    /// Takes a slot for a command of a queue; none when there are as many as there may be.
    pub(super) fn take(&mut self, qid: u16, sqe: &Sqe) -> Option<u16> {
        let Next { number, slot: s, free } = self.next()?;
        (s.step, s.qid, s.sqe, s.plan) = (Step::Held, qid, *sqe, Plan::NOTHING);
        (s.id, s.partner, s.aborter, s.progress, s.direct) = (None, None, None, Progress::default(), false);
        free.pop();
        Some(number)
    }

    /// Frees a command that was answered directly: its queue, identifier and bytes. `None` when there is more to do.
    #[inline]
    pub(super) fn give_back_direct(&mut self, tag: u64) -> Option<(u16, Cid, u32)> {
        let number = u16::try_from(tag).ok()?;
        let s = self.all.get_mut(usize::from(number)).filter(|s| s.direct && s.step == Step::AtDevice)?;
        s.step = Step::Free;
        self.free.push(number);
        Some((s.qid, s.sqe.cid(), s.plan.bytes))
    }

    /// Frees it.
    #[inline]
    pub(super) fn give_back(&mut self, slot: u16) {
        if let Some(s) = self.get(slot) {
            s.step = Step::Free;
            if !s.ranges.segs().is_empty() {
                s.ranges.clear();
            }
            self.free.push(slot);
        }
    }

    /// The command of a queue with this identifier.
    pub(super) fn find(&self, qid: u16, cid: u16) -> Option<u16> {
        let at = self.all.iter().position(|s| s.step != Step::Free && s.qid == qid && s.sqe.cid.get() == cid)?;
        u16::try_from(at).ok()
    }

    /// Every command that is under way.
    pub(super) fn each(&mut self) -> impl Iterator<Item = (u16, &mut Slot)> {
        let all = self.all.iter_mut().enumerate().filter(|(_, s)| s.step != Step::Free);
        all.filter_map(|(n, s)| Some((u16::try_from(n).ok()?, s)))
    }
}
