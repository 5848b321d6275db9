//! The thread that waits for one function's interrupt line and passes its firing on: `/dev/uioN` is no eventfd, and what waits for it would
//! have to read it.

use crate::PciError;
use rustix::event::{EventfdFlags, PollFd, PollFlags, poll};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Who is told.
type Told = Arc<Mutex<Option<OwnedFd>>>;

/// A thread, asleep until the line fires, the function goes or it is told to end.
pub(super) struct Waiter {
    told: Told,
    end: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Waiter {
    /// `leaving` is written to when the function goes.
    pub(super) fn start(name: &str, uio: File, leaving: Arc<OwnedFd>) -> Result<Waiter, PciError> {
        let end = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let end = Arc::new(end.map_err(|e| PciError::system(name, "make an event", e))?);
        let told = Told::default();
        let body = {
            let (told, end) = (told.clone(), end.clone());
            move || wait(uio, &told, &end, &leaving)
        };
        let thread = std::thread::Builder::new().name("uio".to_owned()).spawn(body);
        let thread = thread.map_err(|e| PciError::system(name, "start a thread that waits for its interrupt", e))?;
        Ok(Waiter { told, end, thread: Some(thread) })
    }

    /// Whom to tell from now on.
    pub(super) fn tell(&self, event: Option<OwnedFd>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = event;
    }
}

fn ring(event: &OwnedFd) {
    // Full means that it has been rung.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

fn wait(mut uio: File, told: &Told, end: &OwnedFd, leaving: &OwnedFd) {
    loop {
        let mut fds = [PollFd::new(&uio, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let [uio_has, end_has] = fds.map(|fd| fd.revents());
        if !end_has.is_empty() {
            return;
        }
        let gone = uio_has.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        // How often it has fired is of no use.
        let mut count = [0; 4];
        if gone || (uio_has.contains(PollFlags::IN) && uio.read_exact(&mut count).is_err()) {
            ring(leaving);
            told.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(ring);
            return;
        }
        told.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(ring);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        ring(&self.end);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
