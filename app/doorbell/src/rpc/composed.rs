//! Commands that are several calls: saving and loading a configuration, as SPDK's client composes them. The server has no such methods.

use crate::cli::{ComposedArgs, RpcArgs};
use crate::client::{Client, ClientError};
use doorbell_rpc::{SavedCall, saved_calls};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// One of them.
pub(super) struct Composed {
    /// What is typed.
    pub(super) name: &'static str,
    /// In one line.
    pub(super) doc: &'static str,
    /// The flags that it takes, of those of [`ComposedArgs`].
    flags: &'static [&'static str],
    run: fn(&mut Client, &Given) -> Result<(), ClientError>,
}

/// All of them.
pub(super) const COMMANDS: &[Composed] = &[
    Composed {
        name: "load_config",
        doc: "Applies a saved configuration: load_config [-j FILE], otherwise from stdin.",
        flags: &["-j"],
        run: load_config,
    },
    Composed {
        name: "load_subsystem_config",
        doc: "Applies the saved configuration of one subsystem: load_subsystem_config [-j FILE], otherwise from stdin.",
        flags: &["-j"],
        run: load_subsystem,
    },
    Composed {
        name: "save_config",
        doc: "Saves the whole configuration: save_config [FILE] [-i INDENT] [--subsystems NAME,..], otherwise to stdout.",
        flags: &["-i", "--subsystems"],
        run: save_config,
    },
    Composed {
        name: "save_subsystem_config",
        doc: "Saves the configuration of one subsystem: save_subsystem_config -n NAME [FILE] [-i INDENT], otherwise to stdout.",
        flags: &["-i", "-n"],
        run: save_subsystem,
    },
];

/// The one of that name.
pub(super) fn find(name: &str) -> Option<&'static Composed> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// What a command was given.
struct Given {
    indent: usize,
    compact: bool,
    name: Option<String>,
    subsystems: Option<Vec<String>>,
    file: Option<PathBuf>,
}

/// The flags that were given, as they are typed.
fn flags(args: &ComposedArgs) -> Vec<&'static str> {
    let all = [
        ("-i", args.indent.is_some()),
        ("-j", args.json_conf.is_some()),
        ("-n", args.name.is_some()),
        ("--subsystems", args.subsystems.is_some()),
    ];
    all.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
}

/// For a method that is not composed: none of the flags is for it.
pub(super) fn refuse_flags(method: &str, args: &ComposedArgs) -> Result<(), ClientError> {
    match flags(args).first() {
        Some(flag) => {
            Err(ClientError::Params(format!("{method} takes no {flag}: parameters are given as KEY=VALUE, or as one JSON object")))
        }
        None => Ok(()),
    }
}

impl Composed {
    /// Does it.
    pub(super) fn run(&self, args: &RpcArgs) -> Result<(), ClientError> {
        let given = self.given(&args.composed, &args.params)?;
        (self.run)(&mut Client::connect(&args.server)?, &given)
    }

    fn given(&self, args: &ComposedArgs, words: &[String]) -> Result<Given, ClientError> {
        let usage = |what: String| ClientError::Params(format!("{what}. {}", self.doc));
        if let Some(flag) = flags(args).into_iter().find(|flag| !self.flags.contains(flag)) {
            return Err(usage(format!("{} takes no {flag}", self.name)));
        }
        let mut files = args.json_conf.iter().cloned().chain(words.iter().map(PathBuf::from));
        let file = files.next().filter(|path| path != Path::new("-"));
        if let Some(more) = files.next() {
            return Err(usage(format!("one file, not also {}", more.display())));
        }
        if self.flags.contains(&"-n") && args.name.is_none() {
            return Err(usage("which subsystem".to_owned()));
        }
        let indent = args.indent.unwrap_or(2);
        Ok(Given {
            indent: usize::try_from(indent).unwrap_or(0),
            compact: indent < 0,
            name: args.name.clone(),
            subsystems: args.subsystems.clone(),
            file,
        })
    }
}

fn object(params: Value) -> Option<Map<String, Value>> {
    match params {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

fn config_of(client: &mut Client, name: &str) -> Result<Value, ClientError> {
    let config = client.call("framework_get_config", object(json!({"name": name})))?;
    Ok(json!({"subsystem": name, "config": config}))
}

fn save_config(client: &mut Client, given: &Given) -> Result<(), ClientError> {
    let listed = client.call("framework_get_subsystems", None)?;
    let chosen = chosen(&listed, given.subsystems.as_deref())?;
    let all = chosen.iter().map(|name| config_of(client, name)).collect::<Result<Vec<_>, _>>()?;
    given.write(&json!({"subsystems": all}))
}

fn save_subsystem(client: &mut Client, given: &Given) -> Result<(), ClientError> {
    let config = config_of(client, given.name.as_deref().unwrap_or_default())?;
    given.write(&config)
}

/// The subsystems to save, in the server's order: those that are asked for with all that they depend on, or all.
fn chosen(listed: &Value, wanted: Option<&[String]>) -> Result<Vec<String>, ClientError> {
    let texts = |value: Option<&Value>| -> Vec<String> {
        value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let known: Vec<(String, Vec<String>)> = listed
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| Some((one.get("subsystem")?.as_str()?.to_owned(), texts(one.get("depends_on")))))
        .collect();
    let Some(wanted) = wanted else { return Ok(known.into_iter().map(|(name, _)| name).collect()) };
    if let Some(unknown) = wanted.iter().find(|name| !known.iter().any(|(other, _)| other == *name)) {
        let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
        return Err(ClientError::Params(format!("there is no subsystem {unknown}: there are {}", names.join(", "))));
    }
    let mut needed = wanted.to_vec();
    // Each stands after what it depends on, so that one pass from the end finds all.
    for (name, depends_on) in known.iter().rev() {
        if needed.contains(name) {
            needed.extend(depends_on.iter().cloned());
        }
    }
    Ok(known.into_iter().map(|(name, _)| name).filter(|name| needed.contains(name)).collect())
}

fn load_config(client: &mut Client, given: &Given) -> Result<(), ClientError> {
    let calls = given.read(|config| config)?;
    check_known(client, &calls)?;
    let mut left = calls;
    loop {
        let methods = methods(client, true)?;
        let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|call| methods.contains(&call.method));
        let progress = !now.is_empty();
        apply(client, now)?;
        left = later;
        if methods.iter().any(|name| name == START) {
            client.call(START, None)?;
        } else if !progress || left.is_empty() {
            break;
        }
    }
    passed_over(&left);
    Ok(())
}

/// Ends the startup state.
const START: &str = "framework_start_init";

fn load_subsystem(client: &mut Client, given: &Given) -> Result<(), ClientError> {
    let calls = given.read(|config| json!({"subsystems": [config]}))?;
    check_known(client, &calls)?;
    let methods = methods(client, true)?;
    let (now, later) = calls.into_iter().partition(|call| methods.contains(&call.method));
    apply(client, now)?;
    passed_over(&later);
    Ok(())
}

fn methods(client: &mut Client, current: bool) -> Result<Vec<String>, ClientError> {
    let names = client.call("rpc_get_methods", object(json!({"current": current, "include_aliases": true})))?;
    Ok(names.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Nothing is called when one of the methods is not there.
fn check_known(client: &mut Client, calls: &[SavedCall]) -> Result<(), ClientError> {
    let known = methods(client, false)?;
    match calls.iter().find(|call| !known.contains(&call.method)) {
        Some(call) => Err(ClientError::Params(format!("{}: there is no such method here; nothing was changed", call.place))),
        None => Ok(()),
    }
}

fn apply(client: &mut Client, calls: Vec<SavedCall>) -> Result<(), ClientError> {
    for SavedCall { place, method, params } in calls {
        match client.call(&method, params.and_then(object)) {
            Ok(_) => {}
            Err(error @ ClientError::Refused(_)) => return Err(ClientError::Params(format!("{place}: {error}"))),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn passed_over(calls: &[SavedCall]) {
    for call in calls {
        eprintln!("doorbell: {}: passed over, the server's state allows it no more", call.place);
    }
}

impl Given {
    /// The calls of the configuration that is given, put into the shape of a whole one.
    fn read(&self, whole: impl FnOnce(Value) -> Value) -> Result<Vec<SavedCall>, ClientError> {
        let place = self.file.as_ref().map_or_else(|| "stdin".to_owned(), |path| path.display().to_string());
        let wrong = |what: &dyn std::fmt::Display| ClientError::Params(format!("{place}: {what}"));
        let text = match &self.file {
            Some(path) => std::fs::read_to_string(path).map_err(|error| wrong(&error))?,
            None => {
                if io::stdin().is_terminal() {
                    eprintln!("Reading a configuration from the terminal, up to Ctrl-D; -j FILE reads a file.");
                }
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).map_err(|error| wrong(&error))?;
                text
            }
        };
        let config = doorbell_rpc::read_json(&text).map_err(|error| wrong(&error))?;
        saved_calls(&whole(config)).map_err(|error| wrong(&error))
    }

    /// To stdout, or to the file: whole, or not at all.
    fn write(&self, config: &Value) -> Result<(), ClientError> {
        let text = self.text(config);
        let Some(path) = &self.file else {
            return io::stdout().write_all(text.as_bytes()).map_err(|error| ClientError::Params(format!("stdout: {error}")));
        };
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let draft = PathBuf::from(draft);
        let written = std::fs::File::create_new(&draft)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&draft, path));
        written.map_err(|error| {
            let _ = std::fs::remove_file(&draft);
            ClientError::Params(format!("{}: {error}", path.display()))
        })
    }

    fn text(&self, config: &Value) -> String {
        let mut text = Vec::new();
        let spaces = vec![b' '; self.indent];
        let formatter = serde_json::ser::PrettyFormatter::with_indent(&spaces);
        // Writing a value into memory does not fail.
        let _ = match self.compact {
            true => serde_json::to_writer(&mut text, config),
            false => config.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter)),
        };
        text.push(b'\n');
        String::from_utf8_lossy(&text).into_owned()
    }
}
