//! What a typed RPC method and a configurable part are.
//!
//! A *method* is one async function from a parameter struct to a result. The struct comes from [`params!`], which makes
//! the decoder and the description from the same lines, so that the schema, the guide's page and the code cannot differ.
//! A *part* ([`Part`]) is a subsystem that brings methods, is started in order of dependence and can say which calls would
//! configure it as it is now. [`Control`] holds parts and methods, knows the state (startup, runtime), and runs calls.
//!
//! What it is not: it holds no socket, clock or thread, and no bytes of JSON-RPC; those are `doorbell-rpc`'s.
//!
//! Invariants: unknown parameters are refused; a null parameter counts as absent; a method runs only in a state that it
//! names; nothing here panics on what a client sends.
#![forbid(unsafe_code)]

// So that the macros' paths (`::doorbell_control::`) also resolve inside this crate's own tests.
extern crate self as doorbell_control;

mod control;
mod error;
mod field;
mod guide;
mod interface;
mod keep;
mod macros;
mod method;
mod notify;
mod param;
mod part;
mod uuid;

pub use control::{Control, ControlError, Notice, Options, State, WeakControl};
pub use error::RpcError;
pub use field::{Field, Kind};
pub use guide::{guide_index, guide_page, schema};
pub use interface::{Interface, Mismatch, Spec, conforms, spdk};
pub use keep::Keep;
pub use method::{Alias, LocalFuture, Method, Methods, When};
pub use notify::{Notification, Notifications};
pub use param::{Fault, Flags, Given, NoParams, Param, Params};
pub use part::{ConfigCall, Part};
pub use uuid::{BadUuid, Uuid};

#[doc(hidden)]
pub use macros::bare as __bare;
#[doc(hidden)]
pub use serde_json;
