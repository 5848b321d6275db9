//! The system log, by its socket: RFC 3164 lines, as C libraries send them.

use doorbell_rpc::LogLevel;
use std::io;
use std::os::unix::net::UnixDatagram;

const SOCKET: &str = "/dev/log";
/// Facility "local use 7", which SPDK uses too.
const FACILITY: u8 = 23;

pub(super) struct Syslog(UnixDatagram);

impl Syslog {
    pub(super) fn open() -> io::Result<Syslog> {
        Self::at(SOCKET)
    }

    pub(super) fn at(path: &str) -> io::Result<Syslog> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(path)?;
        Ok(Syslog(socket))
    }

    /// A line as the daemon takes it.
    pub(super) fn line(level: LogLevel, text: &str) -> String {
        let severity = match level {
            LogLevel::Error => 3,
            LogLevel::Warning => 4,
            LogLevel::Notice => 5,
            LogLevel::Info => 6,
            LogLevel::Debug => 7,
        };
        format!("<{}>doorbell[{}]: {}", FACILITY * 8 + severity, std::process::id(), text.trim_end())
    }

    /// A log daemon that does not keep up, or has gone, loses lines; it does not hold anyone up.
    pub(super) fn send(&self, line: &str) {
        let _ = self.0.send(line.as_bytes());
    }
}
