use super::host_name;

#[test]
fn a_number_in_the_name_is_the_hosts_number() {
    let named = host_name(Some("nqn.2014-08.org.nvmexpress:uuid:8c2d3f0e-6a57-4f6b-9d25-0123456789ab".to_owned()), [7; 16]);
    assert_eq!(named.id[..3], [0x8c, 0x2d, 0x3f]);
    let without = host_name(Some("nqn.2026-11.io.example:host".to_owned()), [7; 16]);
    assert_eq!((without.id, without.nqn.as_str()), ([7; 16], "nqn.2026-11.io.example:host"));
    assert!(host_name(None, [7; 16]).nqn.starts_with("nqn."));
}
