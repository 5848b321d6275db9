//! SIGINT and SIGTERM: the first asks to stop, the second ends the process at once.

use doorbell_reactor::{AsyncFd, Local};
use doorbell_sys::epoll::Interest;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a shell expects of a process that a signal ended: 128 and its number.
const ENDED_BY: [(i32, i32); 2] = [(SIGINT, 128 + SIGINT), (SIGTERM, 128 + SIGTERM)];

/// The first signal, when it comes.
pub(crate) struct Stop {
    pipe: AsyncFd,
}

/// Handlers that are in place before any reactor runs.
pub(crate) struct Handlers {
    pipe: UnixStream,
}

impl Handlers {
    /// Puts them in place.
    pub(crate) fn install() -> io::Result<Handlers> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        let asked = Arc::new(AtomicBool::new(false));
        for (signal, code) in ENDED_BY {
            // In this order: the handler looks at the flag before it raises it, so that the first signal passes and the second ends.
            flag::register_conditional_shutdown(signal, code, asked.clone())?;
            flag::register(signal, asked.clone())?;
            pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Handlers { pipe: read })
    }

    /// Waits on this reactor.
    pub(crate) async fn watch(self, local: &Local) -> io::Result<Stop> {
        Ok(Stop { pipe: local.watch(self.pipe.into(), Interest::READ).await? })
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
