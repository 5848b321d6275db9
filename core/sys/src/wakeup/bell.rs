//! The eventfd behind a wake-up, or loom's model of one.

#[cfg(not(loom))]
pub(super) use real::Bell;

#[cfg(loom)]
pub(super) use model::Bell;

#[cfg(not(loom))]
mod real {
    use std::{
        io,
        os::fd::{AsFd, BorrowedFd, OwnedFd},
    };

    use rustix::{
        event::{EventfdFlags, eventfd},
        io::Errno,
    };

    #[derive(Debug)]
    pub(in super::super) struct Bell(OwnedFd);

    impl Bell {
        pub(in super::super) fn new() -> io::Result<Bell> {
            Ok(Bell(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
        }

        pub(in super::super) fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        /// Makes the descriptor readable.
        pub(in super::super) fn ring(&self) {
            // Cannot fail but by a signal: the counter takes 2^64 - 2 rings, and there is one per sleep.
            while rustix::io::write(&self.0, &1u64.to_ne_bytes()) == Err(Errno::INTR) {}
        }

        /// Takes all rings so far, and says how many.
        pub(in super::super) fn drain(&self) -> u64 {
            let mut count = [0; 8];
            loop {
                match rustix::io::read(&self.0, &mut count) {
                    Ok(8) => return u64::from_ne_bytes(count),
                    Err(Errno::INTR) => {}
                    _ => return 0,
                }
            }
        }
    }
}

#[cfg(loom)]
mod model {
    use std::{io, os::fd::BorrowedFd};

    use loom::sync::{Condvar, Mutex};

    /// A counter that can be waited for; like the kernel's, ringing and draining order memory.
    #[derive(Debug)]
    pub(in super::super) struct Bell {
        count: Mutex<u64>,
        rung: Condvar,
    }

    impl Bell {
        pub(in super::super) fn new() -> io::Result<Bell> {
            Ok(Bell { count: Mutex::new(0), rung: Condvar::new() })
        }

        pub(in super::super) fn fd(&self) -> BorrowedFd<'_> {
            unreachable!("no descriptors in the model")
        }

        pub(in super::super) fn ring(&self) {
            *self.count.lock().unwrap() += 1;
            self.rung.notify_one();
        }

        pub(in super::super) fn drain(&self) -> u64 {
            std::mem::take(&mut *self.count.lock().unwrap())
        }

        /// What epoll does: returns at once when readable. If nobody will ever ring, loom reports a deadlock.
        #[cfg(test)]
        pub(in super::super) fn wait(&self) {
            let mut count = self.count.lock().unwrap();
            while *count == 0 {
                count = self.rung.wait(count).unwrap();
            }
        }

        #[cfg(test)]
        pub(in super::super) fn count(&self) -> u64 {
            *self.count.lock().unwrap()
        }
    }
}
