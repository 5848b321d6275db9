//! What `cargo metadata` says about the packages, read into types.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// One answer of `cargo metadata`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    /// The workspace's packages, and with dependencies resolved everybody else's.
    pub(crate) packages: Vec<Package>,
    /// Where cargo puts what it builds.
    #[serde(default)]
    pub(crate) target_directory: PathBuf,
}

/// One package.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    #[serde(default)]
    pub(crate) version: String,
    /// Its licence as an SPDX expression.
    pub(crate) license: Option<String>,
    /// One sentence about it.
    pub(crate) description: Option<String>,
    /// Where it came from; nothing for a package of this workspace.
    pub(crate) source: Option<String>,
    /// Its manifest, as an absolute path.
    pub(crate) manifest_path: String,
    /// What it asks for.
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    /// What it builds.
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

/// One dependency line.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package asked for.
    pub(crate) name: String,
    /// Nothing for an ordinary one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// One thing a package builds.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// `lib`, `bin`, `test`, `example`, `bench`, `custom-build`.
    pub(crate) kind: Vec<String>,
    /// Its root file, as an absolute path.
    pub(crate) src_path: String,
}

impl Target {
    /// Whether it is of this kind.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|k| k == kind)
    }
}

/// Asks cargo about the workspace or package at `manifest`; `arguments` narrow or lock the question.
pub(crate) fn load(manifest: &Path, arguments: &[&str]) -> Result<Metadata, String> {
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
pub(crate) fn relative(root: &Path, path: &str) -> String {
    let path = Path::new(path);
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}
