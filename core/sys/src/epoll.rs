//! Readiness of descriptors: what a reactor waits on when it sleeps, and asks about between turns.
//!
//! A key names each descriptor in the events; what it means is the caller's. Nothing is kept here but the kernel's set and a buffer for
//! events, so a wait allocates nothing. Removing a descriptor before closing it is the caller's duty when it has duplicates, since the
//! kernel's set holds the open file and not the number.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::event::epoll;

#[cfg(all(test, not(loom)))]
mod tests;

/// What to be told of. Errors and hang-ups are always told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// Only errors and hang-ups.
    pub const NONE: Interest = Interest(0);
    /// Bytes or connections can be taken, or the peer is done sending.
    pub const READ: Interest = Interest(1);
    /// There is room to send.
    pub const WRITE: Interest = Interest(2);
    /// Both.
    pub const BOTH: Interest = Interest(3);

    fn has(self, other: Interest) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOr for Interest {
    type Output = Interest;
    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// When a descriptor is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Whenever it is ready at the time of the wait.
    Level,
    /// Once each time it becomes ready (again).
    Edge,
}

/// One descriptor that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// As given to `add` or `modify`.
    pub key: u64,
    /// Reading will not block (bytes, a connection, the end of the stream, or an error).
    pub readable: bool,
    /// Writing will not block.
    pub writable: bool,
    /// Both directions are closed.
    pub hangup: bool,
    /// An error is pending: the next operation returns it.
    pub error: bool,
}

/// A set of descriptors and the events of the last wait.
pub struct Poller {
    fd: OwnedFd,
    buffer: Vec<libc::epoll_event>,
    ready: usize,
    /// Whether the kernel takes timeouts in nanoseconds (5.11).
    fine_timeouts: bool,
}

/// Events taken in one wait; more are taken by the next.
const BATCH: usize = 256;

impl Poller {
    /// An empty set. Fails only when the process is out of descriptors or memory.
    pub fn new() -> io::Result<Poller> {
        let fd = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Poller { fd, buffer: vec![libc::epoll_event { events: 0, u64: 0 }; BATCH], ready: 0, fine_timeouts: true })
    }

    /// Puts a descriptor into the set. Fails if it is there already, or cannot be waited for (a regular file).
    pub fn add(&self, fd: BorrowedFd<'_>, key: u64, interest: Interest, mode: Mode) -> io::Result<()> {
        Ok(epoll::add(&self.fd, fd, epoll::EventData::new_u64(key), flags(interest, mode))?)
    }

    /// Changes key, interest and mode of a descriptor in the set. In `Mode::Edge` a descriptor that is ready is told again.
    pub fn modify(&self, fd: BorrowedFd<'_>, key: u64, interest: Interest, mode: Mode) -> io::Result<()> {
        Ok(epoll::modify(&self.fd, fd, epoll::EventData::new_u64(key), flags(interest, mode))?)
    }

    /// Takes a descriptor out of the set.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.fd, fd)?)
    }

    /// Waits until something is ready, at most `timeout` (for ever if `None`; zero only asks). Answers how many [`events`](Self::events)
    /// there are; none after the timeout or a signal.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        self.ready = 0;
        let count = match timeout {
            None => self.wait_ms(-1),
            Some(Duration::ZERO) => self.wait_ms(0),
            Some(timeout) => self.wait_fine(timeout),
        };
        self.ready = match usize::try_from(count) {
            Ok(count) => count,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => 0,
                error => return Err(error),
            },
        };
        Ok(self.ready)
    }

    /// What the last wait found.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        self.buffer[..self.ready].iter().map(|event| {
            let has = |flag: libc::c_int| event.events & flag.cast_unsigned() != 0;
            Event {
                key: event.u64,
                readable: has(libc::EPOLLIN),
                writable: has(libc::EPOLLOUT),
                hangup: has(libc::EPOLLHUP),
                error: has(libc::EPOLLERR),
            }
        })
    }

    fn wait_ms(&mut self, timeout_ms: libc::c_int) -> libc::c_int {
        let (buffer, room) = self.room();
        // SAFETY: `buffer` has room for `room` events, and we own the descriptor.
        unsafe { libc::epoll_wait(self.fd.as_raw_fd(), buffer, room, timeout_ms) }
    }

    fn wait_fine(&mut self, timeout: Duration) -> libc::c_int {
        if self.fine_timeouts {
            let spec = libc::timespec {
                tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: timeout.subsec_nanos().into(),
            };
            let (buffer, room) = self.room();
            // SAFETY: `buffer` has room for `room` events, `spec` outlives the call, and without a signal mask its size is not looked at.
            let count = unsafe {
                let no_mask = std::ptr::null::<libc::sigset_t>();
                libc::syscall(libc::SYS_epoll_pwait2, self.fd.as_raw_fd(), buffer, room, &raw const spec, no_mask, 0usize)
            };
            // Some sandboxes answer EPERM to calls they do not know.
            let unknown = count < 0 && matches!(io::Error::last_os_error().raw_os_error(), Some(libc::ENOSYS | libc::EPERM));
            if !unknown {
                return libc::c_int::try_from(count).unwrap_or(-1);
            }
            self.fine_timeouts = false;
        }
        // Rounded up: waking before the time would make the caller turn for nothing.
        let timeout_ms = timeout.as_nanos().div_ceil(1_000_000);
        self.wait_ms(libc::c_int::try_from(timeout_ms).unwrap_or(libc::c_int::MAX))
    }

    fn room(&mut self) -> (*mut libc::epoll_event, libc::c_int) {
        (self.buffer.as_mut_ptr(), BATCH as libc::c_int)
    }
}

fn flags(interest: Interest, mode: Mode) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(epoll::EventFlags::IN, interest.has(Interest::READ));
    flags.set(epoll::EventFlags::OUT, interest.has(Interest::WRITE));
    flags.set(epoll::EventFlags::ET, mode == Mode::Edge);
    flags
}

impl AsFd for Poller {
    /// Readable while an event waits: sets can be nested.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller").field("fd", &self.fd).field("ready", &self.ready).finish_non_exhaustive()
    }
}
