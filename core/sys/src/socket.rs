//! Non-blocking stream sockets, TCP and Unix.
//!
//! Payload goes straight between the socket and segments: one `readv` fills segments and then an ordinary buffer with whatever follows,
//! one `sendmsg` takes headers and segments alternately. No call here blocks or allocates (but making a socket). What the peer or the
//! network did to the connection is a value, [`Closed`]; an `io::Error` is this process's own trouble (no memory, a wrong descriptor).

mod listener;
mod passing;
mod stream;
#[cfg(all(test, not(loom)))]
mod tests;

pub use listener::{Listener, UnixListener};
pub use passing::PASSED_MAX;
pub use stream::{Closed, Recv, SendPart, Sent, Stream};
