use super::piece_bytes;

#[test]
fn pieces_are_of_the_controllers_grain() {
    assert_eq!(piece_bytes(0, 1 << 20), 128 << 10);
    assert_eq!(piece_bytes(0xff, 16384), 16384);
    assert_eq!(piece_bytes(3, 1 << 20), 10 * 3 * 4096);
    assert_eq!(piece_bytes(64, 1 << 20), 64 * 4096, "one unit at least, whatever the limit is");
}
