//! Linux's own NVMe/TCP initiator on the binary, both in one QEMU guest. What is shown:
//!
//! - `a_linux_host_finds_its_data`: discovery; connections with several I/O queues, without and with digests; a file system that is
//!   mounted again; fio's checksums over depths, sizes and mixes; flush, discard, write zeroes and compare, what they change and what they
//!   leave; identify and logs as they should be; a namespace that comes and goes, and one that grows, while the host is connected.
//! - `a_flush_reaches_the_file`: a flush, an fsync and a write with FUA of the host make the kernel under the target sync the file, counted
//!   by that kernel, for each engine; a plain write does not.
//! - `no_acknowledged_write_is_lost_when_the_target_is_killed`: three times SIGKILL under load. What was acknowledged is on the file at once;
//!   the host reconnects to the target that takes its place, and goes on.
//!
//! What is not shown: speed (CPUs are emulated), and that a disk below the file keeps its word when the power goes.

mod guest_support;

#[test]
fn a_linux_host_finds_its_data() {
    guest_support::run(include_str!("guest_support/host.sh"));
}

#[test]
fn a_flush_reaches_the_file() {
    guest_support::run(include_str!("guest_support/flush.sh"));
}

#[test]
fn no_acknowledged_write_is_lost_when_the_target_is_killed() {
    guest_support::run(include_str!("guest_support/kill.sh"));
}

/// Programs for the guest: the script runs this very binary, whose files it sees.
mod in_guest {
    use crate::guest_support::writer;

    #[test]
    #[ignore = "runs in the guest"]
    fn writer() {
        writer::write();
    }

    #[test]
    #[ignore = "runs in the guest"]
    fn checker() {
        writer::check();
    }
}
