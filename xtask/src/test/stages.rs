//! The stages of `cargo xtask test`, in the order in which they run: what is cheap and often wrong comes first.
//!
//! Which tests run where goes by the name of the test binary, in any crate: `guest_*` boots a QEMU guest, `spdk_*` needs SPDK's own
//! client; the other integration tests of the package `doorbell` are the end-to-end stage, and everything else is the unit stage.
//! Builds are shared: one dev profile for all tests, one release binary for all that runs against the real thing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Context;
use super::peers::Peer;
use crate::{licences, metadata, shell, tidy};

/// One check with a result of its own.
pub(crate) struct Stage {
    /// Its name, for `--only` and the table.
    pub(crate) name: &'static str,
    /// One line about it.
    pub(crate) what: &'static str,
    /// Whether it belongs to `--quick`.
    pub(crate) quick: bool,
    /// The stage without which it makes no sense.
    pub(crate) after: Option<&'static str>,
    /// What must be installed.
    pub(crate) needs: &'static [Peer],
    /// Runs it; the error is one line for the table.
    pub(crate) run: fn(&Context) -> Result<(), String>,
}

const fn stage(name: &'static str, what: &'static str, run: fn(&Context) -> Result<(), String>) -> Stage {
    Stage { name, what, quick: false, after: None, needs: &[], run }
}

const fn quick(stage: Stage) -> Stage {
    Stage { quick: true, ..stage }
}

const fn on_binary(stage: Stage, needs: &'static [Peer]) -> Stage {
    Stage { after: Some("build"), needs, ..stage }
}

/// Every stage.
pub(crate) const STAGES: &[Stage] = &[
    quick(stage("fmt", "the formatting of every Rust file", fmt)),
    quick(stage("tidy", "the rules of the house", tidy)),
    quick(stage("licences", "what is built from, and under which licences", licences)),
    quick(stage("clippy", "lints, warnings as errors", clippy)),
    quick(stage("unit", "unit, property and simulation tests of every crate", unit)),
    quick(stage("doctest", "the examples in the documentation", doctest)),
    stage("doc", "the documentation builds without warnings", doc),
    stage("loom", "the rings between threads, over every order of events", loom),
    stage("build", "the release binary", build),
    on_binary(stage("e2e", "the binary, from outside", end_to_end), &[]),
    on_binary(stage("spdk", "the binary, driven by SPDK's own client", spdk), &[Peer::SpdkClient]),
    on_binary(stage("guest", "the binary, used by Linux in a QEMU guest", guest), &[Peer::Guest]),
    Stage { needs: &[Peer::Fuzzer], ..stage("fuzz", "each fuzz target for a short while", fuzz) },
    stage("clean", "the tree is as it was before", clean),
];

/// Longer than any stage takes: ends what hangs.
const LIMIT: Duration = Duration::from_secs(40 * 60);
const FUZZ: &str = "testing/fuzz";

fn cargo(context: &Context, arguments: &[&str]) -> Result<(), String> {
    shell::run(context.command("cargo").args(arguments), LIMIT)
}

fn fmt(context: &Context) -> Result<(), String> {
    cargo(context, &["fmt", "--all", "--check"])?;
    let fuzz = format!("{FUZZ}/Cargo.toml");
    if context.root.join(&fuzz).exists() { cargo(context, &["fmt", "--manifest-path", &fuzz, "--check"]) } else { Ok(()) }
}

fn tidy(context: &Context) -> Result<(), String> {
    let findings = tidy::run(&context.root)?;
    findings.iter().for_each(|finding| println!("{finding}"));
    if findings.is_empty() { Ok(()) } else { Err(format!("{} findings", findings.len())) }
}

fn licences(context: &Context) -> Result<(), String> {
    let (packages, complaints) = licences::run(&context.root)?;
    complaints.iter().for_each(|complaint| println!("{complaint}"));
    println!("{packages} packages");
    if complaints.is_empty() { Ok(()) } else { Err(format!("{} packages may not be used", complaints.len())) }
}

fn clippy(context: &Context) -> Result<(), String> {
    cargo(context, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
}

fn doc(context: &Context) -> Result<(), String> {
    let mut command = context.command("cargo");
    command.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    shell::run(&mut command, LIMIT)
}

fn doctest(context: &Context) -> Result<(), String> {
    cargo(context, &["test", "--workspace", "--doc", "--locked", "--quiet"])
}

/// The tests that need nothing but this machine's kernel.
pub(crate) fn unit(context: &Context) -> Result<(), String> {
    // A soak has its own part for power cuts.
    let cuts = if context.scale.is_empty() { "" } else { " or binary(power)" };
    let filter = format!("not (binary(/^(guest|spdk)_/){cuts} or (package(doorbell) and kind(test)))");
    if context.nextest {
        return nextest(context, &[], &filter);
    }
    let inside = cargo(context, &["test", "--workspace", "--locked", "--lib", "--bins", "--no-fail-fast"]);
    let beside = by_name(context, &|package, test| package != "doorbell" && !has_peer(test), &[]);
    joined([inside.err(), beside.err()].into_iter().flatten())
}

/// The NVMe driver against the controller with faults by seed.
pub(crate) fn model(context: &Context) -> Result<(), String> {
    cargo(context, &["test", "--profile", "fast", "--locked", "--package", "doorbell-nvme-model"])
}

/// The blobstore's power cuts, hours of them where many histories are asked for.
pub(crate) fn blobstore(context: &Context) -> Result<(), String> {
    let arguments = ["test", "--profile", "fast", "--locked", "--package", "doorbell-blobstore", "--test", "power", "--", "--nocapture"];
    shell::run(context.command("cargo").args(arguments), LIMIT * 9)
}

/// Whether a test binary of this name needs a guest or SPDK's client.
fn has_peer(test: &str) -> bool {
    test.starts_with("guest_") || test.starts_with("spdk_")
}

/// All went well, or all that did not.
pub(crate) fn joined(failures: impl IntoIterator<Item = String>) -> Result<(), String> {
    let failures: Vec<String> = failures.into_iter().collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

fn end_to_end(context: &Context) -> Result<(), String> {
    build(context)?;
    if context.nextest {
        return nextest(context, &[], "package(doorbell) and kind(test) and not binary(/^(guest|spdk)_/)");
    }
    by_name(context, &|package, test| package == "doorbell" && !has_peer(test), &[])
}

fn spdk(context: &Context) -> Result<(), String> {
    build(context)?;
    if context.nextest {
        return nextest(context, &[], "binary(/^spdk_/)");
    }
    by_name(context, &|_, test| test.starts_with("spdk_"), &[])
}

/// One at a time: an emulated guest starves beside another.
fn guest(context: &Context) -> Result<(), String> {
    build(context)?;
    if context.nextest {
        return nextest(context, &["--test-threads", "1"], "binary(/^guest_/)");
    }
    by_name(context, &|_, test| test.starts_with("guest_"), &["--test-threads=1"])
}

/// Every call selects the whole workspace, so that all share one build; the filter picks what runs.
fn nextest(context: &Context, more: &[&str], filter: &str) -> Result<(), String> {
    let mut arguments = vec!["nextest", "run", "--workspace", "--locked", "--no-fail-fast", "--ignore-default-filter"];
    arguments.extend(more);
    arguments.extend(["-E", filter]);
    cargo(context, &arguments)
}

/// Without nextest: the integration tests for whose package and name `wanted` holds, one `cargo test` each.
fn by_name(context: &Context, wanted: &dyn Fn(&str, &str) -> bool, harness: &[&str]) -> Result<(), String> {
    let packages = metadata::load(&context.root.join("Cargo.toml"), &["--no-deps"])?.packages;
    let mut names = Vec::new();
    for package in &packages {
        let tests = package.targets.iter().filter(|target| target.is("test") && wanted(&package.name, &target.name));
        names.extend(tests.map(|target| (package.name.as_str(), target.name.as_str())));
    }
    if names.is_empty() {
        return Err("no tests to run".to_owned());
    }
    let run =
        |(package, test): &(&str, &str)| cargo(context, &[&["test", "--locked", "-p", package, "--test", test, "--"], harness].concat());
    joined(names.iter().filter_map(|name| run(name).err()))
}

/// loom replaces the atomics of core/sys at compile time, so it is a build of its own, in which only its models are tests.
fn loom(context: &Context) -> Result<(), String> {
    let mut command = context.command("cargo");
    if context.nextest {
        command.args(["nextest", "run", "--locked", "-p", "doorbell-sys", "--lib", "--cargo-profile", "release"]);
    } else {
        command.args(["test", "--locked", "-p", "doorbell-sys", "--lib", "--release"]);
    }
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", context.target.join("loom"));
    // Optimised, since loom runs each test thousands of times, but not at a shipped binary's price.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    command.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    shell::run(&mut command, LIMIT)
}

fn build(context: &Context) -> Result<(), String> {
    cargo(context, &["build", "--release", "--locked"])
}

/// Replays the kept corpora, then runs each target from its own. What it finds goes to the cache, not into the tree.
pub(crate) fn fuzz(context: &Context) -> Result<(), String> {
    let folder = context.root.join(FUZZ);
    let packages = metadata::load(&folder.join("Cargo.toml"), &["--no-deps"])?.packages;
    let targets: Vec<&str> =
        packages.iter().flat_map(|package| &package.targets).filter(|target| target.is("bin")).map(|target| target.name.as_str()).collect();
    if targets.is_empty() {
        return Err(format!("{FUZZ} has no targets"));
    }
    let replay = format!("{FUZZ}/Cargo.toml");
    cargo(context, &["test", "--quiet", "--no-default-features", "--manifest-path", &replay])?;
    cargo(context, &["fuzz", "build", "--sanitizer", "none", "--fuzz-dir", FUZZ])?;
    joined(targets.iter().filter_map(|target| fuzz_one(context, target).err()))
}

fn fuzz_one(context: &Context, target: &str) -> Result<(), String> {
    let found = context.root.join(".cache/fuzz").join(target);
    fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
    let mut command = context.command("cargo");
    command.args(["fuzz", "run", "--sanitizer", "none", "--fuzz-dir", FUZZ, target]).arg(&found);
    let kept = context.root.join(FUZZ).join("corpus").join(target);
    command.args(kept.is_dir().then_some(kept));
    let seconds = format!("-max_total_time={}", context.fuzz.as_secs());
    command.args(["--", &seconds, "-rss_limit_mb=2048", "-timeout=20", "-verbosity=0"]);
    let run = shell::run(&mut command, context.fuzz + Duration::from_secs(300));
    run.map_err(|_| format!("{target}: what broke it is in {FUZZ}/artifacts/{target}"))
}

/// What git calls changed or new.
pub(crate) fn git_status(root: &Path) -> Result<String, String> {
    shell::output(Command::new("git").args(["status", "--porcelain"]).current_dir(root))
}

fn clean(context: &Context) -> Result<(), String> {
    let now = git_status(&context.root)?;
    let new: Vec<&str> = now.lines().filter(|line| !context.status.lines().any(|old| old == *line)).collect();
    new.iter().for_each(|line| println!("{line}"));
    if new.is_empty() { Ok(()) } else { Err(format!("{} files left behind or changed", new.len())) }
}
