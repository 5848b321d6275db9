use super::*;

#[test]
fn slots_and_ways_that_there_are_not_are_refused() {
    let has = Frmw::new().with_slots(2).with_first_read_only(true);
    let said = |slot, activate| refusal(has, slot, activate).unwrap_or_default();
    assert_eq!(said(0, Activate::Reset), "");
    assert_eq!(said(2, Activate::Later), "");
    assert!(said(1, Activate::No).contains("read-only") && said(3, Activate::No).contains("it has 2"));
    assert!(said(2, Activate::Now).contains("without a reset"));
    assert_eq!(refusal(has.with_without_reset(true), 2, Activate::Now), None);
}

#[test]
fn what_is_still_to_be_done_is_said() {
    assert!(outcome(Committed::ConventionalReset, Activate::Reset).contains("power cycle"));
    assert!(outcome(Committed::AsAsked, Activate::Later).contains("next reset"));
    assert_eq!(outcome(Committed::AsAsked, Activate::Now), "the image runs");
}
