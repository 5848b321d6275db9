use super::*;
use doorbell_wire_nvme::{Ascii, NqnField};
use proptest::prelude::*;

fn parse(text: &str) -> TransportId {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn why(text: &str) -> String {
    text.parse::<TransportId>().unwrap_err().to_string()
}

#[test]
fn what_spdk_users_write() {
    let whole = parse(
        "trtype:TCP adrfam:IPv4 traddr:10.0.0.1 trsvcid:4421 subnqn:nqn.2016-06.io.spdk:cnode1 hostnqn:nqn.2026-11.a:h \
         hostaddr:10.0.0.9 hostsvcid:900 priority:2",
    );
    let expected = TcpAddress {
        family: Some(Family::Ipv4),
        host: Some("nqn.2026-11.a:h".to_owned()),
        source_address: Some("10.0.0.9".to_owned()),
        source_service: Some("900".to_owned()),
        priority: 2,
        ..TcpAddress::new("10.0.0.1", "4421", "nqn.2016-06.io.spdk:cnode1")
    };
    assert_eq!(whole, TransportId::Tcp(expected));
    assert_eq!(whole, parse(&whole.to_string()));
    assert_eq!(
        parse("TRTYPE=tcp\ttraddr=target.example\nsubnqn=nqn.a"),
        parse(" trtype:TCP traddr:target.example trsvcid:4420 subnqn:nqn.a ")
    );
    let TransportId::Tcp(six) = parse("trtype:TCP adrfam:ipv6 traddr:fe80::1 subnqn:n") else { panic!() };
    assert_eq!((six.address.as_str(), six.family), ("fe80::1", Some(Family::Ipv6)), "the first separator counts");
    let TransportId::Tcp(discovery) = parse("trtype:tcp traddr:10.0.0.1") else { panic!() };
    assert_eq!((discovery.is_discovery(), discovery.service.as_str()), (true, DISCOVERY_PORT));
}

#[test]
fn functions_and_folders() {
    let one = TransportId::Pcie { address: "0000:01:00.0".to_owned() };
    for text in ["0000:01:00.0", "01:00.0", "trtype:PCIe traddr:0000:01:00.0", "trtype=pcie traddr=1:0.0"] {
        assert_eq!(parse(text), one, "{text}");
    }
    assert_eq!(parse("10000:E1:1f.7"), TransportId::Pcie { address: "10000:e1:1f.7".to_owned() });
    assert_eq!(one.to_string(), "trtype:PCIe traddr:0000:01:00.0");
    assert_eq!(parse("trtype:VFIOUSER traddr:/run/a:b"), TransportId::VfioUser { folder: "/run/a:b".to_owned() });
}

#[test]
fn errors_name_the_key_and_show_how() {
    for (text, part) in [
        ("", "no address"),
        ("10.0.0.1", "\"10.0.0.1\" is no key"),
        ("traddr:10.0.0.1", "trtype is missing"),
        ("trtype:RDMA traddr:10.0.0.1", "trtype is \"RDMA\""),
        ("trtype:TCP", "traddr is missing"),
        ("trtype:TCP traddr:", "traddr has no value"),
        ("trtype:TCP traddr:a traddr:b", "traddr is given twice"),
        ("trtype:TCP traddr:a trsvcid:http", "trsvcid is \"http\""),
        ("trtype:TCP traddr:a trsvcid:0", "trsvcid is \"0\""),
        ("trtype:TCP traddr:a trsvcid:65536", "trsvcid"),
        ("trtype:TCP traddr:a adrfam:IB", "adrfam is \"IB\""),
        ("trtype:TCP traddr:::1 adrfam:IPv4", "adrfam is IPv4"),
        ("trtype:TCP traddr:a port:4420", "no key \"port\""),
        ("trtype:TCP traddr:a priority:high", "priority is \"high\""),
        ("trtype:PCIe", "traddr is missing"),
        ("trtype:PCIe traddr:10.0.0.1", "must be a PCI address"),
        ("trtype:PCIe traddr:0000:01:20.0", "must be a PCI address"),
        ("trtype:PCIe traddr:0000:01:00.0 trsvcid:4420", "trsvcid means nothing"),
        ("trtype:VFIOUSER", "traddr is missing"),
    ] {
        let why = why(text);
        assert!(why.contains(part) && why.contains("trtype:TCP traddr:"), "{text}: {why}");
    }
    assert!(why(&format!("trtype:TCP traddr:a subnqn:{}", "n".repeat(224))).contains("subnqn"));
}

#[test]
fn numbers_resolve_without_asking_anybody() {
    let of = |text: &str| match parse(text) {
        TransportId::Tcp(tcp) => tcp,
        other => panic!("{other}"),
    };
    let four = of("trtype:TCP traddr:127.0.0.1 trsvcid:1 subnqn:n hostaddr:127.0.0.2");
    assert_eq!(four.resolve().unwrap(), ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(four.resolve_source().unwrap(), Some("127.0.0.2:0".parse().unwrap()));
    assert_eq!(of("trtype:TCP traddr:[::1] trsvcid:1 subnqn:n").resolve().unwrap(), ["[::1]:1".parse().unwrap()]);
    let six = of("trtype:TCP traddr:::1 trsvcid:1 subnqn:n hostsvcid:700");
    assert_eq!(six.resolve_source().unwrap(), Some("[::]:700".parse().unwrap()));
    let local = of("trtype:TCP adrfam:IPv4 traddr:localhost trsvcid:9 subnqn:n").resolve().unwrap();
    assert!(local.iter().all(SocketAddr::is_ipv4) && !local.is_empty());
}

#[test]
fn entries_of_a_log_become_addresses() {
    let mut entry = DiscoveryEntry { trtype: TransportType::TCP, adrfam: AddressFamily::IPV4, ..DiscoveryEntry::default() };
    (entry.traddr, entry.trsvcid) = (Ascii::new("10.0.0.1"), Ascii::new("4420"));
    entry.subnqn = NqnField::new("nqn.2026-11.io.example:a");
    let text = "trtype:TCP adrfam:IPv4 traddr:10.0.0.1 trsvcid:4420 subnqn:nqn.2026-11.io.example:a";
    assert_eq!(TransportId::of_entry(&entry), Some(parse(text)));
    for spoil in [
        |e: &mut DiscoveryEntry| e.trtype = TransportType::RDMA,
        |e: &mut DiscoveryEntry| e.adrfam = AddressFamily::IB,
        |e: &mut DiscoveryEntry| e.traddr = Ascii::new("10.0.0.1 trsvcid:1"),
        |e: &mut DiscoveryEntry| e.trsvcid = Ascii::new("none"),
        |e: &mut DiscoveryEntry| e.subnqn = NqnField::new("a hostnqn:b"),
        |e: &mut DiscoveryEntry| e.subnqn = NqnField::new(""),
    ] {
        let mut entry = entry.clone();
        spoil(&mut entry);
        assert_eq!(TransportId::of_entry(&entry), None);
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_printed_reads_the_same(text in "(trtype|traddr|subnqn|:|=| |[0-9a-f.]{0,6}|TCP|pcie|é){0,12}") {
        if let Ok(id) = text.parse::<TransportId>() {
            prop_assert_eq!(id.to_string().parse::<TransportId>().unwrap(), id);
        }
    }
}
