//! Interrupts: an eventfd for each vector, written a while after an answer, if at all.
//!
//! What is not asked for when it is due is lost, as with a vector that is masked and whose pending bit nobody reads: who turns one on has to
//! look at its queue afterwards.

use crate::model::Model;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

/// A function's vectors.
#[derive(Default)]
pub(crate) struct Vectors {
    /// What is written, by vector.
    notified: Vec<Option<File>>,
    /// What is due, and when.
    due: Vec<(u64, u16)>,
}

impl Vectors {
    /// Sets what is written; false when there is no such vector.
    pub(crate) fn set(&mut self, vector: u32, of: u16, notify: Option<File>) -> bool {
        self.notified.resize_with(of.into(), || None);
        let slot = self.notified.get_mut(vector as usize);
        slot.map(|slot| *slot = notify).is_some()
    }

    /// None is due any more.
    pub(crate) fn forget(&mut self) {
        self.due.clear();
    }

    pub(crate) fn next_due(&self) -> Option<u64> {
        self.due.iter().map(|(at, _)| *at).min()
    }

    fn ring(&mut self, vector: u16) {
        if let Some(Some(file)) = self.notified.get_mut(usize::from(vector)) {
            // What does not fit is not needed: it is readable already.
            let _ = file.write(&1u64.to_ne_bytes());
        }
    }
}

impl Model {
    /// How many interrupts it has.
    pub(crate) fn vectors(&self) -> u16 {
        self.plan.vectors
    }

    /// Sets what a vector writes; false when there is none of that number.
    pub(crate) fn set_vector(&mut self, vector: u32, notify: Option<OwnedFd>) -> bool {
        self.vectors.set(vector, self.plan.vectors, notify.map(File::from))
    }

    /// An answer is in a queue with this vector: its interrupt comes soon, unless the plan has it lost.
    pub(crate) fn interrupt(&mut self, vector: u16) {
        if self.entropy.chance(self.plan.rates.mute) {
            return;
        }
        // Several answers within that time share one.
        let after = self.entropy.below(self.plan.coalescing_ns + 1);
        if !self.vectors.due.iter().any(|(_, v)| *v == vector) {
            let at = self.now() + after;
            self.vectors.due.push((at, vector));
        }
    }

    /// Writes what is due, and now and then what is not.
    pub(crate) fn notify(&mut self) {
        let now = self.now();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.vectors.due).into_iter().partition(|(at, _)| *at <= now);
        self.vectors.due = later;
        for (_, vector) in due {
            self.counters.interrupts += 1;
            self.vectors.ring(vector);
        }
        if self.plan.vectors > 0 && self.entropy.chance(self.plan.rates.spurious) {
            let vector = self.entropy.below(self.plan.vectors.into()) as u16;
            self.vectors.ring(vector);
        }
    }
}
