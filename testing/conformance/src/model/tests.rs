use super::*;

#[test]
fn what_is_unknown_may_be_anything_and_what_is_known_may_not() {
    let mut m = Model::new(10, 8, 9);
    assert!(m.check(10, &[7; 4096]).is_ok());
    assert_eq!(m.expected(12, 1), None);
    m.write(12, &[1; 1024]);
    m.zero(13, 1);
    assert_eq!(m.expected(12, 1), Some(&[1; 512][..]));
    let mut read = vec![9; 1024];
    read[..512].fill(1);
    read[512..].fill(0);
    assert!(m.check(12, &read).is_ok());
    read[515] = 3;
    let why = m.check(12, &read).unwrap_err();
    assert!(why.contains("block 13") && why.contains("byte 3"), "{why}");
    m.forget(13, 1);
    assert!(m.check(12, &read).is_ok());
}

#[test]
fn a_copy_onto_itself_goes_as_if_through_other_memory() {
    let mut m = Model::new(0, 4, 9);
    for n in 0..3 {
        m.write(n, &[n as u8 + 1; 512]);
    }
    m.copy(0, 1, 3);
    for (n, v) in [1u8, 1, 2, 3].into_iter().enumerate() {
        assert_eq!(m.expected(n as u64, 1), Some(&[v; 512][..]));
    }
}
