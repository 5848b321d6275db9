use super::super::source::Source;
use super::check;

/// The lines and complaints about a file that is well headed otherwise.
fn complaints(path: &str, body: &str) -> Vec<String> {
    let source = Source::new(path, &format!("//! Head.\n{body}"));
    check(&source).iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
}

#[test]
fn tests_stand_beside_the_module() {
    assert_eq!(complaints("a/src/b.rs", "#[cfg(test)]\nmod tests {\n}\n"), ["3: tests inside the module"]);
    assert!(complaints("a/src/b.rs", "#[cfg(test)]\nmod tests;\n").is_empty());
    assert!(complaints("a/src/b.rs", "mod attestation {\n}\n").is_empty());
    assert!(complaints("a/src/b/tests.rs", "mod loom_tests {\n}\n").is_empty());
}

#[test]
fn unfinished_work_is_found_in_code_and_in_comments() {
    assert_eq!(complaints("a/src/b.rs", "fn f() { todo!() }\n"), ["2: unfinished code"]);
    assert_eq!(complaints("a/src/b.rs", "fn f() {} // FIXME later\n"), ["2: a note about unfinished work"]);
    assert!(complaints("a/src/b.rs", "let a = \"TODO todo!()\";\n").is_empty());
}

#[test]
fn only_tests_may_not_sleep() {
    assert_eq!(complaints("a/src/b/tests.rs", "std::thread::sleep(d);\n"), ["2: a sleep in a test"]);
    assert_eq!(complaints("a/tests/b.rs", "thread::sleep(d);\n"), ["2: a sleep in a test"]);
    assert!(complaints("a/src/b.rs", "thread::sleep(d);\n").is_empty());
}

#[test]
fn exceptions_give_reasons() {
    assert_eq!(complaints("a/src/b.rs", "#[allow(dead_code)]\nfn f() {}\n"), ["2: `#[allow(dead_code)]` gives no reason"]);
    assert_eq!(complaints("a/src/b.rs", "#[ignore]\n"), ["2: `#[ignore]` gives no reason"]);
    assert_eq!(complaints("a/src/b.rs", "/// Docs are no reason.\n#[expect(\n    dead_code\n)]\n").len(), 1);
    assert!(complaints("a/src/b.rs", "#[allow(dead_code, reason = \"the guest reads it\")]\n").is_empty());
    assert!(complaints("a/src/b.rs", "// The guest reads it.\n#[allow(dead_code)]\n").is_empty());
    assert!(complaints("a/src/b.rs", "#[ignore = \"needs a disk\"]\n#[derive(Debug)]\n").is_empty());
}

#[test]
fn a_module_has_a_head_and_a_test_file_needs_none() {
    let headless = |path: &str| check(&Source::new(path, "use std::fmt;\n")).len();
    assert_eq!(headless("a/src/b.rs"), 1);
    assert_eq!(headless("a/src/b/tests.rs"), 0);
}
