//! An NVMe controller as a PCI function whose queues lie in memory of its host: registers, doorbells, queues, data pointers, interrupts.
//!
//! It owns no socket: whoever serves it (the vfio-user server, a test) maps the host's memory into it, hands it accesses to its regions and
//! event descriptors, turns it by [`Function::poll`], and asks it to be still before it takes memory away or resets it
//! ([`Function::be_still`]). All of its queues lie on one reactor. What the controller says, and what an I/O command means, is what the TCP
//! engine uses too (`controller`, `io`, `Namespaces`).
//!
//! Nothing that the host can write is trusted: a command is copied before it is looked at, every address is looked up in the table of
//! mapped ranges, and data goes straight between those ranges and the block queue. What the host writes behind a command's back changes its
//! own data and nothing else.
//!
//! Invariants: commands under way on a completion queue never exceed its free entries, so that a completion always has room; memory is
//! taken away only while no box is at a device; a box that is at a device names its slot in its tag.

mod admin;
mod command;
mod config;
mod doorbell;
mod execute;
mod function;
mod irq;
mod memory;
mod pointer;
mod queue;
mod register;
mod slot;

pub(crate) use function::{Function, Later, Place, Write};
pub(crate) use memory::{FileKey, MapError, Span};

/// Regions of the function (PCI and NVMe over PCIe Transport 1.1, 2.1).
pub(crate) mod bar {
    /// Bytes of BAR 0: registers, doorbells, padding to a power of two.
    pub(crate) const BAR0: u64 = 0x4000;
    /// Where the doorbells begin in it.
    pub(crate) const DOORBELLS: u64 = 0x1000;
    /// Bytes of doorbells.
    pub(crate) const DOORBELLS_LEN: u64 = 0x1000;
    /// Bytes of BAR 4: the MSI-X table.
    pub(crate) const BAR4: u64 = 0x2000;
    /// Bytes of BAR 5: the pending bits.
    pub(crate) const BAR5: u64 = 0x1000;
    /// Bytes of configuration space.
    pub(crate) const CONFIG: u64 = 0x1000;
}
