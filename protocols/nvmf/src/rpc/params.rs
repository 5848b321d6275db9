//! Parameters of the target's methods, as SPDK's interface has them.

use doorbell_control::{Flags, Uuid, choices, params};

choices! {
    /// Optional NVM commands that a transport can hide.
    pub(super) enum Oncs {
        /// Compare.
        Compare = "nvmcmps",
        /// Dataset management.
        Dsm = "nvmdsmsv",
        /// Write zeroes.
        WriteZeroes = "nvmwzsv",
        /// Reservations.
        Reservations = "reservs",
        /// Copy.
        Copy = "nvmcpys",
    }

    /// Fused operations that a transport can hide.
    pub(super) enum Fuses {
        /// Compare and write.
        CompareAndWrite = "fcws",
    }

    /// How a listener reaches a namespace.
    pub(super) enum AnaState {
        /// Best.
        Optimized = "optimized",
        /// Worse.
        NonOptimized = "non_optimized",
        /// Not at all.
        Inaccessible = "inaccessible",
    }
}

params! {
    /// Of `nvmf_create_transport`.
    pub(super) struct CreateTransport {
        /// `TCP` or `VFIOUSER`.
        pub(super) trtype: String,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
        /// Entries of an I/O queue.
        pub(super) max_queue_depth: Option<u16>,
        /// I/O queues of a controller.
        pub(super) max_io_qpairs_per_ctrlr: Option<u16>,
        /// Bytes of data in a command capsule.
        pub(super) in_capsule_data_size: Option<u32>,
        /// Bytes of data of one command.
        pub(super) max_io_size: Option<u32>,
        /// Of old clients; changes nothing.
        pub(super) io_unit_size: Option<u32>,
        /// Entries of an admin queue.
        pub(super) max_aq_depth: Option<u32>,
        /// Of old clients; changes nothing.
        pub(super) num_shared_buffers: Option<u32>,
        /// Of old clients; changes nothing.
        pub(super) buf_cache_size: Option<u32>,
        /// Kept; buffers here belong to each reactor's pool.
        pub(super) iobuf_small_cache_size: Option<u32>,
        /// Kept; buffers here belong to each reactor's pool.
        pub(super) iobuf_large_cache_size: Option<u32>,
        /// Zero copy to the device. Payload is never copied between socket buffer and device here, so it changes nothing.
        pub(super) zcopy: Option<bool>,
        /// Of RDMA.
        pub(super) num_cqe: Option<i32>,
        /// Of RDMA.
        pub(super) max_srq_depth: Option<u32>,
        /// Of RDMA.
        pub(super) no_srq: Option<bool>,
        /// Whether a read that succeeds goes without a completion, if its host allows that.
        pub(super) c2h_success: Option<bool>,
        /// Metadata made and checked by the target. Not to be had yet.
        pub(super) dif_insert_or_strip: Option<bool>,
        /// Priority of sockets. Kept.
        pub(super) sock_priority: Option<u32>,
        /// Connections that wait to be taken. Kept; 1024 are.
        pub(super) acceptor_backlog: Option<i32>,
        /// Kept; an abort here is answered at once.
        pub(super) abort_timeout_sec: Option<u32>,
        /// Of RDMA.
        pub(super) no_wr_batching: Option<bool>,
        /// Kept; control messages need no pool here.
        pub(super) control_msg_num: Option<u16>,
        /// Of vfio-user: doorbells are not mapped, they come as messages or lie in the client's memory. SPDK's client needs them mapped.
        pub(super) disable_mappable_bar0: Option<bool>,
        /// Of vfio-user: interrupts are sent though the client looks by itself.
        pub(super) disable_adaptive_irq: Option<bool>,
        /// Of vfio-user: doorbells are not kept in the client's memory.
        pub(super) disable_shadow_doorbells: Option<bool>,
        /// Kept; connections are taken as they come.
        pub(super) acceptor_poll_rate: Option<u32>,
        /// Kept.
        pub(super) ack_timeout: Option<u32>,
        /// Of RDMA.
        pub(super) data_wr_pool_size: Option<u32>,
        /// Kept; no command is passed through.
        pub(super) disable_command_passthru: Option<bool>,
        /// Granularity of keep-alive, in 100 ms. Only 100 (ten seconds), which is what controllers tell.
        pub(super) kas: Option<u16>,
        /// The shortest keep-alive timeout, in milliseconds.
        pub(super) min_kato: Option<u32>,
        /// Commands to hide. Not to be had yet.
        pub(super) masked_oncs: Option<Flags<Oncs>>,
        /// Fused operations to hide. Not to be had yet.
        pub(super) masked_fuses: Option<Flags<Fuses>>,
        /// Connections in all; more are closed as they come. Beyond SPDK.
        pub(super) max_connections: Option<u32>,
        /// Whether header digests are agreed to when a host asks for them. Beyond SPDK.
        pub(super) header_digest: Option<bool>,
        /// Whether data digests are agreed to when a host asks for them. Beyond SPDK.
        pub(super) data_digest: Option<bool>,
        /// How long a connection may take until it has become a queue, in milliseconds. Beyond SPDK.
        pub(super) handshake_timeout_ms: Option<u32>,
        /// Data of writes that one connection is asked for at once, in bytes. Beyond SPDK.
        pub(super) max_r2t_bytes: Option<u32>,
        /// How long a host may take nothing of what it is sent while others lack buffers, in milliseconds; 0 for ever. Beyond SPDK.
        pub(super) send_timeout_ms: Option<u32>,
        /// How long a host may keep back the data of a write that it was asked for, in milliseconds. Beyond SPDK.
        pub(super) data_timeout_ms: Option<u32>,
        /// Of vfio-user: the longest time between two looks at the mapped doorbells of a controller at rest, in microseconds; 0 looks in every
        /// turn. 1000 unless given. Beyond SPDK.
        pub(super) idle_look_us: Option<u32>,
    }

    /// Of `nvmf_set_max_subsystems`.
    pub(super) struct SetMaxSubsystems {
        /// Subsystems at most, the discovery subsystem among them.
        pub(super) max_subsystems: u32,
    }

    /// Of `nvmf_set_crdt`: for hosts that enable advanced command retry.
    pub(super) struct SetRetryDelay {
        /// What a host waits before it sends a failed command again, in 100 ms.
        pub(super) crdt1: Option<u16>,
        /// Told to hosts; no status here asks for it.
        pub(super) crdt2: Option<u16>,
        /// Told to hosts; no status here asks for it.
        pub(super) crdt3: Option<u16>,
    }

    /// Of methods that list.
    pub(super) struct OfTarget {
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
    }

    /// Of `nvmf_get_transports`.
    pub(super) struct GetTransports {
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
        /// One transport.
        pub(super) trtype: Option<String>,
    }

    /// Of `nvmf_get_subsystems`.
    pub(super) struct GetSubsystems {
        /// One subsystem.
        pub(super) nqn: Option<String>,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
    }

    /// Of methods that name a subsystem.
    pub(super) struct OfSubsystem {
        /// The subsystem.
        pub(super) nqn: String,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
    }

    /// Of `nvmf_create_subsystem`.
    pub(super) struct CreateSubsystem {
        /// Its name.
        pub(super) nqn: String,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
        /// Serial number: 20 characters at most.
        pub(super) serial_number: Option<String>,
        /// Model number: 40 characters at most.
        pub(super) model_number: Option<String>,
        /// A label for administrators. Kept.
        pub(super) admin_label: Option<String>,
        /// The highest namespace id.
        pub(super) max_namespaces: Option<u32>,
        /// Whether any host may connect.
        pub(super) allow_any_host: Option<bool>,
        /// Whether paths report their state. Not to be had yet.
        pub(super) ana_reporting: Option<bool>,
        /// The first controller id.
        pub(super) min_cntlid: Option<u16>,
        /// The last controller id.
        pub(super) max_cntlid: Option<u16>,
        /// Kept for the saved configuration.
        pub(super) dmrsl: Option<u32>,
        /// Kept for the saved configuration.
        pub(super) wzsl: Option<u8>,
        /// Whether commands go to the device as they are. Not to be had.
        pub(super) passthrough: Option<bool>,
        /// Whether a host may reset the subsystem. Not to be had.
        pub(super) enable_nssr: Option<bool>,
    }

    /// Where something listens.
    pub(super) struct ListenAddress {
        /// `TCP` or `VFIOUSER`.
        pub(super) trtype: String,
        /// `IPv4` or `IPv6`; the address tells.
        pub(super) adrfam: Option<String>,
        /// The address, or a name; of vfio-user the folder that the socket is made in.
        pub(super) traddr: String,
        /// The port; not of vfio-user.
        pub(super) trsvcid: Option<String>,
    }

    /// Of `nvmf_subsystem_add_listener`.
    pub(super) struct AddListener {
        /// The subsystem.
        pub(super) nqn: String,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
        /// Where.
        pub(super) listen_address: ListenAddress,
        /// TLS. Not to be had yet.
        pub(super) secure_channel: Option<bool>,
        /// State of the path; only `optimized`.
        pub(super) ana_state: Option<AnaState>,
        /// Which sockets; `posix`.
        pub(super) sock_impl: Option<String>,
        /// Kept; groups lie where their reactors run.
        pub(super) numa_id: Option<i32>,
    }

    /// Of `nvmf_subsystem_remove_listener`.
    pub(super) struct RemoveListener {
        /// The subsystem.
        pub(super) nqn: String,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
        /// Where.
        pub(super) listen_address: ListenAddress,
    }

    /// A namespace to be.
    pub(super) struct NamespaceSpec {
        /// Its id; the first free one when not given.
        pub(super) nsid: Option<u32>,
        /// Its block device.
        pub(super) bdev_name: String,
        /// NGUID: 32 hexadecimal digits; the UUID's when not given.
        pub(super) nguid: Option<String>,
        /// EUI-64: 16 hexadecimal digits.
        pub(super) eui64: Option<String>,
        /// UUID; the device's when not given.
        pub(super) uuid: Option<Uuid>,
        /// A file for reservations. Not to be had yet.
        pub(super) ptpl_file: Option<String>,
        /// ANA group. Not to be had yet.
        pub(super) anagrpid: Option<u32>,
        /// Hidden until hosts are added. Not to be had yet.
        pub(super) no_auto_visible: Option<bool>,
        /// Presented without metadata, as every namespace here is.
        pub(super) hide_metadata: Option<bool>,
    }

    /// Of `nvmf_subsystem_add_ns`.
    pub(super) struct AddNs {
        /// The subsystem.
        pub(super) nqn: String,
        /// The namespace.
        pub(super) namespace: NamespaceSpec,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
    }

    /// Of `nvmf_subsystem_remove_ns`.
    pub(super) struct RemoveNs {
        /// The subsystem.
        pub(super) nqn: String,
        /// The namespace.
        pub(super) nsid: u32,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
    }

    /// Of `nvmf_subsystem_add_host`.
    pub(super) struct AddHost {
        /// The subsystem.
        pub(super) nqn: String,
        /// The host.
        pub(super) host: String,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
        /// TLS key. Not to be had yet.
        pub(super) psk: Option<String>,
        /// Authentication key. Not to be had yet.
        pub(super) dhchap_key: Option<String>,
        /// Authentication key of the controller. Not to be had yet.
        pub(super) dhchap_ctrlr_key: Option<String>,
    }

    /// Of `nvmf_subsystem_remove_host`.
    pub(super) struct RemoveHost {
        /// The subsystem.
        pub(super) nqn: String,
        /// The host.
        pub(super) host: String,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
        /// Kept; its connections end at once.
        pub(super) timeout_ms: Option<u64>,
    }

    /// Of `nvmf_subsystem_allow_any_host`.
    pub(super) struct AllowAnyHost {
        /// The subsystem.
        pub(super) nqn: String,
        /// Whether any host may connect.
        pub(super) allow_any_host: bool,
        /// The target; there is one.
        pub(super) tgt_name: Option<String>,
    }
}
