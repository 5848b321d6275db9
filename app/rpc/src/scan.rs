//! Finds where one JSON value ends in a stream that arrives in pieces.
//!
//! It checks the whole grammar (RFC 8259) as the bytes come, so that garbage is refused at its first byte and not when a
//! limit is reached, and it keeps no more than a state: one bit per level of nesting says object or array. What it does
//! not check (UTF-8, surrogate pairs) the decoder does afterwards.

use crate::limits::{DEPTH_MAX, REQUEST_VALUES_MAX};

#[cfg(test)]
mod tests;

/// Where the automaton stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before a value.
    Value,
    /// After `[`: a value or `]`.
    FirstItem,
    /// After `{`: a name or `}`.
    FirstName,
    /// After `,` in an object: a name.
    Name,
    /// After a name.
    Colon,
    /// After a value inside something.
    Next,
    /// In a text, and whether it is a name.
    Text { name: bool },
    /// After a backslash.
    Escape { name: bool },
    /// Digits of `\uXXXX` still to come.
    Hex { name: bool, left: u8 },
    /// In `true`, `false` or `null`: what is still to come.
    Literal(&'static [u8]),
    /// After `-`.
    Minus,
    /// After a leading zero.
    Zero,
    /// In the whole part.
    Whole,
    /// After the point.
    Point,
    /// In the fraction.
    Fraction,
    /// After `e`.
    Exp,
    /// After its sign.
    ExpSign,
    /// In the exponent.
    ExpDigits,
}

/// Why a stream is not JSON that this server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadJson {
    #[error("not JSON at byte {0} of the request")]
    Syntax(usize),
    #[error("nested deeper than {DEPTH_MAX} levels")]
    Depth,
    #[error("more than {REQUEST_VALUES_MAX} values in one request")]
    Values,
}

/// The automaton. One value at a time; a new one for the next.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    at: At,
    /// Bit n: the level n is an object.
    objects: u64,
    depth: u32,
    values: usize,
    read: usize,
}

pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

impl Scan {
    pub(crate) const fn new() -> Self {
        Self { at: At::Value, objects: 0, depth: 0, values: 0, read: 0 }
    }

    /// Goes on over bytes; `Some(n)` when the value ends within the first `n` of them. A number at the top ends only
    /// with the byte after it, which is not counted.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, BadJson> {
        for (index, &byte) in bytes.iter().enumerate() {
            let ended_before = self.depth == 0 && self.number_may_end() && !Self::in_number(byte);
            if ended_before {
                return Ok(Some(index));
            }
            let ended = self.step(byte)?;
            self.read += 1;
            if ended {
                return Ok(Some(index + 1));
            }
        }
        Ok(None)
    }

    const fn number_may_end(&self) -> bool {
        matches!(self.at, At::Zero | At::Whole | At::Fraction | At::ExpDigits)
    }

    const fn in_number(byte: u8) -> bool {
        byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')
    }

    const fn bad<T>(&self) -> Result<T, BadJson> {
        Err(BadJson::Syntax(self.read))
    }

    const fn count(&mut self) -> Result<(), BadJson> {
        self.values += 1;
        if self.values > REQUEST_VALUES_MAX { Err(BadJson::Values) } else { Ok(()) }
    }

    /// One byte; true when it ends the value.
    fn step(&mut self, byte: u8) -> Result<bool, BadJson> {
        match self.at {
            At::Text { name } => return self.text(byte, name),
            At::Escape { name } => {
                self.at = match byte {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => At::Text { name },
                    b'u' => At::Hex { name, left: 4 },
                    _ => return self.bad(),
                };
            }
            At::Hex { name, left } => {
                if !byte.is_ascii_hexdigit() {
                    return self.bad();
                }
                self.at = if left == 1 { At::Text { name } } else { At::Hex { name, left: left - 1 } };
            }
            At::Literal(rest) => match rest.split_first() {
                Some((&expected, rest)) if expected == byte => {
                    self.at = At::Literal(rest);
                    if rest.is_empty() {
                        return Ok(self.scalar_ended());
                    }
                }
                _ => return self.bad(),
            },
            At::Minus | At::Zero | At::Whole | At::Point | At::Fraction | At::Exp | At::ExpSign | At::ExpDigits => {
                return self.number(byte);
            }
            At::Value | At::FirstItem | At::FirstName | At::Name | At::Colon | At::Next => {
                if !is_space(byte) {
                    return self.structure(byte);
                }
            }
        }
        Ok(false)
    }

    fn structure(&mut self, byte: u8) -> Result<bool, BadJson> {
        match (self.at, byte) {
            (At::FirstItem, b']') | (At::FirstName, b'}') => return self.close(byte),
            (At::Value | At::FirstItem, _) => self.value(byte)?,
            (At::FirstName | At::Name, b'"') => {
                self.count()?;
                self.at = At::Text { name: true };
            }
            (At::Colon, b':') => self.at = At::Value,
            (At::Next, b',') => self.at = if self.in_object() { At::Name } else { At::Value },
            (At::Next, b']' | b'}') => return self.close(byte),
            _ => return self.bad(),
        }
        Ok(false)
    }

    fn value(&mut self, byte: u8) -> Result<(), BadJson> {
        self.count()?;
        self.at = match byte {
            b'{' | b'[' => {
                if self.depth == DEPTH_MAX {
                    return Err(BadJson::Depth);
                }
                let object = byte == b'{';
                self.objects = (self.objects << 1) | u64::from(object);
                self.depth += 1;
                if object { At::FirstName } else { At::FirstItem }
            }
            b'"' => At::Text { name: false },
            b't' => At::Literal(b"rue"),
            b'f' => At::Literal(b"alse"),
            b'n' => At::Literal(b"ull"),
            b'-' => At::Minus,
            b'0' => At::Zero,
            b'1'..=b'9' => At::Whole,
            _ => return self.bad(),
        };
        Ok(())
    }

    fn text(&mut self, byte: u8, name: bool) -> Result<bool, BadJson> {
        match byte {
            b'"' if name => self.at = At::Colon,
            b'"' => return Ok(self.scalar_ended()),
            b'\\' => self.at = At::Escape { name },
            0..0x20 => return self.bad(),
            _ => {}
        }
        Ok(false)
    }

    fn number(&mut self, byte: u8) -> Result<bool, BadJson> {
        self.at = match (self.at, byte) {
            (At::Minus, b'0') => At::Zero,
            (At::Minus, b'1'..=b'9') | (At::Whole, b'0'..=b'9') => At::Whole,
            (At::Zero | At::Whole, b'.') => At::Point,
            (At::Point | At::Fraction, b'0'..=b'9') => At::Fraction,
            (At::Zero | At::Whole | At::Fraction, b'e' | b'E') => At::Exp,
            (At::Exp, b'+' | b'-') => At::ExpSign,
            (At::Exp | At::ExpSign | At::ExpDigits, b'0'..=b'9') => At::ExpDigits,
            _ if self.number_may_end() && self.depth > 0 => {
                self.at = At::Next;
                return self.step(byte);
            }
            _ => return self.bad(),
        };
        Ok(false)
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// After a text or literal: true if it was all.
    fn scalar_ended(&mut self) -> bool {
        self.at = At::Next;
        self.depth == 0
    }

    fn close(&mut self, byte: u8) -> Result<bool, BadJson> {
        if self.in_object() != (byte == b'}') {
            return self.bad();
        }
        self.count()?;
        self.objects >>= 1;
        self.depth -= 1;
        self.at = At::Next;
        Ok(self.depth == 0)
    }
}
