//! NVMe queues in memory: submission and completion rings, the lists of addresses that commands point at, and what is in flight.
//!
//! What it is not: it builds no command, opens no queue and decides nothing about a completion but whose it is.
//!
//! Invariants: a device learns addresses only of what lies in the in-flight table; what is in the table leaves it against a completion that
//! the device wrote, or all at once after the controller was seen to be silent ([`crate::Bar::note_silence`]); everything that the device
//! writes is read once.

mod controller_memory;
mod pointer;
mod ring;
mod shadow;
#[cfg(test)]
mod tests;

pub use controller_memory::ControllerMemory;
pub use pointer::{Pages, Pointing, Refusal};
pub use ring::{Commands, MemoryQueue, QueueSpec};
pub use shadow::{Shadow, ShadowPages};
