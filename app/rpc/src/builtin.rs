//! The methods that belong to the process: its state, its version, its log, its notifications, its end.

use doorbell_control::{Control, ControlError, Methods, NoParams, RpcError, WeakControl, When, choices, params, schema};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::rc::Rc;

#[cfg(test)]
mod tests;

choices! {
    /// What a process can be sent.
    pub enum Signal {
        /// Stop cleanly.
        Int = "SIGINT" | "2",
        /// Stop cleanly.
        Term = "SIGTERM" | "15",
        /// Stop at once.
        Quit = "SIGQUIT" | "3",
        /// Hang up.
        Hup = "SIGHUP" | "1",
        /// Die.
        Kill = "SIGKILL" | "9",
        /// User-defined.
        Usr1 = "SIGUSR1" | "10",
    }

    /// How much is logged: its own level and all before it.
    pub enum LogLevel {
        /// What failed.
        Error = "ERROR",
        /// What may fail.
        Warning = "WARNING",
        /// What an operator wants to know.
        Notice = "NOTICE",
        /// What happens.
        Info = "INFO",
        /// Everything.
        Debug = "DEBUG",
    }
}

/// The log, as far as methods set it.
pub trait LogControl {
    /// Every flag that `-L` takes, and whether it is on.
    fn flags(&self) -> Vec<(String, bool)>;
    /// Turns a flag on or off (`all`: every one); false if there is none of that name.
    fn set_flag(&self, flag: &str, on: bool) -> bool;
    /// What goes to the log.
    fn level(&self) -> LogLevel;
    /// Sets it.
    fn set_level(&self, level: LogLevel);
    /// What goes to the terminal.
    fn print_level(&self) -> LogLevel;
    /// Sets it.
    fn set_print_level(&self, level: LogLevel);
    /// Whether lines carry the time.
    fn set_timestamps(&self, on: bool);
}

/// What the process gives to its own methods.
pub struct Builtins {
    /// Three numbers, as in `0.1.0`.
    pub version: (u32, u32, u32),
    /// The log.
    pub log: Rc<dyn LogControl>,
    /// Does what the signal would do. Called inside `spdk_kill_instance`, before it is answered.
    pub kill: Rc<dyn Fn(Signal)>,
}

params! {
    /// Of `rpc_get_methods`.
    struct GetMethods {
        /// Only those that may be called in the present state.
        current: bool = false,
        /// Other names too.
        include_aliases: bool = false,
    }

    /// Of `framework_get_config`.
    struct GetConfig {
        /// The subsystem.
        name: String,
        /// Whether calls that may run together are grouped in arrays. Doorbell has nothing to group: both forms are the same.
        with_batches: bool = false,
    }

    /// Of `spdk_kill_instance`.
    struct Kill {
        /// The signal, by name or number.
        sig_name: Signal,
    }

    /// Of `notify_get_notifications`.
    struct GetNotifications {
        /// The first one wanted.
        id: u64 = 0,
        /// How many at most.
        max: u64 = u64::MAX,
    }

    /// Of the methods that take a log flag.
    struct Flag {
        /// The flag; `all` is every one.
        flag: String,
    }

    /// Of the methods that set a level.
    struct Level {
        /// The level.
        level: LogLevel,
    }

    /// Of `log_enable_timestamps`.
    struct Timestamps {
        /// Whether lines carry the time.
        enabled: bool,
    }
}

#[derive(Serialize)]
struct Subsystem {
    subsystem: &'static str,
    depends_on: Vec<&'static str>,
}

impl Builtins {
    /// Adds them.
    pub fn add_to(self, control: &Control) -> Result<(), ControlError> {
        let weak = control.downgrade();
        control.add_methods(|methods| {
            interface(methods, &weak);
            framework(methods, &weak);
            notifications(methods, control);
            log(methods, &self.log);
            let (major, minor, patch) = self.version;
            let fields = json!({"major": major, "minor": minor, "patch": patch, "suffix": ""});
            let version = json!({"version": format!("Doorbell v{major}.{minor}.{patch}"), "fields": fields});
            methods.add("spdk_get_version", When::Any, "Says what this is and which version.", move |_: NoParams| {
                std::future::ready(Ok(version.clone()))
            });
            let kill = self.kill;
            let doc = "Ends the process, or does what else the signal does. The connection may close before the answer.";
            methods.add("spdk_kill_instance", When::Runtime, doc, move |p: Kill| {
                kill(p.sig_name);
                std::future::ready(Ok(true))
            });
        })
    }
}

fn interface(methods: &mut Methods, weak: &WeakControl) {
    let control = weak.clone();
    methods.add("rpc_get_methods", When::Any, "Lists the methods.", move |p: GetMethods| {
        std::future::ready(control.get().map(|control| names(&control, &p)))
    });
    let control = weak.clone();
    let doc = "Describes every method and its parameters, for programs.";
    methods.add("doorbell_get_schema", When::Any, doc, move |_: NoParams| {
        let describe = |control: Control| schema(control.methods().iter().map(Rc::as_ref));
        std::future::ready(control.get().map(describe))
    });
}

fn names(control: &Control, wanted: &GetMethods) -> Vec<&'static str> {
    let mut names = Vec::new();
    for method in control.methods() {
        if wanted.current && !control.callable_now(&method) {
            continue;
        }
        names.push(method.name);
        if wanted.include_aliases {
            names.extend(method.aliases.iter().map(|alias| alias.name));
        }
    }
    names.sort_unstable();
    names
}

fn framework(methods: &mut Methods, weak: &WeakControl) {
    let control = weak.clone();
    let doc = "Ends the startup state: starts every subsystem. Once only.";
    methods.add("framework_start_init", When::Startup, doc, move |_: NoParams| {
        let control = control.get();
        async move { control?.start().await.map(|()| true) }
    });
    let control = weak.clone();
    methods.add("framework_wait_init", When::Any, "Answers when every subsystem runs.", move |_: NoParams| {
        let control = control.get();
        async move { control?.started().await.map(|()| true) }
    });
    let control = weak.clone();
    let doc = "Lists the subsystems, each after those that it depends on.";
    methods.add("framework_get_subsystems", When::Runtime, doc, move |_: NoParams| {
        std::future::ready(control.get().map(|control| subsystems(&control)))
    });
    let control = weak.clone();
    let doc = "Lists the calls that would configure a subsystem as it is now.";
    methods.add("framework_get_config", When::Runtime, doc, move |p: GetConfig| {
        let config = control.get().and_then(|control| {
            let absent = || RpcError::new(RpcError::INVALID_PARAMS, format!("Subsystem '{}' not found", p.name));
            control.config(&p.name).ok_or_else(absent)
        });
        std::future::ready(config)
    });
}

fn subsystems(control: &Control) -> Vec<Subsystem> {
    let describe = |part: &Rc<dyn doorbell_control::Part>| Subsystem { subsystem: part.name(), depends_on: control.dependencies(&**part) };
    control.parts().iter().map(describe).collect()
}

fn notifications(methods: &mut Methods, control: &Control) {
    let ring = control.notifications().clone();
    methods.add("notify_get_types", When::Runtime, "Lists what can be notified.", move |_: NoParams| std::future::ready(Ok(ring.types())));
    let ring = control.notifications().clone();
    let doc = "Lists what happened, from an id on; the last 1024 are kept.";
    methods.add("notify_get_notifications", When::Runtime, doc, move |p: GetNotifications| std::future::ready(Ok(ring.since(p.id, p.max))));
}

fn log(methods: &mut Methods, log: &Rc<dyn LogControl>) {
    for (name, doc, on) in [("log_set_flag", "Turns a log flag on.", true), ("log_clear_flag", "Turns a log flag off.", false)] {
        let log = Rc::clone(log);
        methods.add(name, When::Any, doc, move |p: Flag| {
            let absent = || RpcError::invalid_params(format!("no log flag `{}`", p.flag));
            std::future::ready(log.set_flag(&p.flag, on).then_some(true).ok_or_else(absent))
        });
    }
    let it = Rc::clone(log);
    methods.add("log_get_flags", When::Any, "Lists the log flags and which are on.", move |_: NoParams| {
        let flags: Map<String, Value> = it.flags().into_iter().map(|(name, on)| (name, on.into())).collect();
        std::future::ready(Ok(flags))
    });
    let it = Rc::clone(log);
    methods.add("log_set_level", When::Any, "Sets what is logged.", move |p: Level| {
        it.set_level(p.level);
        std::future::ready(Ok(true))
    });
    let it = Rc::clone(log);
    methods.add("log_get_level", When::Any, "Says what is logged.", move |_: NoParams| std::future::ready(Ok(it.level().text())));
    let it = Rc::clone(log);
    methods.add("log_set_print_level", When::Any, "Sets what is printed.", move |p: Level| {
        it.set_print_level(p.level);
        std::future::ready(Ok(true))
    });
    let it = Rc::clone(log);
    methods
        .add("log_get_print_level", When::Any, "Says what is printed.", move |_: NoParams| std::future::ready(Ok(it.print_level().text())));
    let it = Rc::clone(log);
    methods.add("log_enable_timestamps", When::Runtime, "Says whether lines carry the time.", move |p: Timestamps| {
        it.set_timestamps(p.enabled);
        std::future::ready(Ok(true))
    });
}
