//! Logical volumes: stores on registered devices, and a device for each volume.
//!
//! A store is loaded when a device that holds one appears, is held exclusively from then on, and is closed when its device goes or the process
//! ends. Its volumes are devices named by their UUIDs, with `store/volume` as another name. One that is a clone of a device outside of the store
//! which is not there is listed and has no device (it is degraded); it gets one when that device appears.

mod clones;
mod copy;
mod describe;
mod methods;
mod outside;
mod params;
mod refusal;
mod stores;

use crate::host::{Brings, Host};
use doorbell_control::When;
use stores::Stores;

/// Its name as a module.
const MODULE: &str = "lvol";

/// The methods, the examiner and the module.
pub(crate) fn bring(host: &Host, brings: &mut Brings<'_>) {
    let stores = Stores::new(host);
    macro_rules! on {
        ($($name:literal, $method:ident, $doc:literal;)+) => {$({
            let stores = stores.clone();
            brings.methods.add($name, When::Runtime, $doc, move |params| stores.clone().$method(params));
        })+};
    }
    on! {
        "bdev_lvol_create_lvstore", create_store, "Makes a store of volumes on a block device, whatever it held; its UUID.";
        "bdev_lvol_delete_lvstore", delete_store, "Destroys a store with all of its volumes.";
        "bdev_lvol_rename_lvstore", rename_store, "Gives a store another name.";
        "bdev_lvol_grow_lvstore", grow_store, "Has a store take what its block device has grown by.";
        "bdev_lvol_get_lvstores", describe_stores, "Describes one store, or all.";
        "bdev_lvol_get_lvols", describe_lvols, "Describes the volumes of one store, or of all; also those that are degraded.";
        "bdev_lvol_create", create, "Makes a volume; its UUID.";
        "bdev_lvol_delete", delete, "Deletes a volume. One with several clones stays.";
        "bdev_lvol_rename", rename, "Gives a volume another name.";
        "bdev_lvol_resize", resize, "Gives a volume another size, up to the end of a cluster.";
        "bdev_lvol_set_read_only", set_read_only, "Makes a volume read-only, for good.";
        "bdev_lvol_snapshot", snapshot, "Makes a snapshot of a volume, which is its clone from then on; its UUID.";
        "doorbell_bdev_lvol_snapshot_group", snapshot_group,
            "Makes snapshots of several volumes of one store at one moment: no write lies between. Their UUIDs, in order.";
        "bdev_lvol_clone", clone_of, "Makes a clone of a snapshot; its UUID.";
        "bdev_lvol_clone_bdev", clone_of_device, "Makes a clone of a block device, which is read and never written; its UUID.";
        "bdev_lvol_inflate", inflate, "Gives a volume all of its clusters, so that it needs no parent.";
        "bdev_lvol_decouple_parent", decouple, "Gives a clone the clusters that its parent has, so that it is a clone of that one's parent.";
        "bdev_lvol_set_parent", set_parent, "Makes a thin volume a clone of another snapshot of its store.";
        "bdev_lvol_set_parent_bdev", set_parent_device, "Makes a thin volume a clone of a block device. The volume must not be open.";
        "bdev_lvol_start_shallow_copy", start_copy, "Begins to copy the clusters that are a read-only volume's own to a block device.";
        "bdev_lvol_check_shallow_copy", check_copy, "Tells how far such a copy has come; of one that has ended, once.";
    }
    brings.examiners.push(stores.clone());
    brings.modules.push(stores);
}

#[cfg(test)]
mod tests;
