use super::*;

fn read(bytes: &[u8]) -> Option<String> {
    name(&[(NAME.to_vec(), bytes.to_vec())])
}

#[test]
fn names_are_read_as_they_are_written() {
    let id = Uuid::from_random([7; 16]);
    for written in [of_volume("v", id), of_store("v", id)] {
        assert_eq!((name(&written).as_deref(), uuid(&written)), (Some("v"), Some(id)));
    }
    assert_eq!(of_volume("v", id)[0].1.len(), 64);
    assert_eq!(of_store("lvs0", id)[1].1, b"lvs0\0");
}

#[test]
fn names_that_are_none_are_refused() {
    assert_eq!(read(b"abc"), Some("abc".to_owned()), "without an end");
    assert_eq!(read(&[b'a'; 64]), Some("a".repeat(64)), "without an end, as long as can be");
    assert_eq!(read(&[b'a'; 65]), None);
    assert_eq!(read(b"\0abc"), None);
    for name in ["", "a\0", &"a".repeat(64)] {
        assert!(check(name).is_err(), "{name:?}");
    }
    assert!(check(&"a".repeat(63)).is_ok());
}

#[test]
fn uuids_that_are_none_are_refused() {
    let read = |text: &str| uuid(&[(UUID.to_vec(), text.as_bytes().to_vec())]);
    assert!(read("9AC04CDB-3590-4706-b552-41c4018a8666\0").is_some(), "in capitals too");
    for text in
        ["", "9ac04cdb-3590-4706-b552-41c4018a8666", "9ac04cdb-3590-4706-b552-41c4018a8666 ", "9ac04cdb03590-4706-b552-41c4018a8666\0"]
    {
        assert_eq!(read(text), None, "{text:?}");
    }
    assert_eq!(read("00000000-0000-0000-0000-000000000000\0"), None);
}
