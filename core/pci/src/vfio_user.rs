//! Functions that another process serves over a socket: the client's side of vfio-user.
//!
//! Registers and configuration space go by message, but for the parts that the server lets be mapped; memory is shared by the files behind
//! its regions; interrupts are eventfds handed over. Calls wait for their answer, one at a time and for so long at most; a server that does
//! not answer, or not as the protocol says, has gone.
//!
//! What it is not: a way to memory without a file (the server's own requests to read and write memory are refused), and no protection from
//! the server: it can write to all memory that it was given for as long as it keeps it mapped, so it is trusted as a device without an
//! IOMMU before it would be, with what it was given.

mod connection;
mod function;
#[cfg(test)]
mod tests;

pub(crate) use function::open;
