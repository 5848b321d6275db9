use super::*;
use proptest::prelude::*;

fn twice(text: &str) -> Option<String> {
    serde_json::from_str::<Strict>(text).unwrap().twice
}

#[test]
fn the_first_member_that_stands_twice_is_named() {
    for (text, path) in [
        (r#"{"a": 1, "b": 2}"#, None),
        (r#"{"a": 1, "a": 1}"#, Some("a")),
        (r#"{"a": {"b": 1, "c": 2, "b": 3}}"#, Some("a.b")),
        (r#"[1, {"x": [{}, {"y": 1, "y": 2}]}]"#, Some("[1].x[1].y")),
        (r#"{"a": {"b": 1}, "c": {"b": 1}}"#, None),
        // An escape is another way to write the same name.
        (r#"{"a": 1, "\u0061": 2}"#, Some("a")),
        (r#"{"a": {"b": 1, "b": 1}, "a": 2}"#, Some("a.b")),
    ] {
        assert_eq!(twice(text).as_deref(), path, "{text}");
    }
    assert!(read_json(r#"{"a": 1, "a": 2}"#).unwrap_err().contains("`a` stands twice"));
    assert!(read_json("{").is_err() && read_json("{} {}").is_err());
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".{0,3}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_has_none_is_read_as_serde_json_reads_it(value in values()) {
        let text = value.to_string();
        let plain: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::from_str::<Strict>(&text).unwrap(), Strict { value: plain, twice: None });
    }
}
