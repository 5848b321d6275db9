//! The licence check: every package that is built is under licences that deny.toml allows, and comes from crates.io.
//!
//! deny.toml is the one list; `cargo deny check` reads the same file for those who have it. An expression is read as SPDX writes
//! it (`(MIT OR Apache-2.0) AND Unicode-3.0`), and with the `/` of old manifests.

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Deserialize;

use crate::metadata::{self, Package};

/// What deny.toml allows, as far as this check reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct Rules {
    licenses: Licenses,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

/// Complaints about the dependencies of the workspace at `root`, and how many packages were looked at.
pub(crate) fn run(root: &Path) -> Result<(usize, Vec<String>), String> {
    let text = std::fs::read_to_string(root.join("deny.toml")).map_err(|error| format!("deny.toml: {error}"))?;
    let rules = Rules::parse(&text)?;
    let mut packages = metadata::load(&root.join("Cargo.toml"), &["--locked"])?.packages;
    let fuzz = root.join("testing/fuzz/Cargo.toml");
    if fuzz.exists() {
        // Locked as well: cargo would mend a lock file that fell behind, and leave the tree changed.
        packages.extend(metadata::load(&fuzz, &["--locked"])?.packages);
    }
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    packages.dedup_by(|a, b| a.name == b.name && a.version == b.version);
    let complaints = packages.iter().filter_map(|package| rules.complaint(package)).collect();
    Ok((packages.len(), complaints))
}

impl Rules {
    /// Reads deny.toml.
    pub(crate) fn parse(text: &str) -> Result<Rules, String> {
        toml::from_str(text).map_err(|error| format!("deny.toml: {error}"))
    }

    /// What is wrong with the package, if anything.
    pub(crate) fn complaint(&self, package: &Package) -> Option<String> {
        let who = format!("{} {}", package.name, package.version);
        let from_elsewhere =
            package.source.as_deref().filter(|source| !source.starts_with("registry+https://github.com/rust-lang/crates.io-index"));
        if let Some(source) = from_elsewhere {
            return Some(format!("{who} comes from {source}: depend on a published version"));
        }
        let Some(expression) = &package.license else {
            return Some(format!("{who} names no licence: do without it"));
        };
        let more =
            self.licenses.exceptions.iter().filter(|exception| exception.name == package.name).flat_map(|exception| &exception.allow);
        let allowed: Vec<&str> = self.licenses.allow.iter().chain(more).map(String::as_str).collect();
        match is_allowed(expression, &allowed) {
            Some(true) => None,
            Some(false) => Some(format!("{who} is under {expression}: do without it, or allow it in deny.toml and say why")),
            None => Some(format!("{who} has a licence expression that does not read: {expression}")),
        }
    }
}

/// Whether the expression can be satisfied with the allowed licences; `None` if it does not read.
fn is_allowed(expression: &str, allowed: &[&str]) -> Option<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let verdict = parser.either()?;
    parser.words.is_empty().then_some(verdict)
}

/// A recursive-descent reader: OR binds weaker than AND, AND weaker than WITH.
struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a [&'a str],
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn either(&mut self) -> Option<bool> {
        let mut verdict = self.both()?;
        while self.take("OR") {
            verdict |= self.both()?;
        }
        Some(verdict)
    }

    fn both(&mut self) -> Option<bool> {
        let mut verdict = self.one()?;
        while self.take("AND") {
            verdict &= self.one()?;
        }
        Some(verdict)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let verdict = self.either()?;
            return self.take(")").then_some(verdict);
        }
        let (name, rest) = self.words.split_first()?;
        if matches!(*name, "OR" | "AND" | "WITH" | ")") {
            return None;
        }
        self.words = rest;
        let mut licence = (*name).to_owned();
        if self.take("WITH") {
            let (exception, rest) = self.words.split_first()?;
            licence = format!("{licence} WITH {exception}");
            self.words = rest;
        }
        Some(self.allowed.contains(&licence.as_str()))
    }
}
