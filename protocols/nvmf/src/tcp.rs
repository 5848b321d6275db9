//! The TCP engine: one group of connections on each reactor.
//!
//! A connection's bytes go through here once: small in-capsule data is copied out of the receive buffer, larger data goes from the socket
//! into its segments; data for the host is sent from its segments. One send a turn carries everything that a connection has to say.

mod admin;
mod command;
mod connection;
mod execute;
mod group;
mod receive;
mod request;
mod send;
mod share;
mod shutdown;
mod wire;

pub(crate) use group::{Group, LogLimit};
pub use wire::Wire;

#[cfg(test)]
mod tests;
