//! A device on the command line: `PATH[,size=1G][,ro][,engine=aio|uring][,block-size=512][,name=NAME][,force]`.

use crate::size;
use std::path::PathBuf;
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// How a file is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Linux AIO.
    Aio,
    /// io_uring.
    Uring,
}

impl Engine {
    /// The one that needs no kernel feature that may be switched off.
    pub const DEFAULT: Engine = Engine::Aio;
}

/// A file or block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSpec {
    /// Where it is.
    pub path: PathBuf,
    /// Make it, sparse, when it is not there; grow it when it is smaller.
    pub size: Option<u64>,
    /// Not to be written.
    pub read_only: bool,
    /// How it is read and written.
    pub engine: Option<Engine>,
    /// Bytes of a block.
    pub block_size: Option<u32>,
    /// Its name among the block devices.
    pub name: Option<String>,
    /// Take it although somebody else has it.
    pub force: bool,
}

/// Not a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDevice {
    /// No path.
    #[error("it begins with the path of a file or block device")]
    NoPath,
    /// An option that there is not.
    #[error("`{0}` is none of size=.., ro, engine=aio|uring, block-size=.., name=.., force (a path cannot contain a comma)")]
    Unknown(String),
    /// A value that makes no sense.
    #[error("{0}: {1}")]
    Value(&'static str, String),
}

impl FromStr for DeviceSpec {
    type Err = BadDevice;

    fn from_str(text: &str) -> Result<Self, BadDevice> {
        let mut parts = text.split(',');
        let path = parts.next().filter(|path| !path.is_empty()).ok_or(BadDevice::NoPath)?;
        let mut spec =
            DeviceSpec { path: path.into(), size: None, read_only: false, engine: None, block_size: None, name: None, force: false };
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key {
                "size" => spec.size = Some(size::parse(value).map_err(|e| BadDevice::Value("size", e.to_string()))?),
                "ro" if value.is_empty() || value == "true" => spec.read_only = true,
                "ro" if value == "false" => spec.read_only = false,
                "engine" => spec.engine = Some(engine(value)?),
                "block-size" => spec.block_size = Some(block_size(value)?),
                "force" if value.is_empty() || value == "true" => spec.force = true,
                "force" if value == "false" => spec.force = false,
                "name" if !value.is_empty() => spec.name = Some(value.to_owned()),
                _ => return Err(BadDevice::Unknown(part.to_owned())),
            }
        }
        if spec.read_only && spec.engine == Some(Engine::Uring) {
            let why = "engine=uring cannot be opened read-only: use engine=aio";
            return Err(BadDevice::Value("ro", why.to_owned()));
        }
        if spec.read_only && spec.size.is_some() {
            let why = "size= makes or grows a file, and what is read only is neither made nor grown";
            return Err(BadDevice::Value("ro", why.to_owned()));
        }
        Ok(spec)
    }
}

fn engine(text: &str) -> Result<Engine, BadDevice> {
    match text {
        "aio" => Ok(Engine::Aio),
        "uring" => Ok(Engine::Uring),
        other => Err(BadDevice::Value("engine", format!("`{other}` is neither aio nor uring"))),
    }
}

fn block_size(text: &str) -> Result<u32, BadDevice> {
    let bytes = size::parse_u32(text).map_err(|e| BadDevice::Value("block-size", e.to_string()))?;
    if bytes.is_power_of_two() && (512..=65536).contains(&bytes) {
        return Ok(bytes);
    }
    Err(BadDevice::Value("block-size", format!("{bytes} is no power of two from 512 to 65536")))
}
