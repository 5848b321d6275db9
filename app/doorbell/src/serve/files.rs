//! Files of a server: those it makes to serve, and the one with its process id.

use super::identity::{Identity, path_beside};
use crate::cli::DeviceSpec;
use doorbell_rpc::Names;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// A file that is not as it must be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileProblem {
    /// Not there.
    #[error("{}: there is no such file. Add ,size=1G to make it", .0.display())]
    Absent(PathBuf),
    /// Not to be made or grown.
    #[error("{} cannot be made with {bytes} bytes: {source}", path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// Not to be written.
    #[error("the process id cannot be written to {}: {source}", path.display())]
    Pid {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Is it a regular file (or something that leads to one)?
pub(crate) fn is_regular(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file())
}

/// Makes a file of the size asked for, sparse; grows one that is smaller; never cuts.
pub(crate) fn prepare(spec: &DeviceSpec) -> Result<(), FileProblem> {
    let path = &spec.path;
    let Some(bytes) = spec.size else {
        return if path.symlink_metadata().is_ok() { Ok(()) } else { Err(FileProblem::Absent(path.clone())) };
    };
    let problem = |source| FileProblem::Make { path: path.clone(), bytes, source };
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => {
            let made = file.set_len(bytes);
            if made.is_err() {
                let _ = std::fs::remove_file(path); // a file of no size would be taken for the real one next time
            } else {
                tracing::info!(path = %path.display(), bytes, "made the file");
            }
            made.map_err(problem)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is = path.metadata().map_err(problem)?;
            if is.is_file() && is.len() < bytes && !spec.read_only {
                let file = OpenOptions::new().write(true).open(path).map_err(problem)?;
                file.set_len(bytes).map_err(problem)?;
                tracing::info!(path = %path.display(), from = is.len(), to = bytes, "the file has grown");
            }
            Ok(())
        }
        Err(error) => Err(problem(error)),
    }
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
