//! What there is to call, and what was probably meant.

use super::composed::COMMANDS;
use crate::client::{Client, ClientError};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};

#[cfg(test)]
mod tests;

/// JSON-RPC's codes for a method that is not there, and for parameters that do not fit (the second as SPDK's device modules say it).
const METHOD_NOT_FOUND: i64 = -32601;
const BAD_PARAMS: [i64; 2] = [-32602, -32603];

/// Prints every method of a server in one line each.
pub(super) fn list(client: &mut Client) -> Result<(), ClientError> {
    let mut lines = methods(client)?;
    lines.extend(COMMANDS.iter().map(|command| (command.name.to_owned(), command.doc.to_owned())));
    lines.sort();
    let mut text = "Methods of this server, and commands composed of them: doorbell rpc METHOD [KEY=VALUE | JSON]\n\n".to_owned();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, doc) in lines {
        let _ = writeln!(text, "{}", format!("{name:width$}  {}", first_sentence(&doc)).trim_end());
    }
    // A reader that has left (`| head`) is no error.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Names, and texts where the server has any: one of SPDK's has not.
fn methods(client: &mut Client) -> Result<Vec<(String, String)>, ClientError> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    match client.call("doorbell_get_schema", None) {
        Ok(schema) => {
            let methods = schema.get("methods").and_then(Value::as_array).into_iter().flatten();
            Ok(methods.map(|method| (text(method.get("name")), text(method.get("description")))).collect())
        }
        Err(ClientError::Refused(_)) => {
            let names = client.call("rpc_get_methods", None)?;
            Ok(names.as_array().into_iter().flatten().map(|name| (text(Some(name)), String::new())).collect())
        }
        Err(error) => Err(error),
    }
}

fn first_sentence(doc: &str) -> &str {
    let end = doc.find(". ").map_or(doc.len(), |at| at + 1);
    doc.get(..end).unwrap_or(doc)
}

/// Adds to a refusal what helps against it.
pub(super) fn explain(client: &mut Client, method: &str, refused: ClientError) -> ClientError {
    let ClientError::Refused(error) = refused else { return refused };
    let hint = match error.get("code").and_then(Value::as_i64) {
        Some(METHOD_NOT_FOUND) => absent(client, method),
        Some(code) if BAD_PARAMS.contains(&code) => schema_of(client, method).map(|schema| takes(method, &schema)),
        _ => None,
    };
    match hint {
        Some(hint) => ClientError::Explained { error, hint },
        None => ClientError::Refused(error),
    }
}

fn absent(client: &mut Client, method: &str) -> Option<String> {
    // The aliases too: somebody may have mistyped one.
    let all = json!({"include_aliases": true}).as_object().cloned();
    let names = client.call("rpc_get_methods", all).ok()?;
    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
    let near = nearest(method, names.chain(COMMANDS.iter().map(|command| command.name)));
    let meant = match near.as_slice() {
        [] => String::new(),
        near => format!("Is it {}? ", near.join(" or ")),
    };
    Some(format!("{meant}`doorbell rpc` without a method lists all"))
}

fn schema_of(client: &mut Client, method: &str) -> Option<Value> {
    let schema = client.call("doorbell_get_schema", None).ok()?;
    let named = |one: &&Value| {
        let aliases = one.get("aliases").and_then(Value::as_array).into_iter().flatten();
        one.get("name").into_iter().chain(aliases).any(|name| name == method)
    };
    schema.get("methods")?.as_array()?.iter().find(named).cloned()
}

/// The parameters of a method in one line; what must be given, first.
fn takes(method: &str, schema: &Value) -> String {
    let fields = schema.get("params").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let (required, optional): (Vec<_>, Vec<_>) = fields.partition(|field| field.get("required") == Some(&Value::Bool(true)));
    let show = |field: &Map<String, Value>| {
        let text = |key: &str| field.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{} ({})", text("name"), text("type"))
    };
    let list = |fields: Vec<&Map<String, Value>>| fields.into_iter().map(show).collect::<Vec<_>>().join(", ");
    match (list(required), list(optional)) {
        (required, optional) if required.is_empty() && optional.is_empty() => format!("{method} takes no parameters"),
        (required, optional) if required.is_empty() => format!("{method} may take {optional}"),
        (required, optional) if optional.is_empty() => format!("{method} takes {required}"),
        (required, optional) => format!("{method} takes {required}; and may take {optional}"),
    }
}

/// The names nearest to one that was mistyped: at most three, all equally near, none if none is near.
fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (typed.chars().count() / 4).clamp(1, 4);
    let mut near: Vec<(usize, &str)> = names.map(|name| (distance(typed, name), name)).filter(|(far, _)| *far <= limit).collect();
    near.sort_unstable();
    near.dedup();
    let best = near.first().map(|(far, _)| *far);
    near.into_iter().take_while(|(far, _)| Some(*far) == best).map(|(_, name)| name).take(3).collect()
}

/// How many letters have to be put in, taken out, changed, or swapped with the next.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Three rows of the usual table: two back, one back, this one.
    let mut rows = [vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<_>>(), vec![0; b.len() + 1]];
    for (i, x) in a.iter().enumerate() {
        let [before, above, row] = &mut rows;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = above[j] + usize::from(x != y);
            row[j + 1] = changed.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *y && b[j - 1] == *x {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}
