//! Benchmarks against the budgets.
#![forbid(unsafe_code)]
fn main() {}
