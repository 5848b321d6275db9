use super::*;

#[test]
fn addresses_are_read_with_and_without_a_port() {
    for (text, address) in [
        ("127.0.0.1:4421", "127.0.0.1:4421"),
        ("127.0.0.1", "127.0.0.1:4420"),
        ("[::1]:5000", "[::1]:5000"),
        ("[::1]", "[::1]:4420"),
        ("::1", "[::1]:4420"),
        ("0.0.0.0:0", "0.0.0.0:0"),
    ] {
        assert_eq!(resolve(text).unwrap(), [address.parse().unwrap()], "{text}");
    }
    let local = resolve("localhost:7").unwrap();
    assert!(!local.is_empty() && local.iter().all(|a| a.port() == 7 && a.ip().is_loopback()));
}

#[test]
fn what_is_no_address_is_refused() {
    for text in ["", ":4420", "[::1", "[::1]4420", "127.0.0.1:port", "127.0.0.1:70000", "/tmp/sock:1"] {
        assert!(resolve(text).unwrap_err().to_string().contains("--listen"), "{text}");
    }
}

#[test]
fn beyond_loopback_somebody_must_be_allowed() {
    let of = |text: &str| resolve(text).unwrap();
    let check = |addresses: &[SocketAddr], named: bool| check(addresses, named, Unnamed::ThisMachine);
    assert!(check(&of("127.0.0.1"), false).is_ok());
    assert!(check(&of("127.3.2.1"), false).is_ok());
    assert!(check(&of("::1"), false).is_ok());
    assert!(check(&of("[::ffff:127.0.0.1]:1"), false).is_ok());
    for open in ["0.0.0.0", "[::]:1", "192.0.2.1", "[::ffff:192.0.2.1]:1"] {
        let said = check(&of(open), false).unwrap_err().to_string();
        assert!(said.contains("--allow-host") && said.contains("--allow-any-host"), "{said}");
        assert!(check(&of(open), true).is_ok());
    }
    let mixed: Vec<_> = of("127.0.0.1").into_iter().chain(of("10.0.0.1")).collect();
    assert!(check(&mixed, false).is_err());
}

#[test]
fn what_is_chosen_to_be_served_is_for_those_who_are_named() {
    let here = resolve("127.0.0.1").unwrap();
    let said = check(&here, false, Unnamed::Nobody).unwrap_err().to_string();
    assert!(said.contains("--allow-host") && said.contains("--allow-any-host"), "{said}");
    assert!(check(&here, true, Unnamed::Nobody).is_ok());
}
