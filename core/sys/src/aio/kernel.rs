//! The kernel's side of Linux AIO (linux/aio_abi.h): control blocks, events, and the completion ring that it maps into the process.
//!
//! The "context id" that `io_setup` gives is the address of that ring. Its header is not in the ABI header, but says of itself (magic,
//! incompatible features) whether it is what we know; where it is not, events are taken by system call.

use std::{
    io,
    os::fd::RawFd,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use doorbell_mem::IoVec;
use rustix::io::Errno;

#[cfg(target_endian = "big")]
compile_error!("struct iocb has another order of fields on big-endian machines");

/// `struct iocb`.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Iocb {
    data: u64,
    key: u32,
    rw_flags: i32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    notice_fd: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Event {
    pub(super) data: u64,
    block: u64,
    result: i64,
    result2: i64,
}

/// `struct aio_ring` (fs/aio.c), before its events.
#[repr(C)]
struct Header {
    id: u32,
    count: u32,
    head: u32,
    tail: u32,
    magic: u32,
    compatible: u32,
    incompatible: u32,
    header_bytes: u32,
}

const _: () = assert!(size_of::<Iocb>() == 64 && size_of::<Event>() == 32 && size_of::<Header>() == 32);

const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FDSYNC: u16 = 3;
const PREADV: u16 = 7;
const PWRITEV: u16 = 8;
const FLAG_NOTIFY: u32 = 1;
const MAGIC: u32 = 0xa10a_10a1;

impl Iocb {
    pub(super) fn new(data: u64, fd: RawFd, offset: u64, rw_flags: i32) -> Iocb {
        // Beyond i64 the offset is negative, which the kernel refuses.
        Iocb { data, fd: fd.cast_unsigned(), offset: offset.cast_signed(), rw_flags, ..Iocb::default() }
    }

    pub(super) fn read(&mut self, vectors: &[IoVec]) {
        self.transfer(PREAD, PREADV, vectors);
    }

    pub(super) fn write(&mut self, vectors: &[IoVec]) {
        self.transfer(PWRITE, PWRITEV, vectors);
    }

    fn transfer(&mut self, single: u16, vectored: u16, vectors: &[IoVec]) {
        (self.opcode, self.buffer, self.bytes) = match vectors {
            [one] => (single, one.base().expose_provenance() as u64, one.len() as u64),
            several => (vectored, several.as_ptr().expose_provenance() as u64, several.len() as u64),
        };
    }

    pub(super) fn fdatasync(&mut self) {
        (self.opcode, self.offset, self.rw_flags) = (FDSYNC, 0, 0);
    }

    /// Asks for a write to an eventfd at completion.
    pub(super) fn notify(&mut self, fd: RawFd) {
        self.flags |= FLAG_NOTIFY;
        self.notice_fd = fd.cast_unsigned();
    }
}

impl Event {
    pub(super) fn result(&self) -> Result<u32, Errno> {
        u32::try_from(self.result).map_err(|_| Errno::from_raw_os_error(i32::try_from(-self.result).unwrap_or(libc::EIO)))
    }
}

/// A context of the kernel's, and its ring.
///
/// Invariant: `ring` is what `io_setup` gave, mapped until `io_destroy`; the kernel writes `tail` and the events, we alone write `head`.
pub(super) struct Context {
    ring: *mut Header,
    /// Whether the ring is one that we know how to read.
    pub(super) peek: bool,
    /// Taken by `has_next`, where one cannot look without taking.
    taken: Option<Event>,
    leaked: bool,
}

fn outcome(result: libc::c_long) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}

impl Context {
    pub(super) fn new(depth: u32) -> Result<Context, Errno> {
        let mut ring: *mut Header = ptr::null_mut();
        // SAFETY: the kernel writes one word, the ring's address, into `ring`.
        outcome(unsafe { libc::syscall(libc::SYS_io_setup, depth, &raw mut ring) })?;
        // SAFETY: the header of a ring just made; these fields do not change.
        let (magic, incompatible, header_bytes, count) = unsafe {
            let volatile = |field: *const u32| field.read_volatile();
            (
                volatile(&raw const (*ring).magic),
                volatile(&raw const (*ring).incompatible),
                volatile(&raw const (*ring).header_bytes),
                volatile(&raw const (*ring).count),
            )
        };
        let peek = magic == MAGIC && incompatible == 0 && header_bytes as usize == size_of::<Header>() && count > 0;
        Ok(Context { ring, peek, taken: None, leaked: false })
    }

    /// # Safety
    /// The blocks are valid, and the memory they name stays valid until their completions have been read.
    pub(super) unsafe fn submit(&self, blocks: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the caller's promise; the context is ours.
        outcome(unsafe { libc::syscall(libc::SYS_io_submit, self.ring, blocks.len() as libc::c_long, blocks.as_ptr()) })
    }

    fn head(&self) -> &AtomicU32 {
        // SAFETY: mapped, aligned, and shared with the kernel only, which reads it as one word.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.ring).head) }
    }

    fn tail(&self) -> &AtomicU32 {
        // SAFETY: as above; the kernel writes it as one word.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.ring).tail) }
    }

    /// Whether `next` has something.
    pub(super) fn has_next(&mut self) -> bool {
        if self.peek {
            return self.head().load(Ordering::Relaxed) != self.tail().load(Ordering::Acquire);
        }
        self.taken = self.next();
        self.taken.is_some()
    }

    /// Takes one completion.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Event> {
        if !self.peek {
            let mut event = [Event::default()];
            if let Some(taken) = self.taken.take() {
                return Some(taken);
            }
            return (self.getevents(0, &mut event, Duration::ZERO) == Ok(1)).then_some(event[0]);
        }
        let head = self.head().load(Ordering::Relaxed);
        if head == self.tail().load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: `count` is fixed at set-up and above 0. The events follow the header; `head` is below `count`, kept so here and by the
        // kernel, and acquiring `tail` made this event's content visible. It is overwritten only after `head` has passed it.
        let (event, count) = unsafe {
            let events = self.ring.add(1).cast::<Event>();
            (events.add(head as usize).read_volatile(), (&raw const (*self.ring).count).read_volatile())
        };
        let next = if head + 1 >= count { 0 } else { head + 1 };
        self.head().store(next, Ordering::Release);
        Some(event)
    }

    fn getevents(&self, least: libc::c_long, events: &mut [Event], timeout: Duration) -> Result<usize, Errno> {
        let mut timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: the kernel writes at most `events.len()` events, and reads the timeout.
        outcome(unsafe {
            libc::syscall(libc::SYS_io_getevents, self.ring, least, events.len() as libc::c_long, events.as_mut_ptr(), &raw mut timeout)
        })
    }

    /// Waits for completions, takes some and forgets them. Answers how many; 0 after the timeout or a signal.
    pub(super) fn wait(&mut self, timeout: Duration) -> usize {
        self.getevents(1, &mut [Event::default(); 64], timeout).unwrap_or(0)
    }

    /// Leaves the context to the process's end: destroying it would wait for what is in flight.
    pub(super) fn leak(&mut self) {
        self.leaked = true;
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if !self.leaked {
            // SAFETY: made by `io_setup`, destroyed once, not used after.
            unsafe { libc::syscall(libc::SYS_io_destroy, self.ring) };
        }
    }
}
