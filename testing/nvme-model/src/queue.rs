//! Queues: what is fetched, what is under way, what is answered.

use crate::model::{Model, Under};
use doorbell_mem::Foreign;
use doorbell_wire_nvme::{Cid, Cqe, Fuse, Sqe, Status, bytes, view};

/// A submission queue.
pub(crate) struct Submission {
    pub(crate) cqid: u16,
    pub(crate) base: u64,
    pub(crate) entries: u16,
    pub(crate) head: u16,
    /// The doorbell as it was last acted upon.
    pub(crate) seen: u32,
    /// A doorbell that is overlooked.
    pub(crate) overlooked: Option<u32>,
    /// Answered elsewhere ([`crate::LeanQueue`]).
    pub(crate) lent: bool,
    /// With shadow doorbells.
    pub(crate) looks: Looks,
}

/// How the tail of a queue with shadow doorbells is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// The register is waited for.
    WhenRung,
    /// The shadow is looked at in every step, and the driver was told that it need not ring.
    Always,
}

/// A completion queue.
pub(crate) struct Completion {
    pub(crate) base: u64,
    pub(crate) entries: u16,
    pub(crate) tail: u16,
    pub(crate) phase: bool,
    /// What is interrupted when there is an answer.
    pub(crate) vector: Option<u16>,
}

impl Model {
    pub(crate) fn doorbell(&self, index: u32) -> u32 {
        let seg = Foreign::of(self.doorbells()).seg(u64::from(index) * 4, 4);
        seg.map_or(0, |seg| seg.load32(0))
    }

    pub(crate) fn silence_doorbell(&self, index: u32) {
        self.set_doorbell(index, 0);
    }

    pub(crate) fn set_doorbell(&self, index: u32, value: u32) {
        if let Some(seg) = Foreign::of(self.doorbells()).seg(u64::from(index) * 4, 4) {
            seg.store32(0, value);
        }
    }

    /// Looks at the doorbells and takes in what is new.
    pub(crate) fn fetch(&mut self) {
        let ids: Vec<u16> = self.submissions.iter().filter(|(_, queue)| !queue.lent).map(|(id, _)| *id).collect();
        for sqid in ids {
            let Some(tail) = self.tail(sqid) else { continue };
            let Some(queue) = self.submissions.get_mut(&sqid) else { continue };
            if tail == queue.seen || queue.overlooked == Some(tail) {
                continue;
            }
            if tail >= queue.entries.into() {
                self.counters.driver_errors += 1;
                continue;
            }
            if self.entropy.chance(self.plan.rates.deaf) {
                queue.overlooked = Some(tail);
                continue;
            }
            (queue.seen, queue.overlooked) = (tail, None);
            let (base, entries) = (queue.base, queue.entries);
            let mut head = queue.head;
            let mut fetched = Vec::new();
            while u32::from(head) != tail {
                let mut raw = [0; 64];
                self.memory.read(base + u64::from(head) * 64, &mut raw);
                head = if head + 1 == entries { 0 } else { head + 1 };
                fetched.extend(view::<Sqe>(&raw).copied());
            }
            if let Some(queue) = self.submissions.get_mut(&sqid) {
                queue.head = head;
            }
            self.take_in(sqid, fetched);
        }
    }

    /// Takes in what one ring of a doorbell told of. The halves of a fused pair stand side by side, and are told of at once (Base 2.1, 3.4.2).
    fn take_in(&mut self, sqid: u16, fetched: Vec<Sqe>) {
        let mut fetched = fetched.into_iter().peekable();
        while let Some(sqe) = fetched.next() {
            match sqe.fuse() {
                Fuse::NORMAL => self.begin(sqid, sqe, None),
                Fuse::FIRST => match fetched.next_if(|next| next.fuse() == Fuse::SECOND) {
                    Some(second) => self.begin(sqid, sqe, Some(second)),
                    None => self.alone(sqid, &sqe),
                },
                _ => self.alone(sqid, &sqe),
            }
        }
    }

    /// Half of a fused pair.
    fn alone(&mut self, sqid: u16, sqe: &Sqe) {
        self.counters.driver_errors += 1;
        self.answer(sqid, sqe.cid(), Status::ABORTED_MISSING_FUSED, 0);
    }

    /// Is there room for `n` more answers?
    pub(crate) fn has_room(&self, cqid: u16, n: u32) -> bool {
        let Some(queue) = self.completions.get(&cqid) else { return true };
        let (entries, head) = (u32::from(queue.entries), self.completion_head(cqid));
        let used = (u32::from(queue.tail) + entries - head.min(entries - 1)) % entries;
        used + n < entries
    }

    /// Writes an answer, with its phase, and makes it seen last.
    pub(crate) fn answer(&mut self, sqid: u16, cid: Cid, status: Status, dw0: u32) {
        let Some((cqid, head)) = self.submissions.get(&sqid).map(|q| (q.cqid, q.head)) else { return };
        let corrupt = self.entropy.chance(self.plan.rates.corrupt);
        let noise = self.entropy.word();
        let Some(queue) = self.completions.get_mut(&cqid) else { return };
        let cqe = Cqe::new(cid, status).with_dw0(dw0).with_sqhd(head).with_sqid(sqid).with_phase(queue.phase);
        let cqe = if corrupt { cqe.with_sqhd(noise as u16).with_sqid((noise >> 16) as u16) } else { cqe };
        let at = queue.base + u64::from(queue.tail) * 16;
        queue.tail += 1;
        if queue.tail == queue.entries {
            (queue.tail, queue.phase) = (0, !queue.phase);
        }
        let (raw, vector) = (bytes(&cqe), queue.vector);
        if let (Some(low), Some(high)) = (raw.get(..12), raw.get(12..)) {
            self.memory.write(at, low);
            self.memory.write(at + 12, high);
        }
        if let Some(vector) = vector {
            self.interrupt(vector);
        }
        self.counters.answers += 1;
    }

    /// An identifier that names nothing in flight on a queue.
    pub(crate) fn stray_id(&mut self, sqid: u16) -> Cid {
        let entries = self.submissions.get(&sqid).map_or(1, |q| q.entries);
        Cid(entries.saturating_add((self.entropy.word() as u16) % 1000))
    }

    /// Another command of the queue.
    pub(crate) fn other(&mut self, of: &Under) -> Option<Cid> {
        let others = self.under.iter().filter(|u| u.sqid == of.sqid && u.sqe.cid != of.sqe.cid);
        let others: Vec<u16> = others.map(|u| u.sqe.cid.get()).collect();
        (!others.is_empty()).then(|| Cid(*self.entropy.pick(&others)))
    }
}
