//! What can go wrong with memory, in words that an operator can act on.

/// Why memory could not be had or used.
#[derive(Debug, thiserror::Error)]
pub enum MemError {
    /// The kernel refused a mapping.
    #[error("cannot map {bytes} bytes of {what}: {source}")]
    Map {
        /// What was to be mapped.
        what: &'static str,
        /// How much.
        bytes: usize,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Too few free huge pages are set aside; those that others reserved are left alone.
    #[error(
        "{wanted} huge pages of {page_kib} KiB are needed and {free} are free and unreserved: raise {sysfs} by at least {missing}, or start without huge pages"
    )]
    HugePages {
        /// Pages asked for.
        wanted: usize,
        /// Pages that are free and that nobody has reserved.
        free: usize,
        /// What is missing.
        missing: usize,
        /// The page size.
        page_kib: usize,
        /// The file to raise.
        sysfs: String,
    },
    /// A device does DMA, so memory must be locked, and the limit is too small.
    #[error(
        "cannot lock {bytes} bytes for DMA ({source}): the limit on locked memory is {limit_kib} KiB; raise it with `ulimit -l {wanted_kib}` or LimitMEMLOCK= in the unit file"
    )]
    Lock {
        /// Bytes to lock.
        bytes: usize,
        /// The limit in force.
        limit_kib: u64,
        /// A limit that would do.
        wanted_kib: u64,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A device refused a region.
    #[error("a device could not map a memory region: {0}")]
    Observer(String),
    /// A range outside of the memory that it was asked of.
    #[error("bytes {offset}..{end} lie outside of the {len} bytes mapped")]
    OutOfRange {
        /// First byte.
        offset: u64,
        /// One past the last.
        end: u64,
        /// What there is.
        len: usize,
    },
}
