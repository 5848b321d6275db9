use super::*;

#[test]
fn is_what_saved_configurations_hold() {
    // A pair that SPDK has made: base Null0, passthru Pt0.
    let base = "47b7956f-3afd-4273-bc52-dc4310d0d377".parse().unwrap();
    let above = uuid(crate::passthru::NAMESPACE, base);
    assert_eq!(above.to_string(), "dead3b6e-9af8-5dcb-b952-8a92926b3800");
}
