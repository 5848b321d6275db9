use super::{Rules, is_allowed};
use crate::metadata::Package;

const ALLOWED: [&str; 3] = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];

fn verdict(expression: &str) -> Option<bool> {
    is_allowed(expression, &ALLOWED)
}

#[test]
fn expressions_read_as_spdx_means_them() {
    assert_eq!(verdict("MIT"), Some(true));
    assert_eq!(verdict("GPL-3.0"), Some(false));
    assert_eq!(verdict("GPL-3.0 OR MIT"), Some(true));
    assert_eq!(verdict("GPL-3.0/MIT"), Some(true));
    assert_eq!(verdict("MIT AND GPL-3.0"), Some(false));
    assert_eq!(verdict("GPL-3.0 AND MIT OR Apache-2.0"), Some(true));
    assert_eq!(verdict("(MIT OR Apache-2.0) AND GPL-3.0"), Some(false));
    assert_eq!(verdict("Apache-2.0 WITH LLVM-exception OR GPL-3.0"), Some(true));
    assert_eq!(verdict("MIT WITH odd-exception"), Some(false));
}

#[test]
fn nonsense_does_not_read() {
    for expression in ["", "MIT OR", "(MIT", "MIT)", "AND MIT", "MIT MIT", "MIT WITH"] {
        assert_eq!(verdict(expression), None, "{expression}");
    }
}

fn package(license: Option<&str>, source: Option<&str>) -> Package {
    Package {
        name: "thing".to_owned(),
        version: "1.0.0".to_owned(),
        license: license.map(str::to_owned),
        source: source.map(str::to_owned),
        ..Package::default()
    }
}

#[test]
fn packages_are_judged() {
    let rules =
        Rules::parse("[licenses]\nallow = [\"MIT\"]\nexceptions = [{ crate = \"odd\", allow = [\"Zlib\"] }]\n").expect("rules read");
    assert_eq!(rules.complaint(&package(Some("MIT"), None)), None);
    assert!(rules.complaint(&package(Some("Zlib"), None)).is_some());
    let odd = Package { name: "odd".to_owned(), ..package(Some("Zlib"), None) };
    assert_eq!(rules.complaint(&odd), None);
    assert!(rules.complaint(&package(None, None)).is_some());
    assert!(rules.complaint(&package(Some("MIT"), Some("git+https://example.org/x"))).is_some());
}
