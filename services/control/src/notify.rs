//! Notifications: what happened to devices, kept in a ring with ids, for clients that ask now and then.

use serde::Serialize;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

#[cfg(test)]
mod tests;

/// How many are kept; older ones are forgotten, as SPDK forgets them.
const KEPT: usize = 1024;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// What kind of thing, such as `bdev_register`.
    pub r#type: &'static str,
    /// To whom, such as the device's name.
    pub ctx: String,
    /// Counts from 0, with no gap.
    pub id: u64,
}

#[derive(Debug, Default)]
struct Ring {
    types: Vec<&'static str>,
    next: u64,
    kept: VecDeque<Notification>,
}

/// The ring. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Notifications(Rc<RefCell<Ring>>);

impl Notifications {
    /// An empty ring that knows no types.
    pub fn new() -> Self {
        Self::default()
    }

    /// Announces a type, so that clients learn that it can happen.
    pub fn register(&self, kind: &'static str) {
        let mut ring = self.0.borrow_mut();
        if !ring.types.contains(&kind) {
            ring.types.push(kind);
        }
    }

    /// The types announced, in order.
    pub fn types(&self) -> Vec<&'static str> {
        self.0.borrow().types.clone()
    }

    /// Notes that something happened, and gives its id.
    pub fn push(&self, kind: &'static str, ctx: impl Into<String>) -> u64 {
        self.register(kind);
        let mut ring = self.0.borrow_mut();
        let id = ring.next;
        ring.next += 1;
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.kept.push_back(Notification { r#type: kind, ctx: ctx.into(), id });
        id
    }

    /// Those from an id on, at most `max`. Ids already forgotten are passed over.
    pub fn since(&self, id: u64, max: u64) -> Vec<Notification> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        self.0.borrow().kept.iter().filter(|one| one.id >= id).take(max).cloned().collect()
    }
}
