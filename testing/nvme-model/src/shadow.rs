//! Shadow doorbells (Base 2.1, 5.2.5 and Annex B.5): the tails and heads of I/O queues in the driver's memory, and the event indices by
//! which the model says when it wants a register rung.
//!
//! Invariant: it looks at a tail only when the register was rung, or when it told the driver that it need not ring. A driver that leaves a
//! ring out which it owed is not heard.

use crate::io::prps;
use crate::model::Model;
use crate::queue::Looks;
use doorbell_wire_nvme::{Sqe, Status};

/// Where the driver's two pages are.
#[derive(Clone, Copy)]
pub(crate) struct Shadows {
    doorbells: u64,
    events: u64,
}

/// In a register that was not rung since it was looked at: no queue is that long.
const UNRUNG: u32 = u32::MAX;

impl Model {
    pub(crate) fn configure_shadows(&mut self, sqe: &Sqe) -> Option<(Status, u32)> {
        let (doorbells, events) = prps(sqe);
        if doorbells % 4096 != 0 || events % 4096 != 0 || doorbells == events {
            self.counters.driver_errors += 1;
            return Some((Status::INVALID_FIELD.dnr(), 0));
        }
        self.shadows = Some(Shadows { doorbells, events });
        Some((Status::SUCCESS, 0))
    }

    /// The tail of a submission queue, if there may be a new one.
    pub(crate) fn tail(&mut self, sqid: u16) -> Option<u32> {
        let register = self.doorbell(u32::from(sqid) * 2);
        let shadows = match self.shadows {
            Some(shadows) if sqid > 0 => shadows,
            _ => return Some(register),
        };
        let at = u64::from(sqid) * 8;
        let (looks, head) = self.submissions.get(&sqid).map(|queue| (queue.looks, queue.head))?;
        let rung = register != UNRUNG;
        if !rung && looks == Looks::WhenRung {
            return None;
        }
        self.set_doorbell(u32::from(sqid) * 2, UNRUNG);
        // For a while it looks by itself; then it asks to be rung again, and looks once more for what came before it had asked.
        let next = if self.entropy.chance(300_000) { Looks::WhenRung } else { Looks::Always };
        let shadow = |model: &mut Model| {
            let mut word = [0; 4];
            model.memory.read(shadows.doorbells + at, &mut word).then_some(u32::from_le_bytes(word))
        };
        let tail = shadow(self)?;
        let event = match next {
            Looks::WhenRung => tail,
            Looks::Always => tail.wrapping_sub(1) & 0xffff,
        };
        self.memory.write(shadows.events + at, &event.to_le_bytes());
        if let Some(queue) = self.submissions.get_mut(&sqid) {
            queue.looks = next;
        }
        if !rung && tail != u32::from(head) {
            self.counters.unrung += 1;
        }
        shadow(self)
    }

    /// The head of a completion queue, as the driver told it.
    pub(crate) fn completion_head(&self, cqid: u16) -> u32 {
        match self.shadows {
            Some(shadows) if cqid > 0 => self.memory.peek32(shadows.doorbells + u64::from(cqid) * 8 + 4),
            _ => self.doorbell(u32::from(cqid) * 2 + 1),
        }
    }
}
