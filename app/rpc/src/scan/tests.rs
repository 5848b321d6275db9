use super::{BadJson, Scan};
use crate::limits::REQUEST_VALUES_MAX;
use proptest::prelude::*;
use serde_json::Value;

fn whole(text: &[u8]) -> Result<Option<usize>, BadJson> {
    Scan::new().feed(text)
}

#[test]
fn where_values_end() {
    for (text, end) in [
        ("{}", Some(2)),
        (" [1, -2.5e+3] x", Some(13)),
        ("{\"a\": [{\"b\": \"]}\\\"\"}]}{", Some(22)),
        ("12", None),
        ("12 ", Some(2)),
        ("-0,", Some(2)),
        ("true", Some(4)),
        ("\"\\u00e9\"", Some(8)),
        ("{\"a\"", None),
        ("", None),
    ] {
        assert_eq!(whole(text.as_bytes()), Ok(end), "{text}");
    }
}

#[test]
fn garbage_is_refused_at_its_first_byte() {
    for (text, at) in [
        ("hello", 0),
        ("{]", 1),
        ("[1,]", 3),
        ("{\"a\" 1}", 5),
        ("{\"a\":1,}", 7),
        ("{1:2}", 1),
        ("[01]", 2),
        ("[1.]", 3),
        ("[-]", 2),
        ("[1e]", 3),
        ("nul1", 3),
        ("\"\n\"", 1),
        ("\"\\x\"", 2),
        ("\"\\u12g\"", 5),
        ("[1}", 2),
        ("GET / HTTP/1.1", 0),
    ] {
        assert_eq!(whole(text.as_bytes()), Err(BadJson::Syntax(at)), "{text}");
    }
}

#[test]
fn depth_and_count_are_bounded() {
    let nested = |depth| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert_eq!(whole(&nested(64)), Ok(Some(128)));
    assert_eq!(whole(&nested(65)), Err(BadJson::Depth));
    // Both ends of the array count.
    let numbers = |count: usize| format!("[{}]", vec!["0"; count].join(",")).into_bytes();
    assert!(whole(&numbers(REQUEST_VALUES_MAX - 2)).unwrap().is_some());
    assert_eq!(whole(&numbers(REQUEST_VALUES_MAX - 1)), Err(BadJson::Values));
    // So do names and both ends of objects.
    let objects = |count: usize| format!("[{}]", vec!["{\"a\":0}"; count].join(",")).into_bytes();
    assert!(whole(&objects(2047)).unwrap().is_some());
    assert_eq!(whole(&objects(2048)), Err(BadJson::Values));
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever is written as JSON ends where it ends, in pieces too.
    #[test]
    fn any_value_in_any_pieces(value in json(), pretty: bool, cuts in prop::collection::vec(0usize..400, 0..6)) {
        let mut text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        let end = text.len();
        text.extend_from_slice(b" {");
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let mut scan = Scan::new();
        let mut found = None;
        for pair in cuts.windows(2) {
            if let Some(n) = scan.feed(&text[pair[0]..pair[1]]).unwrap() {
                found = Some(pair[0] + n);
                break;
            }
        }
        prop_assert_eq!(found, Some(end));
    }

    /// It agrees with a parser that somebody else wrote, on texts that are nearly JSON.
    #[test]
    fn agrees_with_serde_json(value in json(), at in any::<prop::sample::Index>(), byte in prop::sample::select(&b"{}[],:\"\\e0-. x"[..])) {
        // In an array, because numbers at the top end where serde_json goes on to the next space.
        let mut text = serde_json::to_vec(&[value]).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        prop_assume!(text[0] == b'[');
        text.push(b' ');
        let theirs = serde_json::Deserializer::from_slice(&text).into_iter::<serde::de::IgnoredAny>().next();
        match (whole(&text), theirs) {
            (Ok(Some(_)), Some(Ok(_))) | (Err(_), Some(Err(_))) | (Ok(None), None) => {}
            // Cut off: the end is not there, or an error stands before it. Broken UTF-8 is the decoder's to find.
            (Ok(None), Some(Err(error))) => prop_assert!(error.is_eof(), "{error}"),
            (Ok(Some(_)), Some(Err(_))) => prop_assert!(std::str::from_utf8(&text).is_err()),
            (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?} of {}", String::from_utf8_lossy(&text)),
        }
    }
}
