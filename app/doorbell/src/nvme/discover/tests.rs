use super::quoted;

#[test]
fn a_targets_names_cannot_leave_the_quotes() {
    assert_eq!(quoted("trtype:TCP subnqn:nqn.a:b"), "'trtype:TCP subnqn:nqn.a:b'");
    for hostile in ["subnqn:x';reboot;'", "subnqn:x\u{1b}[2J"] {
        let shown = quoted(hostile);
        assert!(!shown.contains(['\'', '\u{1b}']) && shown.contains("--json"), "{shown}");
    }
}
