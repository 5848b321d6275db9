//! What is saved comes back: from Doorbell's own configuration, and from one that SPDK saved.

use crate::client::{Client, port, same, serve, stop};
use crate::configure::configured;
use crate::support::Folder;
use serde_json::{Value, json};
use std::path::Path;

/// `save_config` of SPDK 26.09-pre, less the targets and volumes that are not here.
const SPDKS: &str = include_str!("../../../rpc/tests/data/spdk-save-config.json");

fn write(folder: &Folder, config: &Value) -> std::path::PathBuf {
    let path = folder.path().join("saved.json");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// Loads by `--json`, by `load_config` into an empty server, and by `load_config` before the start; what each then says.
fn loaded(folder: &Folder, config: &Path) -> [Vec<(String, Value)>; 3] {
    let load = format!("load_config -j {}", config.display());
    let ways: [(&[&str], &str); 3] =
        [(&["--json", config.to_str().unwrap()], "spdk_get_version"), (&["--empty"], &load), (&["--wait-for-rpc"], &load)];
    ways.map(|(words, command)| {
        let server = serve(folder, words);
        let mut client = Client::of(folder);
        client.ok(command);
        let says = client.everything();
        stop(server);
        says
    })
}

#[test]
fn a_server_started_from_what_was_saved_answers_the_same() {
    let folder = Folder::new();
    let (server, mut client) = configured(&folder, [port(), port()]);
    let before = client.everything();
    let saved = client.ok("save_config");
    assert_eq!(folder.rpc(&["save_config"]).unwrap(), saved, "the two clients compose it differently");
    let config = write(&folder, &saved);
    stop(server);
    for says in loaded(&folder, &config) {
        same(&before, &says);
    }
    for start in ["--empty", "--wait-for-rpc"] {
        let server = serve(&folder, &[start]);
        folder.rpc_done(&["load_config", "-j", config.to_str().unwrap()]).unwrap();
        same(&before, &Client::of(&folder).everything());
        stop(server);
    }
}

/// SPDK's with a port of this test's own.
fn spdks() -> Value {
    let mut config: Value = serde_json::from_str(SPDKS).unwrap();
    for call in calls_mut(&mut config).filter(|call| call["method"] == "nvmf_subsystem_add_listener") {
        call["params"]["listen_address"]["trsvcid"] = port().to_string().into();
    }
    config
}

fn calls_mut(config: &mut Value) -> impl Iterator<Item = &mut Value> {
    let subsystems = config["subsystems"].as_array_mut().unwrap().iter_mut();
    subsystems.flat_map(|one| one["config"].as_array_mut()).flatten()
}

fn calls(config: &Value) -> impl Iterator<Item = &Value> {
    config["subsystems"].as_array().unwrap().iter().flat_map(|one| one["config"].as_array()).flatten()
}

#[test]
fn a_configuration_that_spdk_saved_loads_and_is_saved_again() {
    let folder = Folder::new();
    let config = spdks();
    let file = write(&folder, &config);
    let [by_flag, into_empty, before_start] = loaded(&folder, &file);
    same(&by_flag, &before_start);
    // What may only be set before the start is too late for a server that runs already; everything else is there.
    for (one, other) in by_flag.iter().zip(&into_empty).filter(|((asked, _), _)| asked != "save_config") {
        assert_eq!(one, other);
    }
    let saved = &by_flag.iter().find(|(asked, _)| asked == "save_config").unwrap().1;
    let known: Vec<_> = calls(saved).collect();
    for call in calls(&config) {
        let same = |one: &&Value| one["method"] == call["method"] && includes(&one["params"], &call["params"]);
        assert!(known.iter().any(same), "not saved again: {call}\n{saved:#}");
    }
    let bdevs = &by_flag[0].1;
    let find = |name: &str| bdevs.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(find("Pt0")["uuid"], "dead3b6e-9af8-5dcb-b952-8a92926b3800");
    assert_eq!(find("Pt0")["num_blocks"], 65536);
    assert_eq!(find("Null0")["claimed"], true);
    assert_eq!(find("Malloc0")["aliases"], json!(["fcdbb57c-578a-48f3-ba2a-3dbcdbfa89d9"]));
    // And what this server saved loads again.
    let again = loaded(&folder, &write(&folder, saved));
    same(&by_flag, &again[0]);
}

/// Whether every member of the second is in the first with the same value.
fn includes(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|there| includes(there, value)))
        }
        (whole, part) => whole == part,
    }
}

#[test]
fn what_is_wrong_in_a_configuration_is_said() {
    let folder = Folder::new();
    let wrong = |method: &str| json!({"subsystems": [{"subsystem": "bdev", "config": [{"method": method, "params": {"name": "N"}}]}]});
    for (method, says) in [
        ("bdev_no_such", "bdev[0] bdev_no_such: there is no such method"),
        ("bdev_null_create", "bdev[0] bdev_null_create: spdk_json_decode_object failed"),
    ] {
        let file = write(&folder, &wrong(method));
        let output = folder.run(&["serve", "-r", folder.socket().to_str().unwrap(), "--json", file.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(says), "{error}");
    }
    let file = write(&folder, &wrong("bdev_null_create"));
    let server = serve(&folder, &["--json", file.to_str().unwrap(), "--json-ignore-init-errors"]);
    assert_eq!(Client::of(&folder).ok("bdev_get_bdevs"), json!([]));
    stop(server);
}
