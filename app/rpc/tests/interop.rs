//! SPDK's own client (`pip install spdk==26.9`, command `spdk-rpc`) against the server. Without the client on the PATH
//! there is nothing to test, and the tests say so.

mod support;

use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use support::Server;

fn client(server: &Server, args: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new("spdk-rpc");
    command.arg("-s").arg(&server.path).args(args);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            eprintln!("not tested: spdk-rpc: {error}");
            return None;
        }
    };
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the client reads");
    Some(child.wait_with_output().expect("the client ends"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The JSON that a successful call prints.
fn ok(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| Value::String(text(&output.stdout).trim().to_owned()))
}

#[test]
fn lists_creates_and_is_refused_in_spdks_words() {
    let server = Server::start(false);
    let Some(output) = client(&server, &["rpc_get_methods"], "") else { return };
    assert!(ok(&output).as_array().unwrap().contains(&json!("framework_start_init")));
    let run = |args: &[&str]| client(&server, args, "").unwrap();
    let early = run(&["bdev_get_bdevs"]);
    assert!(text(&early.stdout).contains("Method may only be called after framework is initialized"), "{early:?}");
    assert!(run(&["framework_start_init"]).status.success());
    assert_eq!(ok(&run(&["spdk_get_version"]))["fields"]["minor"], 1);
    assert_eq!(ok(&run(&["bdev_malloc_create", "-b", "Malloc0", "1", "512"])), "Malloc0");
    let twice = run(&["bdev_malloc_create", "-b", "Malloc0", "1", "512"]);
    assert!(!twice.status.success());
    assert!(text(&twice.stdout).contains("File exists"), "{twice:?}");
    let absent = run(&["bdev_get_bdevs", "-b", "nope"]);
    assert!(text(&absent.stdout).contains("No such device"), "{absent:?}");
    assert_eq!(ok(&run(&["log_get_level"])), "NOTICE");
    assert_eq!(ok(&run(&["notify_get_types"])), json!([]));
}

#[test]
fn loads_what_it_saved() {
    let config = json!({"subsystems": [
        {"subsystem": "sock", "config": [
            {"method": "sock_impl_set_options", "params": {"impl_name": "posix", "recv_buf_size": 65536}},
        ]},
        {"subsystem": "scsi", "config": null},
        {"subsystem": "bdev", "config": [
            {"method": "bdev_set_options", "params": {"bdev_io_pool_size": 1024}},
            {"method": "bdev_malloc_create", "params": {"name": "M0", "num_blocks": 8, "block_size": 512}},
        ]},
    ]});
    let server = Server::start(false);
    let Some(loaded) = client(&server, &["load_config"], &config.to_string()) else { return };
    assert!(loaded.status.success(), "{loaded:?}");
    let bdevs = ok(&client(&server, &["bdev_get_bdevs"], "").unwrap());
    assert_eq!(bdevs[0]["name"], "M0");
    let saved = ok(&client(&server, &["save_config"], "").unwrap());
    let find = |name: &str| {
        let subsystems = saved["subsystems"].as_array().unwrap();
        subsystems.iter().find(|one| one["subsystem"] == name).unwrap()["config"].clone()
    };
    assert_eq!(find("sock"), config["subsystems"][0]["config"]);
    assert_eq!(find("bdev")[0], config["subsystems"][2]["config"][0]);
}

#[test]
fn batches_from_the_client() {
    let server = Server::start(true);
    let batch = "bdev_malloc_create -b M1 1 512\nbdev_malloc_create -b M2 1 512\nbdev_malloc_create -b M1 1 512\n";
    let Some(output) = client(&server, &["-b"], batch) else { return };
    let out = text(&output.stdout) + &text(&output.stderr);
    assert!(out.contains("File exists"), "{output:?}");
    let bdevs = ok(&client(&server, &["bdev_get_bdevs"], "").unwrap());
    assert_eq!(bdevs.as_array().unwrap().len(), 2);
}
