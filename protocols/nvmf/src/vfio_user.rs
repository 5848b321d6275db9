//! The vfio-user server: a socket in a folder, and behind it one PCI function for whoever connects (a virtual machine monitor, a driver).
//!
//! One client at a time; the next one waits in the socket's queue until all of the last one is gone. Everything of an endpoint lies on one
//! reactor. Messages are put together as they come, answered in order, and none of them waits in a system call; those that need the function
//! to be still are held, with all that follow them, until it is.
//!
//! At rest the doorbells that a client has mapped give no notice, so somebody has to look: in every turn while there was work a moment ago,
//! then less and less often, up to a longest time that is an option ([`crate::VfioUserOptions::idle_look_ns`]). A client that rings by
//! message, or by a doorbell buffer in its own memory, wakes the endpoint itself.

mod client;
mod endpoint;
mod listen;
mod message;
// Tests and fuzzers have what they need, and are told of what is wrong by a panic.
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)]
// Fuzzers use some of what tests use.
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) mod rig;
mod serve;

pub(crate) use listen::unlink;

/// The name by which clients of vfio-user, who have none, are admitted and shown: a subsystem serves them if it lets any host connect, or
/// this one.
pub const VFIO_USER_HOST: &str = "nqn.2026-11.io.doorbell:vfio-user";

#[cfg(test)]
mod tests;
