//! What every crate says of itself: description and licence in its manifest; at its root a head comment, the fence against
//! `unsafe`, and on the wire floor `no_std`.

#[cfg(test)]
mod tests;

use super::finding::Finding;
use super::source::Source;
use super::unsafety;
use crate::metadata::Package;

/// The licence of everything here.
pub(crate) const LICENSE: &str = "Apache-2.0 OR MIT";

/// Checks the manifest of `package`, which lies at `path`.
pub(crate) fn fields(package: &Package, path: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if package.description.as_deref().unwrap_or_default().trim().is_empty() {
        findings.push(Finding::new(path, 1, format!("{} has no description", package.name), "say in one sentence what it is"));
    }
    if package.license.as_deref() != Some(LICENSE) {
        findings.push(Finding::new(path, 1, format!("{} is not under {LICENSE}", package.name), "write `license.workspace = true`"));
    }
    findings
}

/// Checks the root file of a library or binary.
pub(crate) fn root(source: &Source) -> Vec<Finding> {
    let mut findings: Vec<Finding> = unsafety::root(source).into_iter().collect();
    let is_no_std = source.code.iter().any(|line| line.starts_with("#![") && line.contains("no_std"));
    if source.path.starts_with("wire/") && !is_no_std {
        findings.push(Finding::new(&source.path, 1, "a wire crate that uses std", "add `#![no_std]`: it only says what bytes mean"));
    }
    findings
}
