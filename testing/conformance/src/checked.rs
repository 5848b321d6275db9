//! A queue that holds another to the contract of `BlockQueue`: wrap any queue in it and read the ledger.
//!
//! It sees to it that each box comes back exactly once and as its owner made it (but for status, result and the payload of a read), with
//! a status that somebody set; that `submit` gives nothing back to the pool; that `poll` only appends, and gives nothing when nothing is
//! out. Whether the token was woken is for the owner to find out: one that polls only when woken, as [`Rig`](crate::Rig) does, waits for
//! ever on a queue that forgets.

#[cfg(test)]
mod tests;

use doorbell_block::{Abort, BlockQueue, Cx, Done, Flags, Io, IoId, Op, Status};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// What a box was like when it was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    op: Op,
    flags: Flags,
    lba: u64,
    blocks: u32,
    source: u64,
    tag: u64,
    depth: u8,
    /// Address and length of each segment.
    payload: Vec<(usize, u32)>,
}

impl Sent {
    fn of(io: &Io) -> Sent {
        let payload = io.sg.segs().iter().map(|s| (s.address() as usize, s.len())).collect();
        let Io { op, flags, lba, blocks, source, tag, .. } = *io;
        Sent { op, flags, lba, blocks, source, tag, depth: io.depth(), payload }
    }
}

/// What a checked queue has seen.
#[derive(Debug, Default)]
pub struct Ledger {
    out: HashMap<IoId, Sent>,
    submitted: u64,
    returned: u64,
    violations: Vec<String>,
}

impl Ledger {
    /// Boxes submitted and not back.
    pub fn out(&self) -> usize {
        self.out.len()
    }

    /// Boxes that came back.
    pub fn returned(&self) -> u64 {
        self.returned
    }

    /// How the queue broke the contract, in words.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// What is still out, in words.
    pub fn missing(&self) -> String {
        let mut all: Vec<String> =
            self.out.values().map(|s| format!("{:?} of {} blocks at {} (tag {})", s.op, s.blocks, s.lba, s.tag)).collect();
        all.sort();
        let more = all.len().saturating_sub(8);
        all.truncate(8);
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{tail}", all.join(", "))
    }

    fn violation(&mut self, what: String) {
        // The first says what is wrong; a thousand say it no better.
        if self.violations.len() < 16 {
            self.violations.push(what);
        }
    }

    fn sent(&mut self, io: &Io) {
        self.submitted += 1;
        self.out.insert(io.id(), Sent::of(io));
    }

    fn back(&mut self, io: &Io, unset: Status) {
        self.returned += 1;
        let now = Sent::of(io);
        match self.out.remove(&io.id()) {
            None => self.violation(format!(
                "a box came back that was not out: {:?} of {} blocks at {} (tag {})",
                now.op, now.blocks, now.lba, now.tag
            )),
            Some(then) if then != now => self.violation(format!("a box came back changed: it was {then:?}, and is {now:?}")),
            Some(_) if io.status == unset => self.violation(format!("nobody set the status of {:?} at {}", now.op, now.lba)),
            Some(_) => {}
        }
    }
}

/// A queue under watch.
pub struct Checked {
    inner: Box<dyn BlockQueue>,
    ledger: Rc<RefCell<Ledger>>,
    unset: Status,
}

impl Checked {
    /// Watches `inner`. What it sees is in the ledger.
    pub fn new(inner: Box<dyn BlockQueue>) -> (Checked, Rc<RefCell<Ledger>>) {
        Checked::with_unset(inner, Status::TimedOut)
    }

    /// As `new`; `unset` is the status that requests go down with and must not come back with.
    pub fn with_unset(inner: Box<dyn BlockQueue>, unset: Status) -> (Checked, Rc<RefCell<Ledger>>) {
        let ledger = Rc::default();
        (Checked { inner, ledger: Rc::clone(&ledger), unset }, ledger)
    }
}

impl BlockQueue for Checked {
    fn submit(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        io.status = self.unset;
        self.ledger.borrow_mut().sent(&io);
        let boxes = cx.spare_boxes();
        self.inner.submit(cx, io);
        if cx.spare_boxes() > boxes {
            self.ledger.borrow_mut().violation("submit put a box back into the pool".to_owned());
        }
    }

    fn kick(&mut self, cx: &mut Cx) {
        self.inner.kick(cx);
    }

    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        let before: Vec<IoId> = done.iter().map(|io| io.id()).collect();
        self.inner.poll(cx, done);
        let mut ledger = self.ledger.borrow_mut();
        if !done.iter().map(|io| io.id()).take(before.len()).eq(before.iter().copied()) {
            ledger.violation("poll touched what was in the list already".to_owned());
        }
        for io in done.iter().skip(before.len()) {
            ledger.back(io, self.unset);
        }
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        self.inner.abort(cx, which);
    }
}
