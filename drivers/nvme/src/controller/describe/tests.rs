use super::text;

#[test]
fn a_devices_text_is_safe_to_print() {
    assert_eq!(text(b"abc \x1b[31m\xff  "), "abc ?[31m?");
}
