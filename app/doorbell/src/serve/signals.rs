//! SIGINT and SIGTERM: the first asks to stop, a later one ends the process at once.
//!
//! Signals that come together are one: timeout(1) signals its child and then the whole group, a terminal and a supervisor may both pass one
//! on. A thread of its own looks at them, so that a second one ends the process also when its reactors do not turn. Even then the names of
//! the socket, its lock and the process id's file are removed first; a third signal does not wait for that.

use doorbell_reactor::{AsyncFd, Local};
use doorbell_rpc::Names;
use doorbell_sys::epoll::Interest;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::SignalOnly;
use signal_hook::{flag, low_level};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// What a shell expects of a process that a signal ended: 128 and its number.
const ENDED_BY: [(i32, i32); 2] = [(SIGINT, 128 + SIGINT), (SIGTERM, 128 + SIGTERM)];

/// How long after the first signal another one is still taken for the same.
const TOGETHER: Duration = Duration::from_millis(250);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// To stop.
    Stop,
    /// What was asked a moment ago.
    Same,
    /// To end at once.
    End,
}

/// Tells a signal that repeats the first from one that means it.
#[derive(Default)]
struct Asked {
    first: Option<Instant>,
}

impl Asked {
    /// A signal that came now.
    fn again(&mut self, now: Instant) -> Asks {
        match self.first {
            None => {
                self.first = Some(now);
                Asks::Stop
            }
            Some(first) if now.duration_since(first) < TOGETHER => Asks::Same,
            Some(_) => Asks::End,
        }
    }
}

/// What is removed when the process ends at once.
#[derive(Clone, Default)]
pub(crate) struct Leftovers(Arc<Mutex<Vec<Names>>>);

impl Leftovers {
    /// These too.
    pub(crate) fn add(&self, names: Names) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(names);
    }

    fn remove(&self) {
        for names in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            names.remove();
        }
    }
}

/// The first signal, when it comes.
pub(crate) struct Stop {
    pipe: AsyncFd,
}

/// Handlers that are in place before any reactor runs.
pub(crate) struct Handlers {
    pipe: UnixStream,
    leftovers: Leftovers,
}

impl Handlers {
    /// Puts them in place.
    pub(crate) fn install() -> io::Result<Handlers> {
        let ending = Arc::new(AtomicBool::new(false));
        let leftovers = Leftovers::default();
        let (asked, tell) = UnixStream::pair()?;
        asked.set_nonblocking(true)?;
        for (signal, code) in ENDED_BY {
            // What is left of the process once it ends at once: not even a file system that hangs holds it.
            flag::register_conditional_shutdown(signal, code, ending.clone())?;
        }
        let signals = SignalsInfo::<SignalOnly>::new(ENDED_BY.map(|(signal, _)| signal))?;
        let watch = Watch { tell, ending, leftovers: leftovers.clone() };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || watch.run(signals))?;
        Ok(Handlers { pipe: asked, leftovers })
    }

    /// To say what is to be removed when the process ends at once.
    pub(crate) fn leftovers(&self) -> &Leftovers {
        &self.leftovers
    }

    /// Waits on this reactor.
    pub(crate) async fn watch(self, local: &Local) -> io::Result<Stop> {
        Ok(Stop { pipe: local.watch(self.pipe.into(), Interest::READ).await? })
    }
}

/// The thread that looks at signals.
struct Watch {
    tell: UnixStream,
    ending: Arc<AtomicBool>,
    leftovers: Leftovers,
}

impl Watch {
    fn run(mut self, mut signals: SignalsInfo<SignalOnly>) {
        let mut asked = Asked::default();
        for signal in signals.forever() {
            match asked.again(Instant::now()) {
                Asks::Stop => {
                    let _ = self.tell.write_all(&[0]);
                }
                Asks::Same => {}
                Asks::End => {
                    self.ending.store(true, Ordering::SeqCst);
                    self.leftovers.remove();
                    low_level::exit(128 + signal);
                }
            }
        }
    }
}

impl Stop {
    /// Until the first signal.
    pub(crate) async fn asked(&self) {
        let read = self.pipe.retry(|fd| {
            let mut byte = [0; 16];
            UnixStream::from(fd.try_clone()?).read(&mut byte)
        });
        if let Err(error) = read.await {
            tracing::error!(%error, "signals cannot be waited for: stopping");
        }
    }
}
