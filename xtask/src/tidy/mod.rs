//! `cargo xtask tidy`: the rules of this house that no compiler checks.
//!
//! Each rule is a function from text to findings, with a test that shows it failing. Tidy reads what git would commit (tracked and
//! new files, not ignored ones) and changes nothing.

mod finding;
mod floors;
mod habits;
mod links;
mod manifests;
mod paths;
mod sizes;
mod source;
mod unsafety;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) use finding::Finding;
use source::Source;

use crate::metadata::{self, Package};

/// Crates that the workspace leaves out but that keep its rules.
const EXCLUDED: &str = "testing/fuzz/Cargo.toml";

/// Runs every rule over the tree at `root`. The findings come sorted by place.
pub(crate) fn run(root: &Path) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    let checkout = root.to_string_lossy();
    let mut sources = Vec::new();
    for path in files(root)? {
        // Not text, or gone since git listed it: nothing to read.
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
        findings.extend(paths::check(&path, &text, &checkout));
        if path.ends_with(".md") {
            findings.extend(links::check(&path, &text, &|other| read(root, other)));
        }
        if path.ends_with(".rs") {
            sources.push(Source::new(&path, &text));
        }
    }
    for source in &sources {
        findings.extend(unsafety::uses(source));
        findings.extend(sizes::file_length(source));
        findings.extend(sizes::function_length(source));
        findings.extend(habits::check(source));
    }
    findings.extend(sizes::median_length(&sources));
    findings.extend(crates(root, &sources)?);
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// The rules about packages: manifests, roots, floors.
fn crates(root: &Path, sources: &[Source]) -> Result<Vec<Finding>, String> {
    let page = fs::read_to_string(root.join(floors::PAGE)).unwrap_or_default();
    let floors = match floors::Floors::parse(&page) {
        Ok(floors) => floors,
        Err(finding) => return Ok(vec![finding]),
    };
    let mut findings = Vec::new();
    for package in packages(root)? {
        let manifest = metadata::relative(root, &package.manifest_path);
        let text = fs::read_to_string(&package.manifest_path).unwrap_or_default();
        findings.extend(manifests::fields(&package, &manifest));
        findings.extend(floors.check(&package, &manifest, &text));
        let roots = package.targets.iter().filter(|target| target.is("lib") || target.is("bin"));
        // A fuzz target is a binary whose entry a macro writes, with unsafe code in it.
        let roots = roots.filter(|_| manifest != EXCLUDED);
        let paths: BTreeSet<String> = roots.map(|target| metadata::relative(root, &target.src_path)).collect();
        findings.extend(sources.iter().filter(|source| paths.contains(&source.path)).flat_map(manifests::root));
    }
    Ok(findings)
}

fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let mut packages = metadata::load(&root.join("Cargo.toml"), &["--no-deps"])?.packages;
    let excluded = root.join(EXCLUDED);
    if excluded.exists() {
        packages.extend(metadata::load(&excluded, &["--no-deps"])?.packages);
    }
    Ok(packages)
}

/// What git has or would take: tracked and new, not ignored.
fn files(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let listed = String::from_utf8_lossy(&output.stdout);
    Ok(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

fn read(root: &Path, path: &str) -> Option<String> {
    let path = root.join(path);
    if path.is_dir() { Some(String::new()) } else { fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) }
}

/// Where `word` stands in `line` as a whole word, at or after byte `from`.
fn word_at(line: &str, word: &str, from: usize) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let tail = line.get(from..)?;
    let whole = |at: usize| {
        let (before, after) = (&line[..from + at], &tail[at + word.len()..]);
        !before.ends_with(is_word) && !after.starts_with(is_word)
    };
    tail.match_indices(word).map(|(at, _)| at).find(|&at| whole(at)).map(|at| from + at)
}
