//! Load generators.

pub mod block;
