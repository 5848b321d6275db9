//! PCI functions from user space: what a driver needs of one, whichever way it is reached.
//!
//! A [`Function`] has configuration space, BARs, interrupts and a [`Domain`], its view of this process's memory. [`queue`] holds NVMe
//! queues in memory: the rings, the lists of addresses that a device reads, and the tables of what it was given.
//!
//! What it is not: it knows no NVMe command but where its data pointer lies, and makes no decision about a device.
#![allow(unsafe_code)] // unsafe island: device registers, shared rings and addresses for DMA live here and nowhere above

mod address;
mod bar;
mod domain;
mod error;
mod function;
mod iova;
mod mapping;
mod open;
mod physical;
pub mod queue;
pub mod sysfs;
mod uevent;
mod uio;
mod vfio;
mod vfio_user;

pub use address::{BadAddress, FunctionAddress, PciAddress};
pub use bar::{Area, Bar, Doorbell, Trapped};
pub use domain::{Domain, LookUp, Mapper, Run};
pub use error::PciError;
pub use function::{Function, Interrupts};
pub use iova::{IovaRange, Iovas};
pub use open::{OpenOptions, open};
pub use uevent::{Uevent, Uevents};

/// Can the descriptor be read without waiting?
fn ready(fd: std::os::fd::BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|n| n > 0)
}
