//! `doorbell volume check`: all of a store's metadata, and its masks held against that.

use super::catalog::Catalog;
use super::list::headline;
use super::{Failed, with};
use crate::cli::VolumeCheckArgs;
use crate::client::print;
use crate::status::say;
use doorbell_blobstore::Finding;
use serde_json::{Value, json};

/// False when something is wrong.
pub(super) fn check(args: &VolumeCheckArgs) -> Result<bool, Failed> {
    let as_json = args.json;
    with(&args.at, true, async move |_, catalog| {
        if as_json {
            print(&as_value(catalog));
        } else {
            say(as_text(catalog));
        }
        Ok(is_sound(catalog))
    })
}

fn is_sound(catalog: &Catalog) -> bool {
    catalog.store.findings().is_empty() && catalog.store.doubts().is_empty()
}

fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn as_value(catalog: &Catalog) -> Value {
    json!({
        "store": catalog.store_json(),
        "pages_read": catalog.store.opening().pages_read,
        "sound": is_sound(catalog),
        "findings": lines(catalog.store.findings()),
        "masks": lines(catalog.store.doubts()),
    })
}

fn as_text(catalog: &Catalog) -> String {
    let store = &catalog.store;
    let mut out = vec![headline(catalog)];
    for line in lines(store.findings()) {
        out.push(format!("wrong: {line}"));
    }
    for line in lines(store.doubts()) {
        out.push(format!("wrong: {line}; the masks are made anew when the store is recovered"));
    }
    let masks = if store.super_block().clean { "their masks" } else { "no masks, which a store that was not closed does not have" };
    let read = format!("{} metadata pages of {} volumes were read, and {masks}", store.opening().pages_read, catalog.volumes.len());
    out.push(match store.findings().len() + store.doubts().len() {
        0 => format!("{read}: nothing is wrong"),
        1 => format!("{read}: 1 thing is wrong; nothing was changed"),
        n => format!("{read}: {n} things are wrong; nothing was changed"),
    });
    out.join("\n")
}
