use super::{Call, Session};
use crate::limits::{READ_BYTES, REQUEST_BYTES_MAX, RUNNING_MAX, UNREAD_BYTES_MAX};
use doorbell_control::RpcError;
use proptest::prelude::*;
use serde_json::{Value, json};

const REQUESTS: &str = include_str!("../../tests/data/client-requests.json");

fn calls(session: &mut Session) -> Vec<Call> {
    std::iter::from_fn(|| session.next_call()).collect()
}

fn replies(session: &mut Session) -> Vec<Value> {
    let text = String::from_utf8(session.output().to_vec()).unwrap();
    session.sent(text.len());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends a text, answers each call with its method's name, and gives the replies.
fn exchange(text: &str) -> Vec<Value> {
    let mut session = Session::new();
    session.receive(text.as_bytes());
    for call in calls(&mut session) {
        let answer = if call.method == "fails" { Err(RpcError::busy()) } else { Ok(json!(call.method)) };
        session.answer(call.ticket, &answer);
    }
    replies(&mut session)
}

fn error(id: Value, code: i64) -> Value {
    let message = match code {
        -32600 => "Invalid request",
        -16 => "Device or resource busy",
        _ => "Parse error",
    };
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

fn without_data(mut replies: Vec<Value>) -> Vec<Value> {
    for reply in &mut replies {
        if let Some(error) = reply.get_mut("error").and_then(Value::as_object_mut) {
            error.remove("data");
        }
    }
    replies
}

#[test]
fn ids_come_back_as_they_were() {
    let ok = |id: Value, method: &str| json!({"jsonrpc": "2.0", "id": id, "result": method});
    for (request, expected) in [
        (r#"{"jsonrpc":"2.0","method":"a","id":1}"#, vec![ok(json!(1), "a")]),
        (r#"{"method":"a","id":"x","params":null}"#, vec![ok(json!("x"), "a")]),
        (r#"{"method":"a","id":-7.5,"params":{}}"#, vec![ok(json!(-7.5), "a")]),
        (r#"{"method":"a","id":null}"#, vec![]),
        (r#"{"method":"a"}"#, vec![]),
        (r#"{"method":"fails"}"#, vec![error(Value::Null, -16)]),
        (r#"{"method":"a","id":1}{"method":"b","id":2}"#, vec![ok(json!(1), "a"), ok(json!(2), "b")]),
        (" \n\t", vec![]),
    ] {
        assert_eq!(exchange(request), expected, "{request}");
    }
}

#[test]
fn what_is_no_request_is_told_and_the_next_one_served() {
    let long = "x".repeat(129);
    for (request, id) in [
        ("1", Value::Null),
        ("\"a\"", Value::Null),
        ("{}", Value::Null),
        (r#"{"id":4}"#, json!(4)),
        (r#"{"method":1,"id":4}"#, json!(4)),
        (r#"{"method":"a","id":true}"#, Value::Null),
        (r#"{"method":"a","id":[1]}"#, Value::Null),
        (&format!(r#"{{"method":"a","id":"{long}"}}"#), Value::Null),
        (r#"{"method":"a","id":4,"params":3}"#, json!(4)),
        (r#"{"method":"a","id":4,"jsonrpc":"1.0"}"#, json!(4)),
        (r#"{"method":"a","id":4,"jsonrpc":2.0}"#, json!(4)),
        (r#"{"method":"a","id":4,"extra":1}"#, json!(4)),
        ("[]", Value::Null),
    ] {
        let text = format!("{request} {{\"method\":\"b\",\"id\":9}}");
        let got = without_data(exchange(&text));
        assert_eq!(got, [error(id, -32600), json!({"jsonrpc": "2.0", "id": 9, "result": "b"})], "{request}");
    }
}

#[test]
fn garbage_breaks_the_connection_after_one_error() {
    let long = format!("{{\"method\":\"{}\"", "x".repeat(REQUEST_BYTES_MAX));
    let values = format!("[{}]", vec!["1"; 9000].join(","));
    for garbage in ["hello", "{\"a\":}", "{\"method\":\"\u{1}\"}", &long, &values, "\"\\ud800\""] {
        let mut session = Session::new();
        session.receive(b"{\"method\":\"a\",\"id\":1}");
        session.receive(garbage.as_bytes());
        let mut running = calls(&mut session);
        assert_eq!(running.len(), 1);
        assert!(session.broken() && session.room() == 0);
        session.receive(b"{\"method\":\"b\",\"id\":2}");
        assert!(session.next_call().is_none());
        // What was asked before is still answered.
        session.answer(running.remove(0).ticket, &Ok(json!(true)));
        let got = without_data(replies(&mut session));
        assert_eq!(got, [error(Value::Null, -32700), json!({"jsonrpc": "2.0", "id": 1, "result": true})]);
        assert!(session.idle());
    }
    let mut bytes = Session::new();
    bytes.receive(b"{\"method\":\"\xff\"}");
    assert!(bytes.next_call().is_none() && bytes.broken());
}

#[test]
fn batches_answer_in_the_order_of_their_answers() {
    let mut session = Session::new();
    session.receive(br#"[{"method":"a","id":1},{"method":"b"},7,{"method":"c","id":"x"},{"method":"fails"}]"#);
    let mut running = calls(&mut session);
    let methods: Vec<_> = running.iter().map(|call| call.method.as_str()).collect();
    assert_eq!(methods, ["a", "b", "c", "fails"]);
    while let Some(call) = running.pop() {
        assert!(session.output().is_empty(), "a batch is answered as one");
        let answer = if call.method == "fails" { Err(RpcError::busy()) } else { Ok(json!(call.method)) };
        session.answer(call.ticket, &answer);
    }
    let got = replies(&mut session);
    assert_eq!(got.len(), 1);
    let got = without_data(got[0].as_array().unwrap().clone());
    let ok = |id: Value, method: &str| json!({"jsonrpc": "2.0", "id": id, "result": method});
    assert_eq!(got, [error(Value::Null, -32600), ok(json!("x"), "c"), ok(json!(1), "a")]);

    assert!(exchange(r#"[{"method":"a"},{"method":"fails","id":null}]"#).is_empty());
    let nested = exchange("[[]]");
    assert_eq!(nested[0][0]["error"]["code"], -32600);
}

#[test]
fn a_client_that_reads_nothing_is_not_served_on() {
    let mut session = Session::new();
    let many: String = (0..200).map(|id| format!("{{\"method\":\"a\",\"id\":{id}}}\n")).collect();
    session.receive(many.as_bytes());
    let running = calls(&mut session);
    assert_eq!((running.len(), session.room()), (RUNNING_MAX, 0));
    for call in running {
        session.answer(call.ticket, &Ok(json!("x".repeat(UNREAD_BYTES_MAX / RUNNING_MAX))));
    }
    assert!(session.next_call().is_none() && session.room() == 0);
    assert_eq!(replies(&mut session).len(), RUNNING_MAX);
    assert_eq!(session.next_call().unwrap().ticket.id, Some(json!(RUNNING_MAX)));
}

#[test]
fn a_request_may_be_as_long_as_the_limit() {
    let frame = r#"{"method":"a","id":1,"params":{"x":""}}"#;
    let text = format!(r#"{{"method":"a","id":1,"params":{{"x":"{}"}}}}"#, "x".repeat(REQUEST_BYTES_MAX - frame.len()));
    assert_eq!(text.len(), REQUEST_BYTES_MAX);
    assert_eq!(exchange(&text)[0]["result"], "a");
    let mut session = Session::new();
    for piece in text.as_bytes().chunks(READ_BYTES) {
        assert!(session.room() >= piece.len());
        assert!(session.next_call().is_none());
        session.receive(piece);
    }
    assert_eq!(session.next_call().unwrap().method, "a");
}

/// What the session makes of a stream given in pieces: the calls in order, then whether it broke.
fn understand(pieces: &[&[u8]]) -> (Vec<super::Parsed>, Vec<Value>, bool) {
    let mut session = Session::new();
    let mut seen = Vec::new();
    for piece in pieces {
        session.receive(piece);
        while let Some(call) = session.next_call() {
            seen.push(super::Parsed { id: call.ticket.id.clone(), method: call.method, params: call.params, twice: call.twice });
            session.answer(call.ticket, &Ok(Value::Null));
        }
    }
    (seen, replies(&mut session), session.broken())
}

fn captured() -> Vec<Value> {
    serde_json::from_str::<Vec<Value>>(REQUESTS).unwrap()
}

#[test]
fn requests_that_the_client_really_sends() {
    for (id, mut request) in captured().into_iter().enumerate() {
        request["jsonrpc"] = json!("2.0");
        request["id"] = json!(id);
        let text = serde_json::to_string_pretty(&request).unwrap();
        let (seen, replies, broken) = understand(&[text.as_bytes()]);
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].method, request["method"]);
        assert_eq!(seen[0].params.as_ref(), request.get("params"));
        assert_eq!(replies[0]["id"], json!(id));
        assert!(!broken);
    }
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        picks in prop::collection::vec((0usize..111, 0u8..3), 1..8),
        garbage in prop::option::of("[ -~]{1,5}"),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let requests = captured();
        let mut text = String::new();
        for (pick, form) in picks {
            let mut request = requests[pick].clone();
            request["id"] = json!(pick);
            match form {
                0 => text += &serde_json::to_string_pretty(&request).unwrap(),
                1 => text += &format!("{request}\n"),
                _ => text += &format!("[{request}, {{\"method\":\"x\"}}]"),
            }
        }
        text += garbage.as_deref().unwrap_or("");
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(understand(&pieces), understand(&[bytes]));
    }

    #[test]
    fn the_fuzz_body_holds(data in prop::collection::vec(any::<u8>(), 0..300), tail in "[\\[\\]{}:,\"a-z0-9 ]{0,200}") {
        crate::fuzz::session(&[data, tail.into_bytes()].concat());
    }
}

#[test]
fn a_member_that_stands_twice_is_refused_where_it_stands() {
    let mut session = Session::new();
    session.receive(
        br#"{"method":"a","id":1,"params":{"x":1,"y":{"z":1,"z":1}}}[{"method":"b","id":2,"params":{"x":1,"x":2}},{"method":"c","id":3}]"#,
    );
    let twice: Vec<_> = calls(&mut session).into_iter().map(|call| (call.method, call.twice)).collect();
    let twice: Vec<_> = twice.iter().map(|(method, twice)| (&**method, twice.as_deref())).collect();
    assert_eq!(twice, [("a", Some("y.z")), ("b", Some("x")), ("c", None)]);
    for request in [
        r#"{"method":"a","method":"b","id":1}"#,
        r#"{"method":"a","id":1,"id":2}"#,
        r#"{"method":"a","id":1,"params":{},"params":{"x":1}}"#,
    ] {
        assert_eq!(without_data(exchange(request)), [error(Value::Null, -32600)], "{request}");
    }
}
