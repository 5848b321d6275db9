//! An NVMe controller behind a simulated PCI function, with faults by seed: what the driver is tested on.
//!
//! What it is: registers, doorbells, shadow doorbells, interrupts, queues, PRPs, SGLs and commands over disks in memory, those of an operator
//! among them (formats, firmware, sanitize, namespaces), in the thread of the test, which turns it by [`Model::step`] on virtual time. It reaches the driver's memory only by I/O addresses that the driver mapped for it, through mappings
//! of its own, as a device behind an IOMMU does; an access to what is not mapped is counted ([`Counters::stray_dma`]).
//! What it is not: any part of the target (`doorbell-nvmf`), or a complete controller: no metadata, no zones, no copies.
//!
//! A [`Plan`] says what it does wrong. Everything it does follows from its plan, its seed and the driver.
#![forbid(unsafe_code)]

mod admin;
mod bytes;
mod disk;
mod function;
mod identify;
mod interrupt;
mod io;
mod lean;
mod maintain;
mod memory;
mod model;
mod plan;
mod queue;
mod shadow;
pub mod trial;

pub use disk::DiskSpec;
pub use function::SimFunction;
pub use lean::LeanQueue;
pub use maintain::firmware;
pub use model::{Counters, Model};
pub use plan::{Absurd, Fault, Offers, Plan, Rates, Stuck};
