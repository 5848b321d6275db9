//! What is to hold after a restart: a systemd unit for each device, limits for a user, huge pages.
//!
//! A unit runs the same `bind` again, with the same checks: a disk that somebody mounted meanwhile, or another device at the address, stays
//! with the kernel, and `systemctl status` says why. A rule that took devices before file systems are looked at could not know.

use super::{Failed, Machine, say};
use crate::cli::{Memlock, PciBindArgs};
use doorbell_pci::PciAddress;
use doorbell_pci::sysfs::{Device, Driver};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const UNITS: &str = "etc/systemd/system";
const WANTS: &str = "etc/systemd/system/multi-user.target.wants";
const LIMITS: &str = "etc/security/limits.d";
const HUGE: &str = "etc/sysctl.d/60-doorbell.conf";

fn unit_name(address: PciAddress) -> String {
    format!("doorbell-pci-{address}.service")
}

fn limits_name(user: &str) -> String {
    format!("60-doorbell-{user}.conf")
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failed {
    let path = path.to_owned();
    move |source| Failed::File { what, path, source }
}

fn write(path: &Path, text: &str) -> Result<(), Failed> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(file("cannot make", folder))?;
    }
    std::fs::write(path, text).map_err(file("cannot write", path))
}

/// Removes a file that may not be there; says whether it was.
fn remove(path: &Path) -> Result<bool, Failed> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(file("cannot remove", path)(error)),
    }
}

/// A word of a unit's command line.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$"))
}

impl Machine {
    /// Is a device taken again when the machine starts?
    pub(super) fn persists(&self, address: PciAddress) -> bool {
        self.root.join(UNITS).join(unit_name(address)).exists()
    }

    /// Writes a device's unit and enables it: says where it is.
    pub(super) fn persist(&self, device: &Device, driver: Driver, args: &PciBindArgs) -> Result<PathBuf, Failed> {
        let program = std::env::current_exe().map_err(|e| Failed::Words(format!("cannot find this program's own file: {e}")))?;
        let name = unit_name(device.address);
        let path = self.root.join(UNITS).join(&name);
        write(&path, &unit(device, driver, args, &program.to_string_lossy()))?;
        let wants = self.root.join(WANTS);
        std::fs::create_dir_all(&wants).map_err(file("cannot make", &wants))?;
        let link = wants.join(&name);
        remove(&link)?;
        std::os::unix::fs::symlink(format!("/{UNITS}/{name}"), &link).map_err(file("cannot make", &link))?;
        self.reload();
        Ok(path)
    }

    /// Takes a device's unit away, and the limits that no other unit needs: says what was removed.
    pub(super) fn forget(&self, address: PciAddress) -> Result<Vec<PathBuf>, Failed> {
        let path = self.root.join(UNITS).join(unit_name(address));
        let user = std::fs::read_to_string(&path).ok().and_then(|text| user_of(&text));
        let mut removed = Vec::new();
        if remove(&path)? {
            removed.push(path);
        }
        remove(&self.root.join(WANTS).join(unit_name(address)))?;
        if let Some(user) = user
            && !self.users_of_units().contains(&user)
        {
            let limits = self.root.join(LIMITS).join(limits_name(&user));
            if remove(&limits)? {
                removed.push(limits);
            }
        }
        self.reload();
        Ok(removed)
    }

    fn users_of_units(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(UNITS)).into_iter().flatten().flatten();
        let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("doorbell-pci-"));
        ours.filter_map(|entry| user_of(&std::fs::read_to_string(entry.path()).ok()?)).collect()
    }

    /// Has systemd read its units again, where it runs.
    fn reload(&self) {
        if self.root == Path::new("/") && Path::new("/run/systemd/system").exists() {
            // It reads them at the next start in any case.
            let _ = std::process::Command::new("systemctl").arg("daemon-reload").status();
        }
    }

    /// A user's limit on locked memory: set for good, or said.
    pub(super) fn limits(&self, user: &str, args: &PciBindArgs, out: &mut dyn Write) -> Result<(), Failed> {
        if !args.persist {
            say(
                out,
                format!(
                    "{user} needs memory to lock, as much as buffers take: see `ulimit -l`. --persist raises it from the next login on; \
                     LimitMEMLOCK=infinity does it for a service"
                ),
            );
            return Ok(());
        }
        let limit = match args.memlock {
            Memlock::Unlimited => "unlimited".to_owned(),
            Memlock::Bytes(bytes) => (bytes / 1024).to_string(),
        };
        let path = self.root.join(LIMITS).join(limits_name(user));
        let text = format!(
            "# Made by `doorbell pci bind --user {user} --persist`: memory that devices reach has to be locked.\n{user} - memlock {limit}\n"
        );
        write(&path, &text)?;
        say(
            out,
            format!(
                "{user} may lock {limit}{} of memory from the next login on, by {}",
                if limit == "unlimited" { "" } else { " KiB" },
                path.display()
            ),
        );
        Ok(())
    }

    pub(super) fn persist_huge_pages(&self, count: u64) -> Result<PathBuf, Failed> {
        let path = self.root.join(HUGE);
        write(&path, &format!("# Made by `doorbell pci bind --huge-pages --persist`.\nvm.nr_hugepages = {count}\n"))?;
        Ok(path)
    }
}

fn unit(device: &Device, driver: Driver, args: &PciBindArgs, program: &str) -> String {
    let address = device.address;
    let mut command =
        format!("{} pci bind {address} --driver {driver} --only {:04x}:{:04x}", quoted(program), device.vendor, device.device);
    if args.force {
        command += " --force";
    }
    if let Some(user) = &args.user {
        let _ = write!(command, " --user {}", quoted(user));
    }
    format!(
        "# Made by `doorbell pci bind --persist`. `doorbell pci unbind --persist {address}` takes it away.\n\
         [Unit]\n\
         Description=PCI function {address} for Doorbell, by {driver}\n\
         # After file systems: a disk that is mounted is seen, and left alone.\n\
         After=local-fs.target systemd-modules-load.service\n\
         Before=doorbell.service\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={command}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// Whom a unit hands its device to.
fn user_of(unit: &str) -> Option<String> {
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    let (_, rest) = command.split_once(" --user \"")?;
    rest.split_once('"').map(|(user, _)| user.to_owned())
}
