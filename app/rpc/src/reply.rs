//! Replies as bytes: one JSON value, ASCII only, within the limit.

use crate::limits::REPLY_BYTES_MAX;
use doorbell_control::RpcError;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

#[cfg(test)]
mod tests;

#[derive(Serialize)]
struct Reply<'a> {
    jsonrpc: &'static str,
    id: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RpcError>,
}

/// Writes texts with everything beyond ASCII as `\uXXXX`.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, character) in fragment.char_indices().filter(|(_, character)| !character.is_ascii()) {
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }
}

/// A buffer that takes no more than so many bytes.
struct Bounded<'a> {
    into: &'a mut Vec<u8>,
    left: usize,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.into.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends a reply. One that would exceed `room` bytes is replaced by an error that says so.
pub(crate) fn write(into: &mut Vec<u8>, room: usize, id: &Value, answer: &Result<Value, RpcError>) {
    let reply = Reply { jsonrpc: "2.0", id, result: answer.as_ref().ok(), error: answer.as_ref().err() };
    let start = into.len();
    if write_within(into, room, &reply).is_err() {
        into.truncate(start);
        let error = RpcError::internal("Internal error").because(format!("the reply exceeds {REPLY_BYTES_MAX} bytes"));
        let reply = Reply { jsonrpc: "2.0", id, result: None, error: Some(&error) };
        // It is small; the limit exists for what a method makes, not for this.
        let _ = write_within(into, usize::MAX, &reply);
    }
}

fn write_within(into: &mut Vec<u8>, room: usize, reply: &Reply<'_>) -> serde_json::Result<()> {
    reply.serialize(&mut Serializer::with_formatter(Bounded { into, left: room }, Ascii))
}
