//! JSON-RPC as SPDK's clients speak it: framing, batches, the server on its socket, save and load.
//!
//! [`Session`] is the protocol of one connection without I/O: bytes in, calls out; answers in, bytes out. [`serve`] runs
//! sessions over a Unix socket that [`Socket`] binds and locks. [`Builtins`] are the methods that belong to the process
//! rather than to a part; [`add_tuning`] keeps SPDK's settings for what is not here; [`load_config`] applies a saved
//! configuration.
//!
//! What it is not: it knows no device and no subsystem; those bring their methods through `doorbell-control`.
//!
//! Invariants: a connection that sends garbage gets one error and ends alone; what a connection holds is bounded by the
//! limits of [`limits`]; a reply is one line of ASCII, because SPDK's client decodes UTF-8 in pieces of 4096 bytes.
#![forbid(unsafe_code)]

mod builtin;
mod load;
mod reply;
mod scan;
mod server;
mod session;
mod socket;
mod strict;
mod tuning;

pub mod fuzz;
pub mod limits;

pub use builtin::{Builtins, LogControl, LogLevel, Signal};
pub use load::{LoadError, LoadOptions, Report, SavedCall, load_config, saved_calls};
pub use server::serve;
pub use session::{Call, Session, Ticket};
pub use socket::{DEFAULT_SOCKET, Names, Socket, SocketError};
pub use strict::read_json;
pub use tuning::add_tuning;
