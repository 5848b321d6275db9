//! Doorbell's one binary, and what of it other programs use: the load generator of `doorbell perf`.
#![forbid(unsafe_code)]

pub mod perf;
