//! Load generators.

pub mod block;

mod command;
mod report;

pub(crate) use command::{Drives, Under, load, namespace_name};
pub use command::{PerfError, block as run_block};
