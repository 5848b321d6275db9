//! What a rule of tidy reports: a place, what is wrong there, and what to do about it.

use std::fmt;

/// One broken rule at one place. Printed as `file:line: what is wrong: what to do`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path relative to the workspace root.
    pub(crate) path: String,
    /// Line, counted from one; zero when the whole file (or its absence) is meant.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What the reader should do.
    pub(crate) remedy: String,
}

impl Finding {
    /// Builds a finding; `line` counts from one.
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { path: path.to_owned(), line, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line.max(1), self.what, self.remedy)
    }
}
