//! `doorbell pci list`.

use super::{Failed, Machine, group, ids, said, say};
use crate::cli::PciListArgs;
use crate::size::Size;
use crate::status::{section_body, table};
use doorbell_pci::sysfs::{Device, InUse};
use serde_json::{Value, json};
use std::io::Write;

impl Machine {
    pub(super) fn list(&self, args: &PciListArgs, out: &mut dyn Write) -> Result<(), Failed> {
        let devices: Vec<Device> =
            self.sysfs.devices().into_iter().filter(|device| args.all || device.is_storage() || device.is_taken()).collect();
        if args.json {
            let all: Vec<Value> = devices.iter().map(|device| self.device_json(device)).collect();
            say(out, format!("{:#}", Value::Array(all)));
            return Ok(());
        }
        let mut all = table(&["address", "ids", "kind", "driver", "group", "node", "disks", "in the way"]);
        for device in &devices {
            let disks: Vec<String> =
                self.sysfs.disks(device.address).iter().map(|disk| format!("{} {}", disk.name, Size(disk.len))).collect();
            all.add_row(vec![
                device.address.to_string(),
                ids(device),
                device.kind().to_owned(),
                device.driver.clone().unwrap_or_else(|| "-".to_owned()),
                group(device),
                device.numa_node.map_or_else(|| "-".to_owned(), |node| node.to_string()),
                if disks.is_empty() { "-".to_owned() } else { disks.join(", ") },
                self.in_the_way(device),
            ]);
        }
        if devices.is_empty() {
            say(out, "No storage devices on the PCI buses (--all lists everything)");
        } else {
            let _ = out.write_all(section_body(&all).as_bytes());
        }
        Ok(())
    }

    fn in_the_way(&self, device: &Device) -> String {
        let users = self.sysfs.users(device);
        let reasons: Vec<String> = self.sysfs.in_use(device).iter().map(InUse::to_string).collect();
        match (device.is_taken(), users.is_empty(), reasons.is_empty()) {
            (_, false, _) => format!("used by {}", said(&users)),
            (true, ..) => "taken, nobody uses it".to_owned(),
            (_, _, false) => reasons.join("; "),
            _ if device.is_bridge() => "a bridge".to_owned(),
            _ => "nothing".to_owned(),
        }
    }

    pub(super) fn device_json(&self, device: &Device) -> Value {
        let disks: Vec<Value> = self
            .sysfs
            .disks(device.address)
            .iter()
            .map(|disk| json!({"name": disk.name, "bytes": disk.len, "partitions": disk.partitions}))
            .collect();
        let users: Vec<Value> = self.sysfs.users(device).iter().map(|user| json!({"pid": user.pid, "name": user.name})).collect();
        json!({
            "address": device.address.to_string(),
            "vendor": format!("{:04x}", device.vendor),
            "device": format!("{:04x}", device.device),
            "class": format!("{:06x}", device.class),
            "kind": device.kind(),
            "driver": device.driver,
            "taken_from": self.sysfs.taken_from(device.address),
            "taken_by_doorbell": device.is_taken() && self.sysfs.is_ours(device.address),
            "iommu_group": device.group.as_ref().map(|group| group.number),
            "iommu": device.group.as_ref().is_some_and(|group| !group.is_noiommu),
            "numa_node": device.numa_node,
            "disks": disks,
            "users": users,
            "in_use": self.sysfs.in_use(device).iter().map(InUse::to_string).collect::<Vec<_>>(),
            "persists": self.persists(device.address),
        })
    }
}
