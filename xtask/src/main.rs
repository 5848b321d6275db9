//! What CI runs and what a person runs.
#![forbid(unsafe_code)]
fn main() {}
