//! `doorbell nvme`: its flags.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use doorbell_nvme::address::TransportId;
use std::path::PathBuf;

/// What `doorbell nvme` does.
#[derive(Debug, Subcommand)]
pub enum NvmeCommand {
    /// List the NVMe functions on the PCI buses and who drives them
    List(NvmeListArgs),
    /// Say what a controller is, and what its namespaces are
    Identify(IdentifyArgs),
    /// Ask a discovery controller over TCP which subsystems there are, and where
    Discover(DiscoverArgs),
    /// Read one of a controller's logs
    Log(LogArgs),
    /// Reset a controller and say whether it came back
    Reset(ResetArgs),
    /// Send one command, put together by hand
    Passthru(Box<PassthruArgs>),
}

/// A controller that is attached for the one job.
#[derive(Clone, Debug, Args)]
pub struct Reach {
    /// The controller: 0000:01:00.0, or 'trtype:TCP traddr:.. trsvcid:.. subnqn:..', 'trtype:VFIOUSER traddr:FOLDER'
    #[arg(value_name = "CONTROLLER")]
    pub controller: TransportId,
    /// Drive a PCI function with no IOMMU between it and memory; it, and an error in its driver, can write anywhere in this machine
    #[arg(long)]
    pub allow_physical: bool,
    /// Over TCP: protect headers by a digest
    #[arg(long)]
    pub hdgst: bool,
    /// Over TCP: protect data by a digest
    #[arg(long)]
    pub ddgst: bool,
}

/// `doorbell nvme list`.
#[derive(Debug, Args)]
pub struct NvmeListArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `doorbell nvme identify`.
#[derive(Debug, Args)]
pub struct IdentifyArgs {
    /// Which controller.
    #[command(flatten)]
    pub reach: Reach,
    /// Only this namespace, with the formats that it can have
    #[arg(short, long, value_name = "N")]
    pub nsid: Option<u32>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// `doorbell nvme discover`.
#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// Which controller.
    #[command(flatten)]
    pub reach: Reach,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// A log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Log {
    /// Health: temperature, wear, what was read and written
    Smart,
    /// Commands that failed
    Error,
    /// What is in the firmware slots
    Firmware,
    /// Which commands there are, and what they change
    Effects,
}

/// `doorbell nvme log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Which controller.
    #[command(flatten)]
    pub reach: Reach,
    /// Which log
    #[arg(value_enum, default_value_t = Log::Smart)]
    pub log: Log,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `doorbell nvme reset`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Which controller.
    #[command(flatten)]
    pub reach: Reach,
}

/// `doorbell nvme passthru`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("queue").args(["admin", "io"]).required(true)))]
pub struct PassthruArgs {
    /// Which controller.
    #[command(flatten)]
    pub reach: Reach,
    /// Send it on the admin queue
    #[arg(long)]
    pub admin: bool,
    /// Send it on an I/O queue
    #[arg(long)]
    pub io: bool,
    /// The opcode, such as 0x06; its lowest two bits say which way data goes
    #[arg(short, long, value_name = "N", value_parser = byte)]
    pub opcode: u8,
    /// The namespace
    #[arg(short, long, value_name = "N", default_value = "0", value_parser = dword)]
    pub nsid: u32,
    /// Command dword 2
    #[arg(long, value_name = "N", default_value = "0", value_parser = dword)]
    pub cdw2: u32,
    /// Command dword 3
    #[arg(long, value_name = "N", default_value = "0", value_parser = dword)]
    pub cdw3: u32,
    /// Command dword 10
    #[arg(long, value_name = "N", default_value = "0", value_parser = dword)]
    pub cdw10: u32,
    /// Command dword 11
    #[arg(long, value_name = "N", default_value = "0", value_parser = dword)]
    pub cdw11: u32,
    /// Command dword 12
    #[arg(long, value_name = "N", default_value = "0", value_parser = dword)]
    pub cdw12: u32,
    /// Command dword 13
    #[arg(long, value_name = "N", default_value = "0", value_parser = dword)]
    pub cdw13: u32,
    /// Command dword 14
    #[arg(long, value_name = "N", default_value = "0", value_parser = dword)]
    pub cdw14: u32,
    /// Command dword 15
    #[arg(long, value_name = "N", default_value = "0", value_parser = dword)]
    pub cdw15: u32,
    /// Bytes of data that come back
    #[arg(short = 'l', long, value_name = "BYTES", value_parser = dword, conflicts_with = "write")]
    pub data_len: Option<u32>,
    /// Send the bytes of this file along. The command may change or erase what the controller holds
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Put the data that comes back into this file, instead of printing it
    #[arg(long, value_name = "FILE", requires = "data_len")]
    pub output: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

/// A number as command descriptions have it: `0x06` or `6`.
fn dword(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| format!("`{text}` is no number of 32 bits, such as 4096 or 0x1000"))
}

fn byte(text: &str) -> Result<u8, String> {
    let number = dword(text)?;
    u8::try_from(number).map_err(|_| format!("`{text}` does not fit a byte"))
}
