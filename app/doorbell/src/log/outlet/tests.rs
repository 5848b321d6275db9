use super::*;
use std::sync::mpsc::{Sender, channel};

const PATIENCE: Duration = Duration::from_secs(60);

/// An outlet whose sink says what it was given, and then waits to be let go.
fn gated(room: usize) -> (Outlet, Receiver<String>, Sender<()>) {
    let (out, written) = channel();
    let (go, gate) = channel::<()>();
    let sink = move |text: &str| {
        let _ = out.send(text.to_owned());
        let _ = gate.recv();
    };
    (Outlet::with_room(room, "test", sink, |n| format!("{n} lost")).unwrap(), written, go)
}

#[test]
fn a_sink_that_is_stuck_holds_nobody_up_and_what_is_lost_is_counted_where_it_is_missing() {
    let (outlet, written, go) = gated(4);
    outlet.put("0".to_owned());
    assert_eq!(written.recv_timeout(PATIENCE).unwrap(), "0"); // and stuck with it
    (1..=14).for_each(|n| outlet.put(n.to_string())); // four fit
    assert!(!outlet.flush(Duration::ZERO));
    go.send(()).unwrap();
    assert_eq!(written.recv_timeout(PATIENCE).unwrap(), "1");
    outlet.put("15".to_owned()); // one fits again
    drop(go); // and nothing is stuck any more
    assert!(outlet.flush(PATIENCE));
    assert_eq!(written.try_iter().collect::<Vec<_>>(), ["2", "3", "4", "10 lost", "15"]);
}

#[test]
fn lines_that_are_lost_at_the_end_are_counted_too() {
    let (outlet, written, go) = gated(1);
    outlet.put("0".to_owned());
    assert_eq!(written.recv_timeout(PATIENCE).unwrap(), "0");
    (1..=3).for_each(|n| outlet.put(n.to_string()));
    drop(go);
    assert_eq!(written.recv_timeout(PATIENCE).unwrap(), "1");
    assert_eq!(written.recv_timeout(PATIENCE).unwrap(), "2 lost");
}

#[test]
fn a_flush_waits_for_what_was_put() {
    let (out, written) = channel();
    let outlet = Outlet::start("test", move |text: &str| drop(out.send(text.to_owned())), |n| format!("{n} lost")).unwrap();
    (0..1000).for_each(|n| outlet.put(n.to_string()));
    assert!(outlet.flush(PATIENCE));
    assert_eq!(written.try_iter().count(), 1000);
}
