//! Benchmarks against the budgets of the design. `cargo xtask bench` runs them all; `cargo xtask bench -- path` one.
//!
//! Times are the best of several short runs, since machines are shared; instructions, system calls and allocations are counted. A
//! benchmark is a module with its options and a `BENCH`, and a line in [`ALL`].
#![forbid(unsafe_code)]

mod admin;
mod bench;
mod command;
mod figures;
mod files;
mod first_write;
mod idle;
mod instructions;
mod many_volumes;
mod nvme_driver;
mod nvme_tcp;
mod path;
mod procfs;
mod reactor;
mod remote;
mod start;
mod stores;
mod target;

use bench::Bench;
use clap::Command;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: doorbell_sys::alloc_count::Counting = doorbell_sys::alloc_count::Counting;

/// The benchmarks in the order in which they run: one line each.
#[rustfmt::skip]
const ALL: &[Bench] = &[
    path::BENCH,
    nvme_driver::BENCH,
    nvme_tcp::BENCH,
    remote::VFIO_USER,
    remote::TCP_HOST,
    files::BENCH,
    idle::BENCH,
    start::BENCH,
    first_write::BENCH,
    stores::BENCH,
    many_volumes::BENCH,
];

fn main() -> ExitCode {
    let about = "Benchmarks against the budgets of the design; all of them when none is named";
    let commands = ALL.iter().map(Bench::command);
    let matches = Command::new("bench").about(about).disable_help_subcommand(true).subcommands(commands).get_matches();
    let outcome = match matches.subcommand() {
        Some((name, options)) => ALL.iter().filter(|bench| bench.name == name).try_for_each(|bench| bench.run(options)),
        None => every(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs them all with their own defaults; one that fails keeps none of the others from running.
fn every() -> Result<(), String> {
    let mut failed = Vec::new();
    for bench in ALL {
        println!("== {}: {}", bench.name, bench.about);
        failed.extend(bench.run_default().err().map(|why| format!("{}: {why}", bench.name)));
        println!();
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}
