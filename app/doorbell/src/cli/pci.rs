//! `doorbell pci`: its flags.

use crate::size;
use clap::{Args, Subcommand, ValueEnum};
use doorbell_pci::PciAddress;
use std::str::FromStr;

/// What `doorbell pci` does.
#[derive(Debug, Subcommand)]
pub enum PciCommand {
    /// List storage devices on the PCI buses, who has them, and whether they can be taken
    List(PciListArgs),
    /// Take devices from the kernel, to drive them from here
    Bind(PciBindArgs),
    /// Give devices back to the kernel's own drivers
    Unbind(PciUnbindArgs),
    /// Give back what a crash left behind: devices that `bind` took and no program has open
    Reset(PciResetArgs),
    /// Say how this machine is set up: IOMMU, huge pages, limits, and what was taken by whom
    Status(PciStatusArgs),
}

/// `doorbell pci list`.
#[derive(Debug, Args)]
pub struct PciListArgs {
    /// All functions, not only storage and what was taken
    #[arg(short, long)]
    pub all: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// A driver to take a device with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PciDriver {
    /// With the IOMMU between the device and memory
    #[value(name = "vfio-pci")]
    VfioPci,
    /// With nothing between: the device can write anywhere in memory. Root only, no message interrupts
    #[value(name = "uio_pci_generic")]
    UioPciGeneric,
}

/// Who makes a device, and what they call it: `1b36:0010`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceIds {
    /// The vendor.
    pub vendor: u16,
    /// The device.
    pub device: u16,
}

impl FromStr for DeviceIds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = |part: &str| u16::from_str_radix(part, 16).ok().filter(|_| part.len() == 4);
        let both = text.split_once(':').and_then(|(vendor, device)| hex(vendor).zip(hex(device)));
        both.map(|(vendor, device)| DeviceIds { vendor, device }).ok_or_else(|| format!("`{text}` is no pair of ids such as 1b36:0010"))
    }
}

/// A limit on locked memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memlock {
    /// None.
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

impl FromStr for Memlock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "unlimited" => Ok(Memlock::Unlimited),
            _ => size::parse(text).map(Memlock::Bytes).map_err(|e| e.to_string()),
        }
    }
}

/// `doorbell pci bind`.
#[derive(Debug, Args)]
pub struct PciBindArgs {
    /// Which: 0000:01:00.0, or 01:00.0
    #[arg(required = true, value_name = "ADDRESS")]
    pub addresses: Vec<PciAddress>,
    /// The driver that hands them to programs
    #[arg(short, long, value_name = "DRIVER", default_value = "vfio-pci")]
    pub driver: PciDriver,
    /// Take devices whose disks are in use or carry data
    #[arg(short, long)]
    pub force: bool,
    /// Hand them to this user, so that serving needs no root (vfio-pci)
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,
    /// With --user and --persist: how much memory the user may lock, such as 4G
    #[arg(long, value_name = "SIZE", default_value = "unlimited", requires = "user", requires = "persist")]
    pub memlock: Memlock,
    /// Do the same whenever the machine starts (a systemd unit for each device)
    #[arg(short, long)]
    pub persist: bool,
    /// Refuse another device than this one at the address: vendor and device id, such as 1b36:0010
    #[arg(long, value_name = "IDS")]
    pub only: Option<DeviceIds>,
    /// Set aside at least so much memory as huge pages of 2 MiB, such as 2G
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size::parse(text).map_err(|e| e.to_string()))]
    pub huge_pages: Option<u64>,
}

/// `doorbell pci unbind`.
#[derive(Debug, Args)]
pub struct PciUnbindArgs {
    /// Which: 0000:01:00.0, or 01:00.0
    #[arg(required = true, value_name = "ADDRESS")]
    pub addresses: Vec<PciAddress>,
    /// Also those that a program has open: it is asked for them, and this waits until it lets go
    #[arg(short, long)]
    pub force: bool,
    /// And do not take them again when the machine starts
    #[arg(short, long)]
    pub persist: bool,
}

/// `doorbell pci reset`.
#[derive(Debug, Args)]
pub struct PciResetArgs {
    /// Only these, whoever took them; by default all that `bind` took and nobody has open
    #[arg(value_name = "ADDRESS")]
    pub addresses: Vec<PciAddress>,
}

/// `doorbell pci status`.
#[derive(Debug, Args)]
pub struct PciStatusArgs {
    /// Print JSON instead of words and tables
    #[arg(long)]
    pub json: bool,
}
