//! SPDK's own client (`pip install spdk==26.9`, command `spdk-rpc`) and clients that speak its protocol by hand, against
//! the whole server: what scripts written for SPDK do, they can do here.

#[path = "../support/mod.rs"]
mod support;

mod by_hand;
mod client;
mod configure;
mod drives;
mod refusals;
mod saved;
mod states;
mod volumes;
mod walk;
