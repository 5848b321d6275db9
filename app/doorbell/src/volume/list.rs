//! `doorbell volume list`: what a store is and what is in it.

use super::catalog::{Catalog, id_text};
use super::{Failed, shown, with};
use crate::cli::VolumeListArgs;
use crate::client::print;
use crate::size::Size;
use crate::status::{say, section, table};
use serde_json::{Value, json};

pub(super) fn list(args: &VolumeListArgs) -> Result<(), Failed> {
    let as_json = args.json;
    with(&args.at, false, async move |_, catalog| {
        if as_json {
            print(&as_value(catalog));
        } else {
            say(as_text(catalog).trim_end_matches('\n'));
        }
        Ok(())
    })
}

fn as_value(catalog: &Catalog) -> Value {
    let unusable: Vec<Value> = catalog.store.unusable().map(|(id, why)| json!({"blob": id_text(id), "why": why})).collect();
    json!({
        "store": catalog.store_json(),
        "volumes": catalog.volumes.iter().map(|entry| catalog.json(entry)).collect::<Vec<_>>(),
        "unusable": unusable,
    })
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

fn as_text(catalog: &Catalog) -> String {
    let mut out = headline(catalog) + "\n";
    let mut all = table(&["name", "size", "allocated", "kind", "uuid"]);
    for entry in &catalog.volumes {
        all.add_row(vec![
            entry.title(),
            Size(catalog.bytes(entry.blob.clusters)).to_string(),
            Size(catalog.bytes(entry.blob.allocated)).to_string(),
            catalog.kind(&entry.blob),
            entry.uuid.as_deref().map_or_else(|| "-".to_owned(), shown),
        ]);
    }
    section(&mut out, "Volumes", &all);
    let mut lost = table(&["blob", "why"]);
    for (id, why) in catalog.store.unusable() {
        lost.add_row(vec![id_text(id), shown(why)]);
    }
    if !lost.is_empty() {
        section(&mut out, "Blobs that cannot be used", &lost);
    }
    out
}
