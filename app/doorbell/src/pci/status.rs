//! `doorbell pci status`: how the machine is set up, in words.

use super::{Failed, Machine, group, ids, said, say};
use crate::cli::PciStatusArgs;
use crate::size::Size;
use crate::status::{section, table};
use doorbell_pci::sysfs::{Device, Host};
use serde_json::{Value, json};
use std::io::Write;

impl Machine {
    pub(super) fn status(&self, args: &PciStatusArgs, out: &mut dyn Write) -> Result<(), Failed> {
        let host = self.sysfs.host();
        let taken: Vec<Device> = self.sysfs.devices().into_iter().filter(Device::is_taken).collect();
        if args.json {
            let devices: Vec<Value> = taken.iter().map(|device| self.device_json(device)).collect();
            let pages: Vec<Value> = host.huge_pages.iter().map(|p| json!({"kib": p.kib, "total": p.total, "free": p.free})).collect();
            let left: Vec<String> = self.sysfs.left_behind().iter().map(|device| device.address.to_string()).collect();
            let all = json!({
                "iommus": host.iommus, "allows_noiommu": host.allows_noiommu, "huge_pages": pages, "memlock_kib": host.memlock_kib,
                "taken": devices, "left_behind": left,
            });
            say(out, format!("{all:#}"));
            return Ok(());
        }
        say(out, iommu(&host));
        say(out, memlock(&host));
        let mut text = String::new();
        section(&mut text, "Huge pages", &huge_pages(&host));
        section(&mut text, "Taken devices", &self.taken(&taken));
        let _ = out.write_all(text.as_bytes());
        self.advise(&taken, out);
        Ok(())
    }

    fn taken(&self, taken: &[Device]) -> comfy_table::Table {
        let mut all = table(&["address", "ids", "kind", "driver", "group", "taken by", "from", "used by", "at start"]);
        for device in taken {
            let users = self.sysfs.users(device);
            let ours = self.sysfs.is_ours(device.address);
            all.add_row(vec![
                device.address.to_string(),
                ids(device),
                device.kind().to_owned(),
                device.driver.clone().unwrap_or_default(),
                group(device),
                if ours { "doorbell" } else { "others" }.to_owned(),
                self.sysfs.taken_from(device.address).unwrap_or_else(|| "-".to_owned()),
                if users.is_empty() { "nobody".to_owned() } else { said(&users) },
                if self.persists(device.address) { "taken again" } else { "the kernel's" }.to_owned(),
            ]);
        }
        all
    }

    /// What the tables mean.
    fn advise(&self, taken: &[Device], out: &mut dyn Write) {
        let left = self.sysfs.left_behind();
        if !left.is_empty() {
            let names: Vec<String> = left.iter().map(|device| device.address.to_string()).collect();
            say(
                out,
                format!("\nTaken and used by nobody: {}. `doorbell pci reset` gives such devices back to the kernel", names.join(", ")),
            );
        }
        for device in taken {
            let unprotected = device.group.as_ref().is_none_or(|group| group.is_noiommu) || device.driver.as_deref() != Some("vfio-pci");
            if unprotected {
                say(
                    out,
                    format!(
                        "\n{}: nothing stands between it and memory; whoever drives it has to be root and to say that this is meant",
                        device.address
                    ),
                );
            }
            if device.driver.as_deref() == Some("uio_pci_generic") {
                say(
                    out,
                    "  With uio_pci_generic it has no message interrupts. Who sleeps waits for its interrupt line, which other devices may share: \
                     each waking costs a thread's switch, a read and a write of configuration space, on one CPU for all queues. With vfio-pci \
                     each queue wakes its own reactor, by one eventfd",
                );
            }
            for other in self.sysfs.in_the_way(device, doorbell_pci::sysfs::Driver::VfioPci) {
                if device.driver.as_deref() == Some("vfio-pci") {
                    let has = other.driver.as_deref().unwrap_or("-");
                    say(
                        out,
                        format!(
                            "\n{}: cannot be opened while {} is with {has}: they are in one IOMMU group",
                            device.address, other.address
                        ),
                    );
                }
            }
        }
    }
}

fn iommu(host: &Host) -> String {
    match (host.iommus.as_slice(), host.allows_noiommu) {
        ([], false) => {
            "IOMMU: none is on. Switch VT-d or AMD-Vi on in the firmware, and add intel_iommu=on to the kernel's command line (Intel); \
                        without it devices can be taken by uio_pci_generic only, and write anywhere in memory"
                .to_owned()
        }
        ([], true) => "IOMMU: none is on, and VFIO was told to do without: devices that are taken can write anywhere in memory".to_owned(),
        (units, _) => format!("IOMMU: on ({}): a device reaches only the memory that its program gives it", units.join(", ")),
    }
}

fn memlock(host: &Host) -> String {
    match host.memlock_kib {
        None => "Locked memory: this session may lock as much as it wants".to_owned(),
        Some(kib) => format!(
            "Locked memory: this session may lock {}. Devices need all buffers locked: an ordinary user's limit has to be above what \
             `doorbell serve --memory` says, twice for buffers in ordinary pages",
            Size(kib * 1024)
        ),
    }
}

fn huge_pages(host: &Host) -> comfy_table::Table {
    let mut all = table(&["page size", "set aside", "free"]);
    for pages in &host.huge_pages {
        all.add_row(vec![Size(pages.kib * 1024).to_string(), pages.total.to_string(), pages.free.to_string()]);
    }
    all
}
