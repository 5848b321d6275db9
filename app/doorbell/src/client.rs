//! A client of the RPC socket, for the command line: one call at a time, blocking.

use crate::cli::Server;
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody there.
    #[error("no server at {}: {source}. Is it running (doorbell serve)? Does it listen elsewhere (-s PATH)?", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Somebody, who does not answer.
    #[error("no answer from {}: {why}", path.display())]
    Lost {
        /// The socket.
        path: PathBuf,
        /// What happened.
        why: String,
    },
    /// The method's own error.
    #[error("{}", answer(.0))]
    Refused(Value),
    /// The method's own error, and what may help.
    #[error("{}. {hint}", answer(error))]
    Explained {
        /// Its error.
        error: Value,
        /// What to do.
        hint: String,
    },
    /// Parameters that cannot be sent.
    #[error("{0}")]
    Params(String),
}

/// An error reply in one line.
fn answer(error: &Value) -> String {
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    let mut line = text("message").unwrap_or("an error without a message").to_owned();
    if let Some(code) = error.get("code").and_then(Value::as_i64) {
        line.push_str(&format!(" ({code})"));
    }
    if let Some(data) = text("data") {
        line.push_str(&format!(": {data}"));
    }
    line
}

/// The socket of packaging/doorbell.service.
const SERVICE_SOCKET: &str = "/run/doorbell/doorbell.sock";

/// A connection.
pub(crate) struct Client {
    stream: UnixStream,
    path: PathBuf,
    next: u64,
}

impl Client {
    /// Connects to the server that is meant: the one named; or else Doorbell's own socket, which is there when another server has the
    /// default one; or else that of the system's service; or else the default one.
    pub(crate) fn connect(server: &Server) -> Result<Client, ClientError> {
        let timeout = Duration::try_from_secs_f64(server.timeout).ok().filter(|t| !t.is_zero());
        let timeout = timeout.ok_or_else(|| ClientError::Params("--timeout is a number of seconds above 0".to_owned()))?;
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("doorbell.sock"));
        let candidates = match &server.socket {
            Some(path) => vec![path.clone()],
            None => own.into_iter().chain([SERVICE_SOCKET.into(), doorbell_rpc::DEFAULT_SOCKET.into()]).collect(),
        };
        let mut refused = None;
        for path in candidates {
            match UnixStream::connect(&path) {
                Ok(stream) => {
                    let set = stream.set_read_timeout(Some(timeout)).and_then(|()| stream.set_write_timeout(Some(timeout)));
                    set.map_err(|error| ClientError::Lost { path: path.clone(), why: error.to_string() })?;
                    return Ok(Client { stream, path, next: 1 });
                }
                Err(source) => refused = Some(ClientError::Connect { path, source }),
            }
        }
        Err(refused.unwrap_or_else(|| ClientError::Params("no socket to connect to".to_owned())))
    }

    /// Calls a method and waits for its result.
    pub(crate) fn call(&mut self, method: &str, params: Option<Map<String, Value>>) -> Result<Value, ClientError> {
        let mut request = json!({"jsonrpc": "2.0", "id": self.next, "method": method});
        self.next += 1;
        if let (Some(params), Some(request)) = (params, request.as_object_mut()) {
            request.insert("params".to_owned(), Value::Object(params));
        }
        let path = self.path.clone();
        let lost = |why: String| ClientError::Lost { path, why };
        if let Err(error) = self.stream.write_all(request.to_string().as_bytes()) {
            return Err(lost(said(&error)));
        }
        // A reply ends with its closing brace; the line's end after it is skipped as white space before the next.
        let mut replies = serde_json::Deserializer::from_reader(&self.stream).into_iter::<Value>();
        let reply = match replies.next() {
            Some(Ok(reply)) => reply,
            Some(Err(error)) if error.is_io() => return Err(lost(said(&error.into()))),
            Some(Err(error)) => return Err(lost(format!("it does not answer in JSON: {error}"))),
            None => return Err(lost("it closed the connection".to_owned())),
        };
        match (reply.get("error"), reply.get("result")) {
            (Some(error), _) => Err(ClientError::Refused(error.clone())),
            (None, Some(result)) => Ok(result.clone()),
            (None, None) => Err(lost("its reply has neither result nor error".to_owned())),
        }
    }
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "none came in time (--timeout)".to_owned(),
        _ => error.to_string(),
    }
}

/// Reads `key=value` and JSON objects into parameters; none at all: `None`.
pub(crate) fn params(words: &[String]) -> Result<Option<Map<String, Value>>, ClientError> {
    let mut map = Map::new();
    for word in words {
        if word.trim_start().starts_with('{') {
            let object = serde_json::from_str(word).map_err(|error| ClientError::Params(format!("`{word}` is no JSON object: {error}")))?;
            let Value::Object(object) = object else { return Err(ClientError::Params(format!("`{word}` is no JSON object"))) };
            map.extend(object);
            continue;
        }
        let Some((key, value)) = word.split_once('=') else {
            return Err(ClientError::Params(format!("`{word}` is neither key=value nor a JSON object")));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        insert(&mut map, key, value)
            .map_err(|()| ClientError::Params(format!("`{key}` is given twice, or inside of something that is no object")))?;
    }
    Ok((!words.is_empty()).then_some(map))
}

/// Sets `a.b.c`, making the objects on the way.
fn insert(map: &mut Map<String, Value>, key: &str, value: Value) -> Result<(), ()> {
    match key.split_once('.') {
        None if map.contains_key(key) => Err(()),
        None => {
            map.insert(key.to_owned(), value);
            Ok(())
        }
        Some((first, rest)) => match map.entry(first).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(inner) => insert(inner, rest, value),
            _ => Err(()),
        },
    }
}

/// Prints a result for people, and for programs that read JSON. A reader that has left (`| head`) is no error.
pub(crate) fn print(value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let _ = writeln!(io::stdout(), "{text}");
}
