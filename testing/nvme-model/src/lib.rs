//! An NVMe controller behind a simulated PCI function, with faults by seed: what the driver is tested on.
//!
//! What it is: registers, doorbells, shadow doorbells, queues, PRPs, SGLs and a handful of commands over disks in memory, in the thread of the test, which turns it
//! by [`Model::step`] on virtual time. It reaches the driver's memory only by I/O addresses that the driver mapped for it, through mappings
//! of its own, as a device behind an IOMMU does; an access to what is not mapped is counted ([`Counters::stray_dma`]).
//! What it is not: any part of the target (`doorbell-nvmf`), or a complete controller: no interrupts, no fused commands.
//!
//! A [`Plan`] says what it does wrong. Everything it does follows from its plan, its seed and the driver.
#![forbid(unsafe_code)]

mod admin;
mod disk;
mod function;
mod io;
mod lean;
mod memory;
mod model;
mod plan;
mod queue;
mod shadow;

pub use disk::DiskSpec;
pub use function::SimFunction;
pub use lean::LeanQueue;
pub use model::{Counters, Model};
pub use plan::{Absurd, Plan, Rates, Stuck};
