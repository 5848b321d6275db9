//! `cargo xtask`: what CI runs and what a person runs, by the same commands.
//!
//! `test` runs every check there is, stage by stage; `tidy` the rules no compiler checks; `bench` the benchmarks; `soak` the tests
//! at lengths that CI has no time for; `guide` writes the guide's pages that are made from code; `guest` runs a command in a QEMU
//! guest; `interop` writes volume stores for others to check. Nothing here is part of what Doorbell ships.
#![forbid(unsafe_code)]

mod bench;
mod guest;
mod guide;
mod licences;
mod metadata;
mod shell;
mod soak;
mod test;
#[cfg(test)]
mod tests;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks, benchmarks and soaks Doorbell", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the checks: formatting, lints, tests, real peers, guests, fuzzers
    Test(test::Options),
    /// Check the rules of the house that no compiler checks
    Tidy,
    /// Run the benchmarks and print them against the budgets
    Bench(bench::Options),
    /// Run the randomised tests and the fuzzers for long
    Soak(soak::Options),
    /// Write the guide's pages of the RPC methods anew
    Guide,
    /// Run a command in a QEMU guest that sees this machine's files
    Guest(guest::Options),
    /// Write volume stores made here, with a manifest of what they hold, to be checked with SPDK
    Interop {
        /// Where they go
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let root = workspace_root();
    let result = match Cli::parse().command {
        Command::Test(options) => test::run(&root, &options),
        Command::Tidy => tidy_all(&root),
        Command::Bench(options) => bench::run(&root, &options),
        Command::Soak(options) => soak::run(&root, &options),
        Command::Guide => guide::run(&root),
        Command::Guest(options) => guest::run(&options),
        Command::Interop { folder } => interop(&root, &folder),
    };
    match result {
        Ok(code) => code,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn tidy_all(root: &Path) -> Result<ExitCode, String> {
    let findings = tidy::run(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} findings", findings.len());
    Ok(ExitCode::FAILURE)
}

fn interop(root: &Path, folder: &Path) -> Result<ExitCode, String> {
    let folder = std::path::absolute(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let context = test::Context::new(root)?;
    let mut example = context.command("cargo");
    example.args(["run", "--quiet", "--profile", "fast", "--locked", "--package", "doorbell-blobstore", "--example", "interop", "--"]);
    shell::run(example.arg(folder), std::time::Duration::from_secs(30 * 60))?;
    Ok(ExitCode::SUCCESS)
}

fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
