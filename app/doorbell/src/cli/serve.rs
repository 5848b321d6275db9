//! `doorbell serve`: its own flags, and those with which scripts start SPDK's targets.

use super::DeviceSpec;
use crate::size;
use clap::{ArgAction, Args, ValueEnum};
use doorbell_nvme::address::TransportId;
use std::path::PathBuf;

#[cfg(test)]
mod tests;

/// When reactors sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Poll {
    /// Never: lowest latency, one core each.
    Always,
    /// When there has been nothing to do for a while.
    Adaptive,
}

/// `doorbell serve`.
#[derive(Debug, Args)]
#[command(args_override_self = true, disable_version_flag = true)]
pub struct ServeArgs {
    /// Serve a file or block device: PATH[,size=1G][,ro][,engine=aio|uring][,block-size=512][,name=NAME][,force]; may be repeated
    #[arg(long = "file", value_name = "PATH[,OPTION..]", help_heading = "What is served")]
    pub files: Vec<DeviceSpec>,
    /// Serve the volumes of a store, also those that are made later: PATH[,size=10G][,engine=..][,block-size=..][,name=STORENAME]; made if there
    /// is none; `doorbell volume create` makes volumes; may be repeated
    #[arg(long = "volume-store", value_name = "PATH[,OPTION..]", help_heading = "What is served")]
    pub volume_stores: Vec<DeviceSpec>,
    /// Serve memory of this size; may be repeated
    #[arg(long = "malloc", value_name = "SIZE", value_parser = size::parse, help_heading = "What is served")]
    pub mallocs: Vec<u64>,
    /// Serve the namespaces of an NVMe controller: 0000:01:00.0, or "trtype:TCP traddr:.. trsvcid:.. subnqn:.."; may be repeated
    #[arg(long = "nvme", value_name = "CONTROLLER", help_heading = "What is served")]
    pub drives: Vec<TransportId>,
    /// Let PCI devices that have no IOMMU between them and memory be used: they, and errors in their drivers, can then write anywhere in this machine
    #[arg(long, requires = "drives", help_heading = "What is served")]
    pub allow_physical: bool,
    /// Where: ADDRESS:PORT, [IPV6]:PORT or NAME:PORT; may be repeated [default: 127.0.0.1:4420]
    #[arg(long = "listen", value_name = "ADDRESS:PORT", help_heading = "What is served")]
    pub listens: Vec<String>,
    /// A host that may connect, by its NQN (a Linux host's stands in its /etc/nvme/hostnqn); may be repeated
    #[arg(long = "allow-host", value_name = "NQN", help_heading = "What is served")]
    pub allow_hosts: Vec<String>,
    /// Let every host connect that can reach where it listens
    #[arg(long, help_heading = "What is served")]
    pub allow_any_host: bool,
    /// The subsystem's name [default: made once, and kept beside the first file]
    #[arg(long, value_name = "NQN", help_heading = "What is served")]
    pub nqn: Option<String>,
    /// Configure from a file in SPDK's JSON format
    #[arg(short = 'c', long = "json", value_name = "FILE", conflicts_with = "wait_for_rpc", help_heading = "What is served")]
    pub json: Option<PathBuf>,
    /// Take these same flags from a TOML file (or, as SPDK means it, a JSON configuration)
    #[arg(long = "config", value_name = "FILE", help_heading = "What is served")]
    pub config: Option<PathBuf>,
    /// Serve nothing until told by RPC
    #[arg(long, help_heading = "What is served")]
    pub empty: bool,
    /// Start nothing until the RPC framework_start_init
    #[arg(long, help_heading = "What is served")]
    pub wait_for_rpc: bool,
    /// Go on when a call of the JSON configuration fails
    #[arg(long, help_heading = "What is served")]
    pub json_ignore_init_errors: bool,

    /// The RPC socket [default: /var/tmp/spdk.sock]
    #[arg(short = 'r', long = "rpc-socket", value_name = "PATH", help_heading = "Control")]
    pub rpc_socket: Option<PathBuf>,
    /// The only RPC methods that may be called
    #[arg(long, value_name = "METHOD,..", value_delimiter = ',', help_heading = "Control")]
    pub rpcs_allowed: Option<Vec<String>>,
    /// Open no RPC socket
    #[arg(long, help_heading = "Control")]
    pub no_rpc_server: bool,
    /// How long requests in flight have to end when the server is asked to stop, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = deadline, help_heading = "Control")]
    pub stop_deadline: f64,
    /// Write the process id to this file
    #[arg(short = 'f', long = "pidfile", value_name = "FILE", help_heading = "Control")]
    pub pid_file: Option<PathBuf>,

    /// Log everything that a part does: aio, app, bdev, nvmf, ... or all; may be repeated
    #[arg(short = 'L', long = "logflag", value_name = "FLAG", value_delimiter = ',', help_heading = "Log")]
    pub logflags: Vec<String>,
    /// Log errors and warnings only
    #[arg(long, help_heading = "Log")]
    pub silence_noticelog: bool,
    /// Log to the system log as well
    #[arg(long, help_heading = "Log")]
    pub syslog: bool,

    /// Which CPUs: a mask (0x3) or a list ([0,2-3]), one reactor pinned to each [default: one for each CPU that may be used, four at most, not pinned]
    #[arg(short = 'm', long = "cpumask", value_name = "MASK|LIST", help_heading = "Reactors and memory")]
    pub cpumask: Option<String>,
    /// As -m, in DPDK's form: CPUS, or LCORES@CPUS
    #[arg(long, value_name = "LIST", conflicts_with = "cpumask", help_heading = "Reactors and memory")]
    pub lcores: Option<String>,
    /// The CPU of the first reactor, which also does the control work
    #[arg(short = 'p', long = "main-core", value_name = "CPU", help_heading = "Reactors and memory")]
    pub main_core: Option<u32>,
    /// When reactors sleep
    #[arg(long, value_enum, default_value_t = Poll::Adaptive, help_heading = "Reactors and memory")]
    pub poll: Poll,
    /// How long a reactor looks for work before it sleeps, in microseconds
    #[arg(long, value_name = "US", default_value_t = 20, help_heading = "Reactors and memory")]
    pub poll_spin_us: u32,
    /// Sleep as soon as there is nothing to do, as --poll-spin-us 0
    #[arg(long, conflicts_with = "poll_spin_us", help_heading = "Reactors and memory")]
    pub interrupt_mode: bool,
    /// Buffers in huge pages: 2M or 1G, and an error when there are too few; or try: of 2M where enough are free
    #[arg(long, value_name = "2M|1G|try", value_parser = ["2M", "1G", "try"], conflicts_with = "no_huge", help_heading = "Reactors and memory")]
    pub huge: Option<String>,
    /// Buffers in ordinary memory, as they are unless --huge asks for others
    #[arg(long, help_heading = "Reactors and memory")]
    pub no_huge: bool,

    /// Memory for buffers, of all reactors together: in MiB, or as 512M, 1G. Only what is used takes room, but for huge pages [default: some 80 MiB a reactor]
    #[arg(short = 's', long = "memory", alias = "mem-size", value_name = "SIZE", value_parser = memory, help_heading = "Reactors and memory")]
    pub memory: Option<u64>,

    /// What other targets need and this one does not: accepted, and said in the log.
    #[command(flatten)]
    pub idle: IdleArgs,

    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = ArgAction::Version)]
    pub version: Option<bool>,
}

/// Flags of SPDK's with nothing to do here.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Accepted for scripts that start SPDK; nothing to do here")]
pub struct IdleArgs {
    /// Memory channels
    #[arg(short = 'n', long = "mem-channels", value_name = "N")]
    mem_channels: Option<u32>,
    /// Shared memory id: there is none
    #[arg(short = 'i', long = "shm-id", value_name = "ID", allow_negative_numbers = true)]
    shm_id: Option<i64>,
    /// Leave the limit of core dumps alone: it always is
    #[arg(short = 'd', long)]
    limit_coredump: bool,
    /// One memory file per kind of page: there is one region for each pool
    #[arg(short = 'g', long)]
    single_file_segments: bool,
    /// Unlink huge page files: they have no names
    #[arg(short = 'R', long)]
    huge_unlink: bool,
    /// Where huge pages are mounted: no mount is needed
    #[arg(long, value_name = "FOLDER")]
    huge_dir: Option<PathBuf>,
    /// No PCI devices: there are none
    #[arg(short = 'u', long)]
    no_pci: bool,
    /// A PCI device to use
    #[arg(short = 'A', long, value_name = "ADDRESS", alias = "pci-whitelist")]
    pci_allowed: Vec<String>,
    /// A PCI device to leave alone
    #[arg(short = 'B', long, value_name = "ADDRESS", alias = "pci-blacklist")]
    pci_blocked: Vec<String>,
    /// How I/O addresses are chosen
    #[arg(long, value_name = "pa|va", value_parser = ["pa", "va"])]
    iova_mode: Option<String>,
    /// Address of the first huge page
    #[arg(long, value_name = "ADDRESS")]
    base_virtaddr: Option<String>,
    /// Arguments of DPDK's
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    env_context: Option<String>,
    /// VF token of VFIO devices
    #[arg(long, value_name = "UUID")]
    vfio_vf_token: Option<String>,
    /// Trace points to record
    #[arg(short = 'e', long = "tpoint-group", value_name = "GROUP|MASK")]
    tpoint_group: Option<String>,
    /// Entries of the trace buffer
    #[arg(long, value_name = "N")]
    num_trace_entries: Option<u64>,
    /// Messages of the message pool
    #[arg(long, value_name = "N")]
    msg_mempool_size: Option<u64>,
    /// Lock files for CPUs: there are none
    #[arg(long)]
    disable_cpumask_locks: bool,
    /// Socket folder of vhost targets
    #[arg(short = 'S', value_name = "FOLDER")]
    vhost_sockets: Option<PathBuf>,
}

impl IdleArgs {
    /// The flags that were given, and why there is nothing to do.
    pub fn given(&self) -> Vec<(&'static str, &'static str)> {
        const NO_PCI: &str = "NVMe controllers are named with --nvme, one by one";
        const NO_DPDK: &str = "there is no DPDK underneath";
        const NO_TRACE: &str = "there are no trace points here";
        let flags = [
            (self.mem_channels.is_some(), "-n/--mem-channels", NO_DPDK),
            (self.shm_id.is_some(), "-i/--shm-id", "nothing is shared with other processes by id"),
            (self.limit_coredump, "-d/--limit-coredump", "the limit of core dumps is always left as it is"),
            (self.single_file_segments, "-g/--single-file-segments", "each pool is one file already"),
            (self.huge_unlink, "-R/--huge-unlink", "huge pages have no file names here"),
            (self.huge_dir.is_some(), "--huge-dir", "huge pages need no mount here"),
            (self.no_pci, "-u/--no-pci", NO_PCI),
            (!self.pci_allowed.is_empty(), "-A/--pci-allowed", NO_PCI),
            (!self.pci_blocked.is_empty(), "-B/--pci-blocked", NO_PCI),
            (self.iova_mode.is_some(), "--iova-mode", NO_PCI),
            (self.base_virtaddr.is_some(), "--base-virtaddr", NO_DPDK),
            (self.env_context.is_some(), "--env-context", NO_DPDK),
            (self.vfio_vf_token.is_some(), "--vfio-vf-token", NO_PCI),
            (self.tpoint_group.is_some(), "-e/--tpoint-group", NO_TRACE),
            (self.num_trace_entries.is_some(), "--num-trace-entries", NO_TRACE),
            (self.msg_mempool_size.is_some(), "--msg-mempool-size", "messages wait at their sender when an inbox is full"),
            (self.disable_cpumask_locks, "--disable-cpumask-locks", "CPUs are not locked here"),
            (self.vhost_sockets.is_some(), "-S", "there is no vhost target here"),
        ];
        flags.into_iter().filter(|(given, ..)| *given).map(|(_, flag, why)| (flag, why)).collect()
    }
}

impl ServeArgs {
    /// Is it the embedded default that is asked for?
    pub fn is_default(&self) -> bool {
        self.files.is_empty()
            && self.volume_stores.is_empty()
            && self.mallocs.is_empty()
            && self.drives.is_empty()
            && self.json.is_none()
            && !self.wait_for_rpc
            && !self.empty
    }
}

/// A size; a number alone is of MiB, as SPDK's -s has it.
fn memory(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(mib) => mib.checked_mul(1 << 20).ok_or_else(|| format!("{text} MiB are more than there can be")),
        Err(_) => size::parse(text).map_err(|e| e.to_string()),
    }
}

fn deadline(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    if (0.0..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("from 0 to 86400 seconds".to_owned()) }
}
