//! `doorbell volume`: its flags.

use super::DeviceSpec;
use crate::size;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What `doorbell volume` does.
#[derive(Debug, Subcommand)]
pub enum VolumeCommand {
    /// List the volumes of a store: sizes, what is allocated, snapshots and their clones
    List(VolumeListArgs),
    /// Look at all of a store's metadata for damage; ends with 0 when there is none, 1 when there is, 2 when the store cannot be opened
    Check(VolumeCheckArgs),
    /// Print all that a store's metadata says of one volume
    Dump(VolumeDumpArgs),
    /// List the ranges in which two snapshots or volumes of one origin may differ
    Diff(VolumeDiffArgs),
    /// Copy a volume's content into a sparse file
    Export(VolumeExportArgs),
    /// Make a store on a file or block device, or on a block device of a server
    Init(VolumeInitArgs),
    /// Make a volume
    Create(VolumeCreateArgs),
    /// Make snapshots of volumes, all of them at one moment
    Snapshot(VolumeSnapshotArgs),
    /// Make clones of a snapshot: volumes that share what they do not change
    Clone(VolumeCloneArgs),
    /// Make a volume larger or smaller
    Resize(VolumeResizeArgs),
    /// Make a clone a volume of its own: what it shares is copied
    Inflate(VolumeInflateArgs),
    /// Give a volume or snapshot another name
    Rename(VolumeRenameArgs),
    /// Delete a volume or snapshot; a snapshot's only clone keeps its content
    Delete(VolumeDeleteArgs),
    /// Make a volume with the content of a raw disk image or of stdin; zeroes take no room
    Import(VolumeImportArgs),
}

/// Where a store is that a server may have.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// The store: the file or block device that holds it (PATH[,block-size=512]), or its name or UUID at a server. A file that a server has is
    /// changed by that server
    #[arg(value_name = "STORE")]
    pub store: String,
    /// How.
    #[command(flatten)]
    pub how: ChangeArgs,
}

/// Who changes it, and what is printed.
#[derive(Clone, Debug, Args)]
pub struct ChangeArgs {
    /// Ask the server with this RPC socket [default: none for a file that nobody has; otherwise the one that `doorbell rpc` finds]
    #[arg(short = 's', short_alias = 'r', long = "socket", visible_alias = "rpc-socket", value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Print one JSON object instead of a line
    #[arg(long)]
    pub json: bool,
}

/// `doorbell volume init`.
#[derive(Debug, Args)]
pub struct VolumeInitArgs {
    /// What to make it on: a file or block device (PATH[,size=10G][,block-size=512]), or with --socket a server's block device by its name
    #[arg(value_name = "DEVICE")]
    pub device: String,
    /// What the store is called
    #[arg(value_name = "STORENAME")]
    pub name: String,
    /// Bytes of a cluster, the unit of allocation: a multiple of 4K
    #[arg(long, value_name = "SIZE", value_parser = size::parse_u32, default_value = "4M")]
    pub cluster_size: u32,
    /// Write over what the device holds
    #[arg(long)]
    pub destroy_data: bool,
    /// How.
    #[command(flatten)]
    pub how: ChangeArgs,
}

/// `doorbell volume create`.
#[derive(Debug, Args)]
pub struct VolumeCreateArgs {
    /// Which store.
    #[command(flatten)]
    pub at: PlaceArgs,
    /// What it is called
    pub name: String,
    /// Its size, such as 20G; it is rounded up to whole clusters
    #[arg(value_parser = size::parse)]
    pub size: u64,
    /// Take all of its clusters now, instead of each when it is first written
    #[arg(long)]
    pub thick: bool,
}

/// `doorbell volume snapshot`.
#[derive(Debug, Args)]
pub struct VolumeSnapshotArgs {
    /// Which store.
    #[command(flatten)]
    pub at: PlaceArgs,
    /// The volume, by its name, STORENAME/NAME or UUID, and what its snapshot is called; and more of both
    #[arg(required = true, num_args = 2.., value_names = ["VOLUME", "SNAPSHOT"])]
    pub pairs: Vec<String>,
}

/// `doorbell volume clone`.
#[derive(Debug, Args)]
pub struct VolumeCloneArgs {
    /// Which store.
    #[command(flatten)]
    pub at: PlaceArgs,
    /// The snapshot, by its name, STORENAME/NAME or UUID
    pub snapshot: String,
    /// What the clones are called: one name for each
    #[arg(required = true)]
    pub names: Vec<String>,
}

/// `doorbell volume resize`.
#[derive(Debug, Args)]
pub struct VolumeResizeArgs {
    /// Which store.
    #[command(flatten)]
    pub at: PlaceArgs,
    /// The volume, by its name, STORENAME/NAME or UUID
    pub volume: String,
    /// Its new size; it is rounded up to whole clusters
    #[arg(value_parser = size::parse)]
    pub size: u64,
    /// It may become smaller: what is beyond the new size is lost
    #[arg(long)]
    pub shrink: bool,
}

/// `doorbell volume inflate`.
#[derive(Debug, Args)]
pub struct VolumeInflateArgs {
    /// Which store.
    #[command(flatten)]
    pub at: PlaceArgs,
    /// The volume, by its name, STORENAME/NAME or UUID
    pub volume: String,
    /// Copy only what the parent itself holds: a thin volume stays thin, and a clone of the parent's parent
    #[arg(long)]
    pub decouple: bool,
}

/// `doorbell volume rename`.
#[derive(Debug, Args)]
pub struct VolumeRenameArgs {
    /// Which store.
    #[command(flatten)]
    pub at: PlaceArgs,
    /// The volume, by its name, STORENAME/NAME or UUID
    pub volume: String,
    /// Its new name
    pub name: String,
}

/// `doorbell volume delete`.
#[derive(Debug, Args)]
pub struct VolumeDeleteArgs {
    /// Which store.
    #[command(flatten)]
    pub at: PlaceArgs,
    /// The volumes, by their names, STORENAME/NAME or UUIDs
    #[arg(required = true)]
    pub volumes: Vec<String>,
}

/// `doorbell volume import`.
#[derive(Debug, Args)]
pub struct VolumeImportArgs {
    /// Which store. No server may have it.
    #[command(flatten)]
    pub at: PlaceArgs,
    /// What the volume is called
    pub name: String,
    /// The raw image; - reads stdin, and then --size has to be given
    pub file: PathBuf,
    /// The volume's size, where it is to be larger than the image
    #[arg(long, value_parser = size::parse)]
    pub size: Option<u64>,
    /// Take all of its clusters, also where the image has zeroes
    #[arg(long)]
    pub thick: bool,
}

/// Where the store lies.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// The file or block device that holds the store, which no server may have: PATH[,block-size=512][,force]
    #[arg(value_name = "STORE")]
    pub store: DeviceSpec,
}

/// `doorbell volume list`.
#[derive(Debug, Args)]
pub struct VolumeListArgs {
    /// Which store.
    #[command(flatten)]
    pub at: PlaceArgs,
}

/// `doorbell volume check`.
#[derive(Debug, Args)]
pub struct VolumeCheckArgs {
    /// Which store.
    #[command(flatten)]
    pub at: StoreArgs,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// `doorbell volume dump`.
#[derive(Debug, Args)]
pub struct VolumeDumpArgs {
    /// Which store.
    #[command(flatten)]
    pub at: StoreArgs,
    /// The volume: its name, STORENAME/NAME, its UUID, or the id of its blob (0x100000001)
    pub volume: String,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// `doorbell volume diff`.
#[derive(Debug, Args)]
pub struct VolumeDiffArgs {
    /// Which store.
    #[command(flatten)]
    pub at: StoreArgs,
    /// What was copied last: a snapshot or volume, named as for `dump`
    pub older: String,
    /// What is to be copied now
    pub newer: String,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `doorbell volume export`.
#[derive(Debug, Args)]
pub struct VolumeExportArgs {
    /// Which store.
    #[command(flatten)]
    pub at: StoreArgs,
    /// The volume, named as for `dump`
    pub volume: String,
    /// The file to make; - writes to stdout
    pub file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
}
