//! `doorbell nvme discover`: the log of a discovery controller.

use super::{Failed, say, with, words};
use crate::cli::DiscoverArgs;
use crate::status::{section_body, table};
use doorbell_nvme::Controller;
use doorbell_nvme::address::TransportId;
use doorbell_nvme::discovery::{Found, Log};
use doorbell_wire_nvme::NqnField;
use serde_json::{Value, json};

#[cfg(test)]
mod tests;

pub(super) fn discover(args: &DiscoverArgs) -> Result<(), Failed> {
    let TransportId::Tcp(address) = &args.reach.controller else {
        return Err(words(
            "discovery is over a network: 'trtype:TCP traddr:ADDRESS trsvcid:PORT'; `doorbell nvme list` shows what is on the PCI buses",
        ));
    };
    if !address.is_discovery() {
        return Err(words("leave subnqn out: discovery asks the address which subsystems there are"));
    }
    let log: Log = with(&args.reach, async |controller: &Controller| Ok(controller.discovery_log().await?))?;
    if args.json {
        let all: Vec<Value> = log.found.iter().map(one).collect();
        say(format!("{:#}", json!({"generation": log.generation, "entries": all})));
        return Ok(());
    }
    let mut all = table(&["subsystem", "kind", "at", "controller", "attach it with"]);
    for found in &log.found {
        all.add_row(vec![
            name(&found.entry.subnqn),
            found.kind.to_string(),
            format!("{} {} {}", found.entry.trtype, found.entry.traddr, found.entry.trsvcid),
            if found.cntlid == 0xffff { "a new one".to_owned() } else { found.cntlid.to_string() },
            found.id.as_ref().map_or_else(|| "cannot be reached from here".to_owned(), |id| quoted(&id.to_string())),
        ]);
    }
    match log.found.is_empty() {
        true => say("No subsystems: none is open to this host at this address"),
        false => say(section_body(&all).trim_end_matches('\n')),
    }
    Ok(())
}

/// A text for a shell's command line. Names come from the target, and nothing in them may end the quotes or move the cursor.
fn quoted(text: &str) -> String {
    if text.contains(|c: char| c == '\'' || c.is_control()) {
        return "its name holds a quote or control character: see --json".to_owned();
    }
    format!("'{text}'")
}

/// A name for people, whatever the target put there.
fn name(field: &NqnField) -> String {
    field.as_str().map_or_else(|_| "-".to_owned(), |text| text.chars().map(|c| if c.is_control() { '?' } else { c }).collect())
}

fn one(found: &Found) -> Value {
    json!({
        "subnqn": name(&found.entry.subnqn),
        "kind": found.kind.to_string(),
        "trtype": found.entry.trtype.to_string(),
        "adrfam": found.entry.adrfam.to_string(),
        "traddr": found.entry.traddr.to_string(),
        "trsvcid": found.entry.trsvcid.to_string(),
        "cntlid": found.cntlid,
        "portid": found.entry.portid.get(),
        "address": found.id.as_ref().map(ToString::to_string),
    })
}
