use super::*;

const SECOND: u64 = 1_000_000_000;

#[test]
fn what_fails_is_tried_ever_more_seldom_and_never_given_up() {
    let (a, b): (PciAddress, PciAddress) = ("0000:01:00.0".parse().unwrap(), "0000:02:00.0".parse().unwrap());
    let mut failures = Failures::default();
    let mut now = Ticks(0);
    let mut waits = Vec::new();
    for n in 0..9 {
        assert!(failures.admits(a, now));
        let said = failures.note(a, now);
        assert_eq!(said, [Say::First, Say::Seldom, Say::Nothing][if n == 0 { 0 } else { usize::from(n != 6) + 1 }], "{n}");
        let from = now;
        while !failures.admits(a, now) {
            assert!(failures.admits(b, now), "it is another");
            now = now.after(SECOND / 2);
        }
        waits.push(now.since(from) / SECOND);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    failures.note(a, now);
    failures.note(b, now);
    failures.forget(|address| *address == a);
    assert!(failures.admits(a, now) && !failures.admits(b, now));
    assert_eq!(failures.note(a, now), Say::First);
}
