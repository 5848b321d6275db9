//! What a connection is to be like.

use std::net::SocketAddr;

/// Who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    /// Host NQN.
    pub nqn: String,
    /// Host identifier.
    pub id: [u8; 16],
}

/// What is agreed on when the connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpOffer {
    /// Headers carry a digest. A target that does none is refused.
    pub header_digest: bool,
    /// Data carries a digest. A target that does none is refused.
    pub data_digest: bool,
    /// HPDA: alignment of data that comes, in dwords, zero-based: 0 to 31.
    pub hpda: u8,
}

/// A queue over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSpec {
    /// Where the target is; tried in turn until one takes the connection.
    pub addresses: Vec<SocketAddr>,
    /// Where the connection comes from; port 0 for any.
    pub source: Option<SocketAddr>,
    /// SO_PRIORITY of the socket, 0 for the system's default.
    pub priority: u32,
    /// The subsystem's NQN.
    pub subsystem: String,
    /// Who connects.
    pub host: HostName,
    /// Digests and alignment.
    pub offer: TcpOffer,
    /// Which queue: 0 for the admin queue.
    pub qid: u16,
    /// The controller that an I/O queue belongs to; FFFFh asks for a new one.
    pub cntlid: u16,
    /// Commands in flight, 1 to 16,383; CAP.MQES is the most that a controller takes.
    pub depth: u16,
    /// Keep-alive timeout in milliseconds, 0 for none (admin queue).
    pub keep_alive_ms: u32,
    /// Let the controller say how far it has read its submission queue; without it, it may leave completions of reads away.
    pub flow_control: bool,
    /// Data in a command capsule, in bytes, as IOCCSZ says (with ICDOFF 0; else 0). An admin queue takes 8 KiB whatever this says. Say no
    /// less than the controller does: Linux's target (seen in 6.1) never asks for the data of a write that would have fitted.
    pub in_capsule: u32,
    /// How long it may take until the queue can be used, in nanoseconds, over all addresses.
    pub connect_timeout_ns: u64,
}

/// Largest depth: command identifiers hold a generation beside the slot.
pub(crate) const DEPTH_MAX: u16 = 16_383;
