use super::{guide_page, schema};
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
