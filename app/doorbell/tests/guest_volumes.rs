//! Linux on volumes of a store, over NVMe/TCP, all in one QEMU guest. What is shown: a file system on a volume; a snapshot while it is written, and
//! a clone of that which mounts as after a power cut and is clean; both used beside each other; SIGKILL under load, twice: what was acknowledged is
//! in the store before anybody recovers it, the host reconnects and finds each volume where it was, the file systems are clean and have what was
//! flushed; a store that is full says so to who writes, goes on for the others, and takes writes again after a volume was deleted.
//!
//! What is not shown: speed, and a power cut under the server's own file.

mod guest_support;

#[test]
fn a_linux_host_uses_volumes() {
    guest_support::run(include_str!("guest_support/volumes.sh"));
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
