//! `doorbell nvme list`: which NVMe functions there are, and what is to be done to drive one.

use super::say;
use crate::cli::NvmeListArgs;
use crate::size::Size;
use crate::status::{section_body, table};
use doorbell_pci::sysfs::{Device, Sysfs};
use serde_json::{Value, json};

pub(super) fn list(args: &NvmeListArgs) {
    let sysfs = Sysfs::new();
    let devices: Vec<Device> = sysfs.devices().into_iter().filter(Device::is_nvme).collect();
    if args.json {
        let all: Vec<Value> = devices.iter().map(|device| one(&sysfs, device)).collect();
        return say(format!("{:#}", Value::Array(all)));
    }
    if devices.is_empty() {
        return say("No NVMe functions on the PCI buses. Those of other machines: `doorbell nvme discover 'trtype:TCP traddr:ADDRESS'`");
    }
    let mut all = table(&["address", "ids", "node", "driven by", "disks", "from here"]);
    for device in &devices {
        let disks: Vec<String> = sysfs.disks(device.address).iter().map(|disk| format!("{} {}", disk.name, Size(disk.len))).collect();
        all.add_row(vec![
            device.address.to_string(),
            format!("{:04x}:{:04x}", device.vendor, device.device),
            device.numa_node.map_or_else(|| "-".to_owned(), |node| node.to_string()),
            driven_by(&sysfs, device),
            if disks.is_empty() { "-".to_owned() } else { disks.join(", ") },
            from_here(&sysfs, device),
        ]);
    }
    say(section_body(&all).trim_end_matches('\n'));
}

fn driven_by(sysfs: &Sysfs, device: &Device) -> String {
    let users: Vec<String> = sysfs.users(device).iter().map(|user| format!("{} ({})", user.name, user.pid)).collect();
    match (device.is_taken(), device.driver.as_deref()) {
        (true, Some(driver)) if users.is_empty() => format!("nobody ({driver})"),
        (true, Some(driver)) => format!("{} ({driver})", users.join(", ")),
        (_, Some(driver)) => format!("the kernel ({driver})"),
        (_, None) => "nobody".to_owned(),
    }
}

/// What stands between this program and the function.
fn from_here(sysfs: &Sysfs, device: &Device) -> String {
    let in_use = sysfs.in_use(device);
    match (device.is_taken(), sysfs.users(device).is_empty()) {
        (true, true) => "can be attached".to_owned(),
        (true, false) => "in use by another program".to_owned(),
        (false, _) if in_use.is_empty() => format!("doorbell pci bind {}", device.address),
        (false, _) => in_use.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

fn one(sysfs: &Sysfs, device: &Device) -> Value {
    let users: Vec<Value> = sysfs.users(device).iter().map(|user| json!({"pid": user.pid, "name": user.name})).collect();
    let disks: Vec<Value> = sysfs.disks(device.address).iter().map(|disk| json!({"name": disk.name, "bytes": disk.len})).collect();
    json!({
        "address": device.address.to_string(),
        "vendor": format!("{:04x}", device.vendor),
        "device": format!("{:04x}", device.device),
        "driver": device.driver,
        "taken": device.is_taken(),
        "numa_node": device.numa_node,
        "users": users,
        "disks": disks,
        "in_use": sysfs.in_use(device).iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
