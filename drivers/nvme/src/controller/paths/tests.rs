use super::*;
use crate::link::tcp::{HostName, TcpOffer};

fn paths(first: &str) -> Paths {
    Paths::new(TcpAddress::new(first, "4420", "nqn"), how())
}

fn how() -> TcpOptions {
    TcpOptions {
        host: HostName { id: [1; 16], nqn: "host".to_owned() },
        offer: TcpOffer::default(),
        flow_control: true,
        connect_timeout_ms: 1,
    }
}

#[test]
fn a_bring_up_keeps_its_way_while_the_next_one_is_chosen() {
    let all = paths("a");
    assert_eq!(all.take_first().address.address, "a");
    let b = all.add(TcpAddress::new("b", "4420", "nqn"), how());
    let c = all.add(TcpAddress::new("c", "4420", "nqn"), how());
    all.next();
    assert_eq!(all.used().address.address, "a");
    assert_eq!(all.take_first().address.address, "b");
    // One that stands by goes without notice; the one in use does not.
    assert!(!all.remove(c) && all.remove(b) && all.used().id == b);
    assert_eq!(all.take_first().id, PathId::FIRST);
    all.next();
    assert_eq!((all.take_first().id, all.len()), (PathId::FIRST, 1));
}

#[test]
fn the_same_place_from_another_address_of_this_machine_is_another_path() {
    let all = paths("a");
    let place = |source: Option<&str>| TcpAddress { source_address: source.map(str::to_owned), ..TcpAddress::new("a", "4420", "nqn") };
    assert!(all.has(&place(None)) && !all.has(&place(Some("10.0.0.1"))) && !all.has(&TcpAddress::new("a", "4421", "nqn")));
}
