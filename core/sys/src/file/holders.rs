//! Who has a file or device that could not be had: found after the kernel refused, to tell the operator what to do about it.
//!
//! Best effort by nature: other users' processes and other mount namespaces cannot be seen into. Nothing is decided by it.

use std::{
    fmt, fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// One that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A file system on this device is mounted.
    Mounted {
        /// The device, or the partition of it.
        device: String,
        /// Where.
        at: PathBuf,
    },
    /// It is swapped to.
    Swap {
        /// The device, partition or file.
        device: String,
    },
    /// It is part of another device: device-mapper (LVM, LUKS, multipath), MD RAID and the like.
    PartOf {
        /// The device, or the partition of it.
        device: String,
        /// What it is part of, by the name people know.
        of: String,
    },
    /// A process has locked the file, or has the device open.
    Process {
        /// Its id.
        pid: u32,
        /// Its name.
        name: String,
    },
}

/// All that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders(pub Vec<Holder>);

/// Where the kernel tells: `/proc` and `/sys`, but for tests.
pub(super) struct Roots<'a> {
    pub(super) proc: &'a Path,
    pub(super) sys: &'a Path,
}

/// A block device by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl Roots<'static> {
    pub(super) fn real() -> Self {
        Roots { proc: Path::new("/proc"), sys: Path::new("/sys") }
    }
}

impl Roots<'_> {
    /// Who has this block device, or a partition of it.
    pub(super) fn of_device(&self, device: Device) -> Holders {
        let family = self.family(device);
        let mut found: Vec<Holder> = family.iter().flat_map(|(name, device)| self.stacked(name, *device)).collect();
        found.extend(mounts(&self.text("self/mountinfo"), &family, numbers_of));
        found.extend(swaps(&self.text("swaps"), &family, numbers_of));
        if found.is_empty() {
            let ours = |file: &fs::Metadata| file.rdev() != 0 && family.iter().any(|(_, device)| *device == split(file.rdev()));
            found = self.processes(|file, _| ours(file));
        }
        Holders(found)
    }

    /// Who has locked this file, or swaps to it.
    pub(super) fn of_file(&self, dev: u64, inode: u64) -> Holders {
        let same = |file: &fs::Metadata| (file.dev(), file.ino()) == (dev, inode);
        let swaps = self.text("swaps");
        let mut found: Vec<Holder> = swap_paths(&swaps)
            .filter(|path| fs::metadata(path).is_ok_and(|file| same(&file)))
            .map(|path| Holder::Swap { device: path.display().to_string() })
            .collect();
        found.extend(self.processes(|file, info| same(file) && info.contains("lock:")));
        Holders(found)
    }

    /// The device, its partitions, and the disk it is a partition of, with their names.
    fn family(&self, device: Device) -> Vec<(String, Device)> {
        let dir = self.sys.join(format!("dev/block/{}:{}", device.major, device.minor));
        let name = |dir: &Path| fs::canonicalize(dir).ok()?.file_name()?.to_str().map(String::from);
        let mut family = vec![(name(&dir).unwrap_or_else(|| format!("{}:{}", device.major, device.minor)), device)];
        let mut dirs: Vec<PathBuf> = fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        dirs.retain(|dir| dir.join("partition").exists());
        if dir.join("partition").exists() {
            dirs.push(dir.join(".."));
        }
        dirs.sort();
        family.extend(dirs.iter().filter_map(|dir| {
            let numbers = fs::read_to_string(dir.join("dev")).ok()?;
            Some((name(dir)?, parse_numbers(numbers.trim())?))
        }));
        family
    }

    fn stacked(&self, name: &str, device: Device) -> Vec<Holder> {
        let dir = self.sys.join(format!("dev/block/{}:{}/holders", device.major, device.minor));
        let above = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut above: Vec<String> = above.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        above.sort();
        above.into_iter().map(|above| Holder::PartOf { device: name.to_owned(), of: self.known_as(above) }).collect()
    }

    /// `dm-3` is `vg-root` to people.
    fn known_as(&self, name: String) -> String {
        let block = self.sys.join("class/block").join(&name);
        match fs::read_to_string(block.join("dm/name")) {
            Ok(mapped) => format!("device-mapper {} ({name})", mapped.trim()),
            Err(_) if block.join("md").exists() => format!("RAID {name}"),
            Err(_) => name,
        }
    }

    /// Processes with a descriptor that `wanted` accepts, given the file and the text of its fdinfo.
    fn processes(&self, wanted: impl Fn(&fs::Metadata, &str) -> bool) -> Vec<Holder> {
        let entries = fs::read_dir(self.proc).into_iter().flatten().flatten();
        let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        pids.sort_unstable();
        let has = |pid: &u32| {
            let dir = self.proc.join(pid.to_string());
            let fds = fs::read_dir(dir.join("fd")).into_iter().flatten().flatten();
            fds.filter_map(|fd| Some((fs::metadata(fd.path()).ok()?, fs::read_to_string(dir.join("fdinfo").join(fd.file_name())).ok()?)))
                .any(|(file, info)| wanted(&file, &info))
        };
        let name = |pid: u32| fs::read_to_string(self.proc.join(format!("{pid}/comm"))).unwrap_or_default().trim().to_owned();
        pids.into_iter().filter(has).map(|pid| Holder::Process { pid, name: name(pid) }).collect()
    }

    fn text(&self, name: &str) -> Vec<u8> {
        fs::read(self.proc.join(name)).unwrap_or_default()
    }
}

type Family = [(String, Device)];

fn member(family: &Family, device: Device) -> Option<&str> {
    family.iter().find(|(_, of)| *of == device).map(|(name, _)| name.as_str())
}

/// Lines of mountinfo (proc(5)): `id parent major:minor root mount-point options [tags] - type source options`. The numbers of a file
/// system with several devices (btrfs) are made up, so the source is looked at too.
pub(super) fn mounts(text: &[u8], family: &Family, numbers_of: impl Fn(&Path) -> Option<Device>) -> Vec<Holder> {
    let line = |line: &[u8]| {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let at = PathBuf::from(std::ffi::OsStr::from_bytes(&unescape(fields.get(4)?)));
        let stated = std::str::from_utf8(fields.get(2)?).ok().and_then(parse_numbers);
        let dash = fields.iter().position(|field| *field == b"-")?;
        let source = fields.get(dash + 2).map(|source| unescape(source)).filter(|source| source.starts_with(b"/"));
        let source = source.and_then(|source| numbers_of(Path::new(std::ffi::OsStr::from_bytes(&source))));
        let device = [stated, source].into_iter().flatten().find_map(|device| member(family, device))?;
        Some(Holder::Mounted { device: device.to_owned(), at })
    };
    text.split(|&byte| byte == b'\n').filter_map(line).collect()
}

/// The first column of /proc/swaps, below its heading.
fn swap_paths(text: &[u8]) -> impl Iterator<Item = PathBuf> {
    let lines = text.split(|&byte| byte == b'\n').skip(1);
    let first = lines.filter_map(|line| line.split(|byte| byte.is_ascii_whitespace()).next()).filter(|path| !path.is_empty());
    first.map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(&unescape(path))))
}

pub(super) fn swaps(text: &[u8], family: &Family, numbers_of: impl Fn(&Path) -> Option<Device>) -> Vec<Holder> {
    swap_paths(text)
        .filter_map(|path| member(family, numbers_of(&path)?))
        .map(|device| Holder::Swap { device: device.to_owned() })
        .collect()
}

/// proc(5) writes blanks and backslashes as `\ooo`.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
        match (first, tail.get(..3).and_then(octal)) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = &tail[3..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

pub(super) fn parse_numbers(text: &str) -> Option<Device> {
    let (major, minor) = text.split_once(':')?;
    Some(Device { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

fn split(rdev: u64) -> Device {
    Device { major: rustix::fs::major(rdev), minor: rustix::fs::minor(rdev) }
}

fn numbers_of(path: &Path) -> Option<Device> {
    fs::metadata(path).ok().map(|file| split(file.rdev()))
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Mounted { device, at } => write!(f, "{device} is mounted on {}", at.display()),
            Holder::Swap { device } => write!(f, "{device} is swap space"),
            Holder::PartOf { device, of } => write!(f, "{device} is part of {of}"),
            Holder::Process { pid, name } => write!(f, "process {pid} ({name}) has it"),
        }
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else {
            return f.write_str("by whom cannot be seen from here (another user, container or mount namespace)");
        };
        write!(f, "{first}")?;
        rest.iter().try_for_each(|holder| write!(f, ", {holder}"))
    }
}
