//! The threshold against the pool.

use super::*;

#[test]
fn one_that_gives_nothing_back_gets_a_fifth_and_the_next_a_fifth_of_the_rest() {
    let mut cx = Cx::for_test(64, 4096, 16);
    let (none, want) = (Held::default(), Charge::of(&cx, 4096));
    let mut taken = Vec::new();
    let mut fill = |cx: &mut Cx| {
        let mut held = Held::default();
        while may_take(cx, &held, &none, want) {
            let Some(io) = cx.request_long(4096) else { break };
            taken.push(io);
            held.add(want);
        }
        held
    };
    // A fifth of what is free, rounded up; however many come, each gets one as long as there is one.
    let shares: Vec<u32> = (0..10).map(|_| fill(&mut cx).boxes()).collect();
    assert_eq!(shares, [4, 3, 2, 2, 1, 1, 1, 1, 1, 0]);
    taken.into_iter().for_each(|io| cx.put_io(io));
}

#[test]
fn what_is_held_unsent_and_what_several_buffers_need_counts() {
    let cx = Cx::for_test(64, 4096, 16);
    let (one, three) = (Charge::of(&cx, 100), Charge::of(&cx, 3 * 4096));
    let mut held = Held::default();
    assert!(may_take(&cx, &held, &held, three));
    held.add(one);
    // Two are held, by commands and unsent, and 16 free: the third of three would see four held and 14 free.
    assert!(may_take(&cx, &held, &held, one) && !may_take(&cx, &held, &held, three));
    assert!(may_take(&cx, &held, &Held::default(), three));
    // A box without a buffer counts as a box.
    let boxes = Cx::for_test(4, 4096, 16);
    assert!(!may_take(&boxes, &held, &Held::default(), Charge::of(&boxes, 0)));
    held.remove(one);
    assert_eq!(held.boxes(), 0);
    assert!(may_take(&boxes, &held, &Held::default(), Charge::of(&boxes, 0)));
}
