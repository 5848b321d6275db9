//! JSON in which no object has a member twice.
//!
//! `serde_json` keeps the last of two members of one name, so that a request could say one thing to whoever checks it on the way and
//! another to the server. SPDK refuses such objects, and so does this.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

#[cfg(test)]
mod tests;

/// A value, and the first member found in it that stands twice: `a.b[2].c`.
#[derive(Debug, PartialEq)]
pub(crate) struct Strict {
    pub(crate) value: Value,
    pub(crate) twice: Option<String>,
}

/// Reads a configuration or a request from a file.
///
/// # Errors
/// When it is not JSON, or a member stands twice.
pub fn read_json(text: &str) -> Result<Value, String> {
    let Strict { value, twice } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match twice {
        Some(path) => Err(format!("`{path}` stands twice")),
        None => Ok(value),
    }
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

fn plain<E>(value: impl Into<Value>) -> Result<Strict, E> {
    Ok(Strict { value: value.into(), twice: None })
}

/// The path of a member within what lies around it.
fn within(outer: &str, inner: &str) -> String {
    let joint = if inner.starts_with('[') { "" } else { "." };
    format!("{outer}{joint}{inner}")
}

impl<'de> Visitor<'de> for Reader {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        plain(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        plain(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        plain(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        plain(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
        plain(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        plain(value)
    }

    fn visit_string<E>(self, value: String) -> Result<Strict, E> {
        plain(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let (mut all, mut first) = (Vec::new(), None);
        while let Some(Strict { value, twice }) = items.next_element()? {
            first = first.or_else(|| twice.map(|inner| within(&format!("[{}]", all.len()), &inner)));
            all.push(value);
        }
        Ok(Strict { value: Value::Array(all), twice: first })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
        let (mut all, mut first) = (Map::new(), None);
        while let Some((name, Strict { value, twice })) = members.next_entry::<String, Strict>()? {
            first = first.or_else(|| twice.map(|inner| within(&name, &inner)));
            if first.is_none() && all.contains_key(&name) {
                first = Some(name.clone());
            }
            all.insert(name, value);
        }
        Ok(Strict { value: Value::Object(all), twice: first })
    }
}
