//! What names one machine: home folders, the folder of this very checkout, package mirrors.
//!
//! Reads every text file, not only Rust: a lock file or a script that names a mirror breaks everybody else.

#[cfg(test)]
mod tests;

use super::finding::Finding;

// In pieces, so that this file does not find itself.
const HOMES: [&str; 3] = [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/.")];
const MIRRORS: [&str; 4] = [concat!("replace", "-with"), concat!("index", "-url"), concat!("PIP_", "INDEX"), concat!("CARGO_", "REGISTR")];
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Looks through `text`, the file at `path`; `checkout` is where this workspace happens to lie.
pub(crate) fn check(path: &str, text: &str, checkout: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut add = |what: String, remedy: &str| findings.push(Finding::new(path, index + 1, what, remedy));
        if let Some(home) = HOMES.iter().find(|home| line.contains(**home)) {
            add(format!("`{home}` names one person's machine"), "use $HOME, a relative path or a temporary folder");
        } else if names_folder(line, checkout) {
            add("the path of this checkout".to_owned(), "use a path relative to the workspace");
        }
        if let Some(mirror) = MIRRORS.iter().find(|mirror| line.contains(**mirror)) {
            add(
                format!("`{mirror}` sends others to one site's package mirror"),
                "leave the source of packages to the machine's own configuration",
            );
        }
        if path.ends_with("Cargo.lock") && line.starts_with("source = ") && !line.contains(CRATES_IO) {
            add("a package from elsewhere than crates.io".to_owned(), "depend on a published version");
        }
    }
    findings
}

/// Whether `line` holds `folder` as a whole path. A folder directly below the root is too short a name to be told from others.
fn names_folder(line: &str, folder: &str) -> bool {
    let is_specific = folder.matches('/').count() > 1;
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_');
    is_specific && line.match_indices(folder).any(|(at, _)| ends(&line[at + folder.len()..]))
}
