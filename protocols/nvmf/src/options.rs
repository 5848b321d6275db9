//! What a transport is made with: limits that hold for all of its connections.

/// Limits and choices of the TCP transport. The defaults are SPDK's where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// Entries of an I/O queue, 2 to 4,096.
    pub max_queue_depth: u16,
    /// I/O queues of a controller, 1 to 1,024.
    pub max_io_queues: u16,
    /// Data in a command capsule of an I/O queue, in bytes: a multiple of 16, 64 KiB at most; 0 for none.
    pub in_capsule_bytes: u32,
    /// Data of one command, in bytes: 4 KiB to 8 MiB, a power of two.
    pub max_io_bytes: u32,
    /// Entries of an admin queue, 32 to 4,096.
    pub max_admin_depth: u16,
    /// Connections in all; more are closed as soon as they come.
    pub max_connections: u32,
    /// A read that succeeds needs no completion, when its host has turned flow control off.
    pub c2h_success: bool,
    /// Are header digests offered?
    pub header_digest: bool,
    /// Are data digests offered?
    pub data_digest: bool,
    /// Time for ICReq and Connect, in nanoseconds.
    pub handshake_timeout_ns: u64,
    /// Time for the data of a command, from when it was asked for or its capsule came, in nanoseconds; 0 for no limit.
    pub data_timeout_ns: u64,
    /// The shortest keep-alive timeout, in milliseconds: shorter ones are raised to it.
    pub min_keep_alive_ms: u32,
    /// Data asked for and not yet received, in bytes of one connection: later writes wait without a buffer.
    pub max_asked_bytes: u32,
    /// How long a host may take nothing of what is sent to it while others wait for buffers, in nanoseconds; 0 for ever.
    pub send_timeout_ns: u64,
    /// How long a connection that had traffic is looked at in every turn, in nanoseconds.
    pub spin_ns: u64,
}

impl Default for TransportOptions {
    fn default() -> Self {
        TransportOptions {
            max_queue_depth: 128,
            max_io_queues: 127,
            in_capsule_bytes: 4096,
            max_io_bytes: 128 << 10,
            max_admin_depth: 128,
            max_connections: 4096,
            c2h_success: true,
            header_digest: true,
            data_digest: true,
            handshake_timeout_ns: 10_000_000_000,
            data_timeout_ns: 60_000_000_000,
            min_keep_alive_ms: 10_000,
            max_asked_bytes: 2 << 20,
            // What Linux gives a command before it resets the controller: a host that read nothing for so long wants nothing of it any more.
            send_timeout_ns: 30_000_000_000,
            spin_ns: 20_000,
        }
    }
}

/// Limits and choices of the vfio-user transport. The defaults are SPDK's where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VfioUserOptions {
    /// What it has in common with the other transport; of that only depths, numbers of queues, the size of an I/O, the time to connect and
    /// the time of polling count here.
    pub common: TransportOptions,
    /// May a client map the doorbells? Else they come as messages, or lie in the client's memory (shadow doorbells).
    pub mappable_doorbells: bool,
    /// Are interrupts spared while the client looks by itself?
    pub adaptive_irq: bool,
    /// May a client keep its doorbells in its own memory, where it cannot map ours?
    pub shadow_doorbells: bool,
    /// The longest time between two looks at the mapped doorbells of a controller at rest, in nanoseconds; 0: it is looked at in every turn.
    pub idle_look_ns: u64,
}

impl Default for VfioUserOptions {
    fn default() -> Self {
        let common = TransportOptions {
            max_queue_depth: 256,
            max_io_queues: 127,
            max_admin_depth: 32,
            in_capsule_bytes: 0,
            spin_ns: 1_000_000,
            ..TransportOptions::default()
        };
        VfioUserOptions { common, mappable_doorbells: true, adaptive_irq: true, shadow_doorbells: true, idle_look_ns: 1_000_000 }
    }
}

impl VfioUserOptions {
    /// Are all within their ranges?
    pub fn check(&self) -> Result<(), BadOption> {
        self.common.check()?;
        let queues = self.common.max_io_queues;
        // One page holds the doorbells of 512 pairs, the admin queue's among them.
        if queues > 511 {
            return Err(BadOption { name: "max_io_qpairs_per_ctrlr", value: queues.into(), must: "1 to 511" });
        }
        Ok(())
    }
}

/// An option out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}: it must be {must}")]
pub struct BadOption {
    /// Which.
    pub name: &'static str,
    /// What was given.
    pub value: u64,
    /// What it may be.
    pub must: &'static str,
}

impl TransportOptions {
    /// Are all within their ranges?
    pub fn check(&self) -> Result<(), BadOption> {
        let hold = |ok: bool, name, value: u64, must| if ok { Ok(()) } else { Err(BadOption { name, value, must }) };
        hold((2..=4096).contains(&self.max_queue_depth), "max_queue_depth", self.max_queue_depth.into(), "2 to 4096")?;
        hold((1..=1024).contains(&self.max_io_queues), "max_io_qpairs_per_ctrlr", self.max_io_queues.into(), "1 to 1024")?;
        let capsule = self.in_capsule_bytes;
        hold(capsule <= 65536 && capsule.is_multiple_of(16), "in_capsule_data_size", capsule.into(), "a multiple of 16, at most 65536")?;
        let io = self.max_io_bytes;
        hold(io.is_power_of_two() && (4096..=8 << 20).contains(&io), "max_io_size", io.into(), "a power of two from 4096 to 8388608")?;
        hold((32..=4096).contains(&self.max_admin_depth), "max_aq_depth", self.max_admin_depth.into(), "32 to 4096")?;
        let handshake = self.handshake_timeout_ns;
        hold(handshake > 0, "handshake_timeout_ms", handshake, "1 or more")?;
        hold(self.data_timeout_ns > 0, "data_timeout_ms", self.data_timeout_ns, "1 or more")?;
        hold(self.max_connections > 0, "max_connections", self.max_connections.into(), "1 or more")?;
        hold(self.max_asked_bytes >= io, "max_r2t_bytes", self.max_asked_bytes.into(), "max_io_size or more")
    }

    /// Maximum data transfer size as controllers tell it: a power of two of 4 KiB pages.
    pub(crate) fn mdts(&self) -> u8 {
        u8::try_from(self.max_io_bytes.ilog2().saturating_sub(12)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
