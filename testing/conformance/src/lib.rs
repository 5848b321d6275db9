//! One suite for every block device: what `BlockDevice` and `BlockQueue` promise, tried case by case.
//!
//! A [`Suite`] makes a fresh device for each case and runs it on real reactors ([`Suite::run`]) or in a simulated machine
//! ([`Suite::run_simulated`]). It learns from `DeviceInfo` what to expect, so a device passes by doing what it says, whatever that is.
//! [`Checked`] holds any queue to the contract by itself; [`Rig`] drives a queue from async code; [`start`] puts random mixed load on a
//! device, held against a plain model.
//!
//! ```
//! use doorbell_conformance::{Ram, Subject, Suite};
//! use std::sync::Arc;
//!
//! let suite = Suite::new("ram", |_local| async { Ok(Subject::new(Arc::new(Ram::new(9, 2048)))) });
//! suite.only(&["info", "first_and_last_block"]).run_simulated().assert_passed();
//! ```
#![forbid(unsafe_code)]

mod case;
mod cases;
mod checked;
mod load;
mod model;
mod ram;
mod rig;
mod shape;
mod suite;
mod zoned;

pub use case::{Env, Failure, Patience, Probe, Verdict};
pub use checked::{Checked, Ledger};
pub use load::{LoadSpec, Pieces, start};
pub use model::Model;
pub use ram::Ram;
pub use rig::{Cuts, Finished, Payload, Request, Rig};
pub use suite::{Report, Subject, Suite};
pub use zoned::ZonedRam;
