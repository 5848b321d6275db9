//! Applies a saved configuration: SPDK's `{"subsystems": [{"subsystem", "config": [{"method", "params"}]}]}`.
//!
//! All of it is read before anything is called, so that a misspelt method changes nothing. Then, as SPDK does it: what may
//! be called at startup, in order; the start; what may be called only afterwards, in order. A process that already runs
//! gets only the last.

use doorbell_control::{Control, RpcError, State, When};
use serde_json::Value;

#[cfg(test)]
mod tests;

/// How to load.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// Goes on after a call that fails or is unknown (`--json-ignore-init-errors`).
    pub ignore_errors: bool,
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many calls succeeded.
    pub applied: usize,
    /// Calls that this state allows no more, as `subsystem[index] method`.
    pub skipped: Vec<String>,
    /// Calls that failed and were passed over.
    pub failed: Vec<String>,
}

/// Why a configuration was not applied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LoadError {
    /// It is not what a configuration looks like.
    #[error("configuration: {0}")]
    Shape(String),
    /// There is no such method.
    #[error("configuration: {place}: there is no such method here")]
    UnknownMethod {
        /// `subsystem[index] method`.
        place: String,
    },
    /// A method answered with an error.
    #[error("configuration: {place}: {error}")]
    Call {
        /// `subsystem[index] method`.
        place: String,
        /// Its error.
        error: RpcError,
    },
    /// The subsystems did not start.
    #[error("start: {0}")]
    Start(RpcError),
}

/// One call of a saved configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedCall {
    /// Where it stands: `subsystem[index] method`.
    pub place: String,
    /// The method.
    pub method: String,
    /// Its parameters.
    pub params: Option<Value>,
}

/// Applies a configuration, and starts the process if it has not started.
pub async fn load_config(control: &Control, config: &Value, options: LoadOptions) -> Result<Report, LoadError> {
    let mut report = Report::default();
    let mut entries = Vec::new();
    for entry in saved_calls(config)? {
        match control.method(&entry.method) {
            Some(method) => entries.push((entry, method.when)),
            None if options.ignore_errors => report.failed.push(format!("{}: unknown", entry.place)),
            None => return Err(LoadError::UnknownMethod { place: entry.place }),
        }
    }
    let fresh = control.state() == State::Startup;
    let (early, late): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(_, when)| *when != When::Runtime);
    if fresh {
        for (entry, _) in early {
            apply(control, entry, options, &mut report).await?;
        }
        control.start().await.map_err(LoadError::Start)?;
    } else {
        report.skipped.extend(early.into_iter().map(|(entry, _)| entry.place));
    }
    for (entry, _) in late {
        apply(control, entry, options, &mut report).await?;
    }
    Ok(report)
}

async fn apply(control: &Control, entry: SavedCall, options: LoadOptions, report: &mut Report) -> Result<(), LoadError> {
    match control.call(&entry.method, entry.params).await {
        Ok(_) => report.applied += 1,
        Err(error) if options.ignore_errors => report.failed.push(format!("{}: {error}", entry.place)),
        Err(error) => return Err(LoadError::Call { place: entry.place, error }),
    }
    Ok(())
}

/// Reads a saved configuration into its calls.
///
/// # Errors
/// [`LoadError::Shape`] when it does not look like one.
pub fn saved_calls(config: &Value) -> Result<Vec<SavedCall>, LoadError> {
    let shape = |text: &str| LoadError::Shape(text.to_owned());
    let subsystems = config.get("subsystems").ok_or_else(|| shape("it has no \"subsystems\""))?;
    let subsystems = subsystems.as_array().ok_or_else(|| shape("\"subsystems\" is not an array"))?;
    let mut entries = Vec::new();
    for (index, subsystem) in subsystems.iter().enumerate() {
        let Some(name) = subsystem.get("subsystem").and_then(Value::as_str) else {
            return Err(LoadError::Shape(format!("subsystems[{index}] has no name (\"subsystem\")")));
        };
        match subsystem.get("config") {
            None | Some(Value::Null) => {}
            Some(Value::Array(calls)) => {
                for (index, call) in calls.iter().enumerate() {
                    read_entry(name, index, call, &mut entries)?;
                }
            }
            Some(_) => return Err(LoadError::Shape(format!("{name}: \"config\" is neither an array nor null"))),
        }
    }
    Ok(entries)
}

/// One call, or an array of calls (saved with batches).
fn read_entry(name: &str, index: usize, call: &Value, entries: &mut Vec<SavedCall>) -> Result<(), LoadError> {
    if let Value::Array(batch) = call {
        if batch.iter().any(Value::is_array) {
            return Err(LoadError::Shape(format!("{name}[{index}] is an array inside an array")));
        }
        return batch.iter().try_for_each(|one| read_entry(name, index, one, entries));
    }
    let Some(method) = call.get("method").and_then(Value::as_str) else {
        return Err(LoadError::Shape(format!("{name}[{index}] has no \"method\"")));
    };
    let place = format!("{name}[{index}] {method}");
    let params = call.get("params").filter(|params| !params.is_null()).cloned();
    if params.as_ref().is_some_and(|params| !params.is_object()) {
        return Err(LoadError::Shape(format!("{place}: \"params\" is not an object")));
    }
    entries.push(SavedCall { place, method: method.to_owned(), params });
    Ok(())
}
