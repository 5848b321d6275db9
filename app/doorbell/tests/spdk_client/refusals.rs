//! What cannot be done is refused with SPDK's code and in SPDK's words. Those marked so are from a run of SPDK 26.09-pre.

use crate::client::{Client, Refused, port, serve, stop};
use crate::configure::{HOST, NQN, OTHER, configured};
use crate::support::Folder;

fn refusal(code: i64, message: &str) -> Refused {
    Refused { code, message: message.to_owned() }
}

#[test]
fn duplicates_and_things_that_are_not_there_are_refused_in_spdks_words() {
    let folder = Folder::new();
    let ports = [port(), port()];
    let (server, mut client) = configured(&folder, ports);
    let before = client.everything();
    let image = folder.path().join("a.img").display().to_string();
    let exists = (-17, "File exists");
    let no_device = (-19, "No such device");
    let params = (-32602, "Invalid parameters");
    let internal = (-32603, "Internal error");
    let again = format!("Unable to create subsystem {NQN}");
    let absent = (-32602, "Subsystem with NQN 'nqn.2016-06.io.spdk:nope' not found");
    for (command, (code, message)) in [
        ("bdev_malloc_create -b Malloc0 32 512".to_owned(), exists), // from SPDK
        ("bdev_null_create Malloc0 32 512".to_owned(), exists),
        ("bdev_malloc_create -b Another -u 47b7956f-3afd-4273-bc52-dc4310d0d377 32 512".to_owned(), exists),
        ("bdev_passthru_create -b Malloc1 -p Pt0".to_owned(), exists),
        (format!("bdev_aio_create {image} Malloc1 512"), exists),
        ("bdev_aio_create /nonexistent A 512".to_owned(), (-2, "No such file or directory")), // from SPDK
        ("bdev_get_bdevs -b nope".to_owned(), no_device),                                     // from SPDK
        ("bdev_malloc_delete nope".to_owned(), no_device),
        ("bdev_null_delete Malloc0".to_owned(), no_device),
        ("bdev_null_resize nope 8".to_owned(), no_device),
        ("bdev_set_qos_limit nope --rw-ios-per-sec 1000".to_owned(), no_device),
        ("nvmf_create_transport -t TCP".to_owned(), (-32603, "Transport type 'TCP' already exists")),
        (format!("nvmf_create_subsystem {NQN} -a"), (-32603, again.as_str())),
        ("nvmf_create_subsystem not-an-nqn".to_owned(), (-32603, "Unable to create subsystem not-an-nqn")),
        ("nvmf_create_subsystem nqn.2016-06.io.spdk:new -t other".to_owned(), (-32603, "Unable to find target other")),
        ("nvmf_delete_subsystem nqn.2016-06.io.spdk:new -t other".to_owned(), (-32603, "Unable to find a target.")),
        ("nvmf_create_subsystem nqn.2016-06.io.spdk:new -s 123456789012345678901".to_owned(), params),
        (format!("nvmf_create_subsystem nqn.2016-06.io.spdk:new -d {}", "m".repeat(41)), params),
        ("nvmf_create_subsystem nqn.2016-06.io.spdk:new -i 9 -I 8".to_owned(), (-32602, "Invalid cntlid range [9-8]")),
        (format!("nvmf_subsystem_add_ns {NQN} -g 0123 Malloc1"), params),
        (format!("nvmf_subsystem_add_ns {NQN} -e 0123 Malloc1"), params),
        (format!("nvmf_subsystem_add_ns {NQN} -n 1 Malloc1"), params),
        (format!("nvmf_subsystem_add_ns {NQN} nope"), params),
        (format!("nvmf_subsystem_add_ns {OTHER} Malloc0"), params), // it is the other's namespace
        ("bdev_passthru_create -b Malloc0 -p Pt1".to_owned(), (-1, "Operation not permitted")),
        ("nvmf_subsystem_add_ns nqn.2016-06.io.spdk:nope Malloc1".to_owned(), absent),
        (format!("nvmf_subsystem_remove_ns {NQN} 5"), params),
        (format!("nvmf_subsystem_add_listener {NQN} -t tcp -a 127.0.0.1 -s {}", ports[0]), params),
        (format!("nvmf_subsystem_remove_listener {NQN} -t tcp -a 127.0.0.1 -s {}", ports[1]), params),
        (format!("nvmf_subsystem_add_host {OTHER} {HOST}"), internal),
        (format!("nvmf_subsystem_remove_host {NQN} {HOST}"), internal),
        ("nvmf_delete_subsystem nqn.2016-06.io.spdk:nope".to_owned(), absent),
        ("nvmf_get_subsystems nqn.2016-06.io.spdk:nope".to_owned(), absent),
        ("nvmf_subsystem_get_listeners nqn.2016-06.io.spdk:nope".to_owned(), absent),
        ("log_set_flag nothing".to_owned(), params),
    ] {
        assert_eq!(client.refused(&command), refusal(code, message), "{command}");
    }
    crate::client::same(&before, &client.everything());
    stop(server);
}

#[test]
fn methods_that_are_not_there_are_unknown() {
    let folder = Folder::new();
    let server = serve(&folder, &["--empty"]);
    let mut client = Client::of(&folder);
    for command in ["iscsi_get_connections", "vhost_get_controllers", "bdev_raid_get_bdevs all"] {
        assert_eq!(client.refused(command), refusal(-32601, "Method not found"), "{command}"); // from SPDK
    }
    stop(server);
}
