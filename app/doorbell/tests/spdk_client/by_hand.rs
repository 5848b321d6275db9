//! A client without opinions: it sends what SPDK's own would never let out.

use crate::support::Folder;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// One connection.
pub(crate) struct Wire {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
    id: u64,
}

impl Wire {
    pub(crate) fn to(folder: &Folder) -> Wire {
        let stream = UnixStream::connect(folder.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let answers = BufReader::new(stream.try_clone().unwrap());
        Wire { stream, answers, id: 0 }
    }

    /// Calls a method; its result, or its error.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params});
        self.stream.write_all(request.to_string().as_bytes()).unwrap();
        let mut line = String::new();
        assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "the server hung up at {request}");
        let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{request}: {error}: {line}"));
        assert_eq!(answer["id"], self.id, "{request}: {answer}");
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }
}
