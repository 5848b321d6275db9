//! An NVMe controller on the command line: `0000:01:00.0`, or `trtype:TCP traddr:.. trsvcid:.. subnqn:..` as SPDK's tools take it.

use serde_json::{Map, Value};
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// A controller: the parameters of `bdev_nvme_attach_controller` that say where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct DriveSpec {
    /// The text, for people.
    pub text: String,
    /// Where it is.
    pub params: Map<String, Value>,
}

/// Not a controller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDrive {
    /// Neither form.
    #[error("`{0}` is neither a PCI function such as 0000:01:00.0 nor `trtype:TCP adrfam:IPv4 traddr:ADDRESS trsvcid:PORT subnqn:NQN`")]
    Form(String),
    /// A key that there is not.
    #[error("`{0}` is none of trtype, traddr, adrfam, trsvcid, subnqn, hostnqn, hostaddr, hostsvcid, priority")]
    Key(String),
    /// A key that must be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A key twice.
    #[error("{0} is given twice")]
    Twice(String),
}

const KEYS: [&str; 9] = ["trtype", "traddr", "adrfam", "trsvcid", "subnqn", "hostnqn", "hostaddr", "hostsvcid", "priority"];

impl FromStr for DriveSpec {
    type Err = BadDrive;

    fn from_str(text: &str) -> Result<Self, BadDrive> {
        let mut params = Map::new();
        if looks_like_pci(text) {
            params.insert("trtype".to_owned(), "PCIe".into());
            params.insert("traddr".to_owned(), text.into());
            return Ok(DriveSpec { text: text.to_owned(), params });
        }
        for part in text.split_ascii_whitespace() {
            // Both signs are in use; an address may hold colons itself, so the first of either counts.
            let at = part.find([':', '=']).ok_or_else(|| BadDrive::Form(text.to_owned()))?;
            let (key, value) = (part[..at].to_ascii_lowercase(), &part[at + 1..]);
            if !KEYS.contains(&&*key) {
                return Err(BadDrive::Key(key));
            }
            if params.insert(key.clone(), value.into()).is_some() {
                return Err(BadDrive::Twice(key));
            }
        }
        for key in ["trtype", "traddr"] {
            if !params.contains_key(key) {
                return Err(BadDrive::Missing(key));
            }
        }
        Ok(DriveSpec { text: text.to_owned(), params })
    }
}

/// `0000:01:00.0` or `01:00.0`.
fn looks_like_pci(text: &str) -> bool {
    let Some((front, function)) = text.rsplit_once('.') else { return false };
    let parts: Vec<&str> = front.split(':').collect();
    (2..=3).contains(&parts.len())
        && function.len() == 1
        && parts.iter().chain([&function]).all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_hexdigit()))
}
