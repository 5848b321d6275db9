//! NVMe controllers attached, listed and let go by SPDK's client; another server is the drive.

use crate::client::{Client, port, serve, stop};
use crate::configure::{NQN, configured};
use crate::support::Folder;
use serde_json::json;

#[test]
fn controllers_are_attached_listed_and_detached() {
    let folder = Folder::new();
    let ports = [port(), port()];
    let (drive, _) = configured(&folder, ports);
    let here = Folder::new();
    let server = serve(&here, &["--empty"]);
    let mut client = Client::of(&here);
    let at = ports[0].to_string();
    let attach = format!("bdev_nvme_attach_controller -b Nvme0 -t tcp -a 127.0.0.1 -f ipv4 -s {at} -n {NQN}");
    client.ok(&attach);
    assert_eq!(client.ok("bdev_get_bdevs -b Nvme0n1")[0]["name"], "Nvme0n1");

    let bdev = client.ok("bdev_get_bdevs -b Nvme0n7");
    let bdev = &bdev[0];
    assert_eq!((&bdev["product_name"], &bdev["block_size"], &bdev["num_blocks"]), (&json!("NVMe disk"), &json!(512), &json!(16384)));
    let nvme = &bdev["driver_specific"]["nvme"][0];
    assert_eq!(nvme["trid"], json!({"trtype": "TCP", "adrfam": "ipv4", "traddr": "127.0.0.1", "trsvcid": at, "subnqn": NQN}));
    assert_eq!((&nvme["ctrlr_data"]["serial_number"], &nvme["ctrlr_data"]["model_number"]), (&json!("SPDK00000000000001"), &json!("SPDK")));
    assert_eq!((&nvme["ns_data"]["id"], &nvme["ctrlr_data"]["subnqn"]), (&json!(7), &json!(NQN)));
    assert!(nvme["vs"]["nvme_version"].is_string() && bdev["driver_specific"]["mp_policy"] == "active_passive");

    let listed = client.ok("bdev_nvme_get_controllers -n Nvme0");
    assert_eq!((&listed[0]["name"], &listed[0]["ctrlrs"][0]["state"]), (&json!("Nvme0"), &json!("enabled")));
    assert_eq!(client.ok("bdev_nvme_get_controllers").as_array().map(Vec::len), Some(1));
    client.ok("bdev_nvme_reset_controller Nvme0");
    client.ok("bdev_nvme_detach_controller Nvme0");
    assert_eq!(client.ok("bdev_nvme_get_controllers"), json!([]));
    stop(server);
    stop(drive);
}
