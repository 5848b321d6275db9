use super::*;
use crate::PciAddress;
use std::io;
use std::os::unix::fs::symlink;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

mod binding;
mod finding;

/// A made-up machine, and the kernel that changes it.
struct Machine {
    root: PathBuf,
    /// What was asked, in order.
    asked: Mutex<Vec<String>>,
    /// Drivers that refuse functions.
    refusing: Mutex<Vec<&'static str>>,
    /// Modules that there are, to load.
    modules: Vec<&'static str>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

impl Machine {
    fn new() -> Arc<Machine> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("doorbell-sysfs-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().join(name);
        let modules = vec!["vfio-pci", "vfio_iommu_type1", "uio_pci_generic"];
        let machine = Machine { root, asked: Mutex::default(), refusing: Mutex::default(), modules };
        for folder in ["sys/bus/pci/devices", "sys/bus/pci/drivers/nvme", "sys/class/block", "proc/self", "dev", "run", "sys/module"] {
            machine.folder(folder);
        }
        machine.file("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
        machine.file("proc/swaps", "Filename Type Size Used Priority\n");
        Arc::new(machine)
    }

    fn sysfs(self: &Arc<Self>) -> Sysfs {
        Sysfs::at(&self.root, self.clone())
    }

    fn folder(&self, path: &str) {
        std::fs::create_dir_all(self.root.join(path)).unwrap();
    }

    fn file(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(self.root.join(target), path).unwrap();
    }

    /// A function with a driver and a group.
    fn function(&self, address: &str, class: &str, driver: &str, group: Option<u32>) {
        let real = format!("sys/devices/pci0000:00/{address}");
        self.file(&format!("{real}/vendor"), "0x1b36\n");
        self.file(&format!("{real}/device"), "0x0010\n");
        self.file(&format!("{real}/class"), format!("{class}\n"));
        self.file(&format!("{real}/numa_node"), "-1\n");
        self.file(&format!("{real}/modalias"), "pci:v00001B36\n");
        self.file(&format!("{real}/driver_override"), "(null)\n");
        self.file(&format!("{real}/native"), driver);
        let lines = "0x00000000fe000000 0x00000000fe003fff 0x0000000000140204\n0 0 0\n0xc000 0xc01f 0x0000000000040101\n";
        self.file(&format!("{real}/resource"), lines.replace("0 0 0\n", "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"));
        self.link(&format!("sys/bus/pci/devices/{address}"), &real);
        if !driver.is_empty() {
            self.folder(&format!("sys/bus/pci/drivers/{driver}"));
            self.link(&format!("{real}/driver"), &format!("sys/bus/pci/drivers/{driver}"));
        }
        if let Some(group) = group {
            self.link(&format!("{real}/iommu_group"), &format!("sys/kernel/iommu_groups/{group}"));
            self.link(&format!("sys/kernel/iommu_groups/{group}/devices/{address}"), &real);
        }
    }

    /// A disk behind it with partitions, empty.
    fn disk(&self, address: &str, name: &str, partitions: u32) {
        let real = format!("sys/devices/pci0000:00/{address}/nvme/nvme0/{name}");
        self.file(&format!("{real}/size"), "8192\n");
        self.file(&format!("{real}/dev"), "259:0\n");
        self.folder(&format!("{real}/holders"));
        self.link(&format!("sys/class/block/{name}"), &real);
        self.file(&format!("dev/{name}"), vec![0; 4 << 20]);
        for n in 1..=partitions {
            let part = format!("{real}/{name}p{n}");
            self.file(&format!("{part}/partition"), format!("{n}\n"));
            self.file(&format!("{part}/dev"), format!("259:{n}\n"));
            self.link(&format!("sys/class/block/{name}p{n}"), &part);
        }
    }

    fn at(&self, address: &str, file: &str) -> PathBuf {
        self.root.join("sys/devices/pci0000:00").join(address).join(file)
    }

    fn probe(&self, address: &str) -> io::Result<()> {
        let own = read(&self.at(address, "driver_override")).filter(|name| !name.is_empty() && name != "(null)");
        let driver = own.or_else(|| read(&self.at(address, "native"))).unwrap_or_default();
        let folder = self.root.join("sys/bus/pci/drivers").join(&driver);
        if driver.is_empty() || !folder.exists() || self.at(address, "driver").exists() {
            return Ok(());
        }
        if self.refusing.lock().unwrap().contains(&driver.as_str()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        symlink(folder, self.at(address, "driver"))
    }
}

impl Hands for Machine {
    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let inside = path.strip_prefix(&self.root).expect("inside of the made-up machine");
        self.asked.lock().unwrap().push(format!("{}={}", inside.file_name().unwrap().to_str().unwrap(), text.trim()));
        if path.ends_with("driver/unbind") {
            return std::fs::remove_file(self.at(text, "driver"));
        }
        if path.ends_with("drivers_probe") {
            return self.probe(text);
        }
        std::fs::write(path, text)
    }

    fn modprobe(&self, module: &str) -> io::Result<()> {
        self.asked.lock().unwrap().push(format!("modprobe {module}"));
        if !self.modules.contains(&module) {
            return Err(io::Error::other("no such module"));
        }
        match module {
            "vfio_iommu_type1" => self.folder("sys/module/vfio_iommu_type1"),
            _ => self.folder(&format!("sys/bus/pci/drivers/{module}")),
        }
        Ok(())
    }
}

const NVME: &str = "0000:01:00.0";

fn nvme() -> PciAddress {
    NVME.parse().unwrap()
}
