//! QEMU's command line, and the folder that it shares with one guest.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::image::Image;
use crate::{Guest, GuestError};

/// Words that spare an emulated CPU what only real machines need.
const KERNEL: &str = "console=ttyS0 quiet loglevel=5 panic=-1 oops=panic mitigations=off nokaslr tsc=reliable no_timer_check \
                      nowatchdog random.trust_cpu=on net.ifnames=0";

/// The folder shared with one guest; gone when dropped.
#[derive(Debug)]
pub(crate) struct RunFolder(PathBuf);

impl RunFolder {
    fn new(cache: &Path) -> Result<RunFolder, GuestError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("run-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = cache.join(name);
        fs::create_dir_all(&path).map_err(GuestError::io(format!("cannot make {}", path.display())))?;
        Ok(RunFolder(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // A folder left behind in the cache harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes the run folder, with the script and the settings that the guest's init reads.
pub(crate) fn prepare(guest: &Guest, image: &Image, script: &str) -> Result<RunFolder, GuestError> {
    let folder = RunFolder::new(&image.cache)?;
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).map_err(GuestError::io(format!("cannot write {}", path.display())))
    };
    let exports: String = guest.environment.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
    write("script", format!("{exports}{script}\n"))?;
    write("settings", settings(guest, &image.cache))?;
    write("stdout", String::new())?;
    write("stderr", String::new())?;
    if let Some(size) = guest.scratch_mib {
        let path = folder.path().join("scratch");
        File::create(&path).and_then(|file| file.set_len(size << 20)).map_err(GuestError::io(format!("cannot make {}", path.display())))?;
    }
    Ok(folder)
}

/// Shell assignments for the guest's init.
pub(crate) fn settings(guest: &Guest, cache: &Path) -> String {
    let folder = std::env::current_dir().unwrap_or_default();
    let writable: Vec<String> = guest.writable.iter().enumerate().map(|(i, path)| format!("rw{i}={}", path.display())).collect();
    let flag = |set: bool| if set { "1" } else { "" };
    [
        ("module_tree", cache.join("modules").to_string_lossy().into_owned()),
        ("modules", guest.modules.join(" ")),
        ("writable", writable.join(" ")),
        ("network", flag(guest.network).to_owned()),
        ("scratch", flag(guest.scratch_mib.is_some()).to_owned()),
        ("folder", folder.to_string_lossy().into_owned()),
    ]
    .iter()
    .map(|(name, value)| format!("{name}={}\n", quoted(value)))
    .collect()
}

/// `text` as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Starts QEMU. It dies with the thread that started it, so that no test leaves a guest behind.
pub(crate) fn boot(guest: &Guest, image: &Image, folder: &Path) -> Result<Child, GuestError> {
    let errors = folder.join("qemu");
    let errors = File::create(&errors).map_err(GuestError::io(format!("cannot make {}", errors.display())))?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args(arguments(guest, &image.cache, folder, Image::has_kvm()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
    command.spawn().map_err(GuestError::io("cannot run setpriv (package util-linux)"))
}

/// QEMU's arguments.
pub(crate) fn arguments(guest: &Guest, cache: &Path, folder: &Path, kvm: bool) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    let memory = format!("{}M", guest.memory_mib);
    let backend = if guest.shared_memory { ",memory-backend=memory" } else { "" };
    if guest.shared_memory {
        add("-object", format!("memory-backend-memfd,id=memory,size={memory},share=on"));
    }
    if kvm {
        add("-machine", format!("q35,kernel-irqchip=split{backend}"));
        add("-accel", "kvm".to_owned());
        add("-cpu", "host".to_owned());
    } else {
        add("-machine", format!("q35{backend}"));
        add("-accel", "tcg,thread=multi,tb-size=512".to_owned());
        add("-cpu", "max,-la57".to_owned());
    }
    add("-m", memory);
    add("-smp", guest.cpus.to_string());
    add("-kernel", cache.join("vmlinux").display().to_string());
    add("-initrd", cache.join("initrd.gz").display().to_string());
    add("-append", kernel_command_line(guest));
    add("-serial", format!("file:{}", escaped(&folder.join("console"))));
    let share = |path: &Path, tag: &str, how: &str| {
        format!("local,path={},mount_tag={tag},security_model=none,multidevs=remap{how}", escaped(path))
    };
    add("-virtfs", share(Path::new("/"), "host", ",readonly=on"));
    add("-virtfs", share(folder, "run", ""));
    for (index, path) in guest.writable.iter().enumerate() {
        add("-virtfs", share(path, &format!("rw{index}"), ""));
    }
    if guest.network {
        let forwards: String = guest.forwards.iter().map(|(host, inner)| format!(",hostfwd=tcp:127.0.0.1:{host}-:{inner}")).collect();
        add("-netdev", format!("user,id=net,ipv6=off{forwards}"));
        add("-device", "virtio-net-pci,netdev=net,romfile=".to_owned());
    }
    if guest.scratch_mib.is_some() {
        add("-drive", format!("file={},format=raw,if=none,id=scratch,cache=unsafe", escaped(&folder.join("scratch"))));
        add("-device", "virtio-blk-pci,drive=scratch,serial=scratch".to_owned());
    }
    if guest.iommu {
        add("-device", "intel-iommu,intremap=on,caching-mode=on".to_owned());
    }
    words.extend(["-nodefaults", "-no-reboot", "-display", "none"].map(str::to_owned));
    words.extend(guest.qemu_arguments.iter().cloned());
    words
}

fn kernel_command_line(guest: &Guest) -> String {
    let mut line = KERNEL.to_owned();
    if guest.iommu {
        line += " intel_iommu=on";
    }
    if guest.huge_pages > 0 {
        line += &format!(" hugepages={}", guest.huge_pages);
    }
    guest.kernel_arguments.iter().fold(line, |line, word| line + " " + word)
}

/// A path as a value in QEMU's option lists, where a comma is doubled.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}
