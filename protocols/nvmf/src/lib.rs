//! The NVMe-oF target: subsystems and namespaces, controllers, and the engine that serves them over TCP.
//!
//! Three parts. The **control plane** ([`Target`]) is `Send + Sync`, locks, and is never on the path of an I/O: every change publishes an
//! immutable [`Snapshot`]. A **group** on each reactor owns its connections and one block queue for each namespace they reach; it is told
//! of a new snapshot by a wake and reads it between requests. The **controller** is sans-IO: commands in, answers out.
//!
//! What two reactors share while I/O flows: nothing that is written. A controller's I/O queues may lie on other reactors than its admin
//! queue; they look at two flags ([`Association`]) that change when the controller is enabled or ends.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

mod controller;
pub mod fuzzing;
mod io;
mod listen;
mod memory;
mod namespaces;
mod options;
mod pcie;
mod rpc;
mod status;
mod subsystem;
mod target;
mod tcp;
mod vfio_user;

pub use memory::MemoryDevice;
pub use options::{BadOption, TransportOptions, VfioUserOptions};
pub use rpc::NvmfPart;
pub use subsystem::{Kind, Listener, Namespace, NewNamespace, NewSubsystem, Subsystem};
pub use target::{Association, ControllerInfo, GroupStats, QueueInfo, Snapshot, Target, TargetError};
pub use tcp::Wire;
pub use vfio_user::VFIO_USER_HOST;
