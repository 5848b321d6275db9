//! How a sleeping reactor is woken, at no cost while it is awake.
//!
//! The sleeper says that it will sleep, then looks once more at everything that could be work; whoever makes work first publishes it,
//! then looks whether the sleeper sleeps. Both put a sequentially consistent fence between their two steps, so at least one of them sees
//! the other: no wake-up is lost. The notifier that finds the sleeper asleep takes the flag down, so one sleep costs one write.
//!
//! ```no_run
//! # use doorbell_sys::{wakeup, ring};
//! # fn wait_in_epoll() {}
//! # let (mut sleeper, notifier) = wakeup::pair().unwrap();
//! # let (tx, mut rx) = ring::ring::<u32>(8);
//! # tx.push(1).unwrap(); notifier.notify();   // whoever makes work
//! sleeper.prepare();
//! if rx.is_empty() {
//!     wait_in_epoll(); // `sleeper.fd()` is readable once somebody has notified
//! }
//! sleeper.awake();
//! # rx.pop();
//! ```
//!
//! Invariant: each time a notifier takes the flag down it writes exactly one to the eventfd, before or after the sleeper notices. The
//! sleeper counts the flags it found down and reads until as many have arrived, so the descriptor never stays readable for nothing.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use crate::sync::{Arc, AtomicBool, Ordering, Padded, fence};

mod bell;
#[cfg(test)]
mod tests;

use bell::Bell;

#[derive(Debug)]
struct Shared {
    asleep: Padded<AtomicBool>,
    bell: Bell,
}

/// The end that sleeps: one reactor owns it.
#[derive(Debug)]
pub struct Sleeper {
    shared: Arc<Shared>,
    /// Rings that were or will be made, less those read from the bell.
    owed: u64,
}

/// The end that wakes; clone it for whoever makes work.
#[derive(Debug, Clone)]
pub struct Notifier {
    shared: Arc<Shared>,
}

/// A sleeper and its first notifier. Fails only when the process is out of descriptors or memory.
pub fn pair() -> io::Result<(Sleeper, Notifier)> {
    let shared = Arc::new(Shared { asleep: Padded(AtomicBool::new(false)), bell: Bell::new()? });
    Ok((Sleeper { shared: shared.clone(), owed: 0 }, Notifier { shared }))
}

impl Sleeper {
    /// What to wait for: readable once a notifier has rung.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.shared.bell.fd()
    }

    /// From here on notifiers ring. Look again at every source of work after this and before waiting.
    #[inline]
    pub fn prepare(&mut self) {
        // A swap, not a store: with read-modify-writes alone the flag has one history, which `owed` counts by.
        self.shared.asleep.0.swap(true, Ordering::AcqRel);
        // Pairs with the fence in `notify`: either it sees the flag, or our second look sees its work.
        fence(Ordering::SeqCst);
    }

    /// Ends what `prepare` began, after waiting. Answers whether somebody rang. Costs a system call only in that case.
    #[inline]
    pub fn awake(&mut self) -> bool {
        let rung = !self.shared.asleep.0.swap(false, Ordering::AcqRel);
        if rung {
            self.owed += 1;
        }
        if self.owed > 0 {
            // The ringer may have taken the flag down and not yet written; its ring is then read at the next wake-up.
            self.owed -= self.shared.bell.drain().min(self.owed);
        }
        rung
    }

    /// Ends what `prepare` began, when the second look found work and nobody waited.
    #[inline]
    pub fn cancel(&mut self) -> bool {
        self.awake()
    }

    /// One more notifier.
    pub fn notifier(&self) -> Notifier {
        Notifier { shared: self.shared.clone() }
    }
}

impl AsFd for Sleeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl Notifier {
    /// Call after publishing work. A fence and a load while the other side is awake; one write per sleep.
    #[inline]
    pub fn notify(&self) {
        fence(Ordering::SeqCst);
        if self.shared.asleep.0.load(Ordering::Relaxed) && self.shared.asleep.0.swap(false, Ordering::AcqRel) {
            self.shared.bell.ring();
        }
    }
}
