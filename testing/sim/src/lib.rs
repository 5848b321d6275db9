//! Seeded simulation: several reactors, a network, virtual time and disks that lose what was not flushed, in one OS thread, from one seed.
//!
//! What it is: a [`Machine`] of real reactors over a [`SimClock`] and a [`SimOrder`], byte pipes ([`PipeEnd`]) that wake tokens, a disk
//! ([`SimDisk`]) with a power switch, and a [`DurabilityModel`] that says what may be read after it. What it is not: a model of any
//! reactor or queue of ours; what runs in it is the code that ships.
//!
//! A failure names its seed. `DOORBELL_SEED=n` runs a test with that seed alone, `DOORBELL_SEEDS=n` with the first n.
//!
//! ```
//! use doorbell_block::{BlockDevice, Op, Status};
//! use doorbell_reactor::AsyncQueue;
//! use doorbell_sim::{DiskSpec, Machine, SimDisk};
//! use std::sync::Arc;
//!
//! let disk = SimDisk::new(DiskSpec::new(1, 9, 1024));
//! let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
//! let mut machine = Machine::new(1, 2);
//! machine
//!     .run(1_000_000_000, |local| async move {
//!         let queue = AsyncQueue::open(&local, device, 1).await.unwrap();
//!         assert_eq!(queue.control(Op::WriteZeroes, 0, 8).await, Status::Ok);
//!         assert_eq!(queue.control(Op::Flush, 0, 0).await, Status::Ok);
//!     })
//!     .unwrap();
//! assert_eq!(disk.counters().flushes, 1);
//! assert!(machine.close(1_000_000_000).iter().all(|c| c.boxes_out == 0));
//! ```
#![forbid(unsafe_code)]

mod disk;
mod durability;
mod entropy;
mod machine;
mod pipe;
mod storm;
mod time;

pub use disk::{Counters, DiskSpec, Faults, Image, SimDisk, Tear};
pub use durability::{Breach, DurabilityModel, WriteId, read_stamp, stamp_block};
pub use entropy::{Entropy, seeds};
pub use machine::{Machine, MachineSpec, Stalled};
pub use pipe::{Network, PipeEnd, PipeSpec};
pub use storm::{StormLog, StormSpec, storm};
pub use time::{SimClock, SimOrder, Trace};
