use super::*;

#[test]
fn gives_up_after_refusals_asks_now_and_then_and_comes_back() {
    let mut learnt = Learnt::default();
    for _ in 0..GIVE_UP_AFTER {
        assert!(learnt.ask());
        learnt.refused();
    }
    let asked = (0..640).filter(|_| learnt.ask()).count();
    assert_eq!(asked, 10);
    learnt.taken();
    assert!((0..100).all(|_| learnt.ask()));
}
