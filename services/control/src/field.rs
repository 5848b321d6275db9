//! How a parameter is described: its name, its type in SPDK's words, whether it must be given, what it means.

use crate::param::{Fault, Given, Param};
use crate::uuid::Uuid;
use serde_json::{Map, Value, json};

/// The type of a parameter. The names are those of SPDK's own schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// 0 to 2^8-1.
    Uint8,
    /// 0 to 2^16-1.
    Uint16,
    /// 0 to 2^32-1.
    Uint32,
    /// 0 to 2^64-1.
    Uint64,
    /// -2^31 to 2^31-1.
    Int32,
    /// true or false.
    Boolean,
    /// A UUID, hyphenated.
    Uuid,
    /// One of these texts.
    Enum(&'static [&'static str]),
    /// A list of one type.
    Array(&'static Kind),
    /// Nested parameters.
    Object(&'static [Field]),
    /// A list of texts, each one of these.
    Bitmask(&'static [&'static str]),
}

/// One parameter of a method or member of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether a call without it is refused.
    pub required: bool,
    /// What it is when absent, if that is a constant.
    pub default: Option<fn() -> Value>,
    /// What it means.
    pub doc: &'static str,
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.kind, self.required) == (other.name, other.kind, other.required)
    }
}

impl Eq for Field {}

impl Kind {
    /// The name in SPDK's schema.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Int32 => "int32",
            Self::Boolean => "boolean",
            Self::Uuid => "uuid",
            Self::Enum(_) => "enum",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
            Self::Bitmask(_) => "bitmask",
        }
    }

    /// Whether a value is of this type, by the same decoders that typed methods use.
    pub fn check(&self, value: Value) -> Result<(), Fault> {
        match self {
            Self::String => String::decode(value).map(drop),
            Self::Uint8 => u8::decode(value).map(drop),
            Self::Uint16 => u16::decode(value).map(drop),
            Self::Uint32 => u32::decode(value).map(drop),
            Self::Uint64 => u64::decode(value).map(drop),
            Self::Int32 => i32::decode(value).map(drop),
            Self::Boolean => bool::decode(value).map(drop),
            Self::Uuid => Uuid::decode(value).map(drop),
            Self::Enum(choices) => {
                let text = String::decode(value)?;
                if choices.contains(&text.as_str()) { Ok(()) } else { Err(Fault::not_one_of(choices, &text)) }
            }
            Self::Array(item) => check_items(value, |one| item.check(one)),
            Self::Bitmask(choices) => check_items(value, |one| Kind::Enum(choices).check(one)),
            Self::Object(fields) => check(fields, Given::object(value)?),
        }
    }

    /// The description as JSON members.
    fn describe(&self, into: &mut Map<String, Value>) {
        into.insert("type".to_owned(), json!(self.name()));
        match self {
            Self::Enum(choices) | Self::Bitmask(choices) => {
                into.insert("values".to_owned(), json!(choices));
            }
            Self::Array(item) => {
                let mut inner = Map::new();
                item.describe(&mut inner);
                into.insert("items".to_owned(), Value::Object(inner));
            }
            Self::Object(fields) => {
                into.insert("fields".to_owned(), fields.iter().map(Field::to_json).collect());
            }
            _ => {}
        }
    }
}

fn check_items(value: Value, one: impl Fn(Value) -> Result<(), Fault>) -> Result<(), Fault> {
    for (index, item) in Vec::<Value>::decode(value)?.into_iter().enumerate() {
        one(item).map_err(|fault| fault.within(&format!("[{index}]")))?;
    }
    Ok(())
}

/// Whether what was given fits these fields: nothing unknown, nothing required absent, every type right.
pub(crate) fn check(fields: &[Field], mut given: Given) -> Result<(), Fault> {
    for field in fields {
        match given.take_value(field.name) {
            Some(value) => field.kind.check(value).map_err(|fault| fault.within(field.name))?,
            None if field.required => return Err(Fault::missing(field.name)),
            None => {}
        }
    }
    given.finish()
}

impl Field {
    /// The description for the machine-readable schema.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("name".to_owned(), json!(self.name));
        self.kind.describe(&mut map);
        map.insert("required".to_owned(), json!(self.required));
        if let Some(default) = self.default {
            map.insert("default".to_owned(), default());
        }
        map.insert("description".to_owned(), json!(self.doc.trim()));
        Value::Object(map)
    }
}
