//! The interface described: as JSON for programs, as Markdown for the guide. Both come from the registered methods.

use crate::field::{Field, Kind};
use crate::method::{Method, When};
use serde_json::{Map, Value, json};
use std::fmt::Write;

#[cfg(test)]
mod tests;

/// The machine-readable schema of some methods.
pub fn schema<'a>(methods: impl IntoIterator<Item = &'a Method>) -> Value {
    let methods: Vec<Value> = methods.into_iter().map(describe).collect();
    json!({ "methods": methods })
}

fn describe(method: &Method) -> Value {
    let mut map = Map::new();
    map.insert("name".to_owned(), json!(method.name));
    map.insert("description".to_owned(), json!(method.doc));
    map.insert("callable_in".to_owned(), json!(method.when.states()));
    if !method.aliases.is_empty() {
        let names: Vec<_> = method.aliases.iter().map(|alias| alias.name).collect();
        map.insert("aliases".to_owned(), json!(names));
    }
    if let Some(instead) = method.deprecated {
        map.insert("deprecated".to_owned(), json!(instead));
    }
    map.insert("kept".to_owned(), json!(method.is_kept()));
    map.insert("params".to_owned(), method.fields.iter().map(Field::to_json).collect());
    Value::Object(map)
}

/// The page that leads to the others: the methods, grouped by the first word of their names, and apart from them those that are only kept.
pub fn guide_index<'a>(methods: impl IntoIterator<Item = &'a Method>) -> String {
    let mut page = "# RPC methods\n\nEvery method that this server has, as `doorbell rpc` lists them. Names, parameters and errors are SPDK's; what begins with \
        `doorbell_` is our own. These pages are made from the methods themselves by `cargo xtask guide`.\n"
        .to_owned();
    let mut all: Vec<&Method> = methods.into_iter().collect();
    all.sort_by_key(|method| (method.is_kept(), method.name));
    let group = |method: &Method| if method.is_kept() { KEPT } else { method.name.split('_').next().unwrap_or_default() };
    for some in all.chunk_by(|a, b| group(a) == group(b)) {
        let name = some.first().map_or("", |method| group(method));
        let _ = write!(page, "\n## {name}\n\n| method | what it does |\n| --- | --- |\n");
        for method in some {
            let _ = writeln!(page, "| [`{0}`]({0}.md) | {1} |", method.name, method.doc.trim().replace('|', "\\|"));
        }
    }
    page
}

/// The heading of methods that are only kept.
const KEPT: &str = "Kept for saved configurations";

/// A method's page in the guide.
pub fn guide_page(method: &Method) -> String {
    let mut page = format!("# `{}`\n\n{}\n\n", method.name, method.doc.trim());
    page += match method.when {
        When::Startup => "Before `framework_start_init` only.\n",
        When::Runtime => "After `framework_start_init` only.\n",
        When::Any => "At any time.\n",
    };
    if let Some(instead) = method.deprecated {
        let _ = write!(page, "\nDeprecated: {instead}\n");
    }
    if !method.aliases.is_empty() {
        let names: Vec<_> = method.aliases.iter().map(|alias| format!("`{}`", alias.name)).collect();
        let _ = write!(page, "\nAlso found as {}.\n", names.join(", "));
    }
    if method.fields.is_empty() {
        page += "\nIt takes no parameters.\n";
        return page;
    }
    page += "\n| parameter | type | | meaning |\n| --- | --- | --- | --- |\n";
    for field in method.fields {
        row(&mut page, "", field);
    }
    page
}

/// A row of the table, and below it those of the members.
fn row(page: &mut String, path: &str, field: &Field) {
    let need = match (field.required, field.default) {
        (true, _) => "required".to_owned(),
        (false, Some(default)) => format!("default `{}`", default()),
        (false, None) => String::new(),
    };
    let doc = field.doc.trim().replace('|', "\\|");
    let _ = writeln!(page, "| `{path}{}` | {} | {need} | {doc} |", field.name, type_text(&field.kind));
    let (members, path) = match field.kind {
        Kind::Object(members) => (members, format!("{path}{}.", field.name)),
        Kind::Array(Kind::Object(members)) => (*members, format!("{path}{}[].", field.name)),
        _ => return,
    };
    for member in members {
        row(page, &path, member);
    }
}

fn type_text(kind: &Kind) -> String {
    let list = |choices: &[&str]| choices.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
    match kind {
        Kind::Enum(choices) => format!("one of {}", list(choices)),
        Kind::Bitmask(choices) => format!("list of {}", list(choices)),
        Kind::Array(item) => format!("list of {}", type_text(item)),
        other => other.name().to_owned(),
    }
}
