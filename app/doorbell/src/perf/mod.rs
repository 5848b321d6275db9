//! Load generators.

pub mod block;

mod command;
mod report;

pub use command::{PerfError, block as run_block};
