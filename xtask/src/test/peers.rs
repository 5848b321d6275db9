//! The programs of others that stages need: how to see that they are there, and how to get them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::shell;

/// Something to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// QEMU and what a guest's image and scripts are made of.
    Guest,
    /// SPDK's own JSON-RPC client, at the version Doorbell answers like.
    SpdkClient,
    /// cargo-fuzz and the C++ compiler that libFuzzer needs.
    Fuzzer,
}

/// A program and the Debian package that holds it.
type Program = (&'static str, &'static str);

const GUEST_PROGRAMS: &[Program] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("depmod", "kmod"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("lz4", "lz4"),
    ("fio", "fio"),
    ("nvme", "nvme-cli"),
    ("mkfs.ext4", "e2fsprogs"),
    ("strace", "strace"),
];
const FUZZER_PROGRAMS: &[Program] = &[("c++", "g++")];
const SPDK_PROGRAMS: &[Program] = &[("python3", "python3")];

const SPDK_VERSION: &str = "spdk==26.9";
const CARGO_FUZZ_VERSION: &str = "0.13.2";
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Folders with the programs that [`install`] fetches; they come before PATH.
pub(crate) fn tool_folders(root: &Path) -> [PathBuf; 2] {
    [root.join(".cache/tools/bin"), root.join(".cache/spdk-client/bin")]
}

impl Peer {
    fn programs(self) -> &'static [Program] {
        match self {
            Peer::Guest => GUEST_PROGRAMS,
            Peer::SpdkClient => SPDK_PROGRAMS,
            Peer::Fuzzer => FUZZER_PROGRAMS,
        }
    }

    /// The program that comes from a registry instead of Debian.
    fn tool(self) -> Option<&'static str> {
        match self {
            Peer::Guest => None,
            Peer::SpdkClient => Some("spdk-rpc"),
            Peer::Fuzzer => Some("cargo-fuzz"),
        }
    }

    /// The Debian packages that are lacking.
    fn packages(self) -> impl Iterator<Item = &'static str> {
        self.programs().iter().filter(|(program, _)| shell::which(program).is_none()).map(|(_, package)| *package)
    }

    fn lacks_tool(self, root: &Path) -> bool {
        let is_there = |tool: &str| tool_folders(root).iter().any(|folder| folder.join(tool).is_file()) || shell::which(tool).is_some();
        self.tool().is_some_and(|tool| !is_there(tool))
    }

    /// What is lacking and how to get it, in one line; nothing if it is all there.
    pub(crate) fn missing(self, root: &Path) -> Option<String> {
        let packages: Vec<&str> = self.packages().collect();
        let debian = (!packages.is_empty()).then(|| format!("apt-get install -y --no-install-recommends {}", packages.join(" ")));
        let tool = self.lacks_tool(root).then(|| match self {
            Peer::SpdkClient => format!("pip install {SPDK_VERSION}"),
            _ => format!("cargo install --locked cargo-fuzz@{CARGO_FUZZ_VERSION}"),
        });
        let lines: Vec<String> = debian.into_iter().chain(tool).collect();
        (!lines.is_empty()).then(|| format!("needs `{}` (or --install)", lines.join(" && ")))
    }
}

/// Installs what the given peers lack: Debian packages as root, the rest into `.cache`.
pub(crate) fn install<'a>(root: &Path, needs: impl Iterator<Item = &'a Peer>) -> Result<(), String> {
    let needs: BTreeSet<Peer> = needs.copied().collect();
    let packages: BTreeSet<&str> = needs.iter().flat_map(|peer| peer.packages()).collect();
    let needs_lists = needs.contains(&Peer::Guest) && !doorbell_vm::cache().join("stamp").exists();
    if needs_lists || !packages.is_empty() {
        shell::run(as_root("apt-get").args(["-q", "update"]), LIMIT)?;
    }
    if !packages.is_empty() {
        shell::run(as_root("apt-get").args(["-q", "install", "-y", "--no-install-recommends"]).args(packages), LIMIT)?;
    }
    let tools: Vec<String> = needs.iter().filter(|peer| peer.lacks_tool(root)).filter_map(|peer| install_tool(*peer, root).err()).collect();
    if tools.is_empty() { Ok(()) } else { Err(tools.join("; ")) }
}

fn install_tool(peer: Peer, root: &Path) -> Result<(), String> {
    match peer {
        Peer::Guest => Ok(()),
        Peer::Fuzzer => {
            let mut cargo = Command::new("cargo");
            let version = format!("cargo-fuzz@{CARGO_FUZZ_VERSION}");
            cargo.args(["install", "--locked", "--root", ".cache/tools", &version]).current_dir(root);
            shell::run(&mut cargo, LIMIT)
        }
        Peer::SpdkClient => {
            let at = |path: &str| root.join(".cache/spdk-client").join(path);
            let mut venv = Command::new("python3");
            if shell::run(venv.args(["-m", "venv"]).arg(at("")), LIMIT).is_err() {
                // Debian splits the module that makes environments from Python itself.
                shell::run(as_root("apt-get").args(["-q", "install", "-y", "--no-install-recommends", "python3-venv"]), LIMIT)?;
                shell::run(venv.arg("--clear"), LIMIT)?;
            }
            shell::run(Command::new(at("bin/pip")).args(["install", "--quiet", SPDK_VERSION]), LIMIT)
        }
    }
}

/// A program run as root: directly, or through sudo without asking.
fn as_root(program: &str) -> Command {
    let is_root = shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = Command::new(if is_root { program } else { "sudo" });
    if !is_root {
        command.args(["-n", program]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
