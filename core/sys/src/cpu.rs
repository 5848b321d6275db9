//! CPUs: which there are, which this process may use, and running a thread on one.

use std::{fmt, fs, io, mem::size_of, str::FromStr};

#[cfg(all(test, not(loom)))]
mod tests;

/// A CPU as Linux numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(pub u32);

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a core mask or list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpuError {
    /// Not a mask and not a list.
    #[error("`{text}` is no core mask (0x3) and no core list ([0,2-3] or 0,2-3): {why}")]
    Syntax {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Names no CPU at all.
    #[error("`{0}` names no CPU")]
    Empty(String),
    /// No such CPU.
    #[error("there is no CPU {cpu}: this machine has {}", List(.online))]
    Unknown {
        /// The number asked for.
        cpu: u64,
        /// What there is.
        online: Vec<CpuId>,
    },
    /// The CPU exists, and an affinity mask or cpuset keeps this process off it.
    #[error("CPU {cpu} is not allowed to this process, which may use {}: start it with another `taskset` or cpuset, or choose from these", List(.allowed))]
    NotAllowed {
        /// The CPU asked for.
        cpu: CpuId,
        /// What may be used.
        allowed: Vec<CpuId>,
    },
    /// The kernel would not say or do.
    #[error("cannot {doing}: {error}")]
    Os {
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        error: String,
    },
}

/// The CPUs this process may use, in order: its affinity when asked, within its cpuset.
pub fn allowed() -> Result<Vec<CpuId>, CpuError> {
    let mut mask = vec![0u64; 16];
    loop {
        let bytes = mask.len() * size_of::<u64>();
        // SAFETY: the kernel writes at most `bytes` into `mask`. 0 is the calling thread.
        let written = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, bytes, mask.as_mut_ptr()) };
        if written >= 0 {
            return Ok(from_words(&mask));
        }
        let error = io::Error::last_os_error();
        // A kernel built for more CPUs than the mask has bits says EINVAL.
        if error.raw_os_error() != Some(libc::EINVAL) || mask.len() >= 1 << 16 {
            return Err(CpuError::Os { doing: "ask which CPUs may be used", error: error.to_string() });
        }
        mask = vec![0; mask.len() * 2];
    }
}

/// The CPUs of this machine that run, in order.
pub fn online() -> Result<Vec<CpuId>, CpuError> {
    let os = |error: io::Error| CpuError::Os { doing: "read /sys/devices/system/cpu/online", error: error.to_string() };
    match fs::read_to_string("/sys/devices/system/cpu/online") {
        Ok(text) => parse_list(text.trim(), u32::MAX >> 8).map_err(|_| os(io::ErrorKind::InvalidData.into())),
        // A container without sysfs: what may be used exists.
        Err(error) if error.kind() == io::ErrorKind::NotFound => allowed(),
        Err(error) => Err(os(error)),
    }
}

/// Reads SPDK's forms of a CPU selection, a hexadecimal mask (`0x3`, `f`) or a list (`[0,2-3]`, `0,2-3`), and holds it against this
/// machine and what this process may use. As in SPDK, digits alone are a mask: write `[3]` for CPU 3. In order, each CPU once.
pub fn parse(text: &str) -> Result<Vec<CpuId>, CpuError> {
    parse_for(text, &online()?, &allowed()?)
}

/// [`parse`] for a machine with these CPUs.
fn parse_for(text: &str, online: &[CpuId], allowed: &[CpuId]) -> Result<Vec<CpuId>, CpuError> {
    let text = text.trim();
    let highest = online.iter().max().map_or(0, |cpu| cpu.0);
    let unknown = |cpu| CpuError::Unknown { cpu, online: online.to_vec() };
    let syntax = |why| CpuError::Syntax { text: text.to_owned(), why };
    let chosen = match text.strip_prefix('[') {
        Some(rest) => parse_list(rest.strip_suffix(']').ok_or(syntax("the closing ] is missing"))?, highest),
        None if text.contains([',', '-']) => parse_list(text, highest),
        None => parse_mask(text, highest),
    };
    let chosen = chosen.map_err(|refused| match refused {
        Refused::Syntax(why) => syntax(why),
        Refused::TooHigh(cpu) => unknown(cpu),
    })?;
    if chosen.is_empty() {
        return Err(CpuError::Empty(text.to_owned()));
    }
    for &cpu in &chosen {
        if !online.contains(&cpu) {
            return Err(unknown(cpu.0.into()));
        }
        if !allowed.contains(&cpu) {
            return Err(CpuError::NotAllowed { cpu, allowed: allowed.to_vec() });
        }
    }
    Ok(chosen)
}

enum Refused {
    Syntax(&'static str),
    /// Beyond the highest CPU there is; checked before a range is spelled out, so that no text asks for much memory.
    TooHigh(u64),
}

fn parse_list(text: &str, highest: u32) -> Result<Vec<CpuId>, Refused> {
    let number = |text: &str| match u64::from_str(text.trim()) {
        Ok(cpu) => u32::try_from(cpu).ok().filter(|&cpu| cpu <= highest).ok_or(Refused::TooHigh(cpu)),
        Err(_) => Err(Refused::Syntax("expected a CPU number, or two with a dash between")),
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None if text.trim().is_empty() => break,
            None => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(Refused::Syntax("a range goes upwards"));
        }
        cpus.extend((first..=last).map(CpuId));
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

fn parse_mask(text: &str, highest: u32) -> Result<Vec<CpuId>, Refused> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.is_empty() {
        return Err(Refused::Syntax("it is empty"));
    }
    let mut cpus = Vec::new();
    for (place, digit) in digits.chars().rev().enumerate() {
        let bits = digit.to_digit(16).ok_or(Refused::Syntax("a mask has hexadecimal digits only"))?;
        for bit in (0..4).filter(|bit| bits & 1 << bit != 0) {
            let cpu = 4 * place as u64 + bit;
            cpus.push(u32::try_from(cpu).ok().filter(|&cpu| cpu <= highest).map(CpuId).ok_or(Refused::TooHigh(cpu))?);
        }
    }
    Ok(cpus)
}

/// Keeps the calling thread on one CPU.
pub fn pin_current(cpu: CpuId) -> Result<(), CpuError> {
    let mut mask = vec![0u64; (cpu.0 / 64 + 1) as usize];
    mask[(cpu.0 / 64) as usize] = 1 << (cpu.0 % 64);
    // SAFETY: the kernel reads `mask` for its length. 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, mask.len() * size_of::<u64>(), mask.as_ptr()) };
    match done {
        0 => Ok(()),
        _ => Err(CpuError::Os { doing: "pin a thread to its CPU", error: io::Error::last_os_error().to_string() }),
    }
}

/// Where the calling thread runs now; only a hint unless it is pinned.
pub fn current() -> CpuId {
    CpuId(u32::try_from(rustix::thread::sched_getcpu()).unwrap_or(0))
}

/// The NUMA node of a CPU; `None` when the kernel does not say.
pub fn numa_node(cpu: CpuId) -> Option<u32> {
    node_in(
        fs::read_dir(format!("/sys/devices/system/cpu/cpu{cpu}")).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok()),
    )
}

/// The number in the one entry called `node<number>`.
fn node_in(names: impl Iterator<Item = String>) -> Option<u32> {
    names.filter_map(|name| name.strip_prefix("node")?.parse().ok()).next()
}

/// Names the calling thread for `top -H` and the like. The kernel keeps 15 bytes; what is longer is cut.
pub fn name_current(name: &str) {
    let mut bytes = [0u8; 16];
    let kept = name.floor_char_boundary(15);
    bytes[..kept].copy_from_slice(&name.as_bytes()[..kept]);
    if let Ok(name) = std::ffi::CStr::from_bytes_until_nul(&bytes) {
        // Fails only for a bad pointer. A thread without its name is no reason to stop.
        let _ = rustix::thread::set_name(name);
    }
}

fn from_words(mask: &[u64]) -> Vec<CpuId> {
    let bits =
        mask.iter().enumerate().flat_map(|(word, &bits)| (0..64u32).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| (word, bit)));
    bits.filter_map(|(word, bit)| Some(CpuId(u32::try_from(word * 64).ok()? + bit))).collect()
}

/// CPUs as people write them: `0-3,8`.
struct List<'a>(&'a [CpuId]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut comma = "";
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first.0..).take_while(|(cpu, expected)| cpu.0 == *expected).count();
            write!(f, "{comma}{first}")?;
            if run > 1 {
                write!(f, "-{}", rest[run - 1])?;
            }
            rest = &rest[run..];
            comma = ",";
        }
        Ok(())
    }
}
