//! A bounded ring from many threads to one.
//!
//! Each slot carries a sequence number that says whose turn it is: `position` for the producer of that position, `position + 1` for the
//! consumer, `position + capacity` for the producer one lap later. Producers race for a position with one compare-and-swap; the consumer
//! needs none. Nothing blocks, spins on another thread's progress, or allocates after [`ring`].
//!
//! A producer that has claimed a position and not yet published it hides what was published behind it: `pop` answers `None` until then.
//! Nothing is lost, since that producer rings the consumer after publishing (see `wakeup`), but order is that of claiming, not of arrival.
//!
//! Invariants:
//! - a slot holds a value exactly while `sequence == position + 1` for the position last claimed there;
//! - there is one [`Receiver`], so the consumer's position needs no sharing.

use std::{fmt, mem::MaybeUninit};

use crate::sync::{Arc, AtomicUsize, Ordering, Padded, UnsafeCell};

#[cfg(test)]
mod tests;

struct Slot<T> {
    sequence: AtomicUsize,
    value: UnsafeCell<MaybeUninit<T>>,
}

struct Shared<T> {
    /// The next position a producer will claim.
    tail: Padded<AtomicUsize>,
    slots: Box<[Slot<T>]>,
}

// SAFETY: a slot's value is touched only by the producer that claimed its position, before publishing, and by the one receiver, after
// (acquire on `sequence`); values cross threads, so `T: Send` is needed and enough.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above; no `&T` is ever shared between threads.
unsafe impl<T: Send> Sync for Shared<T> {}

/// The producers' end; clone it for each thread.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The consumer's end.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The next position to take.
    head: usize,
}

/// The ring had no free slot; the value comes back.
#[derive(PartialEq, Eq, thiserror::Error)]
#[error("the ring is full")]
pub struct Full<T>(pub T);

/// A ring of `capacity` slots, rounded up to a power of two and to at least two.
///
/// # Panics
/// If `capacity` is above `isize::MAX / 2`, or memory runs out.
pub fn ring<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity <= isize::MAX as usize / 2, "a ring of {capacity} slots cannot exist");
    // With one slot, "published" and "free for the next lap" would be the same number.
    let capacity = capacity.max(2).next_power_of_two();
    let slots = (0..capacity)
        .map(|position| Slot { sequence: AtomicUsize::new(position), value: UnsafeCell::new(MaybeUninit::uninit()) })
        .collect();
    let shared = Arc::new(Shared { tail: Padded(AtomicUsize::new(0)), slots });
    (Sender { shared: shared.clone() }, Receiver { shared, head: 0 })
}

impl<T> Shared<T> {
    #[inline]
    fn slot(&self, position: usize) -> &Slot<T> {
        &self.slots[position & (self.slots.len() - 1)]
    }
}

impl<T: Send> Sender<T> {
    /// Appends `value`, or gives it back when every slot is taken. Never waits.
    #[inline]
    pub fn push(&self, value: T) -> Result<(), Full<T>> {
        let shared = &*self.shared;
        let mut position = shared.tail.0.load(Ordering::Relaxed);
        loop {
            let slot = shared.slot(position);
            let sequence = slot.sequence.load(Ordering::Acquire);
            let lead = sequence.wrapping_sub(position).cast_signed();
            if lead == 0 {
                let next = position.wrapping_add(1);
                match shared.tail.0.compare_exchange_weak(position, next, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        // SAFETY: the exchange made this position ours alone, and `sequence == position` (acquired) says that the
                        // receiver is done with the previous lap's value.
                        slot.value.with_mut(|cell| unsafe { (*cell).write(value) });
                        slot.sequence.store(next, Ordering::Release);
                        return Ok(());
                    }
                    Err(now) => position = now,
                }
            } else if lead < 0 {
                // The value of a lap ago is still there.
                return Err(Full(value));
            } else {
                position = shared.tail.0.load(Ordering::Relaxed);
            }
        }
    }

    /// How many values fit.
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest published value.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let slot = self.shared.slot(self.head);
        let published = self.head.wrapping_add(1);
        if slot.sequence.load(Ordering::Acquire) != published {
            return None;
        }
        // SAFETY: the sequence says published, and acquiring it made the producer's write visible. We are the only receiver, and the
        // store below, which lets a producer in again, comes after the read.
        let value = slot.value.with_mut(|cell| unsafe { (*cell).assume_init_read() });
        slot.sequence.store(self.head.wrapping_add(self.shared.slots.len()), Ordering::Release);
        self.head = published;
        Some(value)
    }

    /// Whether `pop` would answer `None` now.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.shared.slot(self.head).sequence.load(Ordering::Acquire) != self.head.wrapping_add(1)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if !std::mem::needs_drop::<T>() {
            return;
        }
        let tail = self.tail.0.load(Ordering::Relaxed);
        for back in 1..=self.slots.len() {
            let position = tail.wrapping_sub(back);
            let slot = self.slot(position);
            if slot.sequence.load(Ordering::Relaxed) == position.wrapping_add(1) {
                // SAFETY: published and never taken; `&mut self` says that both ends are gone.
                slot.value.with_mut(|cell| unsafe { (*cell).assume_init_drop() });
            }
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.shared.slots.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("head", &self.head).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}
