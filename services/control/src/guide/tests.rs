use super::{guide_index, guide_page, schema};
use crate::{Keep, Methods, When, params};

params! {
    struct Target { /// Where.
        traddr: String }
    struct Connect {
        /// How many | often.
        retries: u32 = 3,
        /// To what.
        targets: Vec<Target>,
    }
}

#[test]
fn page_and_schema_say_the_same() {
    let mut methods = Methods::default();
    methods.add("doorbell_connect", When::Runtime, "Connects.", |p: Connect| async move { Ok(p.retries) }).former_name("connect");
    methods.keep(Keep::one("bdev_raid_set_options"));
    let page = guide_page(&methods.0[0]);
    assert!(page.starts_with("# `doorbell_connect`\n\nConnects.\n\nAfter `framework_start_init` only.\n"), "{page}");
    assert!(page.contains("Also found as `connect`."));
    assert!(page.contains("| `retries` | uint32 | default `3` | How many \\| often. |"));
    assert!(page.contains("| `targets` | list of object | required | To what. |"));
    assert!(page.contains("| `targets[].traddr` | string | required | Where. |"));

    let schema = schema(&methods.0);
    assert_eq!(schema["methods"][0]["params"][0]["default"], 3);
    assert_eq!(schema["methods"][0]["aliases"][0], "connect");
    assert_eq!(schema["methods"][1]["kept"], true);
    assert_eq!(schema["methods"][1]["callable_in"][1], "runtime");
}

#[test]
fn the_index_leads_to_every_page() {
    let mut methods = Methods::default();
    methods.keep(Keep::one("bdev_raid_set_options"));
    for name in ["rpc_get_methods", "bdev_get_bdevs", "bdev_a"] {
        methods.add(name, When::Any, "Does | this.", |_: crate::NoParams| async { Ok(1) });
    }
    let index = guide_index(&methods.0);
    let headings: Vec<_> = index.lines().filter(|line| line.starts_with("## ")).collect();
    assert_eq!(headings, ["## bdev", "## rpc", "## Kept for saved configurations"]);
    let rows: Vec<_> = index.lines().filter(|line| line.starts_with("| [")).collect();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0], "| [`bdev_a`](bdev_a.md) | Does \\| this. |");
    assert!(rows[3].contains("(bdev_raid_set_options.md)"));
}
