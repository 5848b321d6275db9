//! UUIDs as the interface carries them: sixteen bytes, printed in lower case with hyphens.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// Sixteen bytes in the order in which they are printed. Where they come from (entropy) is the caller's business.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

/// The text is not 32 hexadecimal digits with hyphens after the 8th, 12th, 16th and 20th.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID: it looks like 8c2d3f0e-6a57-4f6b-9d25-0123456789ab")]
pub struct BadUuid;

impl Uuid {
    /// A random (version 4) UUID made of sixteen random bytes.
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Of these bytes, as they are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Whether it is all zero.
    pub fn is_nil(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl FromStr for Uuid {
    type Err = BadUuid;

    fn from_str(text: &str) -> Result<Self, BadUuid> {
        if text.len() != 36 {
            return Err(BadUuid);
        }
        let mut digits = 0;
        let mut bytes = [0; 16];
        for (at, c) in text.chars().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if c != '-' {
                    return Err(BadUuid);
                }
                continue;
            }
            let digit = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(BadUuid)?;
            let byte: &mut u8 = bytes.get_mut(digits / 2).ok_or(BadUuid)?;
            *byte = (*byte << 4) | digit;
            digits += 1;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
