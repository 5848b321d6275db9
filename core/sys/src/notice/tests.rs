use super::*;

#[test]
fn what_was_rung_is_drained_once() {
    let notice = Notice::new().unwrap();
    assert!(!notice.drain());
    notice.ring();
    notice.ring();
    assert!(notice.drain() && !notice.drain());
}
