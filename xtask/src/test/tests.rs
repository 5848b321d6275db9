use std::time::Duration;

use super::stages::{STAGES, Stage};
use super::{Outcome, Row, choose, summary};

fn names(stages: &[&Stage]) -> Vec<&'static str> {
    stages.iter().map(|stage| stage.name).collect()
}

#[test]
fn everything_runs_unless_told_otherwise() {
    let all = choose(&[], false).expect("a choice");
    assert_eq!(all.len(), STAGES.len());
    let quick = names(&choose(&[], true).expect("a choice"));
    assert!(quick.contains(&"unit") && !quick.contains(&"guest") && !quick.contains(&"build"), "{quick:?}");
    let two = choose(&["unit".to_owned(), "fmt".to_owned()], false).expect("a choice");
    assert_eq!(names(&two), ["fmt", "unit"]);
    assert!(choose(&["unti".to_owned()], false).is_err());
}

#[test]
fn a_stage_comes_after_what_it_needs() {
    for (index, stage) in STAGES.iter().enumerate() {
        let found = STAGES.iter().position(|other| Some(other.name) == stage.after);
        assert!(stage.after.is_none() || found.is_some_and(|at| at < index), "{}", stage.name);
    }
}

#[test]
fn the_last_line_counts_what_ran() {
    let row = |stage, outcome| Row { stage, time: Duration::from_secs(90), outcome };
    let rows = [
        row("fmt", Outcome::Passed),
        row("unit", Outcome::Failed("two tests".to_owned())),
        row("guest", Outcome::LeftOut("no QEMU".to_owned())),
    ];
    let text = summary(&rows);
    assert_eq!(text.lines().last(), Some("1 passed, 1 failed"));
    assert!(text.contains("unit           1.5  FAILED: two tests\n"), "{text}");
    assert!(text.contains("guest          1.5  left out: no QEMU\n"), "{text}");
    assert!(text.contains("all            4.5\n"), "{text}");
}
