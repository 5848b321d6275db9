use super::Floors;
use crate::metadata::{Dependency, Package};

const PAGE: &str = "\
# Page

| a | b |
| --- | --- |
| other | table |

| floor | crate (folder) | what it is | uses on its own floor |
| --- | --- | --- | --- |
| core | `doorbell-mem` (`core/mem`) | pools | |
| | `doorbell-sys` (`core/sys`) | system | mem |
| app | `doorbell` (`app/doorbell`) | the binary | |
| testing | `doorbell-sim`, `fuzz` | tests | all |

| floor | not this one |
";

fn package(name: &str, uses: &[(&str, Option<&str>)]) -> Package {
    let dependency = |&(name, kind): &(&str, Option<&str>)| Dependency { name: name.to_owned(), kind: kind.map(str::to_owned) };
    Package { name: name.to_owned(), dependencies: uses.iter().map(dependency).collect(), ..Package::default() }
}

fn findings(name: &str, manifest: &str, uses: &[(&str, Option<&str>)]) -> Vec<String> {
    let floors = Floors::parse(PAGE).expect("the table reads");
    let text = "[package]\n[dependencies]\ndoorbell-sys = 1\n";
    floors.check(&package(name, uses), manifest, text).iter().map(ToString::to_string).collect()
}

#[test]
fn downwards_and_named_is_allowed() {
    assert!(findings("doorbell-sys", "core/sys/Cargo.toml", &[("doorbell-mem", None), ("libc", None)]).is_empty());
    assert!(findings("doorbell", "app/doorbell/Cargo.toml", &[("doorbell-sys", None)]).is_empty());
    assert!(findings("doorbell-fuzz", "testing/fuzz/Cargo.toml", &[]).is_empty());
}

#[test]
fn sideways_without_a_name_and_upwards_is_not() {
    let sideways = findings("doorbell-mem", "core/mem/Cargo.toml", &[("doorbell-sys", None)]);
    assert_eq!(sideways.len(), 1);
    assert!(sideways[0].starts_with("core/mem/Cargo.toml:3: doorbell-mem (floor core) uses doorbell-sys (floor core)"), "{}", sideways[0]);
    assert_eq!(findings("doorbell-mem", "core/mem/Cargo.toml", &[("doorbell", None)]).len(), 1);
    assert_eq!(findings("doorbell-mem", "core/mem/Cargo.toml", &[("doorbell", Some("dev"))]).len(), 1);
}

#[test]
fn tests_may_use_the_testing_floor() {
    let manifest = "core/mem/Cargo.toml";
    assert!(findings("doorbell-mem", manifest, &[("doorbell-sim", Some("dev"))]).is_empty());
    assert_eq!(findings("doorbell-mem", manifest, &[("doorbell-sim", None)]).len(), 1);
}

#[test]
fn a_crate_needs_a_row_in_its_place() {
    assert_eq!(findings("doorbell-new", "core/new/Cargo.toml", &[]).len(), 1);
    assert_eq!(findings("doorbell-mem", "services/mem/Cargo.toml", &[]).len(), 1);
}

#[test]
fn a_page_without_the_table_is_a_finding() {
    assert!(Floors::parse("# Page\n").is_err());
    assert!(Floors::parse("| floor | crate |\n| --- | --- |\n| core | `a` |\n").is_err());
}
