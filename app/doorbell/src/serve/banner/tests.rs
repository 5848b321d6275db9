use super::*;

#[test]
fn the_commands_can_be_copied() {
    let devices = [("doorbell.img".to_owned(), 1 << 30)];
    let listens = ["127.0.0.1:4420".parse().unwrap(), "[::1]:4420".parse().unwrap()];
    let text = Banner {
        devices: &devices,
        nqn: "nqn.a",
        listens: &listens,
        hosts: &["nqn.h".to_owned()],
        socket: Some("/tmp/s"),
        stores: &[],
        next: Next::Nothing,
    }
    .text();
    for line in [
        "    doorbell.img  1 GiB",
        "    127.0.0.1:4420",
        "    [::1]:4420",
        "    nqn.h",
        "    modprobe nvme-tcp",
        "    nvme discover -t tcp -a 127.0.0.1 -s 4420",
        "    nvme connect -t tcp -a 127.0.0.1 -s 4420 -n nqn.a",
        "    nvme disconnect -n nqn.a",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    assert!(text.contains("doorbell status -s /tmp/s"));
}

#[test]
fn ipv6_is_written_as_nvme_cli_takes_it_and_a_wildcard_as_a_name() {
    let text = |at: &str| {
        Banner { devices: &[], nqn: "n", listens: &[at.parse().unwrap()], hosts: &[], socket: None, stores: &[], next: Next::Nothing }
            .text()
    };
    assert!(text("[::1]:4421").contains("-a ::1 -s 4421"));
    assert!(!text("0.0.0.0:4420").contains("-a 0.0.0.0"));
}
