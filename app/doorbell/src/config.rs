//! `--config doorbell.toml`: the flags of `serve`, by their long names, in a file for people.
//!
//! ```toml
//! listen = ["127.0.0.1:4420", "[::1]:4420"]
//! malloc = ["1G"]
//! poll = "always"
//!
//! [[file]]
//! path = "/srv/disk.img"
//! size = "10G"
//! ```
//!
//! It becomes the flags it stands for, placed before those of the command line: whatever holds for a flag holds for its line here.

use std::path::{Path, PathBuf};
use toml::{Table, Value};

#[cfg(test)]
mod tests;

/// What `--config` named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Config {
    /// Flags.
    Flags(Vec<String>),
    /// A configuration in SPDK's JSON format, which is what SPDK's targets mean by `--config`.
    Json,
}

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Not to be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// TOML, and no flag.
    #[error("{}: {key}: {why}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which line.
        key: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    if text.trim_start().starts_with('{') {
        return Ok(Config::Json);
    }
    let table: Table =
        text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), message: error.to_string() })?;
    let mut flags = Vec::new();
    for (key, value) in table {
        add(&mut flags, &key, value).map_err(|why| ConfigError::Value { path: path.to_owned(), key, why })?;
    }
    Ok(Config::Flags(flags))
}

fn add(flags: &mut Vec<String>, key: &str, value: Value) -> Result<(), &'static str> {
    if key == "config" {
        return Err("a configuration file names no other");
    }
    match value {
        Value::Boolean(true) => flags.push(format!("--{key}")),
        Value::Boolean(false) => {}
        Value::Array(all) => {
            for one in all {
                flags.push(format!("--{key}={}", single(one)?));
            }
        }
        one => flags.push(format!("--{key}={}", single(one)?)),
    }
    Ok(())
}

/// One value as a flag takes it. A table is a device: its path, then its options.
fn single(value: Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Table(mut table) => {
            let Some(Value::String(mut text)) = table.remove("path") else { return Err("a table needs a path") };
            for (key, value) in table {
                match value {
                    Value::Boolean(true) => text.push_str(&format!(",{key}")),
                    Value::Boolean(false) => {}
                    Value::String(_) | Value::Integer(_) => text.push_str(&format!(",{key}={}", single(value)?)),
                    _ => return Err("an option is a text, a number, true or false"),
                }
            }
            Ok(text)
        }
        Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) => Err("expected a text, a number, true, false, or a list of them"),
    }
}
