//! `cargo xtask soak`: the randomised tests with more seeds and larger scales, then every fuzz target for minutes.
//!
//! The tests are those of the unit stage; they read `DOORBELL_SCALE` (a factor) and `DOORBELL_SEEDS` (a count) for their lengths.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::test::{Context, stages};

/// The flags of `cargo xtask soak`.
#[derive(Args)]
pub(crate) struct Options {
    /// How many times longer than in CI the randomised tests are
    #[arg(long, default_value_t = 20)]
    scale: u32,
    /// How many seeds each simulation runs
    #[arg(long, default_value_t = 1_000)]
    seeds: u32,
    /// How long each fuzz target runs
    #[arg(long, default_value_t = 10, value_name = "MINUTES")]
    fuzz: u64,
}

/// Runs both; a failure of the first does not keep the second from running.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    let mut context = Context::new(root)?;
    context.fuzz = Duration::from_secs(options.fuzz * 60);
    context.scale =
        vec![("DOORBELL_SCALE".to_owned(), options.scale.to_string()), ("DOORBELL_SEEDS".to_owned(), options.seeds.to_string())];
    let results = [stages::unit(&context), stages::fuzz(&context)];
    stages::joined(results.into_iter().filter_map(Result::err))?;
    Ok(ExitCode::SUCCESS)
}
