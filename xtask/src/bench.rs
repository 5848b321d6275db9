//! `cargo xtask bench`: builds what the benchmarks measure, then hands over to the package `doorbell-bench`, which knows them.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::shell;
use crate::test::Context;

/// The flags of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to the benchmarks; `--help` after `--` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

const LIMIT: Duration = Duration::from_secs(2 * 3600);

/// Runs the benchmarks against the release binary.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    let context = Context::new(root)?;
    shell::run(context.command("cargo").args(["build", "--release", "--locked"]), LIMIT)?;
    let mut benches = context.command("cargo");
    benches.args(["run", "--release", "--locked", "--package", "doorbell-bench", "--"]).args(&options.arguments);
    shell::run(&mut benches, LIMIT)?;
    Ok(ExitCode::SUCCESS)
}
