//! Parameters of the methods. Names and meanings are SPDK's.

use doorbell_control::{choices, params};

choices! {
    /// What happens when a name is given a second path.
    pub(super) enum Multipath {
        /// It is refused.
        Disable = "disable",
        /// The second path stands by.
        Failover = "failover",
        /// Both are used: refused for a second path yet.
        Both = "multipath",
    }

    /// Which of several paths are used.
    pub(super) enum Policy {
        /// One, the others stand by.
        ActivePassive = "active_passive",
        /// All.
        ActiveActive = "active_active",
    }

    /// How a path is chosen.
    pub(super) enum Selector {
        /// One after the other.
        RoundRobin = "round_robin",
        /// The one with the fewest requests.
        QueueDepth = "queue_depth",
    }

    /// Which queue a command goes to.
    pub(super) enum CommandKind {
        /// The admin queue.
        Admin = "admin",
        /// An I/O queue.
        Io = "io",
    }

    /// Which way a command's data goes.
    pub(super) enum Direction {
        /// To the controller.
        Out = "h2c",
        /// To the caller.
        In = "c2h",
    }
}

params! {
    /// How several paths are used.
    pub(super) struct MultipathOptions {
        /// Which of them.
        pub(super) policy: Option<Policy>,
        /// How one is chosen.
        pub(super) selector: Option<Selector>,
        /// Requests before the next is chosen.
        pub(super) min_io: Option<u32>,
    }

    /// Which controller to attach, and how.
    pub(super) struct Attach {
        /// Name of the controller, from which those of its block devices are made.
        pub(super) name: String,
        /// How it is reached: PCIe, VFIOUSER or TCP.
        pub(super) trtype: String,
        /// Its address: a PCI function, the folder of a vfio-user socket, an IP address or host name.
        pub(super) traddr: String,
        /// Family of the address: IPv4 or IPv6.
        pub(super) adrfam: Option<String>,
        /// The port.
        pub(super) trsvcid: Option<String>,
        /// Priority of the socket.
        pub(super) priority: Option<String>,
        /// Name of the subsystem.
        pub(super) subnqn: Option<String>,
        /// Name of this host.
        pub(super) hostnqn: Option<String>,
        /// Address that connections come from.
        pub(super) hostaddr: Option<String>,
        /// Port that connections come from.
        pub(super) hostsvcid: Option<String>,
        /// Check reference tags of protection information: they always are.
        pub(super) prchk_reftag: Option<bool>,
        /// Check guards of protection information: they always are.
        pub(super) prchk_guard: Option<bool>,
        /// Header digests.
        pub(super) hdgst: Option<bool>,
        /// Data digests.
        pub(super) ddgst: Option<bool>,
        /// Microseconds that a Connect command may take.
        pub(super) fabrics_connect_timeout_us: Option<u64>,
        /// What happens when the name has a controller already: with failover, this is a further path to it, used when those before it are lost; else it is refused.
        pub(super) multipath: Option<Multipath>,
        /// I/O queues at most: one for each reactor.
        pub(super) num_io_queues: Option<u32>,
        /// Seconds for which a lost controller is sought; -1: for ever, 0: not at all.
        pub(super) ctrlr_loss_timeout_sec: Option<i32>,
        /// Seconds between two attempts.
        pub(super) reconnect_delay_sec: Option<u32>,
        /// Seconds after which requests fail while it is sought; 0: never.
        pub(super) fast_io_fail_timeout_sec: Option<u32>,
        /// Name of a TLS key.
        pub(super) psk: Option<String>,
        /// Namespaces that become block devices, at most; the log says when some are left out.
        pub(super) max_bdevs: Option<u32>,
        /// Name of a key for authentication.
        pub(super) dhchap_key: Option<String>,
        /// Name of the controller's key for authentication.
        pub(super) dhchap_ctrlr_key: Option<String>,
        /// Attach namespaces of unknown command sets, for passthrough only: commands always reach them by their controller's name.
        pub(super) allow_unrecognized_csi: Option<bool>,
        /// How several paths are used: kept, since they are used one at a time.
        pub(super) multipath_opts: Option<MultipathOptions>,
        /// Connect without flow control of the submission queue.
        pub(super) disable_sq_flow_control: Option<bool>,
        /// Have the submission queues of a PCI function lie in the controller's own memory, where it has some for them. Ours; SPDK's applications have it by this name.
        pub(super) use_cmb_sqs: Option<bool>,
        /// A PCI function with nothing between it and memory may be used (uio, or VFIO without an IOMMU). Ours.
        pub(super) allow_physical: Option<bool>,
    }

    /// What happens to NVMe drives that are put in.
    pub(super) struct SetHotplug {
        /// NVMe functions that are with vfio-pci or uio and that nobody has attached are, now and when they appear, as HotInNvme0, HotInNvme1, and so on.
        pub(super) enable: bool,
        /// Microseconds between two looks, beside what the kernel tells: 10,000 to 10,000,000; 0, or not given: one second.
        pub(super) period_us: Option<u64>,
        /// Also those with nothing between them and memory (uio, or VFIO without an IOMMU). Ours.
        pub(super) allow_physical: Option<bool>,
    }

    /// Which controller to detach, or which of its paths: those that all that is given fits.
    pub(super) struct Detach {
        /// Its name.
        pub(super) name: String,
        /// How it is reached.
        pub(super) trtype: Option<String>,
        /// Its address.
        pub(super) traddr: Option<String>,
        /// Family of the address.
        pub(super) adrfam: Option<String>,
        /// The port.
        pub(super) trsvcid: Option<String>,
        /// Name of the subsystem.
        pub(super) subnqn: Option<String>,
        /// Address that connections come from.
        pub(super) hostaddr: Option<String>,
        /// Port that connections come from.
        pub(super) hostsvcid: Option<String>,
    }

    /// Which commands are to end otherwise than by themselves, and how.
    pub(super) struct AddFault {
        /// Name of the controller.
        pub(super) name: String,
        /// The queues that are meant.
        pub(super) cmd_type: CommandKind,
        /// Opcode of the commands.
        pub(super) opc: u8,
        /// They are not sent. Otherwise the controller does them, and those that succeed end as is said here.
        pub(super) do_not_submit: Option<bool>,
        /// Microseconds that they are held before they end.
        pub(super) timeout_in_us: Option<u64>,
        /// How many, over all queues; one when not given.
        pub(super) err_count: Option<u32>,
        /// Type of the status; 0 when not given.
        pub(super) sct: Option<u8>,
        /// The status; 0 when not given. Both 0: they succeed, late.
        pub(super) sc: Option<u8>,
    }

    /// Which commands end by themselves again.
    pub(super) struct RemoveFault {
        /// Name of the controller.
        pub(super) name: String,
        /// The queues that are meant.
        pub(super) cmd_type: CommandKind,
        /// Opcode of the commands.
        pub(super) opc: u8,
    }

    /// A controller, or all.
    pub(super) struct MaybeNamed {
        /// Name of the controller; all when not given.
        pub(super) name: Option<String>,
    }

    /// A controller.
    pub(super) struct Named {
        /// Name of the controller.
        pub(super) name: String,
    }

    /// Which firmware a controller is to run.
    pub(super) struct Firmware {
        /// The file that the image is in.
        pub(super) filename: String,
        /// Name of one of the controller's block devices. None of them may be in use.
        pub(super) bdev_name: String,
    }

    /// A controller among several of a name.
    pub(super) struct Reset {
        /// Name of the controller.
        pub(super) name: String,
        /// Its number within its subsystem; 0, or not given: the one that there is.
        pub(super) cntlid: Option<u16>,
    }

    /// Which discovery service to follow, and how what it lists is attached.
    pub(super) struct StartDiscovery {
        /// Name of the service. Controllers are called by it and a number.
        pub(super) name: String,
        /// How it is reached: TCP.
        pub(super) trtype: String,
        /// Its address.
        pub(super) traddr: String,
        /// Family of the address: IPv4 or IPv6.
        pub(super) adrfam: Option<String>,
        /// The port.
        pub(super) trsvcid: Option<String>,
        /// Name of this host, for the service and what it lists.
        pub(super) hostnqn: Option<String>,
        /// Answer once everything in the first log was attached, or could not be.
        pub(super) wait_for_attach: Option<bool>,
        /// Milliseconds that this may take before it is given up; it is waited for then. 0: no limit.
        pub(super) attach_timeout_ms: Option<u64>,
        /// Seconds for which a lost controller is sought; -1: for ever, 0: not at all.
        pub(super) ctrlr_loss_timeout_sec: Option<i32>,
        /// Seconds between two attempts.
        pub(super) reconnect_delay_sec: Option<u32>,
        /// Seconds after which requests fail while it is sought; 0: never.
        pub(super) fast_io_fail_timeout_sec: Option<u32>,
    }

    /// Which path of a block device is preferred.
    pub(super) struct PreferredPath {
        /// Name of the block device.
        pub(super) name: String,
        /// Number of the controller that the path leads through.
        pub(super) cntlid: u16,
    }

    /// How the paths of a block device are used.
    pub(super) struct SetPolicy {
        /// Name of the block device.
        pub(super) name: String,
        /// Which of them: one, so far.
        pub(super) policy: Policy,
        /// How one of several is chosen.
        pub(super) selector: Option<Selector>,
        /// Requests before the next is chosen.
        pub(super) rr_min_io: Option<u32>,
    }

    /// A command.
    pub(super) struct Send {
        /// Name of the controller, or of one of its block devices.
        pub(super) name: String,
        /// The queue it goes to.
        pub(super) cmd_type: CommandKind,
        /// Which way its data goes.
        pub(super) data_direction: Direction,
        /// The 64 bytes of the command, in base64 for URLs.
        pub(super) cmdbuf: String,
        /// Data for the controller, in base64 for URLs.
        pub(super) data: Option<String>,
        /// Metadata for the controller, in base64 for URLs.
        pub(super) metadata: Option<String>,
        /// Bytes of data expected.
        pub(super) data_len: Option<u32>,
        /// Bytes of metadata expected.
        pub(super) metadata_len: Option<u32>,
        /// Milliseconds that it may take; 0: what the driver allows.
        pub(super) timeout_ms: Option<u32>,
    }
}
