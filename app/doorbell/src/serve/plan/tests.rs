use super::*;

fn file(text: &str) -> Device {
    Device::File(text.parse().unwrap(), Identity::derived(text))
}

fn plan() -> Plan {
    Plan {
        devices: name(vec![
            file("/a/disk.img,ro,force"),
            file("/b/disk.img,engine=uring,block-size=4k,size=1M"),
            Device::Malloc(1 << 20, Identity::derived("m")),
        ]),
        drives: vec![
            "0000:01:00.0".parse().unwrap(),
            "trtype:TCP traddr:10.0.0.1 trsvcid:4420 subnqn:nqn.2026-01.org.example:s".parse().unwrap(),
        ],
        allow_physical: true,
        subsystem: Identity::derived("s"),
        listens: vec!["127.0.0.1:4420".parse().unwrap(), "[::1]:4421".parse().unwrap()],
        hosts: vec!["nqn.2026-01.org.example:h".to_owned()],
        stores: Vec::new(),
        is_default: false,
        any_host: false,
        drafts: [].into(),
    }
}

#[test]
fn devices_have_names_of_their_own() {
    let names: Vec<_> = plan().devices.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["disk.img", "disk.img-2", "Malloc0"]);
    let named = name(vec![file("/dev/vdb,name=data"), Device::Malloc(1, Identity::derived("")), Device::Malloc(1, Identity::derived(""))]);
    let names: Vec<_> = named.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["data", "Malloc0", "Malloc1"]);
}

#[test]
fn flags_become_calls_that_spdk_knows() {
    let plan = plan();
    let found = [Found { name: "Nvme0n1".to_owned(), uuid: Uuid::from_bytes([7; 16]), nsid: Some(7) }];
    let steps: Vec<Step> = devices(&plan).into_iter().chain(drives(&plan)).chain([transport()]).chain(subsystem(&plan, &found)).collect();
    let methods: Vec<_> = steps.iter().map(|step| step.method).collect();
    let adds = ["nvmf_subsystem_add_ns"; 4];
    let attach = "bdev_nvme_attach_controller";
    let expected =
        ["bdev_aio_create", "bdev_uring_create", "bdev_malloc_create", attach, attach, "nvmf_create_transport", "nvmf_create_subsystem"]
            .into_iter()
            .chain(adds)
            .chain(["nvmf_subsystem_add_host", "nvmf_subsystem_add_listener", "nvmf_subsystem_add_listener"]);
    assert_eq!(methods, expected.collect::<Vec<_>>());
    for step in &steps {
        let spec = doorbell_control::spdk().method(step.method).unwrap();
        for name in step.params.keys() {
            let ours = ["size", "force"].contains(&name.as_str()) && step.method.ends_with("_create") || name == "allow_physical";
            assert!(ours || spec.fields.iter().any(|field| field.name == name), "{}: {name}", step.method);
        }
        for field in spec.fields.iter().filter(|field| field.required) {
            assert!(step.params.contains_key(field.name), "{}: {}", step.method, field.name);
        }
    }
    assert_eq!(steps[0].params["readonly"], true);
    assert_eq!((&steps[0].params["force"], steps[0].params.get("size")), (&json!(true), None));
    assert_eq!(steps[1].params["block_size"], 4096);
    assert_eq!((&steps[1].params["size"], steps[1].params.get("force")), (&json!(1 << 20), None));
    assert_eq!(steps[2].params["num_blocks"], 2048);
    assert_eq!((&steps[3].params["name"], &steps[3].params["allow_physical"]), (&json!("Nvme0"), &json!(true)));
    assert_eq!((&steps[4].params["name"], steps[4].params.get("allow_physical")), (&json!("Nvme1"), None));
    assert_eq!(
        steps.last().unwrap().params["listen_address"],
        json!({"trtype": "TCP", "adrfam": "IPv6", "traddr": "::1", "trsvcid": "4421"})
    );
}
