use super::write;
use crate::limits::REPLY_BYTES_MAX;
use doorbell_control::RpcError;
use serde_json::{Value, json};

fn text(id: Value, answer: &Result<Value, RpcError>) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes, REPLY_BYTES_MAX, &id, answer);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn shapes() {
    assert_eq!(text(json!(7), &Ok(json!({"a": [1]}))), r#"{"jsonrpc":"2.0","id":7,"result":{"a":[1]}}"#);
    assert_eq!(text(json!("x"), &Ok(Value::Null)), r#"{"jsonrpc":"2.0","id":"x","result":null}"#);
    let error = Err(RpcError::no_device());
    assert_eq!(text(json!(null), &error), r#"{"jsonrpc":"2.0","id":null,"error":{"code":-19,"message":"No such device"}}"#);
}

#[test]
fn only_ascii_goes_out() {
    let reply = text(json!("ü"), &Ok(json!({"n\u{0}": "a\u{1f600}é\"\\\n"})));
    assert!(reply.is_ascii(), "{reply}");
    assert!(reply.contains(r"a\ud83d\ude00\u00e9"), "{reply}");
    let back: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(back, json!({"jsonrpc": "2.0", "id": "ü", "result": {"n\u{0}": "a\u{1f600}é\"\\\n"}}));
}

#[test]
fn a_reply_that_is_too_long_becomes_an_error() {
    let mut bytes = b"before".to_vec();
    write(&mut bytes, 100, &json!(1), &Ok(json!("x".repeat(100))));
    let reply: Value = serde_json::from_slice(&bytes[6..]).unwrap();
    assert_eq!(reply["error"]["code"], -32603);
    assert!(bytes.starts_with(b"before"));
}
