use super::*;

#[test]
fn unknown_flags_take_away_as_much_as_their_word_says() {
    let known = Flags { invalid: 0xf, data_ro: 0, md_ro: 3 };
    assert_eq!((known.access(), known.unknown_invalid()), (Access::Full, 0));
    assert_eq!(Flags { md_ro: 4, ..known }.access(), Access::MetadataReadOnly);
    assert_eq!(Flags { data_ro: 2, md_ro: 4, ..known }.access(), Access::ReadOnly);
    assert_eq!(Flags { data_ro: 1, ..known }.access(), Access::ReadOnly);
    let closed = Flags { invalid: 0x10, data_ro: 2, md_ro: 4 };
    assert_eq!((closed.access(), closed.unknown_invalid()), (Access::None, 0x10));
    assert_eq!(Flags { invalid: 1 << 63, ..known }.access(), Access::None);
}

#[test]
fn clear_methods_come_back_and_leave_the_rest_alone() {
    let flags = Flags { md_ro: 0xf0, ..Flags::default() };
    for method in [ClearMethod::Default, ClearMethod::None, ClearMethod::Unmap, ClearMethod::WriteZeroes] {
        let with = flags.with_clear_method(ClearMethod::WriteZeroes).with_clear_method(method);
        assert_eq!((with.clear_method(), with.md_ro & !3), (method, 0xf0));
    }
}
