//! What can go wrong with a PCI function, in words that an operator can act on.

use std::io;

/// Why a PCI function could not be had or used.
#[derive(Debug, thiserror::Error)]
pub enum PciError {
    /// The kernel, or the other end of a socket, refused.
    #[error("{function}: cannot {what}: {source}")]
    System {
        /// Which function.
        function: String,
        /// What was tried.
        what: &'static str,
        /// The answer.
        source: io::Error,
    },
    /// The function, or what stands for it, does not do what is needed.
    #[error("{function}: {why}")]
    Unusable {
        /// Which function.
        function: String,
        /// Why, and what to do.
        why: String,
    },
    /// The function has gone.
    #[error("{function} has gone")]
    Gone {
        /// Which function.
        function: String,
    },
    /// No I/O addresses are left for a region.
    #[error("no {bytes} bytes of I/O addresses are free in the ranges that {function} can reach")]
    NoAddresses {
        /// Which function.
        function: String,
        /// Bytes of the region.
        bytes: usize,
    },
    /// Memory for the device could not be had.
    #[error(transparent)]
    Memory(#[from] doorbell_mem::MemError),
}

impl PciError {
    /// The kernel's or the peer's refusal.
    pub fn system(function: &str, what: &'static str, source: impl Into<io::Error>) -> PciError {
        PciError::System { function: function.to_owned(), what, source: source.into() }
    }

    /// Not what is needed.
    pub fn unusable(function: &str, why: impl Into<String>) -> PciError {
        PciError::Unusable { function: function.to_owned(), why: why.into() }
    }
}
