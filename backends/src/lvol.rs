//! Logical volumes: stores on registered devices, and a device for each volume.
//!
//! A store is loaded when a device that holds one appears, is held exclusively from then on, and is closed when its device goes or the process
//! ends. Its volumes are devices named by their UUIDs, with `store/volume` as another name. One that is a clone of a device outside of the store
//! which is not there is listed and has no device (it is degraded); it gets one when that device appears.

mod clones;
mod copy;
mod describe;
mod params;
mod refusal;
mod stores;

use crate::host::{Brings, Host};
use copy::Copies;
use doorbell_control::{Methods, Params, RpcError, When};
use params as p;
use serde_json::Value;
use std::future::Future;
use std::rc::Rc;
use stores::Stores;

/// Its name as a module.
const MODULE: &str = "lvol";

fn on<P: Params + 'static, R: Into<Value>, F: Future<Output = Result<R, RpcError>> + 'static>(
    methods: &mut Methods,
    stores: &Rc<Stores>,
    [name, doc]: [&'static str; 2],
    run: impl Fn(Rc<Stores>, P) -> F + 'static,
) {
    let stores = stores.clone();
    let answer = move |params: P| {
        let answer = run(stores.clone(), params);
        async move { answer.await.map(Into::into) }
    };
    methods.add::<P, Value, _, _>(name, When::Runtime, doc, answer);
}

/// The methods, the examiner and the module.
pub(crate) fn bring(host: &Host, brings: &mut Brings<'_>) {
    let stores = Stores::new(host);
    let (m, s) = (&mut *brings.methods, &stores);
    let doc = "Makes a store of volumes on a block device, whatever it held; its UUID.";
    on(m, s, ["bdev_lvol_create_lvstore", doc], async |s, params: p::CreateStore| s.create_store(params).await);
    on(m, s, ["bdev_lvol_delete_lvstore", "Destroys a store with all of its volumes."], async |s, params: p::OneStore| {
        s.delete_store(s.store(&params.uuid, &params.lvs_name)?).await
    });
    on(m, s, ["bdev_lvol_rename_lvstore", "Gives a store another name."], async |s, params: p::Rename| s.rename_store(params).await);
    on(m, s, ["bdev_lvol_grow_lvstore", "Has a store take what its block device has grown by."], async |s, params: p::OneStore| {
        s.grow_store(s.store(&params.uuid, &params.lvs_name)?).await
    });
    on(m, s, ["bdev_lvol_get_lvstores", "Describes one store, or all."], async |s, params: p::OneStore| s.describe_stores(params).await);
    on(
        m,
        s,
        ["bdev_lvol_get_lvols", "Describes the volumes of one store, or of all; also those that are degraded."],
        async |s, params: p::OfStore| s.describe_lvols(params).await,
    );
    on(m, s, ["bdev_lvol_create", "Makes a volume; its UUID."], async |s, params: p::Create| s.create(params).await);
    on(m, s, ["bdev_lvol_delete", "Deletes a volume. One with several clones stays."], async |s, params: p::Named| {
        s.delete(&params.name).await
    });
    on(m, s, ["bdev_lvol_rename", "Gives a volume another name."], async |s, params: p::Rename| s.rename(params).await);
    on(m, s, ["bdev_lvol_resize", "Gives a volume another size, up to the end of a cluster."], async |s, params: p::Resize| {
        s.resize(params).await
    });
    on(m, s, ["bdev_lvol_set_read_only", "Makes a volume read-only, for good."], async |s, params: p::Named| {
        s.set_read_only(&params.name).await
    });
    bring_clones(m, s);
    let copies = Rc::new(Copies::default());
    let all = copies.clone();
    on(
        m,
        s,
        ["bdev_lvol_start_shallow_copy", "Begins to copy the clusters that are a read-only volume's own to a block device."],
        move |s, params: p::StartCopy| {
            let copies = all.clone();
            async move { copies.start(&s, params).await }
        },
    );
    on(
        m,
        s,
        ["bdev_lvol_check_shallow_copy", "Tells how far such a copy has come; of one that has ended, once."],
        move |_, params: p::CheckCopy| {
            let answer = copies.check(params.operation_id);
            async move { answer }
        },
    );
    brings.examiners.push(stores.clone());
    brings.modules.push(stores);
}

fn bring_clones(m: &mut Methods, s: &Rc<Stores>) {
    on(
        m,
        s,
        ["bdev_lvol_snapshot", "Makes a snapshot of a volume, which is its clone from then on; its UUID."],
        async |s, params: p::Snapshot| s.snapshot(params).await,
    );
    let doc = "Makes snapshots of several volumes of one store at one moment: no write lies between. Their UUIDs, in order.";
    on(m, s, ["doorbell_bdev_lvol_snapshot_group", doc], async |s, params: p::Snapshots| s.snapshot_group(params.snapshots).await);
    on(m, s, ["bdev_lvol_clone", "Makes a clone of a snapshot; its UUID."], async |s, params: p::Clone| s.clone_of(params).await);
    let doc = "Makes a clone of a block device, which is read and never written; its UUID.";
    on(m, s, ["bdev_lvol_clone_bdev", doc], async |s, params: p::CloneDevice| s.clone_of_device(params).await);
    on(m, s, ["bdev_lvol_inflate", "Gives a volume all of its clusters, so that it needs no parent."], async |s, params: p::Named| {
        s.inflate(&params.name).await
    });
    let doc = "Gives a clone the clusters that its parent has, so that it is a clone of that one's parent.";
    on(m, s, ["bdev_lvol_decouple_parent", doc], async |s, params: p::Named| s.decouple(&params.name).await);
    let doc = "Makes a thin volume a clone of another snapshot of its store.";
    on(m, s, ["bdev_lvol_set_parent", doc], async |s, params: p::SetParent| s.set_parent(params).await);
    let doc = "Makes a thin volume a clone of a block device. The volume must not be open.";
    on(m, s, ["bdev_lvol_set_parent_bdev", doc], async |s, params: p::SetParent| s.set_parent_device(params).await);
}

#[cfg(test)]
mod tests;
