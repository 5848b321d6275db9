//! `doorbell volume`: its flags.

use super::DeviceSpec;
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
    pub at: StoreArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
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
