//! What `cargo metadata` says about the packages, read into types.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// One answer of `cargo metadata`.
#[derive(Debug, Default, Deserialize)]
pub struct Metadata {
    /// The workspace's packages, and with dependencies resolved everybody else's.
    pub packages: Vec<Package>,
}

/// One package.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its licence as an SPDX expression.
    pub license: Option<String>,
    /// One sentence about it.
    pub description: Option<String>,
    /// Where it came from; nothing for a package of this workspace.
    pub source: Option<String>,
    /// Its manifest, as an absolute path.
    pub manifest_path: String,
    /// What it asks for.
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    /// What it builds.
    #[serde(default)]
    pub targets: Vec<Target>,
}

/// One dependency line.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// The package asked for.
    pub name: String,
    /// Nothing for an ordinary one, else `dev` or `build`.
    pub kind: Option<String>,
}

/// One thing a package builds.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// `lib`, `bin`, `test`, `example`, `bench`, `custom-build`.
    pub kind: Vec<String>,
    /// Its root file, as an absolute path.
    pub src_path: String,
}

impl Target {
    /// Whether it is of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|k| k == kind)
    }
}

/// Asks cargo about the workspace or package at `manifest`; `arguments` narrow or lock the question.
pub fn load(manifest: &Path, arguments: &[&str]) -> Result<Metadata, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

/// `path` relative to `root`, with `/` between its parts.
pub fn relative(root: &Path, path: &str) -> String {
    let path = Path::new(path);
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}
