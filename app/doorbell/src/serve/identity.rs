//! Who a served device is: NQN, serial number, UUID. The same in every run, or hosts that reconnect meet a stranger.
//!
//! Beside a file lies a small one with its identity, made once. A block device, or a file in a folder that cannot be written, has one made
//! from the machine's name and its path. Memory is new in every run, and so is its UUID: a host must not take it for the disk it knew.

use doorbell_control::Uuid;
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// An identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// Name of the subsystem that the device is served by.
    pub(crate) nqn: String,
    /// Its serial number, at most 20 characters.
    pub(crate) serial: String,
    /// The device's own.
    pub(crate) uuid: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// Not to be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not to be put in its place.
    #[error("cannot keep the new disk's identity in {}: {source}", path.display())]
    Keep {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Read, and not understood.
    #[error("{}: {why}. Put it right, or remove it for a new identity (hosts then see another disk)", path.display())]
    Broken {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Identity {
    /// Of sixteen bytes that nobody else has.
    pub(crate) fn of(bytes: [u8; 16]) -> Identity {
        let uuid = Uuid::from_random(bytes);
        let serial = bytes.iter().take(9).map(|byte| format!("{byte:02x}")).collect::<String>();
        Identity { nqn: format!("nqn.2014-08.org.nvmexpress:uuid:{uuid}"), serial: format!("DB{serial}"), uuid: uuid.to_string() }
    }

    /// A new one.
    pub(crate) fn random() -> Identity {
        Identity::of(random_bytes())
    }

    /// The same in every run, made from the machine's name and something that is one of a kind on it.
    pub(crate) fn derived(from: &str) -> Identity {
        let mut bytes = [0; 16];
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        for (half, n) in bytes.chunks_exact_mut(8).zip(1u64..) {
            half.copy_from_slice(&fnv(n, &[host.trim(), "\0", from]).to_be_bytes());
        }
        Identity::of(bytes)
    }

    /// The one beside `file`; a new one that can be kept there, if there is none yet; or else the reason why it is derived.
    pub(crate) fn beside(file: &Path) -> Result<(Identity, Beside), IdentityError> {
        let path = path_beside(file);
        match std::fs::read_to_string(&path) {
            Ok(text) => parse(&path, &text).map(|identity| (identity, Beside::Kept)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let fresh = Identity::random();
                match fresh.draft(&path, file) {
                    Ok(draft) => Ok((fresh, Beside::New(draft))),
                    Err(error) => {
                        let absolute = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
                        let why = format!("{} cannot be written: {error}", path.display());
                        Ok((Identity::derived(&absolute.to_string_lossy()), Beside::Not(why)))
                    }
                }
            }
            Err(source) => Err(IdentityError::Read { path, source }),
        }
    }

    fn draft(&self, path: &Path, of: &Path) -> io::Result<Draft> {
        let name = of.file_name().unwrap_or_default().to_string_lossy();
        let fields = toml::to_string(self).map_err(io::Error::other)?;
        let text = format!("# Who {name:?} is to hosts. Keep it with the file: they know the disk by it.\n{fields}");
        let draft = path.with_extension(format!("toml.{}", std::process::id()));
        let mut out = std::fs::OpenOptions::new().write(true).create_new(true).open(&draft)?;
        let draft = Draft { draft, path: path.to_owned() }; // gone from here on, if it cannot be written
        out.write_all(text.as_bytes()).and_then(|()| out.sync_all())?;
        Ok(draft)
    }
}

/// Whether an identity lies beside its file.
#[derive(Debug)]
pub(crate) enum Beside {
    /// It does.
    Kept,
    /// It can, once the file itself is there and held: a start that is refused leaves nothing behind.
    New(Draft),
    /// It cannot, and this is why.
    Not(String),
}

/// A new identity, written and not yet in its place. Gone with the value.
#[derive(Debug)]
pub(crate) struct Draft {
    draft: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// Puts it in its place: whole or not at all, never over another, and so that it is there after a power cut.
    pub(crate) fn keep(&self) -> Result<(), IdentityError> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let linked = std::fs::hard_link(&self.draft, &self.path).and_then(|()| std::fs::remove_file(&self.draft));
        let kept = linked.and_then(|()| std::fs::File::open(folder)).and_then(|folder| folder.sync_all());
        match kept {
            // Some file systems know no sync of a folder; nothing more can be done there.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                Err(IdentityError::Keep { path: self.path.clone(), source: error })
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.draft);
    }
}

/// `disk.img.toml` for `disk.img`.
pub(crate) fn path_beside(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".toml");
    path.into()
}

fn parse(path: &Path, text: &str) -> Result<Identity, IdentityError> {
    let broken = |why: String| IdentityError::Broken { path: path.to_owned(), why };
    let identity: Identity = toml::from_str(text).map_err(|error| broken(error.to_string()))?;
    if identity.uuid.parse::<Uuid>().is_err() {
        return Err(broken(format!("`{}` is no UUID", identity.uuid)));
    }
    if identity.serial.is_empty() || identity.serial.len() > 20 || !identity.serial.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(broken(format!("serial `{}` is not of 1 to 20 printable characters", identity.serial)));
    }
    if !identity.nqn.starts_with("nqn.") || identity.nqn.len() > 223 {
        return Err(broken(format!("`{}` is no NQN", identity.nqn)));
    }
    Ok(identity)
}

/// From the kernel; where that is not to be had, from the keys that the standard library seeds its hash tables with.
pub(crate) fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| io::Read::read_exact(&mut file, &mut bytes));
    if read.is_err() {
        for (half, salt) in bytes.chunks_exact_mut(8).zip(0u64..) {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_u64(salt);
            half.copy_from_slice(&hasher.finish().to_ne_bytes());
        }
    }
    bytes
}

/// FNV-1a, finished as SplitMix64 is: written out here because the result must be the same in every version.
fn fnv(salt: u64, texts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in texts.iter().flat_map(|text| text.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}
