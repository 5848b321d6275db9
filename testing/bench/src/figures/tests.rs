use super::median;

#[test]
fn the_middle() {
    assert_eq!(median(vec![]), 0.0);
    assert_eq!(median(vec![3.0]), 3.0);
    assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
}
