//! What parameters may look like.

use super::*;

#[test]
fn identifiers_are_hexadecimal_digits_and_nothing_else() {
    let parse = |text: &str| hex::<2>(Some(&text.to_owned()), "id").ok().flatten();
    assert_eq!(parse("01aF"), Some([1, 0xaf]));
    assert_eq!(parse("01-af"), Some([1, 0xaf]));
    for bad in ["+1af", "01+f", "01a", "01aff", "01ag", "é1a"] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}
