//! `cargo xtask soak`: the randomised tests with more seeds and larger scales, then the NVMe model with more still, then power cuts of the
//! blobstore, then every fuzz target for minutes. Or one of these.
//!
//! The tests are those of the unit stage; they read `DOORBELL_SCALE` (a factor) and `DOORBELL_SEEDS` (a count) for their lengths.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::test::{Context, stages};

/// A part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The tests of the unit stage
    Unit,
    /// The NVMe controller model
    Model,
    /// Power cuts of the blobstore
    Blobstore,
    /// The fuzz targets
    Fuzz,
}

/// The flags of `cargo xtask soak`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this part
    part: Option<Part>,
    /// How many times longer than in CI the randomised tests are
    #[arg(long, default_value_t = 20)]
    scale: u32,
    /// How many seeds each simulation runs
    #[arg(long, default_value_t = 1_000)]
    seeds: u32,
    /// How many seeds the NVMe model runs, each a controller with other faults
    #[arg(long, default_value_t = 10_000)]
    model_seeds: u32,
    /// How many histories of the blobstore are cut after every change of the disk
    #[arg(long, default_value_t = 1_000)]
    blobstore_seeds: u32,
    /// How long each fuzz target runs
    #[arg(long, default_value_t = 10, value_name = "MINUTES")]
    fuzz: u64,
}

/// Runs them all; a failure of one does not keep the next from running.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    let mut context = Context::new(root)?;
    context.fuzz = Duration::from_secs(options.fuzz * 60);
    let all = [Part::Unit, Part::Model, Part::Blobstore, Part::Fuzz];
    let parts = all.into_iter().filter(|part| options.part.is_none_or(|only| only == *part));
    let seeds = |count: u32| ("DOORBELL_SEEDS".to_owned(), count.to_string());
    let results = parts.map(|part| {
        context.scale = match part {
            Part::Unit | Part::Fuzz => vec![("DOORBELL_SCALE".to_owned(), options.scale.to_string()), seeds(options.seeds)],
            Part::Model => vec![seeds(options.model_seeds)],
            Part::Blobstore => vec![seeds(options.blobstore_seeds)],
        };
        match part {
            Part::Unit => stages::unit(&context),
            Part::Model => stages::model(&context),
            Part::Blobstore => stages::blobstore(&context),
            Part::Fuzz => stages::fuzz(&context),
        }
    });
    let results: Vec<_> = results.collect();
    stages::joined(results.into_iter().filter_map(Result::err))?;
    Ok(ExitCode::SUCCESS)
}
