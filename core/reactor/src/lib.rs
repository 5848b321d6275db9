//! The engine: reactors that turn, sleep when there is nothing to do, and run local async code for the control plane.
//!
//! One OS thread per reactor; whatever a reactor owns stays on it. [`Reactor`] is generic over its clock and its order of turns, so that a
//! simulation runs several in one thread from a seed. [`run`] starts real ones and hands the first a `main` future.
//!
//! ```
//! use doorbell_reactor::{Config, run};
//! let config = Config { reactors: 2, ..Config::default() };
//! let (answer, closed) = run(&config, |local| async move {
//!     // On the other reactor, once, and back with what it found.
//!     local.visit(doorbell_block::ReactorId(1), |cx| cx.reactor().0 + 41).await.unwrap()
//! })
//! .unwrap();
//! assert_eq!(answer, 42);
//! assert!(closed.iter().all(|c| c.boxes_out == 0));
//! ```
#![forbid(unsafe_code)]

mod channel;
mod executor;
mod load;
mod local;
mod queue;
mod reactor;
mod threads;

pub use channel::{Gone, Receiver, Sender, oneshot};
pub use load::{Load, LoadSnapshot};
pub use local::{AsyncFd, Local};
pub use queue::AsyncQueue;
pub use reactor::{Clock, Fifo, Order, Polling, Reactor, ReactorParts};
pub use threads::{Closed, Config, StartError, run, run_with_loads};
