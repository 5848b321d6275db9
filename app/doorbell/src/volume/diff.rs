//! `doorbell volume diff`: where two volumes of one origin may differ, by their maps alone.
//!
//! Clusters are equal when both volumes read the same cluster of the device, and when neither has one to read: then both read zeroes, or the same
//! bytes of the same parent outside of the store. No other are compared, so that a range may be listed whose bytes are equal, and none is left out
//! that differs.

use super::catalog::{Catalog, Entry};
use super::{Failed, failed, with};
use crate::cli::VolumeDiffArgs;
use crate::client::print;
use crate::size::Size;
use crate::status::{say, section_body, table};
use doorbell_blobstore::Parent;
use doorbell_wire_blob::{BlobId, Cluster};
use serde_json::{Value, json};
use std::cmp::Ordering;

#[cfg(test)]
mod tests;

pub(super) fn diff(args: &VolumeDiffArgs) -> Result<(), Failed> {
    let (as_json, older, newer) = (args.json, args.older.clone(), args.newer.clone());
    with(&args.at, false, async move |_, catalog| {
        let (older, newer) = (catalog.find(&older)?, catalog.find(&newer)?);
        let ranges = compare(catalog, older, newer)?;
        if as_json {
            print(&as_value(catalog, older, newer, &ranges));
        } else {
            say(as_text(catalog, older, newer, &ranges));
        }
        Ok(())
    })
}

/// The clusters that a volume reads, ascending: which of its own, and where on the device.
type Map = Vec<(u64, Cluster)>;

/// What a volume is made of.
struct Line {
    /// The blob, then its parents.
    blobs: Vec<BlobId>,
    /// What the last of them is a clone of, outside of the store.
    outside: Option<Vec<u8>>,
}

impl Line {
    fn of(catalog: &Catalog, entry: &Entry) -> Result<Line, Failed> {
        let (mut blobs, mut outside) = (vec![entry.blob.id], None);
        let mut parent = entry.blob.parent.clone();
        // The store has checked that this ends.
        loop {
            match parent {
                Parent::None => break,
                Parent::External(name) => {
                    outside = Some(name);
                    break;
                }
                Parent::Snapshot(id) => {
                    blobs.push(id);
                    parent = catalog.store.blob(id).map_err(failed)?.parent;
                }
            }
        }
        Ok(Line { blobs, outside })
    }

    fn is_related(&self, other: &Line) -> bool {
        self.blobs.last() == other.blobs.last() || (self.outside.is_some() && self.outside == other.outside)
    }

    fn map(&self, catalog: &Catalog) -> Result<Map, Failed> {
        let mut map = Vec::new();
        for id in &self.blobs {
            map = beneath(&map, catalog.store.clusters(*id).map_err(failed)?);
        }
        Ok(map)
    }
}

/// Adds what a parent has where there is nothing yet.
fn beneath(over: &[(u64, Cluster)], under: impl Iterator<Item = (u64, Cluster)>) -> Map {
    let mut both = Vec::with_capacity(over.len());
    let (mut over, mut under) = (over.iter().copied().peekable(), under.peekable());
    loop {
        let first = match (over.peek(), under.peek()) {
            (None, None) => return both,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        if first == Ordering::Equal {
            under.next();
        }
        both.extend(if first == Ordering::Greater { under.next() } else { over.next() });
    }
}

/// Clusters in a row that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u64,
    count: u64,
    /// Has the newer something to read there? Otherwise it reads zeroes.
    has_data: bool,
}

/// Where two maps differ, up to `clusters`.
fn differing(older: &[(u64, Cluster)], newer: &[(u64, Cluster)], clusters: u64) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    let (mut older, mut newer) = (older.iter().copied().peekable(), newer.iter().copied().peekable());
    loop {
        let at = match (older.peek(), newer.peek()) {
            (None, None) => return ranges,
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((at, _)), None) | (None, Some((at, _))) => *at,
        };
        if at >= clusters {
            return ranges;
        }
        let before = older.next_if(|(a, _)| *a == at).map(|(_, cluster)| cluster);
        let after = newer.next_if(|(b, _)| *b == at).map(|(_, cluster)| cluster);
        if before != after {
            add(&mut ranges, Range { first: at, count: 1, has_data: after.is_some() });
        }
    }
}

fn add(ranges: &mut Vec<Range>, next: Range) {
    match ranges.last_mut() {
        Some(last) if last.first + last.count == next.first && last.has_data == next.has_data => last.count += next.count,
        _ => ranges.push(next),
    }
}

fn compare(catalog: &Catalog, older: &Entry, newer: &Entry) -> Result<Vec<Range>, Failed> {
    let (before, after) = (Line::of(catalog, older)?, Line::of(catalog, newer)?);
    if !before.is_related(&after) {
        let (older, newer) = (older.title(), newer.title());
        let why = "no snapshot stands beneath both, so that every cluster would be listed";
        return Err(failed(format!("{older} and {newer} are not related: {why}. Copy {newer} whole, with `doorbell volume export`")));
    }
    let (clusters, end) = (newer.blob.clusters, older.blob.clusters);
    let (mut before, after, outside) = (before.map(catalog)?, after.map(catalog)?, after.outside.is_some());
    // Its parents may be larger than it is.
    before.retain(|(at, _)| *at < end);
    if !outside {
        return Ok(differing(&before, &after, clusters));
    }
    // Where the newer has nothing of its own there may be data outside; behind the older's end that is new.
    let mut ranges = differing(&before, &after, clusters.min(end));
    ranges.iter_mut().for_each(|range| range.has_data = true);
    if clusters > end {
        add(&mut ranges, Range { first: end, count: clusters - end, has_data: true });
    }
    Ok(ranges)
}

fn total(ranges: &[Range]) -> u64 {
    ranges.iter().map(|range| range.count).sum()
}

fn as_value(catalog: &Catalog, older: &Entry, newer: &Entry, ranges: &[Range]) -> Value {
    let one = |range: &Range| json!({"offset": catalog.bytes(range.first), "bytes": catalog.bytes(range.count), "data": range.has_data});
    json!({
        "older": catalog.json(older),
        "newer": catalog.json(newer),
        "cluster_bytes": catalog.store.geometry().cluster_bytes,
        "bytes": catalog.bytes(total(ranges)),
        "ranges": ranges.iter().map(one).collect::<Vec<_>>(),
    })
}

fn as_text(catalog: &Catalog, older: &Entry, newer: &Entry, ranges: &[Range]) -> String {
    let (from, to) = (catalog.bytes(older.blob.clusters), catalog.bytes(newer.blob.clusters));
    let resized = if from == to { String::new() } else { format!(", which had {}", Size(from)) };
    let names = format!("{} to {}", older.title(), newer.title());
    if ranges.is_empty() {
        return format!("{names}: nothing differs in {}{resized}", Size(to));
    }
    let mut all = table(&["offset", "bytes", "now"]);
    for range in ranges {
        let now = if range.has_data { "data" } else { "zeroes" };
        all.add_row(vec![catalog.bytes(range.first).to_string(), catalog.bytes(range.count).to_string(), now.to_owned()]);
    }
    let many = if ranges.len() == 1 { "" } else { "s" };
    let differ = Size(catalog.bytes(total(ranges)));
    let title = format!("{names}: {differ} in {} range{many} of {}{resized}", ranges.len(), Size(to));
    format!("{title}\n{}", section_body(&all).trim_end_matches('\n'))
}
