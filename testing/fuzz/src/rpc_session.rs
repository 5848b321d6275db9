//! A JSON-RPC connection that is sent anything, in pieces of any size.

/// Bytes 0 to 7: sizes of the pieces, less one. Then the stream.
pub fn run(data: &[u8]) {
    doorbell_rpc::fuzz::session(data);
}

/// Requests alone, together and one inside another; a batch; text that is no JSON.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    const WHOLE: [u8; 8] = [255; 8];
    const CUT: [u8; 8] = [0, 6, 1, 40, 2, 13, 0, 90];
    let say = |sizes: [u8; 8], text: &str| [&sizes, text.as_bytes()].concat();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"bdev_get_bdevs","params":{"name":"Malloc0"}}"#;
    let batch = r#"[{"method":"a","id":1,"params":{}},{"method":"b","id":"two"},{"method":"c","params":{"d":[1,2.5,-3e4,null,true]}}]"#;
    vec![
        ("call", say(WHOLE, call)),
        ("call_in_pieces", say(CUT, call)),
        ("calls_without_a_gap", say(CUT, &[call, call, call].concat())),
        ("batch", say(CUT, batch)),
        ("empty_batch", say(WHOLE, "[]")),
        ("not_a_request", say(CUT, r#"{"id":7,"method":5} {"jsonrpc":"1.0","method":"x","id":8} 42"#)),
        ("escapes", say(CUT, r#"{"method":"\u00e9\ud83d\ude00\n\\\"","id":null,"params":{"\u0000":"\t"}}"#)),
        ("deep", say(WHOLE, &"[".repeat(200))),
        ("other_protocol", say(WHOLE, "GET / HTTP/1.1\r\n\r\n")),
    ]
}
