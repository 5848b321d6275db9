use super::*;

#[test]
fn a_peer_that_causes_many_lines_is_told_of_once_and_others_still_are() {
    let (start, one, other) = (Ticks::default(), IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    let mut lines = LogLimit::default();
    let told = (0..1000).filter(|_| lines.allow(start, one)).count() as u32;
    assert_eq!(told, LogLimit::LINES - 1);
    assert!(lines.allow(start, other));
    assert!(!lines.allow(start.after(LogLimit::WINDOW_NS - 1), one));
    assert!(lines.allow(start.after(LogLimit::WINDOW_NS), one));
}

#[test]
fn many_peers_are_not_remembered_without_end() {
    let start = Ticks::default();
    let mut lines = LogLimit::default();
    let told = (0..10_000u32).filter(|n| lines.allow(start, IpAddr::from(n.to_be_bytes()))).count();
    assert_eq!((told, lines.peers.len()), (LogLimit::PEERS, LogLimit::PEERS));
    // A while later there is room again.
    assert!(lines.allow(start.after(LogLimit::WINDOW_NS), IpAddr::from([10, 0, 0, 1])));
}
