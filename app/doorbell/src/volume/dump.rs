//! `doorbell volume dump`: what metadata says of one volume.

use super::catalog::{Catalog, Entry, id_text, kind, outside_text};
use super::{Failed, failed, shown, with};
use crate::cli::VolumeDumpArgs;
use crate::client::print;
use crate::size::Size;
use crate::status::{say, section, section_body, table};
use doorbell_blobstore::Parent;
use doorbell_wire_blob::{ClearMethod, Cluster};
use serde_json::{Value, json};

#[cfg(test)]
mod tests;

pub(super) fn dump(args: &VolumeDumpArgs) -> Result<(), Failed> {
    let (as_json, wanted) = (args.json, args.volume.clone());
    with(&args.at, false, async move |_, catalog| {
        let entry = catalog.find(&wanted)?;
        let runs = runs(catalog.store.clusters(entry.blob.id).map_err(failed)?);
        if as_json {
            print(&as_value(catalog, entry, &runs));
        } else {
            say(as_text(catalog, entry, &runs).trim_end_matches('\n'));
        }
        Ok(())
    })
}

/// Clusters of a volume that follow each other, there and on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The first, as the volume counts.
    first: u64,
    /// The same as the device does.
    on_device: u32,
    count: u64,
}

fn runs(clusters: impl Iterator<Item = (u64, Cluster)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, Cluster(on_device)) in clusters {
        match runs.last_mut() {
            Some(run) if run.first + run.count == at && u64::from(run.on_device) + run.count == u64::from(on_device) => run.count += 1,
            _ => runs.push(Run { first: at, on_device, count: 1 }),
        }
    }
    runs
}

fn clear_method(method: ClearMethod) -> &'static str {
    match method {
        ClearMethod::Default => "default",
        ClearMethod::None => "none",
        ClearMethod::Unmap => "unmap",
        ClearMethod::WriteZeroes => "write zeroes",
    }
}

fn as_value(catalog: &Catalog, entry: &Entry, runs: &[Run]) -> Value {
    let blob = &entry.blob;
    let mut all = catalog.json(entry);
    let flags = json!({
        "invalid": blob.flags.invalid,
        "data_read_only": blob.flags.data_ro,
        "metadata_read_only": blob.flags.md_ro,
        "clear_method": clear_method(blob.flags.clear_method()),
    });
    let xattrs = blob.xattrs.iter().map(|(name, value)| {
        json!({
            "name": String::from_utf8_lossy(name),
            "text": std::str::from_utf8(value).ok().map(|text| text.trim_end_matches('\0')),
            "hex": value.iter().map(|b| format!("{b:02x}")).collect::<String>(),
        })
    });
    let runs = runs.iter().map(|run| json!({"cluster": run.first, "device_cluster": run.on_device, "count": run.count}));
    if let Some(all) = all.as_object_mut() {
        all.insert("cluster_bytes".to_owned(), catalog.store.geometry().cluster_bytes.into());
        all.insert("clusters".to_owned(), blob.clusters.into());
        all.insert("allocated".to_owned(), blob.allocated.into());
        all.insert("flags".to_owned(), flags);
        all.insert("xattrs".to_owned(), xattrs.collect());
        all.insert("runs".to_owned(), runs.collect());
    }
    all
}

fn as_text(catalog: &Catalog, entry: &Entry, runs: &[Run]) -> String {
    let blob = &entry.blob;
    let cluster = Size(catalog.store.geometry().cluster_bytes.into());
    let size = |clusters: u64| format!("{} ({clusters} clusters of {cluster})", Size(catalog.bytes(clusters)));
    let parent = match &blob.parent {
        Parent::None => "-".to_owned(),
        Parent::Snapshot(id) => format!("{} ({})", catalog.title(*id), id_text(*id)),
        Parent::External(name) => format!("{}, outside of the store", outside_text(name)),
    };
    let clones: Vec<String> = blob.clones.iter().map(|id| catalog.title(*id)).collect();
    let flags = blob.flags;
    let mut facts = table(&[]);
    facts.set_header(vec!["VOLUME".to_owned(), entry.title()]);
    for (what, is) in [
        ("blob", id_text(blob.id)),
        ("uuid", entry.uuid.as_deref().map_or_else(|| "-".to_owned(), shown)),
        ("kind", kind(&catalog.json(entry))),
        ("size", size(blob.clusters)),
        ("allocated", size(blob.allocated)),
        ("parent", parent),
        ("clones", if clones.is_empty() { "-".to_owned() } else { clones.join(", ") }),
        ("clear method", clear_method(flags.clear_method()).to_owned()),
        ("flags", format!("invalid {:#x}, data read-only {:#x}, metadata read-only {:#x}", flags.invalid, flags.data_ro, flags.md_ro)),
    ] {
        facts.add_row(vec![what.to_owned(), is]);
    }
    let mut out = section_body(&facts);
    let mut xattrs = table(&["name", "value"]);
    for (name, value) in &blob.xattrs {
        xattrs.add_row(vec![shown(&String::from_utf8_lossy(name)), readable(value)]);
    }
    section(&mut out, "Attributes", &xattrs);
    let mut all = table(&["clusters", "on the device", "count"]);
    for run in runs {
        let span = |first: u64| if run.count == 1 { first.to_string() } else { format!("{first}-{}", first + run.count - 1) };
        all.add_row(vec![span(run.first), span(run.on_device.into()), run.count.to_string()]);
    }
    section(&mut out, "Clusters of its own", &all);
    out
}

/// Text as text, and anything else as numbers.
fn readable(value: &[u8]) -> String {
    match std::str::from_utf8(value).map(|text| text.trim_end_matches('\0')) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => value.iter().map(|b| format!("{b:02x}")).collect(),
    }
}
