//! How a request ended. Open to no one: every layer maps what it meets to one of these, every protocol maps these to its own.

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Done, and for a read the data is there.
    Ok,
    /// Malformed: payload of the wrong length, misaligned, too large, a bad combination of fields.
    Invalid,
    /// Blocks past the end of the device.
    OutOfRange,
    /// The device has no such operation and it cannot be emulated.
    Unsupported,
    /// The device or the handle may not be written.
    ReadOnly,
    /// What was read could not be read, or not proved right.
    ReadError,
    /// What was written could not be written.
    WriteError,
    /// There is no room left beneath.
    NoSpace,
    /// A compare found other data.
    Miscompare,
    /// Asked to come back early, or swept away by a reset.
    Aborted,
    /// Took longer than allowed.
    TimedOut,
    /// The device has gone.
    Gone,
    /// Not now: try again.
    Busy,
    /// An error of ours or the host's that says nothing about the data.
    Internal,
}

impl Status {
    /// Every status, in order.
    pub const ALL: [Status; 14] = [
        Status::Ok,
        Status::Invalid,
        Status::OutOfRange,
        Status::Unsupported,
        Status::ReadOnly,
        Status::ReadError,
        Status::WriteError,
        Status::NoSpace,
        Status::Miscompare,
        Status::Aborted,
        Status::TimedOut,
        Status::Gone,
        Status::Busy,
        Status::Internal,
    ];

    /// Is all well?
    #[inline]
    pub const fn is_ok(self) -> bool {
        matches!(self, Status::Ok)
    }

    /// Could the same request succeed later, with nothing changed by its sender?
    pub const fn may_retry(self) -> bool {
        matches!(
            self,
            Status::ReadError | Status::WriteError | Status::NoSpace | Status::Aborted | Status::TimedOut | Status::Busy | Status::Internal
        )
    }

    /// A short name, for counters and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Invalid => "invalid",
            Status::OutOfRange => "out_of_range",
            Status::Unsupported => "unsupported",
            Status::ReadOnly => "read_only",
            Status::ReadError => "read_error",
            Status::WriteError => "write_error",
            Status::NoSpace => "no_space",
            Status::Miscompare => "miscompare",
            Status::Aborted => "aborted",
            Status::TimedOut => "timed_out",
            Status::Gone => "gone",
            Status::Busy => "busy",
            Status::Internal => "internal",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
