//! Commands in flight, by identifier.
//!
//! An identifier is a slot and a generation, so that the answer to a command that is over finds nothing. TCP writes into a request's
//! memory only while a receive call runs, so no witness is needed to give it back; what of it waits to be sent is counted in the slot.

use crate::link::Flight;
use doorbell_mem::SgList;
use doorbell_wire_nvme::{Cid, Cqe};
use doorbell_wire_nvme_tcp::{C2hTransfer, R2tWindow};

/// A place for one command.
pub(super) struct Slot {
    pub(super) flight: Option<Flight>,
    generation: u16,
    /// Data that comes, and its bytes in all.
    pub(super) reads: C2hTransfer,
    pub(super) inwards: u32,
    /// Data that goes, beyond what the capsule carries.
    pub(super) writes: R2tWindow,
    /// Bytes of it that were not asked for yet.
    pub(super) unasked: u32,
    /// Where its capsule's header ends, in bytes since the connection began: nothing is heard of it before that is sent.
    pub(super) told_at: u64,
    /// Pieces of its payload that wait to be sent.
    pub(super) unsent: u32,
    /// Some of its data came damaged.
    pub(super) damaged: bool,
    /// Its completion, which waits for what is still being sent.
    pub(super) ended: Option<Cqe>,
}

impl Slot {
    /// Its payload.
    #[inline]
    pub(super) fn payload(&self) -> Option<&SgList> {
        self.flight.as_ref().map(|f| &f.io.sg)
    }
}

pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u16>,
    /// Bits of an identifier that name the slot.
    index_bits: u32,
}

impl Slots {
    pub(super) fn new(depth: u16) -> Slots {
        let slot = || Slot {
            flight: None,
            generation: 0,
            reads: C2hTransfer::new(0),
            inwards: 0,
            writes: R2tWindow::new(0, 0),
            unasked: 0,
            told_at: 0,
            unsent: 0,
            damaged: false,
            ended: None,
        };
        let index_bits = u32::from(depth).next_power_of_two().trailing_zeros();
        Slots { slots: (0..depth).map(|_| slot()).collect(), free: (0..depth).rev().collect(), index_bits }
    }

    #[inline]
    pub(super) fn has_room_for(&self, n: usize) -> bool {
        self.free.len() >= n
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[inline]
    fn cid(&self, index: u16, generation: u16) -> Cid {
        Cid(index | generation << self.index_bits)
    }

    /// Takes a free slot. The caller fills it.
    #[inline]
    pub(super) fn take_free(&mut self) -> Option<(u16, Cid)> {
        let index = self.free.pop()?;
        let slot = self.slots.get(usize::from(index))?;
        Some((index, self.cid(index, slot.generation)))
    }

    #[inline]
    pub(super) fn get(&self, index: u16) -> Option<&Slot> {
        self.slots.get(usize::from(index))
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u16) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(index))
    }

    /// The slot of a command of which something may be heard: in flight, not completed, and sent (`sent` bytes are).
    #[inline]
    pub(super) fn live(&mut self, cid: Cid, sent: u64) -> Option<(u16, &mut Slot)> {
        let index = cid.0 & ((1 << self.index_bits) - 1);
        let generation = cid.0 >> self.index_bits;
        let slot = self.slots.get_mut(usize::from(index))?;
        let live = slot.flight.is_some() && slot.ended.is_none() && slot.generation == generation && slot.told_at <= sent;
        live.then_some((index, slot))
    }

    /// Takes a command out; its identifier means nothing from now on.
    #[inline]
    pub(super) fn release(&mut self, index: u16) -> Option<Flight> {
        // The last generation of all is not used, so that no identifier is FFFFh, which names no command (Base 2.1, 4.1.1).
        let generations = ((1u32 << (16 - self.index_bits)) - 1) as u16;
        let slot = self.slots.get_mut(usize::from(index))?;
        let flight = slot.flight.take()?;
        slot.generation = if slot.generation + 1 >= generations { 0 } else { slot.generation + 1 };
        self.free.push(index);
        Some(flight)
    }

    /// Everything in flight, in the order of slots.
    pub(super) fn each(&self) -> impl Iterator<Item = (Cid, &Flight)> {
        let all = (0u16..).zip(&self.slots);
        all.filter_map(|(index, slot)| Some((self.cid(index, slot.generation), slot.flight.as_ref()?)))
    }

    /// Takes everything out.
    pub(super) fn reclaim(&mut self) -> Vec<Flight> {
        (0..self.slots.len() as u16).filter_map(|index| self.release(index)).collect()
    }
}

#[cfg(test)]
mod tests;
