//! Making a ring with the best that this kernel has, and saying why when there is none.

use std::{fs, io};

use io_uring::{IoUring, Probe, opcode};

/// Places in the table of registered files, and of registered memory.
pub(super) const FILES: u32 = 256;
pub(super) const REGIONS: u32 = 64;

/// IORING_ENTER_GETEVENTS (linux/io_uring.h): run what completed, without waiting when no count is asked for.
const ENTER_GETEVENTS: u32 = 1;

/// Why there is no ring, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum UringError {
    /// Switched off by the administrator.
    #[error(
        "io_uring is disabled for this process (kernel.io_uring_disabled is {0}): set that to 0, or to 1 with this user in kernel.io_uring_group, or use the aio back end"
    )]
    Disabled(String),
    /// Refused, but not by the known switch: a container's or systemd's system call filter.
    #[error(
        "io_uring is refused to this process, probably by a seccomp filter (a container's default profile has one): allow io_uring_setup, io_uring_enter and io_uring_register there, or use the aio back end"
    )]
    Filtered,
    /// The kernel has none.
    #[error("this kernel has no io_uring (5.6 or later is needed): use the aio back end")]
    Unsupported,
    /// Device polling was asked for, and the kernel has none.
    #[error("this kernel refuses a polling ring (IOPOLL): turn it off")]
    NoIopoll,
    /// Memory cannot be pinned.
    #[error("memory cannot be registered with io_uring ({0}): raise the limit on locked memory (ulimit -l, LimitMEMLOCK=)")]
    Locked(io::Error),
    /// Registration needs a newer kernel, or the table is full.
    #[error("no more memory can be registered with this ring: Linux 5.19 or later is needed, and there are {REGIONS} places")]
    NoRegistration,
    /// Anything else.
    #[error("cannot set up io_uring: {0}")]
    Os(#[from] io::Error),
}

/// What a ring can do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Abilities {
    /// Completions wait until we enter the kernel.
    pub(super) deferred: bool,
    pub(super) iopoll: bool,
    pub(super) fallocate: bool,
    pub(super) fixed_files: bool,
    pub(super) fixed_buffers: bool,
}

impl Abilities {
    /// Flags for entering the kernel: completions that it would otherwise sit on are asked for with the same call.
    pub(super) fn asked(&self) -> u32 {
        if self.deferred || self.iopoll { ENTER_GETEVENTS } else { 0 }
    }
}

/// How completions reach us, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Only when we ask; one thread submits (6.1).
    Deferred,
    /// When we enter the kernel for whatever reason (5.19).
    Cooperative,
    /// By interrupting us.
    Plain,
}

pub(super) fn build(depth: u16, iopoll: bool) -> Result<(IoUring, Abilities), UringError> {
    let (ring, style) = best_style(depth, iopoll)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|_| UringError::Unsupported)?;
    let wanted = [opcode::Read::CODE, opcode::Write::CODE, opcode::Readv::CODE, opcode::Writev::CODE, opcode::Fsync::CODE];
    if !wanted.iter().all(|&code| probe.is_supported(code)) {
        return Err(UringError::Unsupported);
    }
    let can = Abilities {
        deferred: style == Style::Deferred,
        iopoll,
        fallocate: probe.is_supported(opcode::Fallocate::CODE),
        fixed_files: ring.submitter().register_files_sparse(FILES).is_ok(),
        fixed_buffers: ring.submitter().register_buffers_sparse(REGIONS).is_ok(),
    };
    Ok((ring, can))
}

fn best_style(depth: u16, iopoll: bool) -> Result<(IoUring, Style), UringError> {
    let mut refused = None;
    for style in [Style::Deferred, Style::Cooperative, Style::Plain] {
        match with_style(depth, iopoll, style) {
            Ok(ring) => return Ok((ring, style)),
            // A flag that this kernel does not know.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = Some(error),
            Err(error) => return Err(explain(error, disabled_switch().as_deref())),
        }
    }
    match refused {
        Some(_) if iopoll => Err(UringError::NoIopoll),
        Some(error) => Err(UringError::Os(error)),
        None => Err(UringError::Unsupported),
    }
}

fn with_style(depth: u16, iopoll: bool, style: Style) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.dontfork().setup_clamp();
    match style {
        Style::Deferred => builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all(),
        Style::Cooperative => builder.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all(),
        Style::Plain => &mut builder,
    };
    if iopoll {
        builder.setup_iopoll();
    }
    builder.build(depth.into())
}

fn disabled_switch() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok().map(|text| text.trim().to_owned())
}

/// What a refusal means, given the administrator's switch (6.6 and later have it).
pub(super) fn explain(error: io::Error, switch: Option<&str>) -> UringError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => match switch {
            Some(value) if value != "0" => UringError::Disabled(value.to_owned()),
            _ => UringError::Filtered,
        },
        Some(libc::ENOSYS) => UringError::Unsupported,
        Some(libc::ENOMEM) => UringError::Locked(error),
        _ => UringError::Os(error),
    }
}
