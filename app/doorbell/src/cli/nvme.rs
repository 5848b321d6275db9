//! `doorbell nvme`: its flags.

use crate::perf::block::Pattern;
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
    /// Format a namespace: other blocks, or all its data erased
    Format(FormatArgs),
    /// Send a firmware image to a controller and have it run
    Firmware(FirmwareArgs),
    /// Put load on the namespaces of controllers and say how fast they are
    Perf(Box<NvmePerfArgs>),
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
    /// Reset the whole NVM subsystem, with all of its controllers, whoever uses them
    #[arg(long)]
    pub subsystem: bool,
}

/// What becomes of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Erase {
    /// Nothing is promised: it may be readable by whoever takes the drive apart
    None,
    /// Erased
    Data,
    /// The key that it is encrypted with is erased
    Crypto,
}

/// `doorbell nvme format`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["format", "block_size"])))]
pub struct FormatArgs {
    /// Which controller.
    #[command(flatten)]
    pub reach: Reach,
    /// The namespace
    #[arg(short, long, value_name = "N")]
    pub nsid: u32,
    /// Blocks of this size, without metadata; the best of the formats that have them
    #[arg(short, long, value_name = "SIZE", value_parser = crate::size::parse_u32)]
    pub block_size: Option<u32>,
    /// The format of this number (identify --nsid N lists them); without it and --block-size the one that it has
    #[arg(short, long, value_name = "N")]
    pub format: Option<u8>,
    /// What becomes of the data
    #[arg(short, long, value_enum, default_value_t = Erase::None)]
    pub erase: Erase,
    /// With a format that has metadata: protection information of this type, 0 for none; as it is when the format stays
    #[arg(long, value_name = "TYPE", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub protection: Option<u8>,
    /// With a format that has metadata: does it follow each block's data, rather than lie in a buffer of its own? As it is when the format stays
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub extended: Option<bool>,
    /// Do it: without this, say what would be lost, and do nothing
    #[arg(long)]
    pub yes: bool,
}

/// `doorbell nvme firmware`.
#[derive(Debug, Args)]
pub struct FirmwareArgs {
    /// Which controller.
    #[command(flatten)]
    pub reach: Reach,
    /// The image
    #[arg(value_name = "FILE")]
    pub image: PathBuf,
    /// The slot that it goes into; 0 leaves it to the controller
    #[arg(short, long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=7))]
    pub slot: u8,
    /// When it runs
    #[arg(short, long, value_enum, default_value_t = Activate::Reset)]
    pub activate: Activate,
}

/// When a firmware runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Activate {
    /// It only goes into its slot
    No,
    /// From the next reset of the controller on, which is not done here
    Later,
    /// After a reset, which is done here
    Reset,
    /// At once, without a reset
    Now,
}

/// `doorbell nvme perf`: the flags of spdk_nvme_perf.
#[derive(Debug, Args)]
pub struct NvmePerfArgs {
    /// A controller: 0000:01:00.0, or 'trtype:TCP traddr:.. trsvcid:.. subnqn:..', 'trtype:VFIOUSER traddr:FOLDER'; may be repeated
    #[arg(short = 'r', long = "transport", value_name = "CONTROLLER", required = true)]
    pub controllers: Vec<TransportId>,
    /// Only the namespaces of these numbers; may be repeated
    #[arg(short, long, value_name = "N")]
    pub nsid: Vec<u32>,
    /// Requests that each core keeps outstanding on each namespace
    #[arg(short = 'q', long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub io_depth: u32,
    /// Bytes of each request
    #[arg(short = 'o', long, value_name = "SIZE", value_parser = crate::size::parse_u32, default_value = "4k")]
    pub io_size: u32,
    /// What the load does
    #[arg(short = 'w', long, value_enum, default_value_t = Pattern::RandRead)]
    pub io_pattern: Pattern,
    /// Reads, in percent, of the patterns that do both
    #[arg(short = 'M', long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub rwmixread: u8,
    /// Seconds
    #[arg(short = 't', long, value_name = "SECONDS", default_value_t = 5.0, value_parser = super::perf::seconds)]
    pub time: f64,
    /// Cores: how many, or which (a list such as [0,2-3], a mask such as 0x3), then pinned
    #[arg(short = 'c', long, value_name = "CORES", default_value = "1")]
    pub core_mask: String,
    /// Write known data and compare what is read; writes to the namespaces whatever the pattern
    #[arg(long)]
    pub verify: bool,
    /// Allow a load that writes: what the namespaces hold is lost
    #[arg(long)]
    pub destroy_data: bool,
    /// Drive a PCI function with no IOMMU between it and memory; it, and an error in its driver, can write anywhere in this machine
    #[arg(long)]
    pub allow_physical: bool,
    /// Over TCP: protect headers by a digest
    #[arg(short = 'H', long)]
    pub hdgst: bool,
    /// Over TCP: protect data by a digest
    #[arg(short = 'I', long)]
    pub ddgst: bool,
    /// Print one JSON object on one line, the last on stdout
    #[arg(long)]
    pub json: bool,
    /// When reactors sleep
    #[arg(long, value_enum, default_value_t = super::Poll::Adaptive)]
    pub poll: super::Poll,
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
