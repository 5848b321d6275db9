//! NVMe qualified names (Base 2.1, 4.7).

use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Longest name in bytes, without the terminating zero (Base 2.1, 4.7).
pub const NQN_LEN_MAX: usize = 223;

/// The name of every discovery subsystem that has no name of its own (Base 2.1, 4.7).
pub const DISCOVERY_NQN: &str = "nqn.2014-08.org.nvmexpress.discovery";

const UUID_PREFIX: &str = "nqn.2014-08.org.nvmexpress:uuid:";

/// Why a text is no NQN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NqnError {
    /// Nothing at all.
    Empty,
    /// More than 223 bytes, or a field without its terminating zero.
    TooLong,
    /// Not UTF-8.
    NotUtf8,
    /// A control character within.
    Control,
    /// Does not begin with `nqn.yyyy-mm.`.
    Date,
    /// The reverse domain name is missing or has a label that is no host name.
    Domain,
    /// There is no `:` with a name after it.
    Name,
    /// `uuid:` is not followed by a UUID of 36 characters.
    Uuid,
}

impl fmt::Display for NqnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the NQN is empty",
            Self::TooLong => "the NQN is longer than 223 bytes",
            Self::NotUtf8 => "the NQN is not UTF-8",
            Self::Control => "the NQN has a control character",
            Self::Date => "the NQN must begin with nqn.yyyy-mm. (year and month)",
            Self::Domain => "the NQN needs a reverse domain name after its date, as in nqn.2014-08.org.example:name",
            Self::Name => "the NQN needs a ':' and a name after its domain, as in nqn.2014-08.org.example:name",
            Self::Uuid => "the NQN says uuid: and no UUID follows",
        })
    }
}

impl core::error::Error for NqnError {}

/// A name known to be well formed. Holds its bytes, so that it needs no heap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nqn {
    bytes: [u8; NQN_LEN_MAX],
    len: u8,
}

impl Nqn {
    /// Checks a name strictly: `nqn.yyyy-mm.reverse.domain:name`, the UUID form, or the discovery name.
    /// Use it for names that an operator gives; a name that a host brings is held to [`NqnField::as_str`] only.
    ///
    /// ```
    /// use doorbell_wire_nvme::{Nqn, NqnError};
    /// assert!(Nqn::new("nqn.2026-11.io.example:disk0").is_ok());
    /// assert_eq!(Nqn::new("disk0"), Err(NqnError::Date));
    /// ```
    pub fn new(name: &str) -> Result<Self, NqnError> {
        check(name)?;
        let mut bytes = [0; NQN_LEN_MAX];
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        let len = u8::try_from(name.len()).map_err(|_| NqnError::TooLong)?;
        Ok(Self { bytes, len })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Whether it is the well-known discovery name.
    pub fn is_discovery(&self) -> bool {
        self.as_str() == DISCOVERY_NQN
    }
}

impl core::str::FromStr for Nqn {
    type Err = NqnError;
    fn from_str(name: &str) -> Result<Self, NqnError> {
        Self::new(name)
    }
}

impl fmt::Display for Nqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Nqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nqn({self})")
    }
}

fn check(name: &str) -> Result<(), NqnError> {
    if name.is_empty() {
        return Err(NqnError::Empty);
    }
    if name.len() > NQN_LEN_MAX {
        return Err(NqnError::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(NqnError::Control);
    }
    if name == DISCOVERY_NQN {
        return Ok(());
    }
    if let Some(uuid) = name.strip_prefix(UUID_PREFIX) {
        return if is_uuid(uuid.as_bytes()) { Ok(()) } else { Err(NqnError::Uuid) };
    }
    let rest = name.strip_prefix("nqn.").ok_or(NqnError::Date)?;
    let (date, rest) = rest.split_once('.').ok_or(NqnError::Date)?;
    if !is_date(date.as_bytes()) {
        return Err(NqnError::Date);
    }
    let (domain, user) = rest.split_once(':').ok_or(NqnError::Name)?;
    if !domain.split('.').all(is_label) {
        return Err(NqnError::Domain);
    }
    if user.is_empty() {
        return Err(NqnError::Name);
    }
    Ok(())
}

fn is_date(date: &[u8]) -> bool {
    let [y0, y1, y2, y3, b'-', m0, m1] = date else { return false };
    let digits = [y0, y1, y2, y3, m0, m1].into_iter().all(u8::is_ascii_digit);
    digits && matches!((m0, m1), (b'0', b'1'..=b'9') | (b'1', b'0'..=b'2'))
}

/// A label of a domain name: 1 to 63 of letters, digits and hyphens, beginning with a letter, not ending in a hyphen.
fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

/// A name in a 256-byte field, ended by zeroes (Connect data, identify data, discovery log).
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct NqnField(pub [u8; 256]);

impl NqnField {
    /// The field that holds `name`, cut to 223 bytes.
    pub fn new(name: &str) -> Self {
        let mut field = [0; 256];
        for (to, from) in field.iter_mut().take(NQN_LEN_MAX).zip(name.bytes()) {
            *to = from;
        }
        Self(field)
    }

    /// The name: not empty, ended by a zero within its first 224 bytes, UTF-8 without control characters.
    /// No more is asked of it: peers bring names that are no NQN by the letter.
    pub fn as_str(&self) -> Result<&str, NqnError> {
        let end = self.0.iter().position(|&b| b == 0).ok_or(NqnError::TooLong)?;
        if end > NQN_LEN_MAX {
            return Err(NqnError::TooLong);
        }
        let name = core::str::from_utf8(self.0.get(..end).unwrap_or_default()).map_err(|_| NqnError::NotUtf8)?;
        if name.is_empty() {
            return Err(NqnError::Empty);
        }
        if name.chars().any(char::is_control) {
            return Err(NqnError::Control);
        }
        Ok(name)
    }
}

impl From<Nqn> for NqnField {
    fn from(name: Nqn) -> Self {
        Self::new(name.as_str())
    }
}

impl Default for NqnField {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl fmt::Debug for NqnField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Ok(name) => write!(f, "NqnField({name})"),
            Err(why) => write!(f, "NqnField({why})"),
        }
    }
}
