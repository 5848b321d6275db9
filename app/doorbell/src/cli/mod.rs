//! The command line: what there is, and nothing of what it does.
#![allow(rustdoc::broken_intra_doc_links, reason = "comments here are the help texts of the command line; their brackets are no links")]

mod device;
mod nvme;
mod pci;
mod perf;
mod serve;
mod volume;

pub use device::{BadDevice, DeviceSpec, Engine};
pub use nvme::{
    Activate, DiscoverArgs, Erase, FirmwareArgs, FormatArgs, IdentifyArgs, Log, LogArgs, NvmeCommand, NvmeListArgs, NvmePerfArgs,
    PassthruArgs, Reach, ResetArgs,
};
pub use pci::{DeviceIds, Memlock, PciBindArgs, PciCommand, PciDriver, PciListArgs, PciResetArgs, PciStatusArgs, PciUnbindArgs};
pub use perf::{BlockArgs, PerfCommand};
pub use serve::{Poll, ServeArgs};
pub use volume::{
    ChangeArgs, PlaceArgs, StoreArgs, VolumeCheckArgs, VolumeCloneArgs, VolumeCommand, VolumeCreateArgs, VolumeDeleteArgs, VolumeDiffArgs,
    VolumeDumpArgs, VolumeExportArgs, VolumeImportArgs, VolumeInflateArgs, VolumeInitArgs, VolumeListArgs, VolumeRenameArgs,
    VolumeResizeArgs, VolumeSnapshotArgs,
};

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Doorbell serves block devices from user space: NVMe over TCP from files and memory.
#[derive(Debug, Parser)]
#[command(name = "doorbell", version, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `doorbell` does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve devices over NVMe/TCP; with no flags, the file doorbell.img on 127.0.0.1:4420
    Serve(Box<ServeArgs>),
    /// Call a method of a running server
    Rpc(RpcArgs),
    /// Show what a running server does: reactors, devices, subsystems, connections
    Status(StatusArgs),
    /// PCI devices: take them from the kernel and give them back
    Pci {
        /// What to do with them.
        #[command(subcommand)]
        command: PciCommand,
    },
    /// NVMe controllers: what they are, what they say, and commands for them
    Nvme {
        /// What to do with one.
        #[command(subcommand)]
        command: NvmeCommand,
    },
    /// Volume stores, in files and devices or at a server: what is in them, is it sound, new volumes, snapshots, clones, copies in and out
    Volume {
        /// What to do with one.
        #[command(subcommand)]
        command: VolumeCommand,
    },
    /// Measure
    Perf {
        /// What to measure.
        #[command(subcommand)]
        command: PerfCommand,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for each command into a folder
    Man {
        /// Where to write them
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
        /// Write a page for each RPC method instead, in Markdown
        #[arg(long, requires = "out")]
        rpc: bool,
    },
}

/// Which server is meant.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// Its RPC socket [default: the first that answers: doorbell.sock in $XDG_RUNTIME_DIR or /run/doorbell, /var/tmp/spdk.sock]
    #[arg(short = 's', short_alias = 'r', long = "socket", visible_alias = "rpc-socket", value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Give up when no answer has come after so many seconds
    #[arg(short = 't', long, value_name = "SECONDS", default_value_t = 60.0)]
    pub timeout: f64,
}

/// `doorbell rpc`.
#[derive(Debug, Args)]
pub struct RpcArgs {
    /// Which server.
    #[command(flatten)]
    pub server: Server,
    /// The method, such as bdev_get_bdevs, or save_config, load_config; without one, all are listed
    pub method: Option<String>,
    /// Parameters: key=value (JSON values, otherwise text; a.b=value sets b of a), or one JSON object
    #[arg(value_name = "KEY=VALUE | JSON | FILE")]
    pub params: Vec<String>,
    /// Flags of the composed commands.
    #[command(flatten)]
    pub composed: ComposedArgs,
}

/// Flags of `save_config` and its like, as SPDK's client has them.
#[derive(Debug, Args)]
#[command(next_help_heading = "For save_config, load_config, save_subsystem_config and load_subsystem_config")]
pub struct ComposedArgs {
    /// Spaces of each level of what is saved; below 0, all on one line [default: 2]
    #[arg(short = 'i', long, value_name = "N", allow_negative_numbers = true)]
    pub indent: Option<i32>,
    /// The configuration to load, instead of stdin
    #[arg(short = 'j', long, value_name = "FILE")]
    pub json_conf: Option<PathBuf>,
    /// The subsystem to save
    #[arg(short = 'n', long, value_name = "NAME")]
    pub name: Option<String>,
    /// The subsystems to save, with those they depend on
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub subsystems: Option<Vec<String>>,
}

/// `doorbell status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Which server.
    #[command(flatten)]
    pub server: Server,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub json: bool,
}
