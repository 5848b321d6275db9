//! Before and after `framework_start_init`.

use crate::by_hand::Wire;
use crate::client::{Client, Refused, serve, stop};
use crate::support::Folder;
use serde_json::json;

const TOO_LATE: &str = "Method may only be called before framework is initialized. Use --wait-for-rpc command line parameter and then \
    issue this RPC before the framework_start_init RPC.";
const TOO_EARLY: &str = "Method may only be called after framework is initialized using framework_start_init RPC.";

fn refused(message: &str) -> Refused {
    Refused { code: -1, message: message.to_owned() }
}

#[test]
fn the_start_divides_what_may_be_called() {
    let folder = Folder::new();
    let server = serve(&folder, &["--wait-for-rpc"]);
    let mut client = Client::of(&folder);
    for command in ["bdev_get_bdevs", "bdev_malloc_create -b M 1 512", "nvmf_create_transport -t TCP", "framework_get_subsystems"] {
        assert_eq!(client.refused(command), refused(TOO_EARLY), "{command}");
    }
    let now = client.ok("rpc_get_methods --current");
    let has = |list: &serde_json::Value, method: &str| list.as_array().unwrap().contains(&json!(method));
    assert!(has(&now, "framework_start_init") && has(&now, "bdev_set_options") && !has(&now, "bdev_get_bdevs"), "{now}");
    client.ok("bdev_set_options -p 2048 -c 64");
    client.ok("sock_impl_set_options -i posix -r 65536");

    // Whoever waits for the start is answered by it.
    let mut waits = Wire::to(&folder);
    let waiting = std::thread::spawn(move || waits.call("framework_wait_init", json!({})));
    client.ok("framework_start_init");
    assert_eq!(waiting.join().unwrap(), Ok(json!(true)));

    assert_eq!(client.refused("framework_start_init"), refused(TOO_LATE)); // from SPDK
    assert_eq!(client.refused("bdev_set_options -p 4096"), refused(TOO_LATE));
    let now = client.ok("rpc_get_methods --current");
    assert!(!has(&now, "framework_start_init") && has(&now, "bdev_get_bdevs"), "{now}");
    client.ok("framework_wait_init");
    let config = client.ok("save_config");
    let of = |name: &str| config["subsystems"].as_array().unwrap().iter().find(|one| one["subsystem"] == name).unwrap()["config"].clone();
    assert_eq!(of("bdev")[0]["params"]["bdev_io_pool_size"], 2048);
    assert_eq!(of("sock")[0], json!({"method": "sock_impl_set_options", "params": {"impl_name": "posix", "recv_buf_size": 65536}}));
    stop(server);
}

#[test]
fn a_kill_by_rpc_is_a_clean_stop() {
    let folder = Folder::new();
    let server = serve(&folder, &["--empty"]);
    Client::of(&folder).ok("spdk_kill_instance SIGTERM");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!folder.socket().exists());
}
