//! Tuning methods whose object does not exist here: a call is checked, remembered, and given back by a save.
//!
//! So a configuration that SPDK wrote loads and is written again as it was, and nobody is told that a setting took
//! effect when it did not (the first call of each is logged).

use crate::part::ConfigCall;
use serde_json::{Map, Value};

/// Which method is kept, and what tells its entries apart.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// One of SPDK's methods; its parameters come from the table of the interface.
    pub method: &'static str,
    /// The parameter of which each value has an entry of its own (`impl_name` of `sock_impl_set_options`).
    pub by: Option<&'static str>,
    /// Parameters that may hold only these texts; others are refused as SPDK refuses them (-22).
    pub only: &'static [(&'static str, &'static [&'static str])],
}

impl Keep {
    /// A method with one entry and no restriction.
    pub const fn one(method: &'static str) -> Self {
        Self { method, by: None, only: &[] }
    }
}

/// What was kept of one method.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) keep: Keep,
    pub(crate) part: &'static str,
    entries: Vec<Map<String, Value>>,
}

impl Kept {
    pub(crate) fn new(keep: Keep, part: &'static str) -> Self {
        Self { keep, part, entries: Vec::new() }
    }

    /// Takes over what a call gives; what it leaves out stays as an earlier call set it.
    pub(crate) fn take(&mut self, params: Map<String, Value>) {
        let given = params.into_iter().filter(|(_, value)| !value.is_null());
        let given: Map<String, Value> = given.collect();
        let same = |entry: &&mut Map<String, Value>| match self.keep.by {
            Some(by) => entry.get(by) == given.get(by),
            None => true,
        };
        match self.entries.iter_mut().find(same) {
            Some(entry) => entry.extend(given),
            None => self.entries.push(given),
        }
    }

    /// The calls that bring it back.
    pub(crate) fn save(&self) -> impl Iterator<Item = ConfigCall> + '_ {
        self.entries.iter().map(|entry| ConfigCall::with(self.keep.method, entry.clone()))
    }
}
