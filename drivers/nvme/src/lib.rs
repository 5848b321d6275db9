//! An NVMe driver in user space.
//!
//! One state machine brings a controller up and keeps it up; a queue of commands is a link, of which there are two kinds: rings in
//! memory (a function on PCIe, by VFIO or uio, served over vfio-user, or simulated) and a TCP connection. Each reactor has one queue pair
//! of a controller, which the namespaces in use there share.
//!
//! What it is not: it registers no block device and serves no RPC; `doorbell-backends` does. The device is not trusted: what it says is
//! checked, and a controller that lies costs its own requests only.
#![forbid(unsafe_code)]

pub mod address;
mod admin;
mod controller;
pub mod discovery;
mod error;
pub mod fuzzing;
mod link;
mod namespace;
mod options;
mod pair;
pub mod session;
mod shared;
mod status;
mod time;

pub use admin::{Answer, Payload};
pub use controller::{Change, Committed, Controller, Env, Identity, PathError, PathId, TcpOptions, Watcher};
pub use error::{CommandError, NvmeError};
pub use link::tcp::{Failure, HostName, TcpOffer, TcpSpec};
pub use link::{Fault, QueueKind};
pub use namespace::{Described, Format, Ids, Namespace};
pub use options::{OnTimeout, Options, Policy};
pub use shared::State;
pub use time::within;
