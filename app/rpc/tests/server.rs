//! The server over its real socket, against clients that behave and that do not.

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::Server;

struct Client(BufReader<UnixStream>);

impl Client {
    fn new(server: &Server) -> Self {
        let stream = UnixStream::connect(&server.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn reply(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "id": 1, "params": params}).to_string());
        self.reply()
    }
}

#[test]
fn calls_states_and_batches() {
    let server = Server::start(false);
    let mut client = Client::new(&server);
    let early = client.call("bdev_get_bdevs", json!({}));
    assert_eq!(early["error"]["code"], -1);
    assert_eq!(client.call("framework_start_init", Value::Null)["result"], true);
    assert_eq!(client.call("framework_start_init", Value::Null)["error"]["code"], -1);
    client.send(
        r#"[{"method":"bdev_malloc_create","params":{"name":"M0","num_blocks":8,"block_size":512},"id":1},
            {"method":"bdev_malloc_create","params":{"name":"M0","num_blocks":8,"block_size":512},"id":2},
            {"method":"bdev_get_bdevs"}]"#,
    );
    let replies = client.reply();
    assert_eq!(replies[0]["result"], "M0");
    assert_eq!(replies[1]["error"], json!({"code": -17, "message": "File exists"}));
    assert_eq!(replies.as_array().unwrap().len(), 2);
    assert_eq!(client.call("bdev_get_bdevs", json!({"name": "M1"}))["error"]["code"], -19);
    assert_eq!(client.call("bdev_nothing", json!({}))["error"], json!({"code": -32601, "message": "Method not found"}));
}

#[test]
fn requests_behind_one_another_begin_in_order() {
    let server = Server::start(true);
    let mut client = Client::new(&server);
    let create = |id| json!({"method": "bdev_malloc_create", "id": id, "params": {"name": "M0", "num_blocks": 8, "block_size": 512}});
    let find = |id| json!({"method": "bdev_get_bdevs", "id": id, "params": {"name": "M0"}});
    client.send(&format!("{}{}{}", find(1), create(2), find(3)));
    let replies = [client.reply(), client.reply(), client.reply()];
    assert_eq!(replies[0]["error"]["code"], -19);
    assert_eq!((&replies[1]["id"], &replies[1]["result"]), (&json!(2), &json!("M0")));
    assert_eq!((&replies[2]["id"], &replies[2]["result"]), (&json!(3), &json!([{"name": "M0"}])));
    client.send(&json!([create(4), find(5)]).to_string());
    let batch = client.reply();
    assert_eq!((&batch[0]["id"], &batch[1]["id"]), (&json!(4), &json!(5)));
}

#[test]
fn a_call_that_waits_holds_up_nobody() {
    let server = Server::start(false);
    let mut client = Client::new(&server);
    // The reply to the first comes when the second, sent behind it, has done its work.
    client.send(r#"{"method":"framework_wait_init","id":1}{"method":"framework_start_init","id":2}"#);
    let mut ids = [client.reply(), client.reply()].map(|reply| reply["id"].as_u64().unwrap());
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn garbage_ends_its_own_connection_only() {
    let server = Server::start(true);
    let mut good = Client::new(&server);
    let mut bad = Client::new(&server);
    bad.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(bad.reply()["error"]["code"], -32700);
    assert_eq!(bad.0.read(&mut [0; 16]).unwrap_or(0), 0, "it is closed");
    assert_eq!(good.call("spdk_get_version", Value::Null)["result"]["version"], "Doorbell v0.1.0");
}

#[test]
fn a_client_that_shuts_its_sending_side_still_gets_its_answer() {
    let server = Server::start(true);
    let mut client = Client::new(&server);
    client.send(r#"{"method":"spdk_get_version","id":1}"#);
    client.0.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.reply()["id"], 1);
    assert_eq!(client.0.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn a_client_that_reads_nothing_holds_only_its_own() {
    let server = Server::start(true);
    let mut deaf = Client::new(&server);
    let params = json!({"text": "0123456789abcdef", "times": 60_000});
    let request = json!({"method": "doorbell_echo", "id": 1, "params": params}).to_string();
    deaf.send(&request.repeat(20));
    // Nothing of the twenty megabytes is read; another client is served meanwhile.
    let mut good = Client::new(&server);
    for _ in 0..50 {
        assert_eq!(good.call("doorbell_echo", json!({"text": "x"}))["result"], "x");
    }
    for _ in 0..20 {
        assert_eq!(deaf.reply()["result"].as_str().unwrap().len(), 960_000);
    }
}

#[test]
fn the_sixty_fifth_connection_waits_for_a_place() {
    let server = Server::start(true);
    let mut clients: Vec<_> = (0..64).map(|_| Client::new(&server)).collect();
    for client in &mut clients {
        assert!(client.call("spdk_get_version", Value::Null)["result"].is_object());
    }
    let mut late = Client::new(&server);
    late.send(r#"{"method":"spdk_get_version","id":65}"#);
    late.0.get_mut().set_nonblocking(true).unwrap();
    assert!(late.0.fill_buf().is_err(), "it is not served yet");
    late.0.get_mut().set_nonblocking(false).unwrap();
    clients.pop();
    assert_eq!(late.reply()["id"], 65);
}

#[test]
fn a_client_that_vanishes_takes_nothing_with_it() {
    let server = Server::start(true);
    for request in ["{\"method\":", r#"{"method":"doorbell_echo","id":1,"params":{"text":"0123456789","times":1000000}}"#] {
        let mut gone = Client::new(&server);
        gone.send(request);
        drop(gone);
    }
    assert!(Client::new(&server).call("spdk_get_version", Value::Null)["result"].is_object());
}

#[test]
fn a_parameter_that_stands_twice_is_refused_as_spdk_refuses_it() {
    let server = Server::start(true);
    let mut client = Client::new(&server);
    client.send(r#"{"method":"bdev_malloc_create","id":1,"params":{"name":"M0","num_blocks":8,"num_blocks":16,"block_size":512}}"#);
    let refused = client.reply();
    assert!(matches!(refused["error"]["code"].as_i64(), Some(-32602 | -32603)), "{refused}");
    assert_eq!(refused["error"]["data"], "parameter `num_blocks`: given twice");
    assert_eq!(client.call("bdev_get_bdevs", json!({"name": "M0"}))["error"]["code"], -19, "it was made all the same");
    client.send(r#"{"method":"no_such_method","id":2,"params":{"a":1,"a":1}}"#);
    assert_eq!(client.reply()["error"]["code"], -32601);
}
