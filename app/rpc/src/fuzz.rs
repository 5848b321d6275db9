//! The body of the fuzz target of the session; also run by tests on fixed inputs.

use crate::limits::{READ_BYTES, REQUEST_BYTES_MAX, RUNNING_MAX};
use crate::session::Session;
use doorbell_control::RpcError;
use serde_json::Value;

/// Feeds bytes in pieces whose sizes the first bytes choose, answers every call, and checks what must always hold.
///
/// # Panics
/// When something that must hold does not.
pub fn session(data: &[u8]) {
    let (sizes, mut stream) = data.split_at(data.len().min(8));
    let mut session = Session::new();
    let mut held = Vec::new();
    let mut turn = 0usize;
    while !stream.is_empty() && !session.broken() {
        let wish = sizes.get(turn % sizes.len().max(1)).map_or(1, |size| usize::from(*size) + 1);
        turn += 1;
        let (piece, rest) = stream.split_at(wish.min(session.room()).min(stream.len()));
        stream = rest;
        session.receive(piece);
        while let Some(call) = session.next_call() {
            held.push(call);
        }
        assert!(held.len() <= RUNNING_MAX, "more calls run than may");
        // Every second turn answers what is held, the last call first, so that answers overtake one another.
        if turn.is_multiple_of(2) || session.room() == 0 {
            while let Some(call) = held.pop() {
                let answer = if call.params.is_some() { Ok(Value::String(call.method)) } else { Err(RpcError::busy()) };
                session.answer(call.ticket, &answer);
            }
            check_output(&mut session);
        }
        assert!(session.room() <= READ_BYTES && REQUEST_BYTES_MAX > 0);
    }
}

/// What is sent is lines of ASCII, each one JSON value.
fn check_output(session: &mut Session) {
    let output = session.output().to_vec();
    assert!(output.is_ascii() && (output.is_empty() || output.ends_with(b"\n")));
    for line in output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<Value>(line).expect("a reply is JSON");
    }
    session.sent(output.len());
}
