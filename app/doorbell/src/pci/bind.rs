//! `doorbell pci bind`, `unbind` and `reset`.

use super::{Failed, Machine, ids, said, say};
use crate::cli::{PciBindArgs, PciDriver, PciResetArgs, PciUnbindArgs};
use crate::size::Size;
use doorbell_pci::PciAddress;
use doorbell_pci::sysfs::{Bound, Device, Driver, InUse};
use std::io::Write;
use std::os::unix::fs::chown;

impl Machine {
    pub(super) fn bind(&self, args: &PciBindArgs, out: &mut dyn Write) -> Result<bool, Failed> {
        let driver = match args.driver {
            PciDriver::VfioPci => Driver::VfioPci,
            PciDriver::UioPciGeneric => Driver::UioPciGeneric,
        };
        if args.user.is_some() && driver != Driver::VfioPci {
            return Err(Failed::Words("uio is for root: only vfio-pci devices can be handed to a user".to_owned()));
        }
        // Who is not there is found out before anything is changed.
        let owner = args.user.as_deref().map(user_id).transpose()?;
        if let Some(bytes) = args.huge_pages {
            self.huge_pages(bytes, args.persist, out)?;
        }
        let mut all_well = true;
        for address in &args.addresses {
            let done = self.bind_one(*address, driver, args, owner, out);
            if let Err(error) = done {
                eprintln!("doorbell: {error}");
                all_well = false;
            }
        }
        if all_well && let Some(user) = &args.user {
            self.limits(user, args, out)?;
        }
        Ok(all_well)
    }

    fn bind_one(
        &self,
        address: PciAddress,
        driver: Driver,
        args: &PciBindArgs,
        owner: Option<u32>,
        out: &mut dyn Write,
    ) -> Result<(), Failed> {
        let device = self.sysfs.device(address)?;
        if let Some(only) = args.only.filter(|only| (only.vendor, only.device) != (device.vendor, device.device)) {
            let wanted = format!("{:04x}:{:04x}", only.vendor, only.device);
            return Err(Failed::Words(format!("{address} is {} and not {wanted}: the machine's slots have changed", ids(&device))));
        }
        let bound = self.sysfs.bind(address, driver, args.force)?;
        tell_bound(&bound, driver, out);
        if let Some(owner) = owner {
            self.hand_over(&bound.device, owner, args.user.as_deref().unwrap_or_default(), out)?;
        }
        if args.persist {
            let path = self.persist(&bound.device, driver, args)?;
            say(out, format!("{address}: taken again whenever the machine starts, by {}", path.display()));
        }
        Ok(())
    }

    /// Hands a group's node to a user.
    fn hand_over(&self, device: &Device, owner: u32, user: &str, out: &mut dyn Write) -> Result<(), Failed> {
        let Some(group) = device.group.as_ref().filter(|group| !group.is_noiommu) else {
            return Err(Failed::Words(format!(
                "{}: without an IOMMU only root may use it, so it cannot be handed to {user}",
                device.address
            )));
        };
        let node = self.root.join(group.node().strip_prefix("/").unwrap_or(&group.node()));
        chown(&node, Some(owner), None).map_err(|source| Failed::File { what: "cannot hand over", path: node.clone(), source })?;
        say(out, format!("{}: {} belongs to {user} now", device.address, node.display()));
        Ok(())
    }

    /// Sets huge pages of 2 MiB aside, if there are fewer.
    fn huge_pages(&self, bytes: u64, persist: bool, out: &mut dyn Write) -> Result<(), Failed> {
        let wanted = bytes.div_ceil(2 << 20);
        let path = self.root.join("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
        let count = || std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
        if count() < wanted {
            std::fs::write(&path, wanted.to_string()).map_err(|source| Failed::File {
                what: "cannot write",
                path: path.clone(),
                source,
            })?;
        }
        let got = count();
        if got < wanted {
            let why = format!(
                "only {got} of {wanted} huge pages could be set aside, since memory is in pieces: stop what uses much of it, or add \
                 hugepages={wanted} to the kernel's command line"
            );
            return Err(Failed::Words(why));
        }
        say(out, format!("{} of memory are set aside as huge pages", Size(got << 21)));
        if persist {
            let path = self.persist_huge_pages(wanted)?;
            say(out, format!("and will be whenever the machine starts, by {}", path.display()));
        }
        Ok(())
    }

    pub(super) fn unbind(&self, args: &PciUnbindArgs, out: &mut dyn Write) -> Result<bool, Failed> {
        let mut all_well = true;
        for address in &args.addresses {
            if args.persist {
                for path in self.forget(*address)? {
                    say(out, format!("{address}: removed {}", path.display()));
                }
            } else if self.persists(*address) {
                say(out, format!("{address}: will be taken again when the machine starts (`unbind --persist` ends that)"));
            }
            all_well &= self.give_back(*address, args.force, out);
        }
        Ok(all_well)
    }

    /// Gives one back and says so; what does not work is said too.
    fn give_back(&self, address: PciAddress, force: bool, out: &mut dyn Write) -> bool {
        if force && let Ok(device) = self.sysfs.device(address) {
            let users = self.sysfs.users(&device);
            if !users.is_empty() {
                say(out, format!("{address}: asking {} for it", said(&users)));
            }
        }
        match self.sysfs.unbind(address, force) {
            Ok(given) => {
                match given.device.driver {
                    Some(driver) => say(out, format!("{address}: with the kernel's {driver}")),
                    None => say(out, format!("{address}: free; no driver of the kernel wanted it")),
                }
                true
            }
            Err(error) => {
                eprintln!("doorbell: {error}");
                false
            }
        }
    }

    pub(super) fn reset(&self, args: &PciResetArgs, out: &mut dyn Write) -> Result<bool, Failed> {
        let mut addresses = args.addresses.clone();
        if addresses.is_empty() {
            addresses = self.sysfs.left_behind().iter().map(|device| device.address).collect();
            if addresses.is_empty() {
                say(out, "Nothing was left behind");
            }
        }
        let mut all_well = true;
        for address in addresses {
            all_well &= self.give_back(address, false, out);
        }
        Ok(all_well)
    }
}

fn tell_bound(bound: &Bound, driver: Driver, out: &mut dyn Write) {
    let address = bound.device.address;
    let group = bound.device.group.as_ref().map_or_else(String::new, |group| format!(", IOMMU group {}", group.number));
    match (&bound.before, bound.was_there) {
        (_, true) => say(out, format!("{address}: was with {driver} already{group}")),
        (Some(before), _) => say(out, format!("{address}: taken from {before}, with {driver} now{group}")),
        (None, _) => say(out, format!("{address}: with {driver} now{group}")),
    }
    if !bound.forced.is_empty() {
        let reasons: Vec<String> = bound.forced.iter().map(InUse::to_string).collect();
        say(out, format!("{address}: taken by force: {}", reasons.join("; ")));
    }
    for other in &bound.in_the_way {
        let has = other.driver.as_deref().unwrap_or("-");
        say(
            out,
            format!(
                "{address}: cannot be opened before {} ({}, with {has}) is taken too: they are in one IOMMU group",
                other.address,
                other.kind()
            ),
        );
    }
    let protected = bound.device.group.as_ref().is_some_and(|group| !group.is_noiommu);
    if driver == Driver::UioPciGeneric || !protected {
        say(
            out,
            format!(
                "{address}: WARNING: nothing stands between it and memory. It, and an error in its driver, can read and write anything"
            ),
        );
    }
}

/// The number of a user, by whatever knows users here.
fn user_id(name: &str) -> Result<u32, Failed> {
    // It becomes part of a file's name, and of a unit's command line.
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-@".contains(c)) {
        return Err(Failed::Words(format!(
            "`{name}` is no name of a user that units and limits can hold: letters, digits and _ . - @ only"
        )));
    }
    let output = std::process::Command::new("id").args(["-u", "--", name]).output();
    let number = output.ok().filter(|o| o.status.success()).and_then(|o| String::from_utf8_lossy(&o.stdout).trim().parse().ok());
    number.ok_or_else(|| Failed::Words(format!("there is no user {name}")))
}
