//! `doorbell nvme log`: a controller's logs, as tables.

use super::{Failed, demand, say, with, words};
use crate::cli::{Log, LogArgs};
use crate::size::Size;
use crate::status::{section_body, table};
use comfy_table::Table;
use doorbell_nvme::{Controller, Payload};
use doorbell_wire_nvme::log::{CommandEffects, CriticalWarning, Effects, ErrorEntry, FirmwareSlots, SmartLog};
use doorbell_wire_nvme::{AdminCommand, AdminOpcode, GetLogPage, IoOpcode, LogId, NSID_ALL, view};
use serde_json::{Value, json};

#[cfg(test)]
mod tests;

/// Bytes of an entry of the error log.
const ERROR_ENTRY: u64 = 64;

pub(super) fn log(args: &LogArgs) -> Result<(), Failed> {
    let which = args.log;
    let data = with(&args.reach, async move |controller: &Controller| read(controller, which).await)?;
    let short = || words("the log came cut short");
    let (table, json) = match which {
        Log::Smart => smart(view(&data).ok_or_else(short)?),
        Log::Error => errors(data.chunks_exact(ERROR_ENTRY as usize).filter_map(view)),
        Log::Firmware => firmware(view(&data).ok_or_else(short)?),
        Log::Effects => effects(view(&data).ok_or_else(short)?),
    };
    match (args.json, table.is_empty()) {
        (true, _) => say(format!("{json:#}")),
        (false, true) => say("The log is empty"),
        (false, false) => say(section_body(&table).trim_end_matches('\n')),
    }
    Ok(())
}

async fn read(controller: &Controller, which: Log) -> Result<Vec<u8>, Failed> {
    let (lid, what, bytes) = match which {
        Log::Smart => (LogId::SMART, "the SMART log", 512),
        Log::Error => {
            let entries = controller.identity().map_or(0, |identity| u64::from(identity.raw.elpe)) + 1;
            // A page at most, which every controller can send at once: the newest 64.
            (LogId::ERROR, "the error log", (entries * ERROR_ENTRY).min(4096))
        }
        Log::Firmware => (LogId::FIRMWARE_SLOT, "the log of firmware slots", 512),
        Log::Effects => (LogId::COMMAND_EFFECTS, "the log of commands and their effects", 4096),
    };
    // Events stay for whoever waits for them.
    let page = GetLogPage { lid, len: bytes, retain_event: true, ..GetLogPage::default() };
    let sqe = AdminCommand::GetLogPage(page).encode().with_nsid(NSID_ALL);
    let answer = demand(controller, what, sqe, Payload::In(u32::try_from(bytes).map_err(words)?)).await?;
    Ok(answer.data)
}

fn rows(header: &[&str], all: impl IntoIterator<Item = (&'static str, String)>) -> Table {
    let mut out = table(header);
    for (name, value) in all {
        out.add_row(vec![name.to_owned(), value]);
    }
    out
}

fn small(n: u128) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Of so many thousands of 512 bytes.
fn units(n: u128) -> u64 {
    small(n.saturating_mul(512_000))
}

fn warnings(bits: u8) -> Vec<&'static str> {
    let warning = CriticalWarning::from_bits(bits);
    let all = [
        (warning.spare(), "little spare is left"),
        (warning.temperature(), "temperature beyond a threshold"),
        (warning.reliability(), "reliability degraded"),
        (warning.read_only(), "read only"),
        (warning.backup(), "the backup of volatile memory failed"),
        (warning.pmr(), "the persistent memory region is unreliable"),
    ];
    all.iter().filter(|(is, _)| *is).map(|(_, text)| *text).collect()
}

fn smart(log: &SmartLog) -> (Table, Value) {
    let warnings = warnings(log.critical_warning);
    let celsius = |kelvins: u16| i32::from(kelvins) - 273;
    let sensors: Vec<i32> = log.sensors_k.iter().map(|k| k.get()).filter(|k| *k > 0).map(celsius).collect();
    let degrees = match log.temperature_k.get() {
        0 => None,
        kelvins => Some(celsius(kelvins)),
    };
    let count = |n: u128| n.to_string();
    let all = rows(
        &["health", ""],
        [
            ("warnings", if warnings.is_empty() { "none".to_owned() } else { warnings.join(", ") }),
            ("temperature", degrees.map_or_else(|| "not told".to_owned(), |degrees| format!("{degrees} °C"))),
            (
                "sensors",
                if sensors.is_empty() { "-".to_owned() } else { sensors.iter().map(|d| format!("{d} °C")).collect::<Vec<_>>().join(", ") },
            ),
            ("spare left", format!("{} % (warns below {} %)", log.spare, log.spare_threshold)),
            ("life used", format!("{} %", log.used)),
            ("read", format!("{} in {} commands", Size(units(log.data_units_read.get())), log.host_reads.get())),
            ("written", format!("{} in {} commands", Size(units(log.data_units_written.get())), log.host_writes.get())),
            ("busy", format!("{} minutes", log.busy_minutes.get())),
            ("power cycles", count(log.power_cycles.get())),
            ("powered on", format!("{} hours", log.power_on_hours.get())),
            ("power lost while in use", format!("{} times", log.unsafe_shutdowns.get())),
            ("media errors", count(log.media_errors.get())),
            ("entries of the error log", count(log.error_log_entries.get())),
            ("too warm", format!("{} minutes, critical {} minutes", log.warning_minutes.get(), log.critical_minutes.get())),
        ],
    );
    let json = json!({
        "critical_warning": log.critical_warning,
        "warnings": warnings,
        "temperature_celsius": degrees,
        "sensors_celsius": sensors,
        "spare_percent": log.spare,
        "spare_threshold_percent": log.spare_threshold,
        "used_percent": log.used,
        "data_units_read": small(log.data_units_read.get()),
        "data_units_written": small(log.data_units_written.get()),
        "host_reads": small(log.host_reads.get()),
        "host_writes": small(log.host_writes.get()),
        "busy_minutes": small(log.busy_minutes.get()),
        "power_cycles": small(log.power_cycles.get()),
        "power_on_hours": small(log.power_on_hours.get()),
        "unsafe_shutdowns": small(log.unsafe_shutdowns.get()),
        "media_errors": small(log.media_errors.get()),
        "error_log_entries": small(log.error_log_entries.get()),
        "warning_minutes": log.warning_minutes.get(),
        "critical_minutes": log.critical_minutes.get(),
    });
    (all, json)
}

fn errors<'a>(entries: impl Iterator<Item = &'a ErrorEntry>) -> (Table, Value) {
    let mut all = table(&["number", "queue", "command", "status", "namespace", "block"]);
    let mut json = Vec::new();
    let or_dash = |n: u16| if n == 0xffff { "-".to_owned() } else { n.to_string() };
    for entry in entries.filter(|entry| entry.error_count.get() > 0) {
        let status = entry.status();
        all.add_row(vec![
            entry.error_count.get().to_string(),
            or_dash(entry.sqid.get()),
            or_dash(entry.cid.get()),
            status.to_string(),
            entry.nsid.get().to_string(),
            entry.lba.get().to_string(),
        ]);
        json.push(json!({
            "error_count": entry.error_count.get(), "sqid": entry.sqid.get(), "cid": entry.cid.get(), "sct": status.sct().0, "sc": status.sc(),
            "status": status.to_string(), "nsid": entry.nsid.get(), "lba": entry.lba.get(), "parameter": entry.parameter.get(),
        }));
    }
    (all, Value::Array(json))
}

fn firmware(log: &FirmwareSlots) -> (Table, Value) {
    let (active, next) = (log.afi & 7, log.afi >> 4 & 7);
    let mut all = table(&["slot", "revision", ""]);
    let mut json = Vec::new();
    for (slot, revision) in (1u8..).zip(&log.revisions).filter(|(_, revision)| !revision.trimmed().is_empty()) {
        let said = match (slot == active, slot == next) {
            (true, _) => "active",
            (false, true) => "active after the next reset",
            _ => "",
        };
        all.add_row(vec![slot.to_string(), revision.to_string(), said.to_owned()]);
        json.push(json!({"slot": slot, "revision": revision.to_string()}));
    }
    (all, json!({"active": active, "next": next, "slots": json}))
}

fn changes(effects: Effects) -> Vec<&'static str> {
    let all = [
        (effects.content(), "data"),
        (effects.namespace(), "a namespace's capabilities"),
        (effects.inventory(), "which namespaces there are"),
        (effects.controller(), "the controller's capabilities"),
    ];
    all.iter().filter(|(is, _)| *is).map(|(_, text)| *text).collect()
}

fn effects(log: &CommandEffects) -> (Table, Value) {
    let mut all = table(&["queue", "opcode", "command", "changes", "alone"]);
    let mut json = Vec::new();
    let admin = (0u8..=255).zip(&log.admin).map(|(opcode, bits)| ("admin", opcode, AdminOpcode(opcode).name(), bits));
    let io = (0u8..=255).zip(&log.io).map(|(opcode, bits)| ("I/O", opcode, IoOpcode(opcode).name(), bits));
    for (queue, opcode, name, bits) in admin.chain(io) {
        let effects = Effects::from_bits(bits.get());
        if !effects.supported() {
            continue;
        }
        let changes = changes(effects);
        all.add_row(vec![
            queue.to_owned(),
            format!("{opcode:02x}h"),
            name.unwrap_or("-").to_owned(),
            if changes.is_empty() { "-".to_owned() } else { changes.join(", ") },
            match effects.exclusive() {
                0 => "-",
                1 => "in its namespace",
                _ => "in the controller",
            }
            .to_owned(),
        ]);
        json.push(json!({"queue": queue, "opcode": opcode, "name": name, "changes": changes, "exclusive": effects.exclusive()}));
    }
    (all, Value::Array(json))
}
