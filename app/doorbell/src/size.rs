//! Sizes as people write them: `4k`, `1G`, `512`, `1.5T`. Powers of 1024.

use std::fmt;

#[cfg(test)]
mod tests;

/// Not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size: write bytes, or a number with K, M, G or T, such as 4K or 1G")]
pub(crate) struct BadSize(String);

/// Reads a size in bytes.
pub(crate) fn parse(text: &str) -> Result<u64, BadSize> {
    let bad = || BadSize(text.to_owned());
    let trimmed = text.trim();
    let upper = trimmed.to_ascii_uppercase();
    let number = upper.strip_suffix('B').unwrap_or(&upper);
    let number = number.strip_suffix('I').filter(|rest| rest.ends_with(['K', 'M', 'G', 'T', 'P'])).unwrap_or(number);
    let (digits, shift) = match number.char_indices().next_back() {
        Some((at, unit)) => match "KMGTP".find(unit) {
            Some(n) => (number.get(..at).unwrap_or(""), 10 * (n as u32 + 1)),
            None => (number, 0),
        },
        None => return Err(bad()),
    };
    match digits.split_once('.') {
        None => digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)).ok_or_else(bad),
        Some(_) if shift == 0 => Err(bad()),
        Some(_) => {
            let n: f64 = digits.parse().map_err(|_| bad())?;
            let bytes = n * (1u64 << shift) as f64;
            if n >= 0.0 && bytes < 9.0e18 { Ok(bytes as u64) } else { Err(bad()) }
        }
    }
}

/// Reads a size that fits 32 bits: of one request or block.
pub(crate) fn parse_u32(text: &str) -> Result<u32, BadSize> {
    u32::try_from(parse(text)?).map_err(|_| BadSize(text.to_owned()))
}

/// A size for people: `1 GiB`, `512 B`, `1.5 TiB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let unit = (self.0.max(1).ilog2() / 10) as usize;
        let name = UNITS.get(unit).copied().unwrap_or("EiB");
        let whole = self.0 as f64 / (1u64 << (10 * unit)) as f64;
        match whole {
            w if w.fract() == 0.0 => write!(f, "{w:.0} {name}"),
            w => write!(f, "{w:.1} {name}"),
        }
    }
}
