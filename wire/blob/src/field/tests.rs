use super::*;

#[test]
fn the_checksum_is_the_ordinary_crc_32c() {
    assert_eq!(crc_fast::crc32_iscsi(b"123456789"), 0xe306_9283);
    let mut page = [0; PAGE_LEN];
    assert_eq!(checksum(&page), 0xa732_586e);
    assert!(!is_sealed(&page), "a page of zeroes is not valid: that is how a free page is known");
    seal(&mut page);
    assert!(is_sealed(&page) && stored_checksum(&page) == 0xa732_586e);
    page[17] ^= 4;
    assert!(!is_sealed(&page));
}

#[test]
fn what_lies_outside_is_neither_read_nor_written() {
    let mut bytes = [1; 6];
    assert_eq!((u32_at(&bytes, 2), u32_at(&bytes, 3), u32_at(&bytes, usize::MAX), u64_at(&bytes, 0)), (0x0101_0101, 0, 0, 0));
    put(&mut bytes, 4, &[9; 3]);
    put(&mut bytes, 7, &[]);
    assert_eq!(bytes, [1; 6]);
}
