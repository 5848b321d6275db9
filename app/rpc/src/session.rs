//! The protocol of one connection, without I/O.
//!
//! Give it bytes with [`Session::receive`] (no more than [`Session::room`]), take calls with [`Session::next_call`], answer
//! each with [`Session::answer`], and send what [`Session::output`] holds. Calls come out in the order of the requests;
//! answers may come back in any. A batch is answered by one array, in the order of its answers.

use crate::limits::{ID_BYTES_MAX, READ_BYTES, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, RUNNING_MAX, UNREAD_BYTES_MAX};
use crate::reply;
use crate::scan::{Scan, is_space};
use crate::strict::Strict;
use doorbell_control::RpcError;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};

#[cfg(test)]
mod tests;

/// One call that a client asks for.
#[derive(Debug)]
pub struct Call {
    /// Give this back with the answer.
    pub ticket: Ticket,
    /// The method's name.
    pub method: String,
    /// Its parameters; null counts as absent.
    pub params: Option<Value>,
    /// The parameter that stands twice, if one does: such a call is refused.
    pub twice: Option<String>,
}

/// What an answer belongs to. It cannot be copied, so that a call is answered once.
#[derive(Debug)]
pub struct Ticket {
    /// `None`: a notification, which gets no reply to a success.
    id: Option<Value>,
    batch: Option<u64>,
}

#[derive(Debug, Default)]
struct Batch {
    unanswered: usize,
    /// Replies so far, joined by commas.
    replies: Vec<u8>,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    scan: Scan,
    /// Received and not yet understood.
    input: Vec<u8>,
    /// How much of `input` the scan has seen.
    scanned: usize,
    /// Understood and not yet handed out.
    waiting: VecDeque<Call>,
    running: usize,
    batches: BTreeMap<u64, Batch>,
    next_batch: u64,
    output: Vec<u8>,
    /// How much of `output` was sent.
    sent: usize,
    broken: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A new connection.
    pub fn new() -> Self {
        Self {
            scan: Scan::new(),
            input: Vec::new(),
            scanned: 0,
            waiting: VecDeque::new(),
            running: 0,
            batches: BTreeMap::new(),
            next_batch: 0,
            output: Vec::new(),
            sent: 0,
            broken: false,
        }
    }

    /// How many bytes it takes now: none while its client leaves replies unread or has as many calls running as it may.
    pub fn room(&self) -> usize {
        let busy = !self.waiting.is_empty() || self.input.len() > REQUEST_BYTES_MAX || self.saturated();
        if self.broken || busy { 0 } else { READ_BYTES }
    }

    fn saturated(&self) -> bool {
        self.running >= RUNNING_MAX || self.output().len() > UNREAD_BYTES_MAX
    }

    /// Takes bytes from the client.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.input.extend_from_slice(bytes);
        }
    }

    /// The next call to run, if there is one and it may run now.
    pub fn next_call(&mut self) -> Option<Call> {
        while !self.saturated() {
            if let Some(call) = self.waiting.pop_front() {
                self.running += 1;
                return Some(call);
            }
            if !self.understand_one() {
                return None;
            }
        }
        None
    }

    /// Answers a call.
    pub fn answer(&mut self, ticket: Ticket, answer: &Result<Value, RpcError>) {
        self.running = self.running.saturating_sub(1);
        self.reply(ticket, answer);
    }

    /// What is to be sent.
    pub fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// So many bytes of [`Session::output`] were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.output.len());
        if self.sent == self.output.len() {
            self.sent = 0;
            self.output.clear();
            // A large reply's memory is not kept for the next.
            self.output.shrink_to(READ_BYTES);
        }
    }

    /// Whether the client broke the protocol: close once the output is sent.
    pub fn broken(&self) -> bool {
        self.broken
    }

    /// Whether nothing is running, waiting or unsent: the moment to close after the client said that it is done.
    pub fn idle(&self) -> bool {
        self.running == 0 && self.waiting.is_empty() && self.output().is_empty()
    }

    /// Understands one request from the input; false if there is no whole one.
    fn understand_one(&mut self) -> bool {
        if self.broken {
            return false;
        }
        if self.scanned == 0 {
            // White space before a request is not part of it.
            let spaces = self.input.iter().take_while(|byte| is_space(**byte)).count();
            self.input.drain(..spaces);
        }
        let unseen = &self.input[self.scanned..];
        match self.scan.feed(unseen) {
            Err(error) => {
                self.break_off(&error);
                false
            }
            Ok(None) => {
                self.scanned = self.input.len();
                if self.scanned > REQUEST_BYTES_MAX {
                    self.break_off(&format!("a request exceeds {REQUEST_BYTES_MAX} bytes"));
                }
                false
            }
            Ok(Some(more)) => {
                let end = self.scanned + more;
                self.scan = Scan::new();
                self.scanned = 0;
                if end > REQUEST_BYTES_MAX {
                    self.break_off(&format!("a request exceeds {REQUEST_BYTES_MAX} bytes"));
                    return false;
                }
                let value = read(&self.input[..end]);
                self.input.drain(..end);
                match value {
                    Ok(Request::One(one)) => self.single(one, None),
                    Ok(Request::Batch(items)) => self.batch(items),
                    Err(error) => self.break_off(&error),
                }
                !self.broken
            }
        }
    }

    /// There is no telling where the next request begins: one error, and nothing more is read.
    fn break_off(&mut self, why: &dyn std::fmt::Display) {
        self.broken = true;
        self.input = Vec::new();
        self.error(None, RpcError::parse_error(why));
    }

    fn batch(&mut self, items: Vec<Strict>) {
        if items.is_empty() {
            self.error(None, RpcError::invalid_request("an empty batch"));
            return;
        }
        let batch = self.next_batch;
        self.next_batch += 1;
        self.batches.insert(batch, Batch { unanswered: items.len(), replies: Vec::new() });
        for item in items {
            self.single(item, Some(batch));
        }
    }

    fn single(&mut self, request: Strict, batch: Option<u64>) {
        match parse(request) {
            Ok(Parsed { id, method, params, twice }) => {
                self.waiting.push_back(Call { ticket: Ticket { id, batch }, method, params, twice });
            }
            Err((id, why)) => {
                let id = Some(id.unwrap_or(Value::Null));
                self.reply(Ticket { id, batch }, &Err(RpcError::invalid_request(why)));
            }
        }
    }

    fn error(&mut self, batch: Option<u64>, error: RpcError) {
        self.reply(Ticket { id: Some(Value::Null), batch }, &Err(error));
    }

    fn reply(&mut self, ticket: Ticket, answer: &Result<Value, RpcError>) {
        let Some(number) = ticket.batch else {
            // As SPDK does: an error is told even to who did not ask for a reply.
            if let Some(id) = ticket.id.or_else(|| answer.is_err().then_some(Value::Null)) {
                reply::write(&mut self.output, REPLY_BYTES_MAX, &id, answer);
                self.output.push(b'\n');
            }
            return;
        };
        let Some(batch) = self.batches.get_mut(&number) else { return };
        if let Some(id) = ticket.id {
            if !batch.replies.is_empty() {
                batch.replies.push(b',');
            }
            let room = REPLY_BYTES_MAX.saturating_sub(batch.replies.len());
            reply::write(&mut batch.replies, room, &id, answer);
        }
        batch.unanswered -= 1;
        if batch.unanswered > 0 {
            return;
        }
        let replies = self.batches.remove(&number).map(|batch| batch.replies).unwrap_or_default();
        if !replies.is_empty() {
            self.output.push(b'[');
            self.output.extend_from_slice(&replies);
            self.output.extend_from_slice(b"]\n");
        }
    }
}

/// One request, or several in an array.
enum Request {
    One(Strict),
    Batch(Vec<Strict>),
}

fn read(text: &[u8]) -> serde_json::Result<Request> {
    if text.first() == Some(&b'[') {
        serde_json::from_slice(text).map(Request::Batch)
    } else {
        serde_json::from_slice(text).map(Request::One)
    }
}

#[derive(Debug, PartialEq)]
struct Parsed {
    id: Option<Value>,
    method: String,
    params: Option<Value>,
    twice: Option<String>,
}

/// Reads a request object. The error carries the id, if it was readable.
fn parse(Strict { value, twice }: Strict) -> Result<Parsed, (Option<Value>, &'static str)> {
    let Value::Object(mut map) = value else { return Err((None, "a request is an object")) };
    let in_params = twice.as_deref().and_then(|path| path.strip_prefix("params")).filter(|rest| rest.starts_with(['.', '[']));
    if twice.is_some() && in_params.is_none() {
        return Err((None, "a member of the request stands twice"));
    }
    let twice = in_params.map(|rest| rest.trim_start_matches('.').to_owned());
    let id = read_id(&mut map).map_err(|why| (None, why))?;
    let fail = |why| Err((id.clone(), why));
    match map.remove("jsonrpc") {
        None => {}
        Some(Value::String(version)) if version == "2.0" => {}
        Some(_) => return fail("jsonrpc must be \"2.0\""),
    }
    let Some(Value::String(method)) = map.remove("method") else { return fail("method must be a string") };
    let params = map.remove("params").filter(|params| !params.is_null());
    if !matches!(params, None | Some(Value::Object(_) | Value::Array(_))) {
        return fail("params must be an object");
    }
    if !map.is_empty() {
        return fail("a request has jsonrpc, id, method and params, and nothing else");
    }
    Ok(Parsed { id, method, params, twice })
}

/// A number or a text; null counts as absent.
fn read_id(map: &mut Map<String, Value>) -> Result<Option<Value>, &'static str> {
    match map.remove("id") {
        None | Some(Value::Null) => Ok(None),
        Some(id @ Value::Number(_)) => Ok(Some(id)),
        Some(Value::String(text)) if text.len() <= ID_BYTES_MAX => Ok(Some(Value::String(text))),
        Some(Value::String(_)) => Err("the id is longer than 128 bytes"),
        Some(_) => Err("the id must be a number or a string"),
    }
}
