//! Files of a server: what its flags name, before they are opened, and the one with its process id. None is made or grown here: who opens a
//! file does that, once he holds it.

use super::identity::{Identity, path_beside};
use crate::cli::DeviceSpec;
use doorbell_rpc::Names;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// A file that is not as it must be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileProblem {
    /// Not there.
    #[error("{}: there is no such file. Add ,size=1G to make it", .0.display())]
    Absent(PathBuf),
    /// Not to be written.
    #[error("the process id cannot be written to {}: {source}", path.display())]
    Pid {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Has it, or will it have, an identity beside it: is it a regular file that is written?
pub(crate) fn keeps_identity(spec: &DeviceSpec) -> Result<bool, FileProblem> {
    match spec.path.metadata() {
        Ok(found) => Ok(found.is_file() && !spec.read_only),
        Err(_) if spec.size.is_some() => Ok(true),
        Err(_) if spec.path.symlink_metadata().is_ok() => Ok(false),
        Err(_) => Err(FileProblem::Absent(spec.path.clone())),
    }
}

/// Is there none, or one that is empty, as a crash between making and sizing leaves it?
pub(crate) fn is_blank(path: &Path) -> bool {
    path.metadata().map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |found| found.is_file() && found.len() == 0)
}

/// Is it a file without a byte that takes room, or none at all? Of a block device nobody knows.
pub(crate) fn holds_nothing(path: &Path) -> bool {
    path.metadata().map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |found| found.is_file() && found.blocks() == 0)
}

/// Of what has none beside it: a block device, or a file that is only read.
pub(crate) fn identity(path: &Path) -> Identity {
    if path_beside(path).exists()
        && let Ok((identity, _)) = Identity::beside(path)
    {
        return identity;
    }
    let absolute = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    Identity::derived(&absolute.to_string_lossy())
}

/// The file with the process id; gone with the value.
pub(crate) struct PidFile(Names);

impl PidFile {
    /// Writes it.
    pub(crate) fn write(path: &Path) -> Result<PidFile, FileProblem> {
        let written = std::fs::write(path, format!("{}\n", std::process::id()));
        written.map_err(|source| FileProblem::Pid { path: path.to_owned(), source })?;
        Ok(PidFile(Names::new(vec![path.to_owned()])))
    }

    /// Its name, for who ends the process without dropping this.
    pub(crate) fn names(&self) -> Names {
        self.0.clone()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        self.0.remove();
    }
}
