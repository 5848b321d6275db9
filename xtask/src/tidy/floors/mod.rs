//! The floors: a crate uses only floors beneath its own, and on its own floor only what ARCHITECTURE.md names.
//!
//! The table in ARCHITECTURE.md is the rule; nothing is repeated here but how to read it. What a crate needs only for its tests may
//! also come from the testing floor, which holds what tests are made of.

#[cfg(test)]
mod tests;

use super::finding::Finding;
use crate::metadata::Package;

/// The page that holds the table.
pub(crate) const PAGE: &str = "ARCHITECTURE.md";

/// The floors as the table has them, bottom up.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    rooms: Vec<Room>,
    /// Names of the floors, bottom up.
    names: Vec<String>,
    /// Line of the table's head, for findings about rooms it lacks.
    line: usize,
}

/// One crate of the table.
#[derive(Debug)]
struct Room {
    name: String,
    folder: Option<String>,
    floor: usize,
    uses: Vec<String>,
    line: usize,
}

impl Floors {
    /// Reads the table whose first heading is `floor`.
    pub(crate) fn parse(page: &str) -> Result<Floors, Finding> {
        let mut floors = Floors::default();
        for (index, line) in page.lines().enumerate() {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            if !line.starts_with('|') {
                if floors.line > 0 {
                    break;
                }
            } else if floors.line == 0 {
                floors.line = if cells[0] == "floor" { index + 1 } else { 0 };
            } else if !cells[0].starts_with('-') {
                floors.add_row(&cells, index + 1)?;
            }
        }
        if floors.rooms.is_empty() {
            let what = "no table that begins with `| floor | crate (folder) | .. | uses on its own floor |`";
            return Err(Finding::new(PAGE, 1, what, "put it back: the floors are checked against it"));
        }
        Ok(floors)
    }

    fn add_row(&mut self, cells: &[&str], line: usize) -> Result<(), Finding> {
        let wrong = |what: &str| Finding::new(PAGE, line, what, "write `| floor | crate (folder) | what | uses |`");
        let [floor, crates, _, uses] = cells else { return Err(wrong("a row without four cells")) };
        if !floor.is_empty() {
            self.names.push((*floor).to_owned());
        }
        let floor = self.names.len().checked_sub(1).ok_or_else(|| wrong("a row before the first floor"))?;
        let uses: Vec<String> =
            uses.split(',').map(|name| full_name(name.trim().trim_matches('`'))).filter(|name| name != "doorbell-").collect();
        let mut quoted = crates.split('`').skip(1).step_by(2).peekable();
        if quoted.peek().is_none() {
            return Err(wrong("a row that names no crate"));
        }
        let (before, folder) = crates.split_once('(').map_or((*crates, None), |(before, rest)| (before, rest.split('`').nth(1)));
        for name in before.split('`').skip(1).step_by(2) {
            self.rooms.push(Room { name: name.to_owned(), folder: folder.map(str::to_owned), floor, uses: uses.clone(), line });
        }
        Ok(())
    }

    fn room(&self, package: &str) -> Option<&Room> {
        self.rooms.iter().find(|room| room.name == package || full_name(&room.name) == package)
    }

    /// Checks one package whose manifest lies at `manifest`, with `text` as written there.
    pub(crate) fn check(&self, package: &Package, manifest: &str, text: &str) -> Vec<Finding> {
        let Some(room) = self.room(&package.name) else {
            let what = format!("{} ({manifest}) has no row in the table of floors", package.name);
            return vec![Finding::new(PAGE, self.line, what, "add one: which floor, what it is, what it uses there")];
        };
        let mut findings = Vec::new();
        let folder = manifest.trim_end_matches("/Cargo.toml");
        if let Some(named) = room.folder.as_deref().filter(|named| *named != folder) {
            findings.push(Finding::new(PAGE, room.line, format!("{} lies in {folder}, not in {named}", package.name), "correct the table"));
        }
        for dependency in &package.dependencies {
            let Some(other) = self.room(&dependency.name) else { continue };
            let is_for_tests = dependency.kind.as_deref() == Some("dev");
            if !self.may_use(room, other, is_for_tests) {
                let line = text.lines().position(|line| line.starts_with(&dependency.name)).map_or(1, |at| at + 1);
                let what =
                    format!("{} (floor {}) uses {} (floor {})", package.name, self.names[room.floor], other.name, self.names[other.floor]);
                findings.push(Finding::new(
                    manifest,
                    line,
                    what,
                    format!("turn the dependency round, or name it in the table of {PAGE} if both are on one floor"),
                ));
            }
        }
        findings
    }

    fn may_use(&self, room: &Room, other: &Room, is_for_tests: bool) -> bool {
        let is_named = || room.uses.iter().any(|name| name == "doorbell-all" || *name == full_name(&other.name));
        let is_itself = room.name == other.name;
        is_itself
            || other.floor < room.floor
            || (other.floor == room.floor && is_named())
            || (is_for_tests && self.names[other.floor] == "testing")
    }
}

/// `mem` and `doorbell-mem` are the same crate.
fn full_name(name: &str) -> String {
    if name == "doorbell" || name.starts_with("doorbell-") { name.to_owned() } else { format!("doorbell-{name}") }
}
