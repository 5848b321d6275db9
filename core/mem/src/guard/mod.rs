//! Mappings that may vanish beneath us: another party's file that it cuts short, a device's registers that are unplugged.
//!
//! Touching such a page raises SIGBUS, which would end the process. A process-wide handler knows the ranges that are watched: it maps
//! something harmless over what is gone, marks the range as broken, and the access goes on. What the owner reads from then on is made up;
//! it looks at [`Guard::is_broken`] and lets the other party go. A SIGBUS anywhere else, or for another reason (a memory error of the
//! machine, a signal that somebody sent), takes the way that it took before the handler was there.
//!
//! Not a way to hide errors of ours: only watched ranges are mended. What the kernel finds missing during a system call is an error of
//! that call (EFAULT) and no signal.
//!
//! Invariants: the handler calls nothing but `mmap`, `sigaction`, `raise` and the handler that was there before, takes no lock and
//! allocates nothing. A slot's address and length are written only while nobody can fault in them: before its range is handed out, and
//! after its last user is gone.

use crate::MemError;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

/// What is read where nothing is any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Zeroes, in the whole range: for memory of another process.
    Zeroes,
    /// All ones, page by page: what a bus answers for a device that is not there.
    Ones,
}

/// Ranges that can be watched at once, in the whole process.
pub const WATCHED_MAX: usize = 8192;

const FREE: usize = 0;
const TAKEN: usize = 1;
const ZEROES: usize = 2;
const ONES: usize = 3;

struct Slot {
    state: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    broken: AtomicBool,
}

static SLOTS: [Slot; WATCHED_MAX] = [const {
    Slot { state: AtomicUsize::new(FREE), start: AtomicUsize::new(0), end: AtomicUsize::new(0), broken: AtomicBool::new(false) }
}; WATCHED_MAX];
/// One past the highest slot that was ever used.
static USED: AtomicUsize = AtomicUsize::new(0);
/// Where to look for a free slot.
static FREED: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// What SIGBUS did before.
struct Before(UnsafeCell<MaybeUninit<libc::sigaction>>);
// SAFETY: written once, by `install` under its `Once`, before the handler that reads it can run.
unsafe impl Sync for Before {}
static BEFORE: Before = Before(UnsafeCell::new(MaybeUninit::zeroed()));

/// A range that is watched. Dropping it ends that; do so before the range is unmapped.
#[derive(Debug)]
pub struct Guard {
    slot: usize,
}

/// Watches `len` bytes from `base`.
///
/// # Safety
/// The range is whole pages of one shared mapping, and stays mapped at least as long as the guard lives. It is the caller's alone to unmap,
/// and nothing in it is ever behind a reference: it is read and written as memory of another party.
pub unsafe fn watch(base: *mut u8, len: usize, fill: Fill) -> Result<Guard, MemError> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(install);
    let full = || MemError::Map { what: "ranges that may vanish", bytes: len, source: std::io::ErrorKind::QuotaExceeded.into() };
    let slot = {
        let mut freed = FREED.lock().unwrap_or_else(PoisonError::into_inner);
        let used = USED.load(Ordering::Relaxed);
        match freed.pop() {
            Some(slot) => slot,
            None if used < WATCHED_MAX => {
                USED.store(used + 1, Ordering::Release);
                used
            }
            None => return Err(full()),
        }
    };
    let s = SLOTS.get(slot).ok_or_else(full)?;
    s.state.store(TAKEN, Ordering::Relaxed);
    s.broken.store(false, Ordering::Relaxed);
    s.start.store(base.addr(), Ordering::Relaxed);
    s.end.store(base.addr().saturating_add(len), Ordering::Relaxed);
    let state = if fill == Fill::Zeroes { ZEROES } else { ONES };
    s.state.store(state, Ordering::Release);
    Ok(Guard { slot })
}

impl Guard {
    /// Has something of the range been missing when it was touched?
    #[inline]
    pub fn is_broken(&self) -> bool {
        SLOTS.get(self.slot).is_some_and(|s| s.broken.load(Ordering::Acquire))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(s) = SLOTS.get(self.slot) {
            s.state.store(FREE, Ordering::Release);
            FREED.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
        }
    }
}

fn install() {
    PAGE.store(rustix::param::page_size(), Ordering::Relaxed);
    // SAFETY: an all-zero sigaction is a valid one.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = on_bus as *const () as usize;
    // On the alternate stack where a thread has one: the handler that was there may need it.
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // What was there is read before ours can run, so that ours never finds it missing.
    // SAFETY: the cell is written here alone, once; both structures outlive the calls.
    unsafe {
        libc::sigemptyset(&raw mut ours.sa_mask);
        if libc::sigaction(libc::SIGBUS, std::ptr::null(), (*BEFORE.0.get()).as_mut_ptr()) == 0 {
            libc::sigaction(libc::SIGBUS, &raw const ours, std::ptr::null_mut());
        }
    }
}

extern "C" fn on_bus(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: errno is this thread's own; it is put back below, so that the code that was interrupted does not see ours.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the kernel gives a valid structure to a handler that asked for one.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    if code != libc::BUS_ADRERR || !mend(address) {
        pass_on(signal, code, info, context);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Maps something harmless where a watched range has nothing. False if the address is in none.
fn mend(address: usize) -> bool {
    let used = USED.load(Ordering::Acquire);
    for s in SLOTS.iter().take(used) {
        let state = s.state.load(Ordering::Acquire);
        if state != ZEROES && state != ONES {
            continue;
        }
        // The range that faulted is in use, so its slot holds still; of others the two words may belong to different ranges, and the
        // state, read again, tells a slot that changed hands meanwhile.
        let (start, end) = (s.start.load(Ordering::Relaxed), s.end.load(Ordering::Relaxed));
        if address < start || address >= end || s.state.load(Ordering::Acquire) != state {
            continue;
        }
        s.broken.store(true, Ordering::Release);
        return if state == ZEROES { replace(start, end - start).is_some() } else { fill_page(address) };
    }
    false
}

/// Fresh zeroes over a range.
fn replace(start: usize, len: usize) -> Option<*mut u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let to = std::ptr::with_exposed_provenance_mut::<libc::c_void>(start);
    // SAFETY: the range is a mapping whose owner has it watched; he reads and writes it as memory of another party only, which may become
    // zeroes at any time.
    let new = unsafe { libc::mmap(to, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    (new != libc::MAP_FAILED).then_some(new.cast())
}

fn fill_page(address: usize) -> bool {
    let page = PAGE.load(Ordering::Relaxed);
    let Some(new) = replace(address & !(page - 1), page) else { return false };
    // SAFETY: a page that was just mapped; nobody holds a reference to any of it.
    unsafe { std::ptr::write_bytes(new, 0xff, page) };
    true
}

/// As if this handler were not there.
fn pass_on(signal: libc::c_int, code: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: written before this handler was installed, and not since.
    let before = unsafe { (*BEFORE.0.get()).assume_init_ref() };
    match before.sa_sigaction {
        libc::SIG_DFL => {
            // SAFETY: sets a disposition and sends a signal to this thread. A fault comes again by itself once this returns; what was sent
            // does not.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                if code <= 0 {
                    libc::raise(signal);
                }
            }
        }
        libc::SIG_IGN => {}
        handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: it was installed as a handler of three arguments, and gets what the kernel gave.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: it was installed as a handler of one argument.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}

#[cfg(test)]
mod tests;
