//! `cargo xtask guest`: one command in a guest like those of the tests, for whoever wants to look around.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use doorbell_vm::Guest;

/// The flags of `cargo xtask guest`.
#[derive(Args)]
pub(crate) struct Options {
    /// Load a kernel module first; may be repeated
    #[arg(long, value_name = "NAME")]
    module: Vec<String>,
    /// Share a folder for writing; may be repeated
    #[arg(long, value_name = "FOLDER")]
    rw: Vec<PathBuf>,
    /// Give it a network card: the host's 127.0.0.1 is 10.0.2.2 there
    #[arg(long)]
    net: bool,
    /// Mount an empty ext4 file system of this size at /scratch
    #[arg(long, value_name = "MIB")]
    scratch: Option<u64>,
    /// How much memory it has
    #[arg(long, value_name = "MIB", default_value_t = 1_024)]
    memory: u32,
    /// How long it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// An argument for QEMU; may be repeated
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    qemu: Vec<String>,
    /// What bash runs there
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    script: Vec<String>,
}

/// Runs the command and ends with its status.
pub(crate) fn run(options: &Options) -> Result<ExitCode, String> {
    let mut guest = Guest::new().modules(&options.module).net(options.net).memory_mib(options.memory).qemu(&options.qemu);
    guest = guest.timeout(Duration::from_secs(options.timeout));
    for folder in &options.rw {
        let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
        guest = guest.rw(folder);
    }
    if let Some(size) = options.scratch {
        guest = guest.scratch_mib(size);
    }
    let output = guest.run(&options.script.join(" ")).map_err(|error| error.to_string())?;
    print!("{}", output.stdout);
    eprint!("{}", output.stderr);
    Ok(ExitCode::from(u8::try_from(output.status).unwrap_or(u8::MAX)))
}
