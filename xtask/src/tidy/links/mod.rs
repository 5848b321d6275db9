//! Relative links in Markdown resolve: to a file, and with `#heading` to a heading of it.
//!
//! Web addresses are not fetched. Links inside code are not links.

#[cfg(test)]
mod tests;

use super::finding::Finding;

/// Checks the links of the Markdown file at `path`. `read` gives the text of a file of the workspace (empty for a folder), or
/// nothing when there is no such file.
pub(crate) fn check(path: &str, text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, target) in targets(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
        let other = if file.is_empty() { Some(text.to_owned()) } else { resolve(path, file).and_then(|at| read(&at)) };
        let broken = match &other {
            None => Some("names nothing"),
            Some(body) if !heading.is_empty() && !headings(body).iter().any(|slug| slug == heading) => Some("names no heading there"),
            Some(_) => None,
        };
        if let Some(why) = broken {
            findings.push(Finding::new(path, line, format!("link `{target}` {why}"), "correct it, or take it out"));
        }
    }
    findings
}

/// Every link target with its line.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in prose(text) {
        let mut rest = line.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let end = rest.find(')').unwrap_or(rest.len());
            let target = rest[..end].split_whitespace().next().unwrap_or_default();
            found.push((index + 1, target.trim_matches(['<', '>']).to_owned()));
        }
        // Reference definitions: `[name]: target`.
        if let Some((name, target)) = line.split_once("]: ").filter(|(name, _)| name.starts_with('[') && !name.starts_with("[^")) {
            found.extend((!name.contains("](")).then(|| (index + 1, target.trim().to_owned())));
        }
    }
    found
}

/// The lines outside fenced code, with inline code blanked.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let parts = line.split('`').enumerate();
            lines.push((index, parts.filter(|(i, _)| i % 2 == 0).map(|(_, part)| part).collect()));
        }
    }
    lines
}

/// `link` as seen from the folder of `from`; `None` when it leaves the workspace.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if link.starts_with('/') {
        return None;
    }
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a page: its headings in lower case, spaces as hyphens, other punctuation gone.
fn headings(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && line.starts_with('#') {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            found.push(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    found
}
