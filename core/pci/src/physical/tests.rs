use super::*;
use doorbell_mem::{Backing, Regions};

#[test]
fn words_of_the_page_map_are_told_apart() {
    assert_eq!(number(1 << 63 | 0x1234), Ok(0x1234));
    assert_eq!(number(1 << 63 | 1 << 55 | 7), Ok(7), "the soft-dirty bit is no part of it");
    assert!(number(0x1234).unwrap_err().contains("not there"));
    assert!(number(1 << 63).unwrap_err().contains("root"));
}

#[test]
fn ordinary_memory_is_refused_in_words() {
    let region = Regions::new().map(4096, Backing::Ordinary, None).unwrap();
    let why = look_up("0000:01:00.0")(&region).unwrap_err().to_string();
    assert!(why.contains("--huge 2M") && why.starts_with("0000:01:00.0"), "{why}");
}
