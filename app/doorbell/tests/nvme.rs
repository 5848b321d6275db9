//! `doorbell nvme` from its command line, against our own server over TCP.

mod support;

use serde_json::Value;
use std::process::Output;
use support::{Folder, Server};

const NQN: &str = "nqn.2026-11.io.example:memory";

/// A server with 1 MiB of memory behind one subsystem; its port.
fn serve(folder: &Folder) -> (Server, String) {
    let server = folder.serve(&["--malloc", "1M", "--allow-any-host", "--listen", "127.0.0.1:0", "--nqn", NQN]).ready();
    let port = server.after(" -s ").to_owned();
    (server, port)
}

fn run(folder: &Folder, command: &str, at: &str, more: &[&str]) -> Output {
    let words: Vec<&str> = ["nvme", command, at].iter().chain(more).copied().collect();
    folder.run(&words)
}

fn text(folder: &Folder, command: &str, at: &str, more: &[&str]) -> String {
    let output = run(folder, command, at, more);
    assert!(output.status.success(), "{command} {more:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Folder, command: &str, at: &str, more: &[&str]) -> Value {
    let more: Vec<&str> = more.iter().chain(&["--json"]).copied().collect();
    serde_json::from_str(&text(folder, command, at, &more)).unwrap()
}

fn refusal(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_subsystem_is_found_and_says_what_it_is() {
    let folder = Folder::new();
    let (_server, port) = serve(&folder);
    let discovery = format!("trtype:TCP traddr:127.0.0.1 trsvcid:{port}");
    let log = json(&folder, "discover", &discovery, &[]);
    let found = log["entries"].as_array().unwrap().iter().find(|entry| entry["subnqn"] == NQN).expect("it is in the log");
    // What discovery prints is what the others take.
    let at = found["address"].as_str().unwrap();
    assert!(text(&folder, "discover", &discovery, &[]).contains(&format!("'{at}'")));

    let all = json(&folder, "identify", at, &[]);
    assert_eq!((&all["subsystem"], &all["kind"]), (&NQN.into(), &"I/O controller".into()));
    let namespace = &all["namespaces"][0];
    assert_eq!((namespace["nsid"].as_u64(), namespace["not_usable"].is_null()), (Some(1), true));
    assert_eq!(namespace["blocks"].as_u64().unwrap() * namespace["block_bytes"].as_u64().unwrap(), 1 << 20);
    let table = text(&folder, "identify", at, &[]);
    for words in ["MODEL", NQN, "1 MiB", namespace["uuid"].as_str().unwrap(), "I/O commands"] {
        assert!(table.to_lowercase().contains(&words.to_lowercase()), "{words}: {table}");
    }
    let one = text(&folder, "identify", at, &["--nsid", "1"]);
    assert!(one.contains("Formats") && one.contains("in use"), "{one}");
    let none = refusal(run(&folder, "identify", at, &["--nsid", "9"]));
    assert!(none.contains("no namespace 9, but these: 1"), "{none}");
}

#[test]
fn logs_are_read_and_a_reset_is_done() {
    let folder = Folder::new();
    let (_server, port) = serve(&folder);
    let at = format!("trtype:TCP traddr:127.0.0.1 trsvcid:{port} subnqn:{NQN}");
    let health = json(&folder, "log", &at, &[]);
    assert_eq!((&health["critical_warning"], &health["media_errors"]), (&0.into(), &0.into()));
    assert!(text(&folder, "log", &at, &["smart"]).contains("life used"));
    assert!(text(&folder, "log", &at, &["error"]).contains("empty"));
    assert_eq!(json(&folder, "log", &at, &["firmware"])["active"], 1);
    let effects = json(&folder, "log", &at, &["effects"]);
    let write = effects.as_array().unwrap().iter().find(|command| command["name"] == "Write").expect("it can be written");
    assert_eq!((&write["queue"], &write["changes"][0]), (&"I/O".into(), &"data".into()));
    assert!(text(&folder, "reset", &at, &[]).contains("ready again"));
}

#[test]
fn commands_by_hand_go_both_ways() {
    let folder = Folder::new();
    let (_server, port) = serve(&folder);
    let at = format!("trtype:TCP traddr:127.0.0.1 trsvcid:{port} subnqn:{NQN}");
    let serial = json(&folder, "identify", &at, &[])["serial"].as_str().unwrap().to_owned();
    let page = ["--admin", "-o", "6", "--cdw10", "1", "-l", "4096", "--output", "page"];
    text(&folder, "passthru", &at, &page);
    let page = std::fs::read(folder.path().join("page")).unwrap();
    assert!(page.len() == 4096 && page[4..24].starts_with(serial.as_bytes()));

    // A write of block 5, read back by the hand of the next process.
    let block: Vec<u8> = (0..512u32).map(|n| (n * 7 % 251) as u8).collect();
    std::fs::write(folder.path().join("block"), &block).unwrap();
    text(&folder, "passthru", &at, &["--io", "-o", "0x01", "-n", "1", "--cdw10", "5", "--write", "block"]);
    let read = json(&folder, "passthru", &at, &["--io", "-o", "0x02", "-n", "1", "--cdw10", "5", "-l", "512"]);
    assert_eq!(read["data"], block.iter().map(|byte| format!("{byte:02x}")).collect::<String>());

    let beyond = run(&folder, "passthru", &at, &["--io", "-o", "2", "-n", "1", "--cdw10", "0xffff", "-l", "512"]);
    assert_eq!(beyond.status.code(), Some(1));
    let said = String::from_utf8(beyond.stdout).unwrap();
    assert!(said.contains("LBA Out of Range"), "{said}");
}

#[test]
fn errors_say_what_to_do() {
    let folder = Folder::new();
    let (_server, port) = serve(&folder);
    let wrong = format!("trtype:TCP traddr:127.0.0.1 trsvcid:{port} subnqn:nqn.2026-11.io.example:other");
    let said = refusal(run(&folder, "identify", &wrong, &[]));
    let discover = format!("doorbell nvme discover 'trtype:TCP traddr:127.0.0.1 trsvcid:{port}'");
    assert!(said.contains("io.example:other") && said.contains(&discover), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    let said = refusal(run(&folder, "discover", &wrong, &[]));
    assert!(said.contains("leave subnqn out"), "{said}");
    let said = refusal(run(&folder, "discover", "0000:01:00.0", &[]));
    assert!(said.contains("doorbell nvme list"), "{said}");
    // No machine has this function.
    let said = refusal(run(&folder, "identify", "ffffffff:ff:1f.7", &[]));
    assert!(said.contains("ffffffff:ff:1f.7"), "{said}");
    assert_eq!(run(&folder, "passthru", "0000:01:00.0", &["-o", "6"]).status.code(), Some(2), "which queue?");
}

#[test]
fn the_list_can_be_read_by_programs() {
    let folder = Folder::new();
    let output = folder.run(&["nvme", "list", "--json"]);
    assert!(output.status.success());
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    for one in all.as_array().unwrap() {
        assert!(one["address"].as_str().unwrap().contains(':') && one["taken"].is_boolean(), "{one}");
    }
    assert!(folder.run(&["nvme", "list"]).status.success());
}

#[test]
fn load_on_two_controllers_at_once_and_what_was_written_is_read() {
    let (folder, other) = (Folder::new(), Folder::new());
    let ((_first, one), (_second, two)) = (serve(&folder), serve(&other));
    let at = |port: &str| format!("trtype:TCP traddr:127.0.0.1 trsvcid:{port} subnqn:{NQN}");
    let (one, two) = (at(&one), at(&two));
    let load =
        ["nvme", "perf", "-r", &one, "-r", &two, "-q", "8", "-o", "4096", "-w", "randrw", "-M", "60", "-t", "0.3", "--verify", "--json"];
    let said = refusal(folder.run(&load));
    assert!(said.contains("--destroy-data"), "{said}");
    let output = folder.run(&[&load[..], &["--destroy-data"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let devices = all["devices"].as_object().unwrap();
    assert_eq!((all["errors"].as_u64(), devices.len()), (Some(0), 2), "{all}");
    for (name, device) in devices {
        assert!(device["verified"].as_u64() > Some(0) && device["mismatches"] == 0, "{name}: {device}");
    }
    let output = folder.run(&["nvme", "perf", "-r", &one, "-t", "0.1", "-H", "-I"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("p99.9") && said.contains("namespace 1"), "{said}");
    let said = refusal(folder.run(&["nvme", "perf", "-r", &one, "-n", "7"]));
    assert!(said.contains("has no namespace 7"), "{said}");
}

#[test]
fn what_a_controller_cannot_do_is_said_before_it_is_tried() {
    let folder = Folder::new();
    let (_server, port) = serve(&folder);
    let at = format!("trtype:TCP traddr:127.0.0.1 trsvcid:{port} subnqn:{NQN}");
    let said = refusal(run(&folder, "format", &at, &["-n", "1", "-b", "4k", "--yes"]));
    assert!(said.contains("cannot format"), "{said}");
    std::fs::write(folder.path().join("image"), [0; 64]).unwrap();
    let said = refusal(run(&folder, "firmware", &at, &["image"]));
    assert!(said.contains("takes no firmware"), "{said}");
    let said = refusal(run(&folder, "firmware", &at, &["absent"]));
    assert!(said.contains("cannot read absent"), "{said}");
}
