//! One line: time, level, part, message, `key=value`. What comes from outside (names, paths, errors) cannot break it in two or move a cursor.

use doorbell_rpc::LogLevel;
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};

/// The longest value that is shown whole.
const VALUE_MAX: usize = 1024;

pub(super) struct Line {
    part: &'static str,
    message: String,
    fields: String,
}

impl Line {
    pub(super) fn new(part: &'static str) -> Line {
        Line { part, message: String::new(), fields: String::new() }
    }

    /// The whole, with its end.
    pub(super) fn text(&self, time: Option<SystemTime>, level: LogLevel) -> String {
        let mut text = String::with_capacity(64 + self.message.len() + self.fields.len());
        if let Some(time) = time {
            let _ = write!(text, "{} ", Utc(time));
        }
        let _ = writeln!(text, "{:<7} {}: {}{}", level.text(), self.part, self.message, self.fields);
        text
    }

    /// Sets the message.
    pub(super) fn say(&mut self, message: &dyn fmt::Display) {
        self.add("message", message);
    }

    fn add(&mut self, name: &str, value: &dyn fmt::Display) {
        let mut shown = String::new();
        let _ = write!(Clean { out: &mut shown, room: VALUE_MAX }, "{value}");
        if name == "message" {
            self.message = shown;
        } else if shown.is_empty() || shown.contains([' ', '"', '=']) {
            let _ = write!(self.fields, " {name}={shown:?}");
        } else {
            let _ = write!(self.fields, " {name}={shown}");
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), &format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), &value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field.name(), &value);
    }
}

/// Escapes control characters and cuts what is too long.
struct Clean<'a> {
    out: &'a mut String,
    room: usize,
}

impl Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.room == 0 {
                return Ok(());
            }
            self.room -= 1;
            // Also those that turn the direction of writing around.
            if c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                self.out.extend(c.escape_default());
            } else {
                self.out.push(c);
            }
            if self.room == 0 {
                self.out.push_str("...");
            }
        }
        Ok(())
    }
}

/// A time as `2026-11-22T10:39:05.123Z`.
pub(super) struct Utc(pub(super) SystemTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Years begin in March, so that a leap day is a year's last; eras are 400 years of 146,097 days.
        let shifted = days + 719_468;
        let (era, day) = (shifted / 146_097, shifted % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (year, month) = match month {
            0..=9 => (era * 400 + year, month + 3),
            _ => (era * 400 + year + 1, month - 9),
        };
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
    }
}
