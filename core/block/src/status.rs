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
    /// The guard of protection information does not fit the data.
    BadGuard,
    /// The application tag of protection information is not the one asked for.
    BadApplicationTag,
    /// The reference tag of protection information is not the one asked for.
    BadReferenceTag,
    /// A write that does not begin where its zone is written next, or crosses its end.
    ZoneInvalidWrite,
    /// The zone is full.
    ZoneFull,
    /// The zone is in a state in which this cannot be done: read-only, offline, or not to be changed so.
    ZoneState,
    /// No more zones may be open or active.
    ZoneLimit,
}

impl Status {
    /// Every status, in order.
    pub const ALL: [Status; 21] = [
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
        Status::BadGuard,
        Status::BadApplicationTag,
        Status::BadReferenceTag,
        Status::ZoneInvalidWrite,
        Status::ZoneFull,
        Status::ZoneState,
        Status::ZoneLimit,
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
            Status::ReadError
                | Status::WriteError
                | Status::NoSpace
                | Status::Aborted
                | Status::TimedOut
                | Status::Busy
                | Status::Internal
                | Status::ZoneLimit
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
            Status::BadGuard => "bad_guard",
            Status::BadApplicationTag => "bad_application_tag",
            Status::BadReferenceTag => "bad_reference_tag",
            Status::ZoneInvalidWrite => "zone_invalid_write",
            Status::ZoneFull => "zone_full",
            Status::ZoneState => "zone_state",
            Status::ZoneLimit => "zone_limit",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
