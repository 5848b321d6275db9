//! `doorbell perf`.

use crate::perf::block::Pattern;
use crate::size;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum PerfCommand {
    /// Put load on a block device in this process and say how fast it is
    Block(Box<BlockArgs>),
}

/// `doorbell perf block`.
#[derive(Debug, Args)]
pub struct BlockArgs {
    /// The device: null, malloc, or a file or block device (PATH[,size=..][,engine=aio|uring]..); with --config, one of its devices by name; may be repeated
    #[arg(long = "device", value_name = "DEVICE", default_value = "null")]
    pub devices: Vec<String>,
    /// Make the devices of a configuration in SPDK's JSON format (as save_config writes it) and put the load on those that --device names; nothing is served
    #[arg(long, value_name = "FILE", requires = "devices")]
    pub config: Option<PathBuf>,
    /// Bytes of each request
    #[arg(long, value_name = "SIZE", value_parser = size::parse_u32, default_value = "4k")]
    pub io_size: u32,
    /// Requests that each core keeps outstanding on each device
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub queue_depth: u32,
    /// What the load does
    #[arg(long, value_enum, default_value_t = Pattern::RandRead)]
    pub pattern: Pattern,
    /// Reads, in percent, of the patterns that do both
    #[arg(long, value_name = "PERCENT", default_value_t = 70, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub mix: u8,
    /// Seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub time: f64,
    /// Cores: how many, or which (a list such as [0,2-3], a mask such as 0x3), then pinned
    #[arg(long, value_name = "CORES", default_value = "1")]
    pub cores: String,
    /// Write known data and compare what is read; writes to the device whatever the pattern
    #[arg(long)]
    pub verify: bool,
    /// Print one JSON object on one line, the last on stdout
    #[arg(long)]
    pub json: bool,
    /// Forwarding layers between the load and the device
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub layers: u8,
    /// Use only so much of the device, from its beginning
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub size: Option<u64>,
    /// Bytes of a block of null and malloc devices
    #[arg(long, value_name = "SIZE", value_parser = size::parse_u32, default_value = "512")]
    pub block_size: u32,
    /// Allow a load that writes to a file or device that exists
    #[arg(long)]
    pub destroy_data: bool,
    /// Where the random numbers begin
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// When reactors sleep
    #[arg(long, value_enum, default_value_t = super::Poll::Adaptive)]
    pub poll: super::Poll,
    /// Write a log line for everything that this part does (see serve -L)
    #[arg(short = 'L', long = "logflag", value_name = "FLAG")]
    pub logflags: Vec<String>,
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.trim_end_matches('s').parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    if seconds > 0.0 && seconds <= 1e6 { Ok(seconds) } else { Err("a time from 0.001 to 1000000 seconds".to_owned()) }
}
