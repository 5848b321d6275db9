use super::super::source::Source;
use super::{root, uses};

fn lines(path: &str, text: &str) -> Vec<usize> {
    uses(&Source::new(path, text)).iter().map(|f| f.line).collect()
}

#[test]
fn the_word_is_found_anywhere_but_in_islands() {
    assert_eq!(lines("core/block/src/lib.rs", "fn f() {\n    unsafe { g() }\n}\n"), [2]);
    assert_eq!(lines("app/doorbell/tests/a.rs", "// SAFETY: no.\nunsafe impl X for Y {}\n"), [2]);
    assert!(lines("core/block/src/lib.rs", "#![forbid(unsafe_code)]\n// unsafe\nlet a = \"unsafe\";\n").is_empty());
}

#[test]
fn an_island_gives_a_reason_for_each_block() {
    assert_eq!(lines("core/mem/src/a.rs", "fn f() {\n    unsafe { g() }\n}\n"), [2]);
    assert!(lines("core/mem/src/a.rs", "// SAFETY: g is g.\nunsafe { g() }\n").is_empty());
    assert!(lines("core/mem/src/a.rs", "// SAFETY: X is Y,\n// always.\n#[cfg(unix)]\nunsafe impl X for Y {}\n").is_empty());
    assert!(lines("core/mem/src/a.rs", "// SAFETY: g is g.\nlet a =\n    unsafe { g() };\n").is_empty());
}

#[test]
fn a_reason_covers_only_its_own_statement() {
    assert_eq!(lines("core/sys/src/a.rs", "// SAFETY: g is g.\nunsafe { g() };\nunsafe { h() };\n"), [3]);
    assert_eq!(lines("core/sys/src/a.rs", "// SAFETY: g is g.\n\nunsafe { g() };\n"), [3]);
}

#[test]
fn an_unsafe_function_explains_itself_in_its_documentation_instead() {
    assert!(lines("core/mem/src/a.rs", "pub unsafe fn f() {}\n").is_empty());
}

#[test]
fn roots_outside_the_islands_forbid_it() {
    let says = |path: &str, text: &str| root(&Source::new(path, text)).is_some();
    assert!(says("core/block/src/lib.rs", "//! Head.\n// #![forbid(unsafe_code)]\n"));
    assert!(!says("core/block/src/lib.rs", "//! Head.\n#![forbid(unsafe_code)]\n"));
    assert!(!says("core/mem/src/lib.rs", "//! Head.\n"));
}
