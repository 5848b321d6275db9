//! The log: one line per event on stderr, with SPDK's five levels and its flags.
//!
//! Code logs with `tracing`: error, warn, info, debug and trace are ERROR, WARNING, NOTICE, INFO and DEBUG. Lines up to the *print level*
//! go to stderr; lines up to the *log level* go to the system log too, when that was asked for. A flag lets everything of one part through to
//! stderr, whatever the level. All of it can be changed while the process runs. Nothing on the path of an I/O logs, and whoever logs never waits
//! for a reader: threads of the log's own write ([`outlet`]).

mod line;
mod outlet;
mod syslog;

use doorbell_rpc::{LogControl, LogLevel};
use line::Line;
use outlet::Outlet;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use syslog::Syslog;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

#[cfg(test)]
mod tests;

/// A flag, and the modules that it is about.
struct Flag {
    name: &'static str,
    targets: &'static [&'static str],
    on: AtomicBool,
}

const fn flag(name: &'static str, targets: &'static [&'static str]) -> Flag {
    Flag { name, targets, on: AtomicBool::new(false) }
}

/// What `-L` takes. Longer targets come before the shorter ones that begin them: the first that fits names the line.
static FLAGS: [Flag; 16] = [
    flag("aio", &["doorbell_backends::aio"]),
    flag("app", &["doorbell"]),
    flag("backends", &["doorbell_backends"]),
    flag("bdev", &["doorbell_bdev"]),
    flag("blobstore", &["doorbell_blobstore"]),
    flag("lvol", &["doorbell_lvol", "doorbell_backends::lvol"]),
    flag("mem", &["doorbell_mem"]),
    flag("nvme", &["doorbell_nvme", "doorbell_backends::nvme"]),
    flag("nvmf", &["doorbell_nvmf"]),
    flag("nvmf_tcp", &["doorbell_nvmf::tcp"]),
    flag("pci", &["doorbell_pci"]),
    flag("reactor", &["doorbell_reactor", "doorbell_block"]),
    flag("rpc", &["doorbell_rpc", "doorbell_control"]),
    flag("sys", &["doorbell_sys"]),
    flag("uring", &["doorbell_backends::uring"]),
    flag("malloc", &["doorbell_backends::malloc", "doorbell_backends::null"]),
];

/// Whether `target` is the module `of` or lies in it.
fn within(target: &str, of: &str) -> bool {
    target.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The name by which a line says where it is from: the flag whose module fits best.
fn name_of(target: &str) -> Option<&'static str> {
    let fits = |flag: &Flag| flag.targets.iter().filter(|of| within(target, of)).map(|of| of.len()).max();
    FLAGS.iter().filter_map(|flag| Some((fits(flag)?, flag.name))).max().map(|(_, name)| name)
}

/// SPDK's number of a level: ERROR is 0, DEBUG is 4.
fn rank(level: LogLevel) -> u8 {
    LogLevel::ALL.iter().position(|other| *other == level).unwrap_or(0) as u8
}

fn of_rank(rank: u8) -> LogLevel {
    LogLevel::ALL.get(usize::from(rank)).copied().unwrap_or(LogLevel::Debug)
}

fn of_tracing(level: &Level) -> LogLevel {
    match *level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warning,
        Level::INFO => LogLevel::Notice,
        Level::DEBUG => LogLevel::Info,
        Level::TRACE => LogLevel::Debug,
    }
}

/// What may change while the process runs.
struct Settings {
    print_level: AtomicU8,
    level: AtomicU8,
    timestamps: AtomicBool,
    /// None where no thread could be started: lines are then written by whoever logs them.
    stderr: Option<Outlet>,
    syslog: OnceLock<Outlet>,
}

/// How long the end of the process waits for what was logged to be written.
const PATIENCE: Duration = Duration::from_secs(1);

impl Settings {
    fn flush(&self) {
        for outlet in self.stderr.iter().chain(self.syslog.get()) {
            outlet.flush(PATIENCE);
        }
    }
}

/// Writes out what was logged when it goes: hold it until the end.
pub(crate) struct Flush(Arc<Settings>);

impl Drop for Flush {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Writes to stderr itself, past the standard library's lock: somebody may be stuck with that. Nobody is left to tell when stderr is gone.
fn to_stderr(text: &str) {
    let mut left = text.as_bytes();
    while !left.is_empty() {
        match rustix::io::write(std::io::stderr(), left) {
            Ok(0) => return,
            Ok(n) => left = left.get(n..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) if writable() => {}
            Err(_) => return,
        }
    }
}

/// Waits for a stderr that somebody made non-blocking.
fn writable() -> bool {
    let stderr = std::io::stderr();
    let mut fds = [rustix::event::PollFd::new(&stderr, rustix::event::PollFlags::OUT)];
    matches!(rustix::event::poll(&mut fds, None), Ok(_) | Err(rustix::io::Errno::INTR))
}

/// Says how many lines are missing.
fn lost(lines: u64, time: Option<SystemTime>) -> String {
    let mut line = Line::new("app");
    line.say(&format_args!("{lines} lines dropped: nobody read them in time"));
    line.text(time, LogLevel::Warning)
}

/// The log's handle. Clones are the same log.
#[derive(Clone)]
pub(crate) struct Log(Arc<Settings>);

/// There is no flag of that name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no log flag `{name}`: there are all, {known}")]
pub(crate) struct UnknownFlag {
    name: String,
    known: String,
}

impl Log {
    /// Makes it the process's log. Only the first one is.
    pub(crate) fn install() -> Log {
        let notice = rank(LogLevel::Notice);
        let settings = Settings {
            print_level: AtomicU8::new(notice),
            level: AtomicU8::new(notice),
            timestamps: AtomicBool::new(true),
            stderr: Outlet::start("log", to_stderr, |lines| lost(lines, Some(SystemTime::now()))).ok(),
            syslog: OnceLock::new(),
        };
        let log = Log(Arc::new(settings));
        // Fails only when a log is there already, as in tests.
        let _ = tracing::subscriber::set_global_default(Sink(log.0.clone()));
        log
    }

    /// Sends lines to the system log as well.
    pub(crate) fn open_syslog(&self) -> std::io::Result<()> {
        let syslog = Syslog::open()?;
        let lost = |lines| Syslog::line(LogLevel::Warning, &lost(lines, None));
        let _ = self.0.syslog.set(Outlet::start("syslog", move |line| syslog.send(line), lost)?);
        Ok(())
    }

    /// Sees to it that what was logged is written, when the value goes and before a panic is told.
    pub(crate) fn flush_at_end(&self) -> Flush {
        let settings = self.0.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            settings.flush();
            before(panic);
        }));
        Flush(self.0.clone())
    }

    /// Turns a flag on.
    pub(crate) fn turn_on(&self, name: &str) -> Result<(), UnknownFlag> {
        if self.set_flag(name, true) {
            return Ok(());
        }
        let known: Vec<_> = self.flags().into_iter().map(|(name, _)| name).collect();
        Err(UnknownFlag { name: name.to_owned(), known: known.join(", ") })
    }
}

impl LogControl for Log {
    fn flags(&self) -> Vec<(String, bool)> {
        let mut flags: Vec<_> = FLAGS.iter().map(|flag| (flag.name.to_owned(), flag.on.load(Relaxed))).collect();
        flags.sort();
        flags
    }

    fn set_flag(&self, name: &str, on: bool) -> bool {
        let mut found = false;
        for flag in FLAGS.iter().filter(|flag| name == "all" || flag.name == name) {
            flag.on.store(on, Relaxed);
            found = true;
        }
        found
    }

    fn level(&self) -> LogLevel {
        of_rank(self.0.level.load(Relaxed))
    }

    fn set_level(&self, level: LogLevel) {
        if self.0.syslog.get().is_none() {
            tracing::warn!(
                level = level.text(),
                "the log level is that of the system log, which is off: start with --syslog, or set the print level"
            );
        }
        self.0.level.store(rank(level), Relaxed);
    }

    fn print_level(&self) -> LogLevel {
        of_rank(self.0.print_level.load(Relaxed))
    }

    fn set_print_level(&self, level: LogLevel) {
        self.0.print_level.store(rank(level), Relaxed);
    }

    fn set_timestamps(&self, on: bool) {
        self.0.timestamps.store(on, Relaxed);
    }
}

/// What `tracing` calls.
struct Sink(Arc<Settings>);

impl Sink {
    fn prints(&self, meta: &Metadata<'_>, level: u8) -> bool {
        let flagged = |flag: &Flag| flag.on.load(Relaxed) && flag.targets.iter().any(|of| within(meta.target(), of));
        level <= self.0.print_level.load(Relaxed) || FLAGS.iter().any(flagged)
    }

    fn logs(&self, level: u8) -> bool {
        level <= self.0.level.load(Relaxed) && self.0.syslog.get().is_some()
    }
}

impl Subscriber for Sink {
    // What is enabled changes while the process runs, so no answer may be kept.
    fn register_callsite(&self, _meta: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn enabled(&self, meta: &Metadata<'_>) -> bool {
        let level = rank(of_tracing(meta.level()));
        name_of(meta.target()).is_some() && (self.prints(meta, level) || self.logs(level))
    }

    fn event(&self, event: &Event<'_>) {
        let meta = event.metadata();
        let level = of_tracing(meta.level());
        let mut line = Line::new(name_of(meta.target()).unwrap_or("other"));
        event.record(&mut line);
        if self.prints(meta, rank(level)) {
            let time = self.0.timestamps.load(Relaxed).then(SystemTime::now);
            let text = line.text(time, level);
            match &self.0.stderr {
                Some(outlet) => outlet.put(text),
                None => to_stderr(&text),
            }
        }
        if self.logs(rank(level))
            && let Some(syslog) = self.0.syslog.get()
        {
            syslog.put(Syslog::line(level, &line.text(None, level)));
        }
    }

    // Events carry their fields themselves: spans are not used.
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
