//! Names of files that go with a process: removed once, by whoever comes first.
//!
//! The usual end removes them when their owner is dropped. A process that ends at once drops nothing; whoever ends it holds a clone and
//! removes them first. Not both: a name that is free may be another server's a moment later.

use rustix::fs::unlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The names. Clones are the same names.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<Vec<PathBuf>>>);

impl Names {
    /// These, to be removed in this order.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self(Arc::new(Mutex::new(paths)))
    }

    /// Removes those that are still to be removed. It waits for whoever is doing it, and for nothing else.
    pub fn remove(&self) {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for path in paths.drain(..) {
            let _ = unlink(&path);
        }
    }
}
