//! What one connection may ask for and hold. The first four are SPDK's.

/// Bytes of one request, batches included.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024;
/// JSON values in one request, counted as SPDK counts them: names, scalars, and each end of an object or array.
pub const REQUEST_VALUES_MAX: usize = 8192;
/// Bytes of one reply, batches included.
pub const REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Connections served at a time; others wait in the socket's backlog.
pub const CONNECTIONS_MAX: usize = 64;
/// Depth of nested objects and arrays.
pub const DEPTH_MAX: u32 = 64;
/// Length of a request's id, written as JSON.
pub const ID_BYTES_MAX: usize = 128;
/// Calls of one connection that run at a time; the others of its requests wait.
pub const RUNNING_MAX: usize = 64;
/// Bytes of unread replies beyond which a connection's next requests wait.
pub const UNREAD_BYTES_MAX: usize = 256 * 1024;
/// Bytes read from a connection at a time.
pub const READ_BYTES: usize = 64 * 1024;
