//! SPDK's own client (`pip install spdk==26.9`, command `spdk-rpc`, on the PATH) against the server.

mod support;

use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use support::Server;

/// Runs the client once.
fn client(args: &[&str], input: &str) -> Output {
    let mut command = Command::new("spdk-rpc");
    let spawned = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("spdk-rpc, of `pip install spdk==26.9`: {error}"));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the client reads");
    child.wait_with_output().expect("the client ends")
}

/// Runs several commands in one process of the client, each with a connection of its own. Per command: what it printed,
/// or in `Err` what it printed when it failed.
fn commands(server: &Server, lines: &[&str]) -> Vec<Result<String, String>> {
    let path = server.path.display();
    let input: String = lines.iter().map(|line| format!("-s {path} {line}\n")).collect();
    let output = client(&["--server"], &input);
    let text = String::from_utf8(output.stdout).expect("text");
    let mut answers = Vec::new();
    let mut answer = String::new();
    for line in text.lines() {
        match line {
            "**STATUS=0" => answers.push(Ok(std::mem::take(&mut answer))),
            "**STATUS=1" => answers.push(Err(std::mem::take(&mut answer))),
            line => answer = answer + line + "\n",
        }
    }
    assert_eq!(answers.len(), lines.len(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    answers
}

/// The JSON that a successful command printed.
fn value(answer: &Result<String, String>) -> Value {
    let text = answer.as_ref().unwrap_or_else(|error| panic!("{error}"));
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.trim()))
}

fn assert_refused(answer: &Result<String, String>, words: &str) {
    assert!(answer.as_ref().is_err_and(|text| text.contains(words)), "no {words:?} in {answer:?}");
}

#[test]
fn lists_creates_and_is_refused_in_spdks_words() {
    let server = Server::start(false);
    let answers = commands(
        &server,
        &[
            "rpc_get_methods",
            "bdev_get_bdevs",
            "framework_start_init",
            "framework_start_init",
            "spdk_get_version",
            "bdev_malloc_create -b Malloc0 1 512",
            "bdev_malloc_create -b Malloc0 1 512",
            "bdev_get_bdevs -b nope",
            "bdev_null_create Null0 1 512",
            "log_get_level",
            "log_set_flag nothing",
            "notify_get_types",
        ],
    );
    assert!(value(&answers[0]).as_array().unwrap().contains(&json!("framework_start_init")));
    assert_refused(&answers[1], "Method may only be called after framework is initialized");
    assert!(answers[2].is_ok());
    assert_refused(&answers[3], "Method may only be called before framework is initialized");
    assert_eq!(value(&answers[4])["fields"]["minor"], 1);
    assert_eq!(value(&answers[5]), "Malloc0");
    assert_refused(&answers[6], "File exists");
    assert_refused(&answers[7], "No such device");
    assert_refused(&answers[8], "Method not found");
    assert_eq!(value(&answers[9]), "NOTICE");
    assert_refused(&answers[10], "Invalid parameters");
    assert_eq!(value(&answers[11]), json!([]));
}

#[test]
fn loads_a_configuration_and_saves_the_same() {
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
    let file = server.path.with_extension("json");
    std::fs::write(&file, config.to_string()).unwrap();
    let load = format!("load_config -j {}", file.display());
    let answers = commands(&server, &[&load, "bdev_get_bdevs", "save_config"]);
    assert!(answers[0].is_ok(), "{answers:?}");
    assert_eq!(value(&answers[1])[0]["name"], "M0");
    let saved = value(&answers[2]);
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
    let path = server.path.display().to_string();
    let output = client(&["-s", &path, "-b"], batch);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && errors.contains("File exists"), "{errors}");
    let answers = commands(&server, &["bdev_get_bdevs"]);
    assert_eq!(value(&answers[0]).as_array().unwrap().len(), 2);
}
