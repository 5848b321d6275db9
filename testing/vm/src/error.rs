//! Why a guest gave no answer, in words that say what to do.

use std::fmt;
use std::io;

/// Why a guest gave no answer.
#[derive(Debug)]
pub enum GuestError {
    /// A program of the host is lacking.
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
    },
    /// The guest's kernel could not be had; the text is the image maker's.
    Image(String),
    /// The host refused something.
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The script did not end, or did not say what was waited for, in time.
    TimedOut {
        /// The time it had, in seconds.
        after_s: u64,
        /// What it had printed, and the end of the guest's console.
        seen: String,
    },
    /// The guest ended without the script's status: its kernel or QEMU died.
    Died {
        /// What QEMU and the end of the guest's console say.
        seen: String,
    },
}

impl GuestError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> GuestError {
        let what = what.into();
        move |source| GuestError::Io { what, source }
    }
}

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GuestError::Missing { program, package } => {
                write!(f, "a guest needs {program}: apt-get install --no-install-recommends {package} (or cargo xtask test --install)")
            }
            GuestError::Image(text) => write!(f, "no kernel for a guest: {text}"),
            GuestError::Io { what, source } => write!(f, "{what}: {source}"),
            GuestError::TimedOut { after_s, seen } => write!(f, "the guest was not done after {after_s} s; it said:\n{seen}"),
            GuestError::Died { seen } => write!(f, "the guest died; it said:\n{seen}"),
        }
    }
}

impl std::error::Error for GuestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            GuestError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
