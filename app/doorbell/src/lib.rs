//! Doorbell's one binary, and what of it other programs use: the load generator of `doorbell perf`.
#![forbid(unsafe_code)]

pub mod cli;
mod client;
mod config;
mod log;
mod memory;
mod nvme;
mod pages;
mod parts;
mod pci;
pub mod perf;
mod reactors;
mod rpc;
mod serve;
mod size;
mod status;
mod volume;

use clap::Parser;
use cli::{Cli, Command, PerfCommand, ServeArgs};
use std::ffi::OsString;
use std::process::ExitCode;

/// The whole program: 0 when all is well, 1 with one line on stderr when something is not, 2 when the command line makes no sense.
pub fn main() -> ExitCode {
    let done: Result<bool, String> = match Cli::parse().command {
        Command::Serve(args) => match configured(*args) {
            Ok(args) => serve::serve(*args).map(|()| true).map_err(|e| e.to_string()),
            Err(code) => return code,
        },
        Command::Rpc(args) => rpc::rpc(&args).map(|()| true).map_err(|e| e.to_string()),
        Command::Status(args) => status::status(&args).map(|()| true).map_err(|e| e.to_string()),
        Command::Pci { command } => pci::pci(&command).map_err(|e| e.to_string()),
        Command::Nvme { command } => nvme::nvme(command).map_err(|e| e.to_string()),
        Command::Volume { command } => match volume::volume(command) {
            Ok(sound) => Ok(sound),
            Err(failed) => {
                eprintln!("doorbell: {failed}");
                return ExitCode::from(failed.status);
            }
        },
        Command::Perf { command: PerfCommand::Block(args) } => perf::run_block(*args).map_err(|e| e.to_string()),
        Command::Completions { shell } => pages::completions(shell).map(|()| true).map_err(|e| e.to_string()),
        Command::Man { out: Some(folder), rpc: true } => pages::write_rpc_pages(&folder).map(|()| true).map_err(|e| e.to_string()),
        Command::Man { out, .. } => pages::man(out.as_deref()).map(|()| true).map_err(|e| e.to_string()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("doorbell: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The flags of `serve` with those of its configuration file before them.
fn configured(args: ServeArgs) -> Result<Box<ServeArgs>, ExitCode> {
    let Some(path) = args.config.clone() else { return Ok(Box::new(args)) };
    match config::read(&path) {
        Ok(config::Config::Json) if args.json.is_some() || args.wait_for_rpc => {
            eprintln!("doorbell: {} is a JSON configuration: it stands alone, without --json and --wait-for-rpc", path.display());
            Err(ExitCode::from(2))
        }
        Ok(config::Config::Json) => Ok(Box::new(ServeArgs { json: Some(path), ..args })),
        Ok(config::Config::Flags(flags)) => {
            let given: Vec<OsString> = std::env::args_os().collect();
            let (program, own) = given.split_at(given.len().min(2));
            let all = program.iter().cloned().chain(flags.into_iter().map(OsString::from)).chain(own.iter().cloned());
            match Cli::try_parse_from(all).map(|cli| cli.command) {
                Ok(Command::Serve(args)) => Ok(args),
                Ok(_) => Err(ExitCode::from(2)),
                Err(error) => {
                    eprintln!("doorbell: with the lines of {} before the command line:", path.display());
                    let _ = error.print();
                    Err(ExitCode::from(2))
                }
            }
        }
        Err(error) => {
            eprintln!("doorbell: {error}");
            Err(ExitCode::from(2))
        }
    }
}
