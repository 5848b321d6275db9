//! `cargo xtask test`: every check there is, stage by stage, one result each.
//!
//! A failed stage does not end the run, so that one run shows all that is wrong. A stage whose peer is missing (QEMU, SPDK's client,
//! the fuzzer) fails under `CI=true`; on a person's machine it is left out, with the line that would provide it.

mod peers;
pub(crate) mod stages;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Args;

use crate::metadata;
use peers::Peer;
use stages::{STAGES, Stage};

/// The flags of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Install the peers that the stages need (apt, pip, cargo); CI=true implies it
    #[arg(long)]
    install: bool,
    /// Run this stage only; may be repeated
    #[arg(long, value_name = "STAGE")]
    only: Vec<String>,
    /// Print the stages and end
    #[arg(long)]
    list: bool,
    /// Run the stages that need no release build and no peers
    #[arg(long)]
    quick: bool,
}

/// What every stage may know.
pub(crate) struct Context {
    /// The workspace's root.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// Whether `cargo nextest` is there.
    pub(crate) nextest: bool,
    /// How long each fuzz target runs.
    pub(crate) fuzz: Duration,
    /// What tests are told about their length (`DOORBELL_SCALE`, `DOORBELL_SEEDS`).
    pub(crate) scale: Vec<(String, String)>,
    /// What git called changed before the first stage.
    pub(crate) status: String,
}

impl Context {
    /// Looks around in the workspace at `root`.
    pub(crate) fn new(root: &Path) -> Result<Context, String> {
        let metadata = metadata::load(&root.join("Cargo.toml"), &["--no-deps"])?;
        Ok(Context {
            root: root.to_path_buf(),
            target: metadata.target_directory,
            nextest: crate::shell::output(Command::new("cargo").args(["nextest", "--version"])).is_ok(),
            fuzz: Duration::from_secs(20),
            scale: Vec::new(),
            status: stages::git_status(root)?,
        })
    }

    /// The binary that end-to-end tests run.
    pub(crate) fn binary(&self) -> PathBuf {
        self.target.join("release/doorbell")
    }

    /// A program run at the workspace's root, with what tests are told: where the release binary is (`DOORBELL_BIN`), their scale, and
    /// our own tools first in PATH.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let tools = peers::tool_folders(&self.root).map(|folder| folder.to_string_lossy().into_owned());
        let path = format!("{}:{}", tools.join(":"), std::env::var("PATH").unwrap_or_default());
        command.current_dir(&self.root).env("PATH", path);
        command.env("DOORBELL_BIN", self.binary()).envs(self.scale.iter().cloned());
        command
    }
}

/// How a stage ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    LeftOut(String),
}

struct Row {
    stage: &'static str,
    time: Duration,
    outcome: Outcome,
}

/// Runs the chosen stages and prints the table; the exit code says whether all passed.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode, String> {
    let chosen = choose(&options.only, options.quick)?;
    if options.list {
        chosen.iter().for_each(|stage| println!("{:10} {}", stage.name, stage.what));
        return Ok(ExitCode::SUCCESS);
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let context = Context::new(root)?;
    if in_ci || options.install {
        // Whatever could not be had shows as the failure of the stage that needs it.
        peers::install(root, chosen.iter().flat_map(|stage| stage.needs)).unwrap_or_else(|error| println!("install: {error}"));
    }
    let mut rows = Vec::new();
    for stage in chosen {
        println!("\n=== {}: {}", stage.name, stage.what);
        let start = Instant::now();
        let outcome = run_stage(stage, &context, &rows, in_ci);
        if let Outcome::Failed(why) | Outcome::LeftOut(why) = &outcome {
            println!("{}: {why}", stage.name);
        }
        rows.push(Row { stage: stage.name, time: start.elapsed(), outcome });
    }
    print!("\n{}", summary(&rows));
    let failed = rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run_stage(stage: &Stage, context: &Context, earlier: &[Row], in_ci: bool) -> Outcome {
    let unmet = |row: &&Row| stage.after == Some(row.stage) && matches!(row.outcome, Outcome::Failed(_));
    if let Some(row) = earlier.iter().find(unmet) {
        return Outcome::Failed(format!("not run, because {} failed", row.stage));
    }
    let missing: Vec<String> = stage.needs.iter().filter_map(|peer: &Peer| peer.missing(&context.root)).collect();
    if !missing.is_empty() {
        let why = missing.join("; ");
        return if in_ci { Outcome::Failed(why) } else { Outcome::LeftOut(why) };
    }
    match (stage.run)(context) {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Failed(why),
    }
}

/// The stages named in `only`, or all, or the quick ones.
fn choose(only: &[String], quick: bool) -> Result<Vec<&'static Stage>, String> {
    let unknown = only.iter().find(|name| !STAGES.iter().any(|stage| stage.name == **name));
    if let Some(name) = unknown {
        let names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        return Err(format!("no stage `{name}`; there are {}", names.join(", ")));
    }
    let is_chosen = |stage: &&Stage| match only {
        [] => !quick || stage.quick,
        names => names.iter().any(|name| name == stage.name),
    };
    Ok(STAGES.iter().filter(is_chosen).collect())
}

/// The table at the end, and below it the line that counts.
fn summary(rows: &[Row]) -> String {
    let mut text = format!("{:10} {:>7}  result\n", "stage", "minutes");
    let (mut passed, mut failed) = (0, 0);
    for row in rows {
        let result = match &row.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(why) => format!("FAILED: {why}"),
            Outcome::LeftOut(why) => format!("left out: {why}"),
        };
        passed += usize::from(row.outcome == Outcome::Passed);
        failed += usize::from(matches!(row.outcome, Outcome::Failed(_)));
        text += &format!("{:10} {:>7.1}  {result}\n", row.stage, row.time.as_secs_f64() / 60.0);
    }
    let total: Duration = rows.iter().map(|row| row.time).sum();
    text += &format!("{:10} {:>7.1}\n\n", "all", total.as_secs_f64() / 60.0);
    text + &format!("{passed} passed, {failed} failed\n")
}
