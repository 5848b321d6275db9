//! Where `unsafe` may be, and what must stand beside it.
//!
//! Two islands hold all of it. Every other crate root forbids it, so that the compiler says the same; this module also finds the
//! word in tests, build scripts and excluded crates. In an island each block and each `unsafe impl` cites what makes it true.

#[cfg(test)]
mod tests;

use super::finding::Finding;
use super::source::Source;
use super::word_at;

/// The folders whose crates may hold `unsafe`.
pub(crate) const ISLANDS: [&str; 3] = ["core/mem/", "core/pci/", "core/sys/"];

/// Whether a path lies in an island.
pub(crate) fn is_island(path: &str) -> bool {
    ISLANDS.iter().any(|island| path.starts_with(island))
}

/// `unsafe` outside the islands, and without a reason inside them.
pub(crate) fn uses(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.code.iter().enumerate() {
        let Some(at) = word_at(line, "unsafe", 0) else { continue };
        let rest = line[at + "unsafe".len()..].trim_start();
        if !is_island(&source.path) {
            let remedy = format!("move what needs it into one of {}, behind a safe interface", ISLANDS.join(", "));
            findings.push(Finding::new(&source.path, index + 1, "`unsafe` outside the islands", remedy));
        } else if (rest.starts_with('{') || rest.starts_with("impl") || rest.is_empty()) && !is_justified(source, index) {
            let remedy = "say above it, after `// SAFETY:`, what makes it true";
            findings.push(Finding::new(&source.path, index + 1, "`unsafe` without a reason", remedy));
        }
    }
    findings
}

/// Whether a `SAFETY:` comment belongs to the statement on line `index`: on the line itself or above it, past attributes and the
/// earlier lines of the same statement, but not past the end of another one.
fn is_justified(source: &Source, index: usize) -> bool {
    if source.comments[index].contains("SAFETY:") {
        return true;
    }
    for above in (0..index).rev() {
        if source.comments[above].contains("SAFETY:") {
            return true;
        }
        let code = source.code[above].trim();
        let is_comment = code.is_empty() && !source.comments[above].trim().is_empty();
        if is_comment || code.starts_with("#[") {
            continue;
        }
        if code.is_empty() || code.ends_with([';', '{', '}', ',']) {
            return false;
        }
    }
    false
}

/// A crate root (of a library or a binary) outside the islands forbids `unsafe`. An island's root allows it, and says why, as every
/// `allow` does.
pub(crate) fn root(source: &Source) -> Option<Finding> {
    let forbids = source.code.iter().any(|line| line.contains("#![forbid(unsafe_code)]"));
    let what = "this crate root does not forbid unsafe code";
    let finding = || Finding::new(&source.path, 1, what, "add `#![forbid(unsafe_code)]` below its head comment");
    (!forbids && !is_island(&source.path)).then(finding)
}
