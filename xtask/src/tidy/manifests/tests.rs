use super::super::source::Source;
use super::{LICENSE, fields, root};
use crate::metadata::Package;

fn package() -> Package {
    Package {
        name: "doorbell-x".to_owned(),
        license: Some(LICENSE.to_owned()),
        description: Some("An example.".to_owned()),
        ..Package::default()
    }
}

#[test]
fn manifests_describe_and_license() {
    assert!(fields(&package(), "x/Cargo.toml").is_empty());
    let silent = Package { description: Some(" ".to_owned()), ..package() };
    assert_eq!(fields(&silent, "x/Cargo.toml").len(), 1);
    let unlicensed = Package { license: None, ..package() };
    assert_eq!(fields(&unlicensed, "x/Cargo.toml").len(), 1);
}

#[test]
fn wire_crates_do_without_std() {
    let says = |path: &str, text: &str| root(&Source::new(path, text)).len();
    assert_eq!(says("wire/nvme/src/lib.rs", "#![forbid(unsafe_code)]\n"), 1);
    assert_eq!(says("wire/nvme/src/lib.rs", "#![forbid(unsafe_code)]\n#![cfg_attr(not(test), no_std)]\n"), 0);
    assert_eq!(says("core/block/src/lib.rs", "#![forbid(unsafe_code)]\n"), 0);
}
