use super::*;

#[test]
fn sizes_are_read_as_people_write_them() {
    for (text, bytes) in [
        ("0", 0),
        ("512", 512),
        ("512b", 512),
        ("4k", 4096),
        ("4K", 4096),
        ("4KiB", 4096),
        ("4kb", 4096),
        (" 1G ", 1 << 30),
        ("1.5T", 3 << 39),
        ("2P", 2 << 50),
    ] {
        assert_eq!(parse(text), Ok(bytes), "{text}");
    }
}

#[test]
fn what_is_no_size_is_refused() {
    for text in ["", "k", "G", "-1", "1.5", "1e3", "4x", "4kk", "1 G", "i", "iB", "20000000P", "99999999999999999999", "nanK", "infG"] {
        assert_eq!(parse(text), Err(BadSize(text.to_owned())), "{text}");
    }
    assert!(parse_u32("8G").is_err());
}

#[test]
fn sizes_are_shown_short() {
    for (bytes, text) in [(0, "0 B"), (512, "512 B"), (1 << 30, "1 GiB"), (1536 << 20, "1.5 GiB"), (1023, "1023 B"), (u64::MAX, "16 EiB")] {
        assert_eq!(Size(bytes).to_string(), text);
    }
}
