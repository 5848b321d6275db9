use super::*;

#[test]
fn signals_that_come_together_are_one_and_a_later_one_ends() {
    let start = Instant::now();
    let mut asked = Asked::default();
    assert_eq!(asked.again(start), Asks::Stop);
    assert_eq!(asked.again(start), Asks::Same);
    assert_eq!(asked.again(start + TOGETHER - Duration::from_nanos(1)), Asks::Same);
    // Counted from the first: whoever keeps asking is heard.
    assert_eq!(asked.again(start + TOGETHER), Asks::End);
}

#[test]
fn what_is_left_over_is_removed_once() {
    let path = std::env::temp_dir().join(format!("doorbell-leftover-{}", std::process::id()));
    std::fs::write(&path, b"").unwrap();
    let leftovers = Leftovers::default();
    leftovers.add(Names::new(vec![path.clone()]));
    leftovers.remove();
    assert!(!path.exists());
    std::fs::write(&path, b"another's").unwrap();
    leftovers.remove();
    assert!(path.exists());
    std::fs::remove_file(path).unwrap();
}
