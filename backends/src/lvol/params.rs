//! Parameters of the methods.

use doorbell_control::{Fault, Kind, Param, RpcError, choices, params};
use doorbell_wire_blob::ClearMethod;
use serde_json::Value;

choices! {
    /// How what is given up is cleared.
    pub(super) enum Clear {
        /// Whatever is usual, which is unmap.
        Default = "default",
        /// Not at all.
        None = "none",
        /// By unmap.
        Unmap = "unmap",
        /// By writing zeroes.
        WriteZeroes = "write_zeroes",
    }
}

impl From<Clear> for ClearMethod {
    fn from(method: Clear) -> ClearMethod {
        match method {
            Clear::Default => ClearMethod::Default,
            Clear::None => ClearMethod::None,
            Clear::Unmap => ClearMethod::Unmap,
            Clear::WriteZeroes => ClearMethod::WriteZeroes,
        }
    }
}

/// A size in MiB. It has to be given, unless an old client gives one in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mib(Option<u64>);

impl Param for Mib {
    const KIND: Kind = Kind::Uint64;

    fn decode(value: Value) -> Result<Mib, Fault> {
        u64::decode(value).map(|mib| Mib(Some(mib)))
    }

    fn absent() -> Option<Mib> {
        Some(Mib(None))
    }

    fn encode(&self) -> Value {
        self.0.encode()
    }
}

impl Mib {
    /// The size in bytes, given one way or the other.
    pub(super) fn or_bytes(self, bytes: Option<u64>) -> Result<u64, RpcError> {
        match (self.0, bytes) {
            (Some(mib), None) => mib
                .checked_mul(1 << 20)
                .ok_or_else(|| RpcError::invalid_argument().because(format!("{mib} MiB are more than there can be"))),
            (None, Some(bytes)) => Ok(bytes),
            (None, None) => Err(RpcError::decode_failed("size_in_mib is missing")),
            (Some(_), Some(_)) => Err(RpcError::invalid_argument().because("size and size_in_mib were given: give one of them")),
        }
    }
}

params! {
    /// Of `bdev_lvol_create_lvstore`.
    pub(super) struct CreateStore {
        /// The block device to make it on. Nobody else may have it for writing.
        pub(super) bdev_name: String,
        /// Name of the store, of 1 to 63 bytes.
        pub(super) lvs_name: String,
        /// Bytes of a cluster: a multiple of 4096. 4 MiB when not given.
        pub(super) cluster_sz: Option<u32>,
        /// How the block device is cleared. New volumes read as zeroes however it is done.
        pub(super) clear_method: Clear = Clear::Unmap,
        /// Pages of metadata for 100 clusters. When not given there are 25, or 100 in stores of fewer than 4096 clusters.
        pub(super) num_md_pages_per_cluster_ratio: Option<u32>,
        /// Bytes of a page of metadata: a power of two from 4096 to 65536. What the block device asks for when not given, or 0.
        pub(super) md_page_size: Option<u32>,
    }

    /// Names a store, or none.
    pub(super) struct OneStore {
        /// UUID of the store.
        pub(super) uuid: Option<String>,
        /// Name of the store.
        pub(super) lvs_name: Option<String>,
    }

    /// Names the store of volumes, or none.
    pub(super) struct OfStore {
        /// UUID of the store.
        pub(super) lvs_uuid: Option<String>,
        /// Name of the store.
        pub(super) lvs_name: Option<String>,
    }

    /// Gives something another name.
    pub(super) struct Rename {
        /// Its name: of a volume also its UUID or `store/volume`.
        pub(super) old_name: String,
        /// The new one, of 1 to 63 bytes.
        pub(super) new_name: String,
    }

    /// Of `bdev_lvol_create`.
    pub(super) struct Create {
        /// Name of the volume, of 1 to 63 bytes.
        pub(super) lvol_name: String,
        /// Its size in MiB; it gets as many more as its last cluster has.
        pub(super) size_in_mib: Mib,
        /// Whether it gets clusters only where it is written.
        pub(super) thin_provision: bool = false,
        /// UUID of the store.
        pub(super) uuid: Option<String>,
        /// Name of the store.
        pub(super) lvs_name: Option<String>,
        /// How clusters are cleared that it gives up. None is read by another volume with what was in it.
        pub(super) clear_method: Clear = Clear::Default,
        /// Its size in bytes, as old clients give it instead.
        pub(super) size: Option<u64>,
    }

    /// Of `bdev_lvol_resize`.
    pub(super) struct Resize {
        /// The volume: its UUID or `store/volume`.
        pub(super) name: String,
        /// Its new size in MiB; it gets as many more as its last cluster has.
        pub(super) size_in_mib: Mib,
        /// The same in bytes, as old clients give it instead.
        pub(super) size: Option<u64>,
    }

    /// Names a volume.
    pub(super) struct Named {
        /// The volume: its UUID or `store/volume`.
        pub(super) name: String,
    }

    /// Of `bdev_lvol_snapshot`.
    pub(super) struct Snapshot {
        /// The volume: its UUID or `store/volume`.
        pub(super) lvol_name: String,
        /// Name of the snapshot, of 1 to 63 bytes.
        pub(super) snapshot_name: String,
    }

    /// Of `doorbell_bdev_lvol_snapshot_group`.
    pub(super) struct Snapshots {
        /// Which volumes, and what their snapshots are called.
        pub(super) snapshots: Vec<Snapshot>,
    }

    /// Of `bdev_lvol_clone`.
    pub(super) struct Clone {
        /// The snapshot: its UUID or `store/volume`.
        pub(super) snapshot_name: String,
        /// Name of the clone, of 1 to 63 bytes.
        pub(super) clone_name: String,
    }

    /// Of `bdev_lvol_clone_bdev`.
    pub(super) struct CloneDevice {
        /// The block device: its name or UUID. It stays open for as long as there are clones of it, and nobody may write it.
        pub(super) bdev: String,
        /// Name of the store that the clone is made in.
        pub(super) lvs_name: String,
        /// Name of the clone, of 1 to 63 bytes.
        pub(super) clone_name: String,
    }

    /// Gives a volume another parent.
    pub(super) struct SetParent {
        /// The volume: its UUID or `store/volume`.
        pub(super) lvol_name: String,
        /// What it is to be a clone of.
        pub(super) parent_name: String,
    }

    /// Of `bdev_lvol_start_shallow_copy`.
    pub(super) struct StartCopy {
        /// The volume, which has to be read-only: its UUID or `store/volume`.
        pub(super) src_lvol_name: String,
        /// The block device to copy to, at least as large. Nobody else may have it for writing.
        pub(super) dst_bdev_name: String,
    }

    /// Of `bdev_lvol_check_shallow_copy`.
    pub(super) struct CheckCopy {
        /// What the start of the copy answered.
        pub(super) operation_id: u32,
    }
}
