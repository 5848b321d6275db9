//! SPDK's interface as data, and the check that holds every method implemented against it.
//!
//! `data/spdk-methods.json` says for each method when it may be called and what it takes: a star after a name means
//! required; after `enum`, `array`, `object` and `bitmask` stands the name of the list or members elsewhere in the file.

use crate::error::RpcError;
use crate::field::{Field, Kind};
use crate::method::{Method, When};
use crate::param::Fault;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

#[cfg(test)]
mod tests;

const DATA: &str = include_str!("../data/spdk-methods.json");

type Text = &'static str;

#[derive(Deserialize)]
struct Table<'a> {
    #[serde(borrow)]
    enums: BTreeMap<&'a str, Vec<&'a str>>,
    #[serde(borrow)]
    bitmasks: BTreeMap<&'a str, &'a str>,
    #[serde(borrow)]
    arrays: BTreeMap<&'a str, &'a str>,
    #[serde(borrow)]
    objects: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
    #[serde(borrow)]
    ours: BTreeMap<&'a str, Vec<&'a str>>,
    #[serde(borrow)]
    methods: BTreeMap<&'a str, Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    when: &'a str,
    #[serde(default)]
    decode: Option<&'a str>,
    #[serde(borrow)]
    params: BTreeMap<&'a str, &'a str>,
}

/// A method as SPDK has it.
#[derive(Debug)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// When it may be called.
    pub when: When,
    /// Its parameters; no text, because the sentences are SPDK's.
    pub fields: &'static [Field],
    /// Whether bad parameters are answered with -32603.
    decode_is_internal: bool,
}

/// SPDK's interface.
#[derive(Debug)]
pub struct Interface {
    methods: BTreeMap<Text, Spec>,
    ours: BTreeMap<Text, Vec<Text>>,
}

/// SPDK's interface, read once from the data of this crate.
///
/// # Panics
/// When that data is broken, which its test would have shown.
pub fn spdk() -> &'static Interface {
    static INTERFACE: LazyLock<Interface> = LazyLock::new(|| Interface::read(DATA).expect("data/spdk-methods.json is well-formed"));
    &INTERFACE
}

impl Interface {
    fn read(data: &'static str) -> Result<Self, String> {
        let table: Table<'static> = serde_json::from_str(data).map_err(|error| error.to_string())?;
        let mut methods = BTreeMap::new();
        for (name, row) in &table.methods {
            let when = match row.when {
                "startup" => When::Startup,
                "runtime" => When::Runtime,
                "any" => When::Any,
                other => return Err(format!("{name}: {other} is no state")),
            };
            let fields = table.fields(&row.params)?;
            methods.insert(*name, Spec { name, when, fields, decode_is_internal: row.decode == Some("internal") });
        }
        Ok(Self { methods, ours: table.ours })
    }

    /// What SPDK says of a method.
    pub fn method(&self, name: &str) -> Option<&Spec> {
        self.methods.get(name)
    }

    /// Every method of SPDK's.
    pub fn methods(&self) -> impl Iterator<Item = &Spec> {
        self.methods.values()
    }

    /// The error by which SPDK refuses parameters of this method, with the fault beside it.
    pub(crate) fn refusal(&self, method: &str, fault: &Fault) -> RpcError {
        match self.method(method) {
            Some(spec) if spec.decode_is_internal => RpcError::decode_failed(fault),
            _ => RpcError::invalid_params(fault),
        }
    }
}

impl Table<'static> {
    /// The fields of a parameter list. They live as long as the table, which is as long as the process.
    fn fields(&self, params: &BTreeMap<Text, Text>) -> Result<&'static [Field], String> {
        let mut fields = Vec::new();
        for (name, kind) in params {
            let bare = name.trim_end_matches('*');
            let kind = self.kind(kind)?;
            fields.push(Field { name: bare, kind, required: bare.len() < name.len(), default: None, doc: "" });
        }
        Ok(fields.leak())
    }

    fn kind(&self, text: Text) -> Result<Kind, String> {
        let (kind, class) = text.split_once(' ').unwrap_or((text, ""));
        let absent = || format!("no {kind} {class}");
        Ok(match kind {
            "string" => Kind::String,
            "uint8" => Kind::Uint8,
            "uint16" => Kind::Uint16,
            "uint32" => Kind::Uint32,
            "uint64" => Kind::Uint64,
            "int32" => Kind::Int32,
            "boolean" => Kind::Boolean,
            "uuid" => Kind::Uuid,
            "enum" => Kind::Enum(self.choices(class)?),
            "bitmask" => Kind::Bitmask(self.choices(self.bitmasks.get(class).ok_or_else(absent)?)?),
            "array" => Kind::Array(Box::leak(Box::new(self.kind(self.arrays.get(class).ok_or_else(absent)?)?))),
            "object" => Kind::Object(self.fields(self.objects.get(class).ok_or_else(absent)?)?),
            other => return Err(format!("{other} is no type")),
        })
    }

    fn choices(&self, class: &str) -> Result<&'static [Text], String> {
        let choices = self.enums.get(class).ok_or_else(|| format!("no enum {class}"))?;
        Ok(choices.clone().leak())
    }
}

/// Where a method of ours is not what SPDK's clients expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The method.
    pub method: &'static str,
    /// What is different.
    pub what: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.method, self.what)
    }
}

/// Holds methods against SPDK's interface: the same names, parameters, types, and states. Methods named `doorbell_...`
/// are ours alone; parameters of ours are those listed under `ours` in the data.
pub fn conforms<'a>(methods: impl IntoIterator<Item = &'a Method>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    for method in methods.into_iter().filter(|method| !method.name.starts_with("doorbell_")) {
        let mut differs = |what: String| found.push(Mismatch { method: method.name, what });
        let Some(spec) = spdk().method(method.name) else {
            differs("SPDK has no such method; one of ours is named doorbell_...".to_owned());
            continue;
        };
        if spec.when != method.when {
            differs(format!("callable in {:?}, not {:?}", spec.when.states(), method.when.states()));
        }
        let ours = spdk().ours.get(method.name).map_or(&[][..], Vec::as_slice);
        compare("", method.fields, spec.fields, ours, &mut differs);
    }
    found
}

/// Compares two lists of fields; `path` leads to them.
fn compare(path: &str, fields: &[Field], theirs: &[Field], ours: &[Text], differs: &mut dyn FnMut(String)) {
    for field in fields {
        let name = format!("{path}{}", field.name);
        let Some(their) = theirs.iter().find(|their| their.name == field.name) else {
            if !ours.contains(&name.as_str()) {
                differs(format!("SPDK has no parameter {name}"));
            }
            continue;
        };
        if field.required != their.required {
            differs(format!("parameter {name}: required is {}, not {}", their.required, field.required));
        }
        match (field.kind, their.kind) {
            (Kind::Object(fields), Kind::Object(theirs)) => compare(&format!("{name}."), fields, theirs, ours, differs),
            (kind, their) if same(kind, their) => {}
            (kind, their) => differs(format!("parameter {name}: its type is {their:?}, not {kind:?}")),
        }
    }
    for their in theirs.iter().filter(|their| !fields.iter().any(|field| field.name == their.name)) {
        differs(format!("parameter {path}{} is not taken", their.name));
    }
}

/// Whether our type accepts all that theirs does, and nothing of another kind. A choice may have synonyms of ours.
fn same(ours: Kind, theirs: Kind) -> bool {
    match (ours, theirs) {
        (Kind::Enum(ours), Kind::Enum(theirs)) | (Kind::Bitmask(ours), Kind::Bitmask(theirs)) => {
            theirs.iter().all(|choice| ours.contains(choice))
        }
        (Kind::Array(ours), Kind::Array(theirs)) => same(*ours, *theirs),
        (Kind::Object(ours), Kind::Object(theirs)) => {
            let mut differences = 0;
            compare("", ours, theirs, &[], &mut |_| differences += 1);
            differences == 0
        }
        (ours, theirs) => ours == theirs,
    }
}
