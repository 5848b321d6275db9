//! `doorbell nvme identify`: what a controller and its namespaces say of themselves.

use super::{Failed, say, with, words};
use crate::cli::IdentifyArgs;
use crate::size::Size;
use crate::status::{section, section_body, table};
use comfy_table::Table;
use doorbell_control::Uuid;
use doorbell_nvme::{Controller, Identity, Namespace};
use doorbell_wire_nvme::identify::LbaFormat;
use serde_json::{Value, json};
use std::sync::Arc;

struct Seen {
    identity: Arc<Identity>,
    namespaces: Vec<Arc<Namespace>>,
}

pub(super) fn identify(args: &IdentifyArgs) -> Result<(), Failed> {
    let nsid = args.nsid;
    let seen = with(&args.reach, async move |controller: &Controller| {
        let identity = controller.identity().ok_or_else(|| words("the controller was not identified"))?;
        let all = controller.namespaces();
        let namespaces: Vec<_> = all.iter().filter(|namespace| nsid.is_none_or(|nsid| nsid == namespace.nsid())).cloned().collect();
        match nsid {
            Some(nsid) if namespaces.is_empty() => {
                let has: Vec<String> = all.iter().map(|namespace| namespace.nsid().to_string()).collect();
                Err(words(format!("there is no namespace {nsid}, but these: {}", has.join(", "))))
            }
            _ => Ok(Seen { identity, namespaces }),
        }
    })?;
    match args.json {
        true => say(format!("{:#}", all_json(&seen))),
        false => say(show(&seen, nsid.is_some()).trim_end_matches('\n')),
    }
    Ok(())
}

/// The names of what is set.
fn set(all: &[(bool, &'static str)]) -> Vec<&'static str> {
    all.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect()
}

fn admin_commands(of: &Identity) -> Vec<&'static str> {
    let oacs = of.oacs();
    set(&[
        (oacs.security(), "security"),
        (oacs.format(), "format"),
        (oacs.firmware(), "firmware"),
        (oacs.namespace_management(), "namespace management"),
        (oacs.self_test(), "self-test"),
        (oacs.directives(), "directives"),
        (oacs.mi(), "management interface"),
        (oacs.virtualization(), "virtualization"),
        (oacs.doorbell_buffer(), "doorbell buffer"),
        (oacs.lba_status(), "LBA status"),
        (oacs.lockdown(), "lockdown"),
    ])
}

fn io_commands(of: &Identity) -> Vec<&'static str> {
    let oncs = of.oncs();
    set(&[
        (oncs.compare(), "compare"),
        (of.fuses().compare_write(), "compare and write"),
        (oncs.write_uncorrectable(), "write uncorrectable"),
        (oncs.dataset_management(), "dataset management"),
        (oncs.write_zeroes(), "write zeroes"),
        (oncs.reservations(), "reservations"),
        (oncs.timestamp(), "timestamp"),
        (oncs.verify(), "verify"),
        (oncs.copy(), "copy"),
    ])
}

fn version(of: &Identity) -> String {
    format!("{}.{}.{}", of.version.major(), of.version.minor(), of.version.tertiary())
}

/// Bytes of one transfer at most, with memory pages of 4 KiB; `None` for no limit.
fn transfer_bytes(of: &Identity) -> Option<u64> {
    match of.raw.mdts {
        0 => None,
        pages => 4096u64.checked_shl(pages.into()).filter(|bytes| *bytes >= 4096),
    }
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn controller(of: &Identity) -> Table {
    let raw = &of.raw;
    let mut all = table(&["controller", ""]);
    let capacity = u64::try_from(raw.tnvmcap.get()).unwrap_or(u64::MAX);
    let printable = |text: &str| text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>();
    let rows = [
        ("model", of.model.clone()),
        ("serial number", of.serial.clone()),
        ("firmware", of.firmware.clone()),
        ("subsystem", if of.subsystem.is_empty() { "-".to_owned() } else { printable(&of.subsystem) }),
        ("kind", raw.cntrltype.to_string()),
        ("version", version(of)),
        ("controller number", raw.cntlid.get().to_string()),
        ("PCI vendor", format!("{:04x}, subsystem {:04x}", raw.vid.get(), raw.ssvid.get())),
        ("capacity", if capacity == 0 { "not told".to_owned() } else { Size(capacity).to_string() }),
        ("namespaces", format!("numbers up to {}", raw.nn.get())),
        ("transfers", transfer_bytes(of).map_or_else(|| "of any length".to_owned(), |bytes| format!("up to {}", Size(bytes)))),
        (
            "write cache",
            if of.is_volatile() { "volatile: a flush makes writes durable" } else { "none, or it survives a power cut" }.to_owned(),
        ),
        ("admin commands", or_none(&admin_commands(of))),
        ("I/O commands", or_none(&io_commands(of))),
    ];
    for (name, value) in rows {
        all.add_row(vec![name.to_owned(), value]);
    }
    all
}

/// Its most lasting name.
fn name(of: &Namespace) -> String {
    let ids = of.described().ids;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match (ids.uuid, ids.nguid, ids.eui64) {
        (Some(uuid), ..) => format!("uuid {}", Uuid::from_bytes(uuid)),
        (None, nguid, _) if nguid != [0; 16] => format!("nguid {}", hex(&nguid)),
        (None, _, eui) if eui != [0; 8] => format!("eui64 {}", hex(&eui)),
        _ => "-".to_owned(),
    }
}

fn namespaces(of: &[Arc<Namespace>]) -> Table {
    let mut all = table(&["number", "size", "in use", "block", "metadata", "protection", "name", "as a block device"]);
    for namespace in of {
        let described = namespace.described();
        let block = u64::from(described.info.block_size());
        let format = described.format;
        all.add_row(vec![
            namespace.nsid().to_string(),
            Size(described.info.blocks.saturating_mul(block)).to_string(),
            Size(described.raw.nuse.get().saturating_mul(block)).to_string(),
            block.to_string(),
            if format.metadata_bytes == 0 { "-".to_owned() } else { format.metadata_bytes.to_string() },
            if format.protection == 0 { "-".to_owned() } else { format!("type {}", format.protection) },
            name(namespace),
            described.usable.as_ref().map_or_else(|why| format!("no: {why}"), |()| "yes".to_owned()),
        ]);
    }
    all
}

/// The formats that it can have, by number.
fn format_list(of: &Namespace) -> impl Iterator<Item = (usize, LbaFormat)> + '_ {
    let raw = &of.described().raw;
    let last = usize::from(raw.nlbaf) + usize::from(raw.nulbaf);
    raw.lbaf.iter().copied().enumerate().take(last + 1).filter(|(_, format)| (9..32).contains(&format.lbads))
}

fn formats(of: &Namespace) -> Table {
    let mut all = table(&["format", "block", "metadata", "performance", ""]);
    for (at, format) in format_list(of) {
        all.add_row(vec![
            at.to_string(),
            (1u64 << format.lbads).to_string(),
            format.ms.get().to_string(),
            ["best", "better", "good", "degraded"].get(usize::from(format.rp & 3)).copied().unwrap_or("-").to_owned(),
            if at == of.described().raw.format_index() { "in use" } else { "" }.to_owned(),
        ]);
    }
    all
}

fn show(seen: &Seen, in_full: bool) -> String {
    let mut out = String::new();
    if !in_full {
        out.push_str(&section_body(&controller(&seen.identity)));
    }
    section(&mut out, "Namespaces", &namespaces(&seen.namespaces));
    for namespace in seen.namespaces.iter().filter(|_| in_full) {
        section(&mut out, "Formats", &formats(namespace));
    }
    out.trim_start_matches('\n').to_owned()
}

fn namespace_json(of: &Namespace) -> Value {
    let described = of.described();
    let formats: Vec<Value> = format_list(of)
        .map(|(at, format)| json!({"index": at, "block_bytes": 1u64 << format.lbads, "metadata_bytes": format.ms.get(), "performance": format.rp & 3}))
        .collect();
    json!({
        "nsid": of.nsid(),
        "blocks": described.info.blocks,
        "blocks_in_use": described.raw.nuse.get(),
        "block_bytes": described.info.block_size(),
        "metadata_bytes": described.format.metadata_bytes,
        "protection": described.format.protection,
        "uuid": described.ids.uuid.map(|uuid| Uuid::from_bytes(uuid).to_string()),
        "nguid": described.ids.nguid.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "eui64": described.ids.eui64.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "command_set": described.csi.to_string(),
        "shared": described.shared,
        "read_only": described.info.read_only,
        "not_usable": described.usable.as_ref().err(),
        "format": described.raw.format_index(),
        "formats": formats,
    })
}

fn all_json(seen: &Seen) -> Value {
    let of = &*seen.identity;
    let namespaces: Vec<Value> = seen.namespaces.iter().map(|namespace| namespace_json(namespace)).collect();
    json!({
        "model": of.model,
        "serial": of.serial,
        "firmware": of.firmware,
        "subsystem": of.subsystem,
        "kind": of.raw.cntrltype.to_string(),
        "version": version(of),
        "cntlid": of.raw.cntlid.get(),
        "vendor": format!("{:04x}", of.raw.vid.get()),
        "capacity_bytes": u64::try_from(of.raw.tnvmcap.get()).unwrap_or(u64::MAX),
        "namespaces_max": of.raw.nn.get(),
        "transfer_bytes": transfer_bytes(of),
        "volatile_write_cache": of.is_volatile(),
        "admin_commands": admin_commands(of),
        "io_commands": io_commands(of),
        "namespaces": namespaces,
    })
}
