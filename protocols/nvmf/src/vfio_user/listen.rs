//! Making and removing endpoints: on the first reactor's executor.

use super::endpoint::{Endpoint, Parts};
use crate::pcie::Function;
use crate::target::{Target, TargetError};
use doorbell_block::ReactorId;
use doorbell_reactor::Local;
use doorbell_sys::socket::{Stream, UnixListener};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Clients that wait to be taken: one is served at a time.
const BACKLOG: u16 = 1;

/// The socket in a folder, as SPDK's clients look for it.
pub(crate) fn socket_of(folder: &str) -> PathBuf {
    Path::new(folder).join("cntrl")
}

/// Removes the socket of a folder: nobody finds it any more.
pub(crate) fn unlink(folder: &str) {
    let path = socket_of(folder);
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a vfio-user socket");
    }
}

/// Listens in a folder. A socket that a process left there which is no more is taken over.
fn bind(folder: &str) -> io::Result<UnixListener> {
    let path = socket_of(folder);
    match UnixListener::bind(&path, BACKLOG) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match Stream::connect_unix(&path) {
            Err(gone) if gone.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(&path)?;
                UnixListener::bind(&path, BACKLOG)
            }
            _ => Err(error),
        },
        bound => bound,
    }
}

impl Target {
    /// Serves a subsystem by vfio-user in a folder, which must exist: as `cntrl` in it. To be called on the first reactor.
    pub async fn add_endpoint(&self, local: &Local, nqn: &str, folder: &str) -> Result<(), TargetError> {
        let Some(options) = self.vfio_user() else { return Err(TargetError::NoVfioUser) };
        self.known(nqn)?;
        let named = |source| TargetError::Listen { address: socket_of(folder).display().to_string(), source };
        let folder: Arc<str> = folder.trim_end_matches('/').into();
        if !Path::new(&*folder).is_dir() {
            return Err(named(io::Error::new(io::ErrorKind::NotFound, "traddr must be a folder that exists")));
        }
        let listener = {
            let subsystem = self.note_endpoint(nqn, &folder)?;
            let made = bind(&folder).map(|l| (subsystem, l));
            made.map_err(|source| {
                let _ = self.forget_endpoint(nqn, &folder);
                named(source)
            })?
        };
        let (subsystem, listener) = listener;
        let reactor = ReactorId(self.next_endpoint(local.reactors()));
        let (target, port, at) = (self.clone(), local.port(reactor), folder.clone());
        let made = local.visit(reactor, move |cx| {
            let function = Function::new(&target, options.clone()).map_err(io::Error::other)?;
            let parts = Parts { subsystem, folder: at, listener, options };
            cx.adopt(|cx, me| Endpoint::new(cx, me, &target, parts, function, port));
            Ok::<(), io::Error>(())
        });
        let failed = match made.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(gone) => Some(io::Error::other(gone)),
        };
        match failed {
            None => {
                tracing::info!(folder = %folder, nqn, reactor = reactor.0, "serving by vfio-user");
                Ok(())
            }
            Some(source) => {
                unlink(&folder);
                let _ = self.forget_endpoint(nqn, &folder);
                Err(named(source))
            }
        }
    }

    /// Stops serving a subsystem in a folder; its client is disconnected.
    pub fn remove_endpoint(&self, nqn: &str, folder: &str) -> Result<(), TargetError> {
        let folder = folder.trim_end_matches('/');
        self.forget_endpoint(nqn, folder)?;
        unlink(folder);
        Ok(())
    }
}
