//! The Unix socket and its lock file.
//!
//! As SPDK does it, so that the two respect one another: `<socket>.lock` (mode 0600) is held by `flock` as long as the
//! server lives; whoever holds it may replace a socket that a dead server left. Both are removed at the end. The socket
//! has mode 0600 from its first moment.

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, open, statat, unlink};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
use rustix::process::geteuid;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

mod names;
#[cfg(test)]
mod tests;

pub use names::Names;

/// Where SPDK's clients look.
pub const DEFAULT_SOCKET: &str = "/var/tmp/spdk.sock";

/// Connections that wait to be accepted.
const BACKLOG: i32 = 512;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A live server is there.
    #[error("RPC socket {0} is in use by another server: choose one with -r PATH")]
    InUse(PathBuf),
    /// It belongs to someone else.
    #[error("RPC socket {path} cannot be taken ({why}): choose one with -r PATH")]
    NotOurs {
        /// The socket.
        path: PathBuf,
        /// What stood in the way.
        why: String,
    },
    /// Something else is at its place.
    #[error("{0} is there and is no socket: move it away or choose another path with -r PATH")]
    NotASocket(PathBuf),
    /// Longer than the system takes.
    #[error("RPC socket path {0} is longer than 107 bytes: choose a shorter one with -r PATH")]
    TooLong(PathBuf),
    /// Everything else.
    #[error("RPC socket {path}: {error}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What failed.
        error: std::io::Error,
    },
}

/// A bound, listening, non-blocking socket with its lock. Dropping it removes both files.
#[derive(Debug)]
pub struct Socket {
    listener: OwnedFd,
    path: PathBuf,
    names: Names,
    /// Why it is not the default one.
    moved: Option<String>,
    /// Held open for its lock.
    _lock: File,
}

impl Socket {
    /// Binds the path given, or else the default; when a live server holds the default or it is not ours, `doorbell.sock` in
    /// the folder that the user's session has for such things.
    pub fn open(wanted: Option<&Path>) -> Result<Self, SocketError> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self::open_or(wanted, Path::new(DEFAULT_SOCKET), runtime.as_deref())
    }

    fn open_or(wanted: Option<&Path>, default: &Path, runtime: Option<&Path>) -> Result<Self, SocketError> {
        if let Some(path) = wanted {
            return Self::bind(path);
        }
        match (Self::bind(default), runtime) {
            (Err(error @ (SocketError::InUse(_) | SocketError::NotOurs { .. })), Some(runtime)) => {
                let mut socket = Self::bind(&runtime.join("doorbell.sock"))?;
                socket.moved = Some(error.to_string());
                Ok(socket)
            }
            (outcome, _) => outcome,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why it is not at the default path, to be told to the operator.
    pub fn moved(&self) -> Option<&str> {
        self.moved.as_deref()
    }

    /// The names of the socket and its lock file, for who ends the process without dropping this.
    pub fn names(&self) -> Names {
        self.names.clone()
    }

    /// The listener; it does not block.
    pub fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    fn bind(path: &Path) -> Result<Self, SocketError> {
        let address = SocketAddrUnix::new(path).map_err(|_| SocketError::TooLong(path.to_owned()))?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let lock = take_lock(path, &lock_path)?;
        match clear(path, &address).and_then(|()| listener(path, &address)) {
            Ok(listener) => {
                // The lock goes last: until then nobody else touches the socket's name.
                let names = Names::new(vec![path.to_owned(), lock_path]);
                Ok(Self { listener, path: path.to_owned(), names, moved: None, _lock: lock })
            }
            Err(error) => {
                let _ = unlink(&lock_path);
                Err(error)
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.names.remove();
    }
}

fn failed(path: &Path, errno: Errno) -> SocketError {
    match errno {
        Errno::ACCESS | Errno::PERM | Errno::LOOP => SocketError::NotOurs { path: path.to_owned(), why: errno.to_string() },
        _ => SocketError::Io { path: path.to_owned(), error: errno.into() },
    }
}

/// Takes the lock file, never one that another process holds.
fn take_lock(path: &Path, lock_path: &Path) -> Result<File, SocketError> {
    // A server that ends removes its lock file: whoever opened it just before then holds a lock on a file that has no
    // name any more, and must look again.
    loop {
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = open(lock_path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| failed(path, errno))?;
        let ours = fstat(&file).map_err(|errno| failed(path, errno))?;
        if ours.st_uid != geteuid().as_raw() {
            let why = format!("{} belongs to user {}", lock_path.display(), ours.st_uid);
            return Err(SocketError::NotOurs { path: path.to_owned(), why });
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(SocketError::InUse(path.to_owned())),
            Err(errno) => return Err(failed(path, errno)),
        }
        let named = statat(CWD, lock_path, AtFlags::SYMLINK_NOFOLLOW);
        if named.is_ok_and(|named| (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)) {
            return Ok(file.into());
        }
    }
}

/// Removes what a dead server left; refuses what is alive or no socket.
fn clear(path: &Path, address: &SocketAddrUnix) -> Result<(), SocketError> {
    let there = match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => there,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed(path, errno)),
    };
    if FileType::from_raw_mode(there.st_mode) != FileType::Socket {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    // The lock is ours, but a server that knows no lock files may be listening.
    let probe = new_socket().map_err(|errno| failed(path, errno))?;
    match connect(&probe, address) {
        Err(Errno::CONNREFUSED | Errno::NOENT) => {}
        Ok(()) | Err(Errno::AGAIN) => return Err(SocketError::InUse(path.to_owned())),
        Err(errno) => return Err(failed(path, errno)),
    }
    match unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed(path, errno)),
    }
}

fn listener(path: &Path, address: &SocketAddrUnix) -> Result<OwnedFd, SocketError> {
    let bound = || -> Result<OwnedFd, Errno> {
        let socket = new_socket()?;
        // Linux gives the file the mode of the socket, so it is never open to others, not even for a moment.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        bind(&socket, address)?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    bound().map_err(|errno| failed(path, errno))
}

fn new_socket() -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}
