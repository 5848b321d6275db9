//! How a controller is driven. Names and defaults are SPDK's where it has them.

/// What a queue pair does about errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How often a command that may succeed is sent again.
    pub retries: u8,
    /// After how long a command is aborted, and after as long again its controller reset, in nanoseconds; 0: never.
    pub timeout_ns: u64,
    /// The same for commands of the admin queue.
    pub admin_timeout_ns: u64,
    /// What is done about a command that takes too long.
    pub on_timeout: OnTimeout,
}

/// What is done about a command that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnTimeout {
    /// It is logged.
    Nothing,
    /// It is aborted; when that does not help, the controller is reset.
    #[default]
    Abort,
    /// The controller is reset.
    Reset,
}

/// Options of a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// I/O queues at most: one for each reactor that uses it.
    pub io_queues: u16,
    /// Entries of an I/O queue.
    pub io_queue_entries: u16,
    /// Entries of the admin queue.
    pub admin_queue_entries: u16,
    /// Bytes of one command at most, whatever the controller allows.
    pub max_transfer_bytes: u32,
    /// Use scatter gather lists where the controller has them.
    pub use_sgls: bool,
    /// Have the submission queues for I/O lie in the controller's own memory, where it has some for them.
    pub use_cmb_sqs: bool,
    /// Use interrupts to sleep, where there are any.
    pub use_interrupts: bool,
    /// Over fabrics: how long the controller may hear nothing, in milliseconds; 0: for ever.
    pub keep_alive_ms: u32,
    /// What is done about errors.
    pub policy: Policy,
    /// After a lost connection or a failed reset: how long until it is tried again, in milliseconds; 0: not at all.
    pub reconnect_delay_ms: u32,
    /// For how long it is tried, in milliseconds, before the controller is given up; 0: at once; `None`: for ever.
    pub loss_timeout_ms: Option<u32>,
    /// After how long without a connection commands fail instead of waiting, in milliseconds; 0: never.
    pub fast_fail_ms: u32,
    /// Ring the submission doorbell through shadow doorbells where the controller has them.
    pub shadow_doorbells: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { retries: 4, timeout_ns: 30_000_000_000, admin_timeout_ns: 60_000_000_000, on_timeout: OnTimeout::Abort }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            io_queues: 128,
            io_queue_entries: 256,
            admin_queue_entries: 32,
            max_transfer_bytes: 1 << 20,
            use_sgls: true,
            use_cmb_sqs: false,
            use_interrupts: true,
            keep_alive_ms: 10_000,
            policy: Policy::default(),
            reconnect_delay_ms: 2_000,
            loss_timeout_ms: Some(600_000),
            fast_fail_ms: 0,
            shadow_doorbells: true,
        }
    }
}
