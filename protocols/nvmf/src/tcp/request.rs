//! The commands of a connection: a table by slot. A slot is the transfer tag of its command, so that data finds it without a search.

use super::share::{Charge, Held};
use crate::io::Plan;
use crate::io::ranges::Progress;
use crate::namespaces::QueueId;
use crate::target::Where;
use doorbell_block::{Io, IoId, Ticks};
use doorbell_mem::SgList;
use doorbell_wire_nvme::{Sqe, Status};
use doorbell_wire_nvme_tcp::H2cTransfer;

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Step {
    /// The slot is free.
    #[default]
    Free,
    /// Its in-capsule data is coming.
    InCapsule,
    /// It has no box or buffer yet; if it brings data, that has not been asked for.
    Unasked,
    /// Its data has been asked for.
    Asked,
    /// Its data is there; it is the first of a fused pair and waits for the second, or the second and waits for the first's data.
    Paired,
    /// Its box is at the namespace's queue.
    AtDevice,
    /// An admin command that is answered later.
    Held,
}

/// A command.
pub(super) struct Request {
    pub(super) step: Step,
    pub(super) sqe: Sqe,
    pub(super) plan: Plan,
    /// Bytes that the host sends: those of the data pointer.
    pub(super) len: u32,
    /// Its box, while it is here.
    pub(super) io: Option<Box<Io>>,
    /// Its box, wherever that is.
    pub(super) id: Option<IoId>,
    /// The data of a command with ranges, while its box goes back and forth.
    pub(super) ranges: SgList,
    /// How far it is with its ranges, or with the namespaces that it flushes.
    pub(super) progress: Progress,
    /// Its namespace's queue.
    pub(super) queue: QueueId,
    pub(super) transfer: Option<H2cTransfer>,
    /// When its data was asked for, or began to come.
    pub(super) since: Ticks,
    /// The other half of a fused pair.
    pub(super) partner: Option<u16>,
    /// It fails with this once its data, which is on its way, has come.
    pub(super) doomed: Option<Status>,
    /// An Abort command that waits for its end: the admin connection and the slot there.
    pub(super) aborter: Option<(Where, u16)>,
    /// What it holds of the reactor's boxes and buffers.
    charge: Option<Charge>,
}

impl Request {
    fn new() -> Request {
        Request {
            step: Step::Free,
            sqe: Sqe::default(),
            plan: Plan::NOTHING,
            len: 0,
            io: None,
            id: None,
            ranges: SgList::default(),
            progress: Progress::default(),
            queue: QueueId::default(),
            transfer: None,
            since: Ticks(0),
            partner: None,
            doomed: None,
            aborter: None,
            charge: None,
        }
    }
}

/// The table.
pub(super) struct Requests {
    all: Vec<Request>,
    free: Vec<u16>,
    held: Held,
}

impl Requests {
    pub(super) fn new(depth: u16) -> Requests {
        Requests { all: (0..depth).map(|_| Request::new()).collect(), free: (0..depth).rev().collect(), held: Held::default() }
    }

    pub(super) fn depth(&self) -> usize {
        self.all.len()
    }

    /// Commands that are under way.
    pub(super) fn active(&self) -> usize {
        self.all.len() - self.free.len()
    }

    #[inline]
    pub(super) fn get(&mut self, slot: u16) -> Option<&mut Request> {
        self.all.get_mut(usize::from(slot)).filter(|r| r.step != Step::Free)
    }

    /// Takes a slot for a command.
    #[inline]
    pub(super) fn take(&mut self, sqe: &Sqe) -> Option<u16> {
        let slot = self.free.pop()?;
        let r = self.all.get_mut(usize::from(slot))?;
        r.sqe = *sqe;
        r.step = Step::Held;
        r.plan = Plan::NOTHING;
        (r.partner, r.doomed, r.aborter, r.transfer, r.id) = (None, None, None, None, None);
        (r.len, r.progress) = (0, Progress::default());
        Some(slot)
    }

    /// What the commands hold.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// The command holds this until it is given back, or until that is taken from it.
    pub(super) fn charge(&mut self, slot: u16, charge: Charge) {
        if let Some(r) = self.get(slot) {
            r.charge = Some(charge);
            self.held.add(charge);
        }
    }

    /// Something else holds from now on what the command held.
    #[inline]
    pub(super) fn take_charge(&mut self, slot: u16) -> Option<Charge> {
        let charge = self.get(slot)?.charge.take()?;
        self.held.remove(charge);
        Some(charge)
    }

    /// Frees it.
    #[inline]
    pub(super) fn give_back(&mut self, slot: u16) {
        self.take_charge(slot);
        if let Some(r) = self.get(slot) {
            r.step = Step::Free;
            if !r.ranges.segs().is_empty() {
                r.ranges.clear();
            }
            self.free.push(slot);
        }
    }

    /// The command with this identifier.
    pub(super) fn find(&self, cid: u16) -> Option<u16> {
        let at = self.all.iter().position(|r| r.step != Step::Free && r.sqe.cid.get() == cid)?;
        u16::try_from(at).ok()
    }

    /// Since when the host owes the data for which a command holds buffers: the earliest of all.
    pub(super) fn owed_since(&self) -> Option<Ticks> {
        self.all.iter().filter(|r| matches!(r.step, Step::Asked | Step::InCapsule)).map(|r| r.since).min()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Request> {
        self.all.iter_mut()
    }
}
