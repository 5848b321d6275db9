use super::*;

#[test]
fn a_bar_is_as_full_as_the_work_is_done() {
    let steps = Steps::default();
    assert_eq!(line("deleting a", &steps, 3), "  deleting a: 3 s");
    steps.of.store(4 << 20, Ordering::Relaxed);
    steps.done.store(1 << 20, Ordering::Relaxed);
    assert_eq!(line("a", &steps, 3), format!("  a [{}{}] 1 MiB of 4 MiB", "#".repeat(6), "-".repeat(18)));
    // More than all is all.
    steps.done.store(5 << 20, Ordering::Relaxed);
    assert!(line("a", &steps, 3).contains(&"#".repeat(24)));
}
