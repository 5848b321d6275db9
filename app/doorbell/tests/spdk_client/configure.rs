//! Making and listing things, and what is told of them.

use crate::client::{Client, port, serve, stop};
use crate::support::{Folder, Server};
use serde_json::{Value, json};

pub(crate) const NQN: &str = "nqn.2016-06.io.spdk:cnode1";
pub(crate) const OTHER: &str = "nqn.2016-06.io.spdk:cnode2";
pub(crate) const HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:8c2d3f0e-6a57-4f6b-9d25-0123456789ab";

/// A device can be named by it too.
const AIO_UUID: &str = "9b88eb73-db7a-4d14-9c65-82bbcf23e12b";

/// A server with one of everything, made by SPDK's client, and that client. Files lie in the folder, which is the server's
/// working folder too.
pub(crate) fn configured(folder: &Folder, ports: [u16; 2]) -> (Server, Client) {
    for file in ["a.img", "u.img"] {
        std::fs::File::create(folder.path().join(file)).unwrap().set_len(8 << 20).unwrap();
    }
    let server = serve(folder, &["--empty"]);
    let mut client = Client::of(folder);
    let [first, second] = ports;
    let path = |file: &str| folder.path().join(file).display().to_string();
    let made = [
        ("bdev_malloc_create -b Malloc0 32 512".to_owned(), json!("Malloc0")),
        ("bdev_malloc_create -b Malloc1 -u 0b9c9cb4-4f3c-46c7-a1f6-ecd4a29b6b8e -p 4096 8 512".to_owned(), json!("Malloc1")),
        ("bdev_null_create -u 47b7956f-3afd-4273-bc52-dc4310d0d377 Null0 256 4096".to_owned(), json!("Null0")),
        (format!("bdev_aio_create -u {AIO_UUID} {} Aio0 512", path("a.img")), json!("Aio0")),
        (format!("bdev_uring_create {} Uring0 4096", path("u.img")), json!("Uring0")),
        ("bdev_passthru_create -b Null0 -p Pt0".to_owned(), json!("Pt0")),
        ("bdev_set_qos_limit --rw-ios-per-sec 20001 --r-mbytes-per-sec 7 Malloc0".to_owned(), json!("")),
        ("nvmf_create_transport -t TCP -q 64 -c 8192".to_owned(), json!("")),
        (format!("nvmf_create_subsystem {NQN} -a -s SPDK00000000000001 -d SPDK"), json!("")),
        (format!("nvmf_create_subsystem {OTHER} -s SPDK00000000000002 -m 8 -i 5 -I 500"), json!("")),
        (format!("nvmf_subsystem_add_ns {NQN} Malloc0"), json!("")),
        (format!("nvmf_subsystem_add_ns {NQN} -n 7 -e 0011223344556677 -g 000102030405060708090A0B0C0D0E0F {AIO_UUID}"), json!("")),
        (format!("nvmf_subsystem_add_ns {OTHER} Pt0"), json!("")),
        (format!("nvmf_subsystem_add_listener {NQN} -t tcp -a 127.0.0.1 -f ipv4 -s {first}"), json!("")),
        (format!("nvmf_subsystem_add_listener {OTHER} -t TCP -a 127.0.0.1 -s {second}"), json!("")),
        (format!("nvmf_subsystem_add_host {OTHER} {HOST}"), json!("")),
    ];
    for (command, answer) in made {
        assert_eq!(client.ok(&command), answer, "{command}");
    }
    (server, client)
}

/// SPDK's answers for the same calls, less what is told of this machine and what Doorbell does beyond SPDK.
#[test]
fn what_is_made_is_listed_as_spdk_lists_it() {
    let folder = Folder::new();
    let ports = [port(), port()];
    let (server, mut client) = configured(&folder, ports);

    let null = client.ok("bdev_get_bdevs -b Null0");
    let uuid = "47b7956f-3afd-4273-bc52-dc4310d0d377";
    let no_limits = json!({"rw_ios_per_sec": 0, "rw_mbytes_per_sec": 0, "r_mbytes_per_sec": 0, "w_mbytes_per_sec": 0});
    let listed = json!({
        "name": "Null0", "aliases": [uuid], "product_name": "Null disk", "block_size": 4096, "num_blocks": 65536, "uuid": uuid,
        "preferred_write_alignment": 0, "preferred_write_granularity": 0, "optimal_write_size": 0, "preferred_unmap_alignment": 0,
        "preferred_unmap_granularity": 0, "assigned_rate_limits": no_limits, "claimed": true, "zoned": false, "driver_specific": {},
    });
    for (member, value) in listed.as_object().unwrap() {
        assert_eq!(null[0][member], *value, "{member} of {null}");
    }
    for (kind, supported) in
        [("read", true), ("write", true), ("reset", true), ("write_zeroes", true), ("nvme_io", false), ("zcopy", false)]
    {
        assert_eq!(null[0]["supported_io_types"][kind], supported, "{kind}");
    }
    assert_eq!(client.ok(&format!("bdev_get_bdevs -b {uuid}")), null);
    let all = client.ok("bdev_get_bdevs");
    let names: Vec<_> = all.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Malloc0", "Malloc1", "Null0", "Aio0", "Uring0", "Pt0"]);
    assert_eq!(all[0]["assigned_rate_limits"]["rw_ios_per_sec"], 20001);
    assert_eq!(all[0]["assigned_rate_limits"]["r_mbytes_per_sec"], 7);
    assert_eq!((&all[0]["claimed"], &all[1]["claimed"]), (&json!(true), &json!(false)));
    assert_eq!(all[0]["uuid"], all[0]["aliases"][0]);
    assert_eq!(all[3]["driver_specific"]["aio"]["filename"], json!(folder.path().join("a.img")));
    assert_eq!((&all[3]["num_blocks"], &all[4]["num_blocks"]), (&json!(16384), &json!(2048)));
    assert_eq!(all[5]["driver_specific"]["passthru"]["base_bdev_name"], "Null0");

    subsystems(&mut client, ports, &all);
    let transport = client.ok("nvmf_get_transports --trtype tcp");
    for (member, value) in
        [("trtype", json!("TCP")), ("max_queue_depth", json!(64)), ("in_capsule_data_size", json!(8192)), ("kas", json!(100))]
    {
        assert_eq!(transport[0][member], value, "{member}");
    }
    stop(server);
}

fn subsystems(client: &mut Client, ports: [u16; 2], all: &Value) {
    let listed = client.ok("nvmf_get_subsystems");
    assert_eq!(listed[0]["nqn"], "nqn.2014-08.org.nvmexpress.discovery");
    assert_eq!((&listed[0]["subtype"], &listed[0]["allow_any_host"]), (&json!("Discovery"), &json!(true)));
    let address = |port: u16| json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": port.to_string()});
    let uuid = all[0]["uuid"].as_str().unwrap();
    let expected = json!({
        "nqn": NQN, "subtype": "NVMe", "listen_addresses": [address(ports[0])], "allow_any_host": true, "hosts": [],
        "serial_number": "SPDK00000000000001", "model_number": "SPDK", "max_namespaces": 32, "passthrough": false, "min_cntlid": 1,
        "max_cntlid": 65519, "dmrsl": 2_097_152, "wzsl": 12,
        "namespaces": [
            {"nsid": 1, "bdev_name": "Malloc0", "name": "Malloc0", "nguid": uuid.replace('-', "").to_uppercase(), "uuid": uuid},
            {"nsid": 7, "bdev_name": "Aio0", "name": "Aio0", "nguid": "000102030405060708090A0B0C0D0E0F", "eui64": "0011223344556677",
                "uuid": all[3]["uuid"]},
        ],
    });
    assert_eq!(listed[1], expected);
    let other = &listed[2];
    assert_eq!((&other["allow_any_host"], &other["hosts"]), (&json!(false), &json!([{"nqn": HOST}])));
    assert_eq!((&other["max_namespaces"], &other["min_cntlid"], &other["max_cntlid"]), (&json!(8), &json!(5), &json!(500)));
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!(client.ok(&format!("nvmf_subsystem_get_controllers {NQN}")), json!([]));
    assert_eq!(client.ok(&format!("nvmf_subsystem_get_listeners {OTHER}")), json!([{"address": address(ports[1])}]));
    let stats = client.ok("nvmf_get_stats");
    assert_eq!(stats["poll_groups"][0]["name"], "nvmf_tgt_poll_group_000");
    assert_eq!(stats["poll_groups"][0]["transports"], json!([{"trtype": "TCP"}]));
}

/// Everything goes again, last made first, and a server with nothing left stops.
#[test]
fn what_is_made_can_be_taken_away() {
    let folder = Folder::new();
    let ports = [port(), port()];
    let (server, mut client) = configured(&folder, ports);
    for command in [
        format!("nvmf_subsystem_remove_host {OTHER} {HOST}"),
        format!("nvmf_subsystem_remove_listener {OTHER} -t tcp -a 127.0.0.1 -s {}", ports[1]),
        format!("nvmf_subsystem_remove_ns {OTHER} 1"),
        format!("nvmf_subsystem_allow_any_host {OTHER} --allow-any-host"),
    ] {
        client.ok(&command);
    }
    let left = client.ok("nvmf_get_subsystems");
    for (member, value) in
        [("hosts", json!([])), ("listen_addresses", json!([])), ("namespaces", json!([])), ("allow_any_host", json!(true))]
    {
        assert_eq!(left[2][member], value, "{member}");
    }
    // A device takes its namespace with it; a subsystem takes its listeners.
    client.ok("bdev_aio_delete Aio0");
    let left = client.ok("nvmf_get_subsystems");
    assert_eq!(left[1]["namespaces"].as_array().unwrap().len(), 1);
    for command in ["bdev_malloc_delete Malloc0", "bdev_malloc_delete Malloc1", "bdev_passthru_delete Pt0", "bdev_null_delete Null0"] {
        client.ok(command);
    }
    client.ok("bdev_uring_delete Uring0");
    for nqn in [NQN, OTHER] {
        client.ok(&format!("nvmf_delete_subsystem {nqn}"));
    }
    assert_eq!(client.ok("bdev_get_bdevs"), json!([]));
    assert_eq!(client.ok("nvmf_get_subsystems").as_array().unwrap().len(), 1);
    assert!(std::net::TcpStream::connect(("127.0.0.1", ports[0])).is_err());
    // What held the file has let go of it.
    client.ok(&format!("bdev_aio_create {} Aio0 512", folder.path().join("u.img").display()));
    stop(server);
}
