//! `cargo xtask guide`: writes the guide's pages of the RPC methods anew. A test of package `doorbell` fails when they are not up to date.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::shell;
use crate::test::Context;

const LIMIT: Duration = Duration::from_secs(3600);

/// Runs the binary that has the methods.
pub(crate) fn run(root: &Path) -> Result<ExitCode, String> {
    let context = Context::new(root)?;
    let mut write = context.command("cargo");
    write.args(["run", "--quiet", "--locked", "--package", "doorbell", "--", "man", "--rpc", "--out", "guide/rpc"]);
    shell::run(&mut write, LIMIT)?;
    Ok(ExitCode::SUCCESS)
}
