//! From JSON to typed parameters, and back for a saved configuration.
//!
//! Parameters are decoded here and not by serde, so that a refusal names the parameter at fault, a null counts as absent
//! everywhere, and the type's name in the schema comes from the same `impl` as its decoder.

use crate::field::{Field, Kind};
use crate::uuid::Uuid;
use serde_json::{Map, Value};
use std::fmt;

#[cfg(test)]
mod tests;

/// Why parameters were refused, and which one is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    path: String,
    problem: String,
}

impl Fault {
    /// A problem with the value itself; [`Fault::within`] says where it was.
    pub fn new(problem: impl fmt::Display) -> Self {
        Self { path: String::new(), problem: problem.to_string() }
    }

    /// A required parameter was not given.
    pub fn missing(name: &str) -> Self {
        Self::new("required and not given").within(name)
    }

    /// A member stands twice in an object.
    pub fn twice(path: &str) -> Self {
        Self::new("given twice").within(path)
    }

    /// The same problem, one level further out.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{outer}{joint}{}", self.path);
        self
    }

    /// A text that is none of the choices.
    pub fn not_one_of(choices: &[&str], text: &str) -> Self {
        Self::new(format!("`{text}` is none of {}", choices.join(", ")))
    }

    fn expected(kind: &Kind, got: &Value) -> Self {
        let got = match got {
            Value::Null => "null".to_owned(),
            Value::Bool(it) => it.to_string(),
            Value::Number(it) => it.to_string(),
            Value::String(_) => "a string".to_owned(),
            Value::Array(_) => "an array".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        Self::new(format!("must be {}, not {got}", kind.name()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.problem);
        }
        write!(f, "parameter `{}`: {}", self.path, self.problem)
    }
}

/// What a caller gave, emptied field by field; whatever is left at the end is unknown and refused.
#[derive(Debug)]
pub struct Given(Map<String, Value>);

impl Given {
    /// The members of an object.
    pub fn object(value: Value) -> Result<Self, Fault> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            other => Err(Fault::expected(&Kind::Object(&[]), &other)),
        }
    }

    /// The parameters of a call: absent, null and `{}` are the same.
    pub fn params(params: Option<Value>) -> Result<Self, Fault> {
        match params {
            None | Some(Value::Null) => Ok(Self(Map::new())),
            Some(value) => Self::object(value),
        }
    }

    /// Takes out a raw value; null is absent.
    pub fn take_value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Takes out and decodes one; null is absent.
    pub fn take<T: Param>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        match self.take_value(name) {
            Some(value) => T::decode(value).map(Some).map_err(|fault| fault.within(name)),
            None => Ok(None),
        }
    }

    /// Takes out one that must be there, unless its type can be absent.
    pub fn field<T: Param>(&mut self, name: &str) -> Result<T, Fault> {
        match self.take(name)? {
            Some(value) => Ok(value),
            None => T::absent().ok_or_else(|| Fault::missing(name)),
        }
    }

    /// Refuses what nobody took.
    pub fn finish(self) -> Result<(), Fault> {
        match self.0.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => Err(Fault::new(format!("unknown parameter `{name}`"))),
            None => Ok(()),
        }
    }
}

/// A type that a parameter can have.
pub trait Param: Sized {
    /// Its name and shape in the schema.
    const KIND: Kind;
    /// Whether it may be left out.
    const OPTIONAL: bool = false;

    /// From JSON; never given null.
    fn decode(value: Value) -> Result<Self, Fault>;

    /// What it is when left out.
    fn absent() -> Option<Self> {
        None
    }

    /// To JSON as [`Param::decode`] takes it; null for what is absent.
    fn encode(&self) -> Value;
}

/// The parameters of a method, as [`params!`](crate::params) makes them.
pub trait Params: Sized {
    /// Their description, in the order of declaration.
    const FIELDS: &'static [Field];

    /// From what was given.
    fn from_given(given: Given) -> Result<Self, Fault>;

    /// The object that a saved configuration holds; what is absent is left out.
    fn to_object(&self) -> Map<String, Value>;
}

/// The parameters of a method that takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoParams;

impl Params for NoParams {
    const FIELDS: &'static [Field] = &[];

    fn from_given(given: Given) -> Result<Self, Fault> {
        given.finish().map(|()| Self)
    }

    fn to_object(&self) -> Map<String, Value> {
        Map::new()
    }
}

/// Any whole number that JSON can say, also as `1e6` or `4096.0`: some clients print every number as a float.
fn whole(value: &Value) -> Option<i128> {
    let Value::Number(number) = value else { return None };
    if let Some(it) = number.as_u64() {
        return Some(i128::from(it));
    }
    if let Some(it) = number.as_i64() {
        return Some(i128::from(it));
    }
    let float = number.as_f64()?;
    // Beyond 2^53 a float no longer says which whole number was meant.
    let exact = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
    exact.then_some(float as i128)
}

macro_rules! number {
    ($($type:ty = $kind:ident),*) => {$(
        impl Param for $type {
            const KIND: Kind = Kind::$kind;

            fn decode(value: Value) -> Result<Self, Fault> {
                let Some(number) = whole(&value) else { return Err(Fault::expected(&Self::KIND, &value)) };
                Self::try_from(number).map_err(|_| {
                    Fault::new(format!("{number} is outside {} to {}", Self::MIN, Self::MAX))
                })
            }

            fn encode(&self) -> Value {
                Value::from(*self)
            }
        }
    )*};
}

number!(u8 = Uint8, u16 = Uint16, u32 = Uint32, u64 = Uint64, i32 = Int32);

impl Param for String {
    const KIND: Kind = Kind::String;

    fn decode(value: Value) -> Result<Self, Fault> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(Fault::expected(&Self::KIND, &other)),
        }
    }

    fn encode(&self) -> Value {
        Value::from(self.as_str())
    }
}

impl Param for bool {
    const KIND: Kind = Kind::Boolean;

    fn decode(value: Value) -> Result<Self, Fault> {
        value.as_bool().ok_or_else(|| Fault::expected(&Self::KIND, &value))
    }

    fn encode(&self) -> Value {
        Value::from(*self)
    }
}

impl Param for Uuid {
    const KIND: Kind = Kind::Uuid;

    fn decode(value: Value) -> Result<Self, Fault> {
        match value {
            Value::String(text) => text.parse().map_err(Fault::new),
            other => Err(Fault::expected(&Self::KIND, &other)),
        }
    }

    fn encode(&self) -> Value {
        Value::from(self.to_string())
    }
}

impl<T: Param> Param for Option<T> {
    const KIND: Kind = T::KIND;
    const OPTIONAL: bool = true;

    fn decode(value: Value) -> Result<Self, Fault> {
        if value.is_null() { Ok(None) } else { T::decode(value).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn encode(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::encode)
    }
}

impl<T: Param> Param for Vec<T> {
    const KIND: Kind = Kind::Array(&T::KIND);

    fn decode(value: Value) -> Result<Self, Fault> {
        let Value::Array(items) = value else { return Err(Fault::expected(&Self::KIND, &value)) };
        let decode = |(index, item)| T::decode(item).map_err(|fault: Fault| fault.within(&format!("[{index}]")));
        items.into_iter().enumerate().map(decode).collect()
    }

    fn encode(&self) -> Value {
        self.iter().map(T::encode).collect()
    }
}

/// Raw JSON, for the parts of this crate that look inside themselves.
impl Param for Value {
    const KIND: Kind = Kind::Object(&[]);

    fn decode(value: Value) -> Result<Self, Fault> {
        Ok(value)
    }

    fn encode(&self) -> Value {
        self.clone()
    }
}

/// A set of choices: on the wire a list of their texts ("bitmask" in SPDK's schema).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags<T>(pub Vec<T>);

impl<T: Param> Param for Flags<T> {
    const KIND: Kind = match T::KIND {
        Kind::Enum(choices) => Kind::Bitmask(choices),
        other => other,
    };

    fn decode(value: Value) -> Result<Self, Fault> {
        Vec::decode(value).map(Self)
    }

    fn encode(&self) -> Value {
        self.0.encode()
    }
}
