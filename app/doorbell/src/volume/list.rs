//! `doorbell volume list`: what a store is and what is in it.

use super::catalog::{Catalog, id_text, kind};
use super::place::{At, at, number, text, to_read};
use super::{Failed, shown, with};
use crate::cli::VolumeListArgs;
use crate::client::print;
use crate::size::Size;
use crate::status::{say, section, table};
use serde_json::{Value, json};

pub(super) fn list(args: &VolumeListArgs) -> Result<(), Failed> {
    let listed = match to_read(&args.at)? {
        Some(file) => with(&file, false, async |_, catalog| Ok(of_file(catalog)))?,
        None => at(&args.at, async |at| of_server(at).await)?,
    };
    if args.at.how.json {
        print(&json!({"store": listed.store, "volumes": listed.volumes, "unusable": listed.unusable}));
    } else {
        say(listed.text().trim_end_matches('\n'));
    }
    Ok(())
}

/// What is listed, wherever it comes from.
struct Listed {
    headline: String,
    store: Value,
    volumes: Vec<Value>,
    unusable: Vec<Value>,
}

fn of_file(catalog: &Catalog) -> Listed {
    Listed {
        headline: headline(catalog),
        store: catalog.store_json(),
        volumes: catalog.volumes.iter().map(|entry| catalog.json(entry)).collect(),
        unusable: catalog.store.unusable().map(|(id, why)| json!({"blob": id_text(id), "why": why})).collect(),
    }
}

/// The same of what a server tells.
async fn of_server(at: &At) -> Result<Listed, Failed> {
    let cluster = at.cluster_bytes();
    let (total, free) = (number(&at.store, "total_data_clusters") * cluster, number(&at.store, "free_clusters") * cluster);
    let devices = at.call("bdev_get_bdevs", Value::Null).await?;
    let mut volumes = Vec::new();
    for one in at.volumes().await? {
        // One whose parent outside is missing has no device.
        let device = devices.as_array().into_iter().flatten().find(|device| device["name"] == one["uuid"]);
        let of = device.map_or(Value::Null, |device| device["driver_specific"]["lvol"].clone());
        volumes.push(json!({
            "name": one["name"],
            "uuid": one["uuid"],
            "bytes": device.map(|device| number(device, "num_blocks") * number(device, "block_size")),
            "allocated_bytes": number(&one, "num_allocated_clusters") * cluster,
            "thin": one["is_thin_provisioned"],
            "snapshot": one["is_snapshot"],
            "parent": of["base_snapshot"],
            "outside_parent": of["external_snapshot_name"],
            "clones": of.get("clones").cloned().unwrap_or_else(|| json!([])),
            "degraded": one["is_degraded"],
        }));
    }
    let store = json!({
        "name": at.name(), "uuid": at.uuid(), "block_bytes": at.store["block_size"], "cluster_bytes": cluster, "total_bytes": total,
        "free_bytes": free, "device": at.store["base_bdev"],
    });
    let stopped = at.store.get("read_only_because").and_then(Value::as_str).map(|why| format!("; read only: {}", shown(why)));
    let headline = format!(
        "{} {}: {} free of {}, clusters of {}, blocks of {} bytes; a server has it{}",
        shown(at.name()),
        at.uuid(),
        Size(free),
        Size(total),
        Size(cluster),
        at.store["block_size"],
        stopped.unwrap_or_default(),
    );
    Ok(Listed { headline, store, volumes, unusable: Vec::new() })
}

/// The line of the store.
pub(super) fn headline(catalog: &Catalog) -> String {
    let geometry = catalog.store.geometry();
    let name = catalog.name.as_deref().map_or_else(|| "a store of no name".to_owned(), shown);
    let uuid = catalog.uuid.as_deref().map_or_else(String::new, |uuid| format!(" {}", shown(uuid)));
    let free = Size(catalog.bytes(catalog.store.free_clusters().into()));
    let total = Size(catalog.bytes(geometry.data_clusters().into()));
    let left = if catalog.store.super_block().clean { "" } else { "; it was not closed" };
    format!(
        "{name}{uuid}: {free} free of {total}, clusters of {}, blocks of {} bytes{left}",
        Size(geometry.cluster_bytes.into()),
        geometry.io_unit_bytes
    )
}

impl Listed {
    fn text(&self) -> String {
        let mut out = self.headline.clone() + "\n";
        let mut all = table(&["name", "size", "allocated", "kind", "uuid"]);
        for one in &self.volumes {
            let size = |key: &str| one.get(key).and_then(Value::as_u64).map_or_else(|| "-".to_owned(), |bytes| Size(bytes).to_string());
            let named = |key: &str| Some(shown(text(one, key))).filter(|text| !text.is_empty());
            all.add_row(vec![
                named("name").or_else(|| named("blob")).unwrap_or_default(),
                size("bytes"),
                size("allocated_bytes"),
                kind(one),
                named("uuid").unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        section(&mut out, "Volumes", &all);
        let mut lost = table(&["blob", "why"]);
        for one in &self.unusable {
            lost.add_row(vec![text(one, "blob").to_owned(), shown(text(one, "why"))]);
        }
        if !lost.is_empty() {
            section(&mut out, "Blobs that cannot be used", &lost);
        }
        out
    }
}
