//! Benchmarks against the budgets of the design. `cargo xtask bench` runs them all; `cargo xtask bench -- path` one.
//!
//! Times are the best of several short runs, since machines are shared; instructions, system calls and allocations are counted.
#![forbid(unsafe_code)]

mod instructions;
mod path;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: doorbell_sys::alloc_count::Counting = doorbell_sys::alloc_count::Counting;

#[derive(Parser)]
#[command(about = "Benchmarks against the budgets of the design")]
struct Arguments {
    #[command(subcommand)]
    which: Option<Which>,
}

#[derive(Subcommand)]
enum Which {
    /// The block path in this process: null, malloc, layers; nanoseconds, instructions and allocations per request
    Path(path::Options),
}

fn main() -> ExitCode {
    let which = Arguments::parse().which.unwrap_or(Which::Path(path::Options::default()));
    let outcome = match which {
        Which::Path(options) => path::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}
