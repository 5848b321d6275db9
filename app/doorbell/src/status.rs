//! `doorbell status`: what a running server does, in tables.

use crate::cli::StatusArgs;
use crate::client::{Client, ClientError, print};
use crate::size::Size;
use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write as _;

#[cfg(test)]
mod tests;

/// Asks and prints.
pub(crate) fn status(args: &StatusArgs) -> Result<(), ClientError> {
    let mut client = Client::connect(&args.server)?;
    let seen = look(&mut client)?;
    if args.json {
        print(&seen);
    } else {
        let _ = std::io::stdout().write_all(show(&seen).as_bytes());
    }
    Ok(())
}

/// Everything that is shown. A server that has not started answers only the first; one without a part lacks the part's answers.
fn look(client: &mut Client) -> Result<Value, ClientError> {
    let mut seen = Map::new();
    seen.insert("version".to_owned(), client.call("spdk_get_version", None)?);
    let mut ask = |method: &str, params: Option<Map<String, Value>>| match client.call(method, params) {
        Ok(answer) => Ok(answer),
        Err(ClientError::Refused(_)) => Ok(Value::Null),
        Err(error) => Err(error),
    };
    seen.insert("reactors".to_owned(), ask("framework_get_reactors", None)?);
    seen.insert("devices".to_owned(), ask("bdev_get_bdevs", None)?);
    seen.insert("iostat".to_owned(), ask("bdev_get_iostat", None)?);
    let mut subsystems = ask("nvmf_get_subsystems", None)?;
    for subsystem in subsystems.as_array_mut().into_iter().flatten() {
        let Some(nqn) = subsystem.get("nqn").cloned() else { continue };
        let params = || json!({"nqn": nqn}).as_object().cloned();
        let controllers = ask("nvmf_subsystem_get_controllers", params())?;
        let queues = ask("nvmf_subsystem_get_qpairs", params())?;
        if let Some(subsystem) = subsystem.as_object_mut() {
            subsystem.insert("controllers".to_owned(), controllers);
            subsystem.insert("qpairs".to_owned(), queues);
        }
    }
    seen.insert("subsystems".to_owned(), subsystems);
    Ok(Value::Object(seen))
}

fn items<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    of.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text(of: &Value, key: &str) -> String {
    match of.get(key) {
        None | Some(Value::Null) => "-".to_owned(),
        // Names come from hosts: nothing in them may move the cursor.
        Some(Value::String(text)) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        Some(other) => other.to_string(),
    }
}

fn number(of: &Value, key: &str) -> u64 {
    of.get(key).and_then(Value::as_u64).unwrap_or(0)
}

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>());
    table
}

/// Adds a table under a title, or says that there is nothing.
pub(crate) fn section(out: &mut String, title: &str, table: &Table) {
    if table.is_empty() {
        let _ = writeln!(out, "\n{title}: none");
        return;
    }
    let _ = writeln!(out, "\n{title}");
    out.push_str(&section_body(table));
}

/// A line, or several, for people. Nobody reading any more is no reason to fail.
pub(crate) fn say(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout().lock(), "{}", text.as_ref());
}

/// A table's lines.
pub(crate) fn section_body(table: &Table) -> String {
    table.lines().fold(String::new(), |text, line| text + " " + line.trim_end() + "\n")
}

fn show(seen: &Value) -> String {
    let version = seen.get("version").map_or_else(|| "-".to_owned(), |version| text(version, "version"));
    let mut out = format!("{version}, process {}\n", seen.get("reactors").map_or(0, |r| number(r, "pid")));
    if seen.get("reactors").is_none_or(Value::is_null) {
        out.push_str("\nIt has not started: it waits for `doorbell rpc framework_start_init`\n");
        return out;
    }
    section(&mut out, "Reactors", &reactors(seen));
    section(&mut out, "Devices", &devices(seen));
    let (subsystems, connections) = subsystems(seen);
    section(&mut out, "Subsystems", &subsystems);
    section(&mut out, "Connections", &connections);
    out
}

fn reactors(seen: &Value) -> Table {
    let mut all = table(&["reactor", "thread", "busy", "mode"]);
    for reactor in seen.get("reactors").into_iter().flat_map(|r| items(r, "reactors")) {
        let (busy, idle) = (number(reactor, "busy"), number(reactor, "idle"));
        let percent = busy as f64 * 100.0 / (busy + idle).max(1) as f64;
        let mode = if reactor.get("in_interrupt") == Some(&Value::Bool(true)) { "sleeps when idle" } else { "polls" };
        all.add_row(vec![text(reactor, "lcore"), text(reactor, "tid"), format!("{percent:.1} %"), mode.to_owned()]);
    }
    all
}

fn devices(seen: &Value) -> Table {
    let mut all = table(&["device", "kind", "size", "block", "reads", "writes", "read", "written", "uuid"]);
    for device in items(seen, "devices") {
        let stat = seen.get("iostat").and_then(|io| items(io, "bdevs").find(|one| one.get("name") == device.get("name")));
        let stat = stat.unwrap_or(&Value::Null);
        let (block, blocks) = (number(device, "block_size"), number(device, "num_blocks"));
        all.add_row(vec![
            text(device, "name"),
            text(device, "product_name"),
            Size(block.saturating_mul(blocks)).to_string(),
            block.to_string(),
            number(stat, "num_read_ops").to_string(),
            number(stat, "num_write_ops").to_string(),
            Size(number(stat, "bytes_read")).to_string(),
            Size(number(stat, "bytes_written")).to_string(),
            text(device, "uuid"),
        ]);
    }
    all
}

fn subsystems(seen: &Value) -> (Table, Table) {
    let mut all = table(&["subsystem", "listens at", "namespaces", "hosts"]);
    let mut connections = table(&["host", "subsystem", "controller", "queues"]);
    for subsystem in items(seen, "subsystems") {
        let nqn = text(subsystem, "nqn");
        let address = |a: &Value| match text(a, "traddr") {
            ip if ip.contains(':') => format!("[{ip}]:{}", text(a, "trsvcid")),
            ip => format!("{ip}:{}", text(a, "trsvcid")),
        };
        let listens: Vec<_> = items(subsystem, "listen_addresses").map(address).collect();
        let spaces: Vec<_> = items(subsystem, "namespaces").map(|ns| format!("{}={}", text(ns, "nsid"), text(ns, "bdev_name"))).collect();
        let mut hosts: Vec<_> = items(subsystem, "hosts").map(|host| text(host, "nqn")).collect();
        if subsystem.get("allow_any_host") == Some(&Value::Bool(true)) {
            hosts.push("any".to_owned());
        }
        for controller in items(subsystem, "controllers") {
            let id = controller.get("cntlid");
            let queues = items(subsystem, "qpairs").filter(|queue| queue.get("cntlid") == id).count();
            let queues = if queues == 0 { text(controller, "num_io_qpairs") } else { queues.to_string() };
            connections.add_row(vec![text(controller, "hostnqn"), nqn.clone(), text(controller, "cntlid"), queues]);
        }
        all.add_row(vec![nqn, listens.join(" "), spaces.join(" "), hosts.join(" ")]);
    }
    (all, connections)
}
