//! `cargo xtask soak`: the randomised tests with more seeds and larger scales, then the NVMe model with more still, then
//! every fuzz target for minutes.
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
    /// How many seeds the NVMe model runs, each a controller with other faults
    #[arg(long, default_value_t = 10_000)]
    model_seeds: u32,
    /// How long each fuzz target runs
    #[arg(long, default_value_t = 10, value_name = "MINUTES")]
    fuzz: u64,
}

/// Runs them all; a failure of one does not keep the next from running.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    let mut context = Context::new(root)?;
    context.fuzz = Duration::from_secs(options.fuzz * 60);
    context.scale =
        vec![("DOORBELL_SCALE".to_owned(), options.scale.to_string()), ("DOORBELL_SEEDS".to_owned(), options.seeds.to_string())];
    let unit = stages::unit(&context);
    context.scale = vec![("DOORBELL_SEEDS".to_owned(), options.model_seeds.to_string())];
    let results = [unit, stages::model(&context), stages::fuzz(&context)];
    stages::joined(results.into_iter().filter_map(Result::err))?;
    Ok(ExitCode::SUCCESS)
}
