//! Runs scripts in a QEMU guest: a Debian kernel that sees this machine's files.
//!
//! The guest's root is the host's own file system, read-only below a layer in memory, so that every program of the host, a release
//! binary just built among them, is there under the same path. A guest boots in seconds, runs one bash script, and is gone with all
//! it wrote, but for the folders shared for writing. What is judged in it is protocol and data, never speed: where there is no usable
//! KVM its CPUs are emulated.
//!
//! The kernel and a small initramfs are made on first use, in `.cache/vm` of the workspace (`DOORBELL_VM_CACHE` names another folder).
//! One guest runs at a time, whatever asks for it: emulated CPUs starve beside one another. Only x86-64 hosts are supported.
//!
//! ```no_run
//! let output = doorbell_vm::Guest::new().modules(["nvme-tcp"]).run("nvme version").expect("a guest");
//! assert!(output.success(), "{output}");
//! ```
#![forbid(unsafe_code)]

mod error;
mod guest;
mod image;
mod qemu;
mod running;
#[cfg(test)]
mod tests;

pub use error::GuestError;
pub use guest::Guest;
pub use image::cache;
pub use running::{Output, Running};
