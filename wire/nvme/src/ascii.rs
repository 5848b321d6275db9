//! Fixed-length text fields, padded with spaces (Base 2.1, 1.4.2: ASCII strings).

use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A text field of `N` bytes: printable ASCII, left-justified, padded with spaces. What a peer sent may be anything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Ascii<const N: usize>(pub [u8; N]);

impl<const N: usize> Ascii<N> {
    /// Fills the field with `text`, cut to `N` bytes; a byte that is not printable ASCII becomes a space.
    pub fn new(text: &str) -> Self {
        let mut field = [b' '; N];
        for (to, from) in field.iter_mut().zip(text.bytes()) {
            if from == b' ' || from.is_ascii_graphic() {
                *to = from;
            }
        }
        Self(field)
    }

    /// The bytes before the padding (trailing spaces and zeroes).
    pub fn trimmed(&self) -> &[u8] {
        let end = self.0.iter().rposition(|&b| b != b' ' && b != 0).map_or(0, |at| at + 1);
        self.0.get(..end).unwrap_or_default()
    }

    /// The text before the padding; `None` when it holds anything but printable ASCII.
    pub fn as_str(&self) -> Option<&str> {
        let text = self.trimmed();
        if !text.iter().all(|&b| b == b' ' || b.is_ascii_graphic()) {
            return None;
        }
        core::str::from_utf8(text).ok()
    }
}

impl<const N: usize> Default for Ascii<N> {
    fn default() -> Self {
        Self([b' '; N])
    }
}

impl<const N: usize> fmt::Display for Ascii<N> {
    /// The text, with anything unprintable escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.trimmed().escape_ascii())
    }
}

impl<const N: usize> fmt::Debug for Ascii<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
