//! Tables of what a device or the kernel holds. What is in one leaves it only against a witness.
//!
//! A witness is minted by the ring that the queue belongs to (`unsafe`, so only core can), is bound to that queue, and, for
//! [`Quiesced`], to its epoch. Unknown, duplicate and foreign ids release nothing. A table dropped while not empty leaks what it holds,
//! because the other side may still write there, and counts the leak.

use crate::SgList;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Anything that carries a list of segments, so that a table can keep it while it is in flight.
///
/// What a table holds it shows by `&` alone, and never drops: so the segments stay as they are, and the memory with them. Hence no lifetime
/// of anybody else's either.
pub trait Carrier: 'static {
    /// The list.
    fn sg(&self) -> &SgList;

    /// Metadata that travels apart from the payload, if there is any.
    #[inline]
    fn meta(&self) -> Option<&SgList> {
        None
    }
}

impl Carrier for SgList {
    fn sg(&self) -> &SgList {
        self
    }
}

/// A command id: which slot of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cid(pub u16);

/// Which queue a witness speaks for. Each is made once.
#[derive(Debug, PartialEq, Eq)]
pub struct QueueKey(u64);

impl QueueKey {
    /// A key that no other queue has.
    #[allow(clippy::new_without_default)] // a default would hide that each is unique
    pub fn new() -> QueueKey {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        QueueKey(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Says that the device is done with `cid`.
    ///
    /// # Safety
    /// The device or kernel behind this queue has said so, and no longer touches that command's memory.
    pub unsafe fn completion(&self, cid: u16) -> Completion {
        Completion { queue: self.0, cid }
    }

    /// Says that the device has forgotten everything submitted in `epoch`.
    ///
    /// # Safety
    /// It is so: a reset was acknowledged, or every command was waited for.
    pub unsafe fn quiesced(&self, epoch: u32) -> Quiesced {
        Quiesced { queue: self.0, epoch }
    }
}

/// Witness: one command of one queue is done.
#[derive(Debug)]
pub struct Completion {
    queue: u64,
    cid: u16,
}

impl Completion {
    /// Which command.
    pub fn cid(&self) -> Cid {
        Cid(self.cid)
    }
}

/// Witness: nothing of one epoch of one queue is in flight any more.
#[derive(Debug)]
pub struct Quiesced {
    queue: u64,
    epoch: u32,
}

/// What was just taken in.
pub struct Entered<'a, T> {
    /// Its slot.
    pub cid: Cid,
    /// It, and in it the segments: where addresses for a device come from, and only while it is here.
    pub item: &'a T,
}

/// What a witness has released. It is in flight until it is taken: who drops this has it there for good, and its slot.
#[must_use]
pub struct Leaving<'a, T: Carrier> {
    table: &'a mut InFlight<T>,
    /// Of a slot that is there and has something.
    cid: u16,
}

impl<T: Carrier> Leaving<'_, T> {
    /// It, where it still is.
    #[inline(always)]
    pub fn item(&self) -> &T {
        // SAFETY: `leave` has found both, and nobody else has had the table since.
        unsafe { self.table.slots.get_unchecked(self.cid as usize).as_ref().unwrap_unchecked() }
    }

    /// Takes it.
    #[inline(always)]
    pub fn take(self) -> T {
        let free = &mut self.table.free;
        debug_assert!(free.len() < free.capacity());
        // SAFETY: it was made with room for every slot, and holds none twice: this one is not there yet.
        unsafe {
            free.as_mut_ptr().add(free.len()).write(self.cid);
            free.set_len(free.len() + 1);
        }
        // SAFETY: as in item.
        unsafe { self.table.slots.get_unchecked_mut(self.cid as usize).take().unwrap_unchecked() }
    }
}

/// What is in flight on one queue.
pub struct InFlight<T: Carrier> {
    slots: Vec<Option<T>>,
    /// Slots that have nothing, each once; it never grows.
    free: Vec<u16>,
    queue: u64,
    epoch: u32,
    strays: u64,
}

thread_local! { static LEAKED: Cell<usize> = const { Cell::new(0) } }

/// How many requests this thread's tables leaked. Anything but zero is a bug.
pub fn leaked() -> usize {
    LEAKED.get()
}

impl<T: Carrier> InFlight<T> {
    /// A table of `depth` slots for the queue of `key`.
    pub fn new(key: &QueueKey, depth: u16) -> Self {
        let slots = (0..depth).map(|_| None).collect();
        InFlight { slots, free: (0..depth).rev().collect(), queue: key.0, epoch: 0, strays: 0 }
    }

    /// Is there a free slot?
    #[inline]
    pub fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// How many are in flight.
    #[inline]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Is nothing in flight?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which reset this is.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Completions that named nothing in flight.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// Takes it in, its segments with it. Gives it back when full.
    #[inline]
    pub fn insert(&mut self, item: T) -> Result<Cid, T> {
        self.enter(item).map(|entered| entered.cid)
    }

    /// As `insert`, and shows it there.
    #[inline(always)]
    pub fn enter(&mut self, item: T) -> Result<Entered<'_, T>, T> {
        let Some(&cid) = self.free.last() else { return Err(item) };
        // SAFETY: what is free is a slot of this table.
        let slot = unsafe { self.slots.get_unchecked_mut(cid as usize) };
        self.free.pop();
        debug_assert!(slot.is_none(), "a free slot is empty");
        std::mem::forget(slot.replace(item));
        match slot {
            Some(item) => Ok(Entered { cid: Cid(cid), item }),
            None => unreachable!("it was put there"),
        }
    }

    /// Its segments: where addresses for a device come from, and only while it is here.
    #[inline]
    pub fn segments(&self, cid: Cid) -> Option<&SgList> {
        self.get(cid).map(T::sg)
    }

    /// What is in flight under `cid`.
    #[inline]
    pub fn get(&self, cid: Cid) -> Option<&T> {
        self.slots.get(cid.0 as usize)?.as_ref()
    }

    /// Everything in flight, in slot order.
    pub fn each(&self) -> impl Iterator<Item = (Cid, &T)> {
        self.slots.iter().enumerate().filter_map(|(n, slot)| Some((Cid(n as u16), slot.as_ref()?)))
    }

    /// Takes back what was just put in and never given to the device.
    ///
    /// # Safety
    /// The device or kernel has not been told of `cid`.
    pub unsafe fn withdraw(&mut self, cid: Cid) -> Option<T> {
        let item = self.slots.get_mut(cid.0 as usize)?.take()?;
        self.free.push(cid.0);
        Some(item)
    }

    /// Hands it back against the witness. `None`, and counted, when the witness names nothing here.
    #[inline]
    pub fn finish(&mut self, done: &Completion) -> Option<T> {
        self.leave(done).map(Leaving::take)
    }

    /// As `finish`, to be looked at first.
    #[inline(always)]
    pub fn leave(&mut self, done: &Completion) -> Option<Leaving<'_, T>> {
        if done.queue == self.queue
            && let Some(Some(_)) = self.slots.get(done.cid as usize)
        {
            return Some(Leaving { table: self, cid: done.cid });
        }
        self.strays += 1;
        None
    }

    /// Hands everything back against the witness, in slot order, and begins the next epoch. A stale witness releases nothing.
    pub fn reclaim(&mut self, quiet: &Quiesced) -> Vec<T> {
        if quiet.queue != self.queue || quiet.epoch != self.epoch {
            return Vec::new();
        }
        self.epoch += 1;
        self.free = (0..self.slots.len() as u16).rev().collect();
        self.slots.iter_mut().filter_map(Option::take).collect()
    }
}

impl<T: Carrier> Drop for InFlight<T> {
    fn drop(&mut self) {
        if !self.is_empty() {
            LEAKED.set(LEAKED.get() + self.len());
            std::mem::forget(std::mem::take(&mut self.slots));
        }
    }
}

#[cfg(test)]
mod tests;
