//! A guest in which a script runs the binary beside Linux's own initiator.

pub(crate) mod writer;

use doorbell_vm::Guest;
use std::path::PathBuf;
use std::time::Duration;

/// What all scripts share.
const LIB: &str = include_str!("lib.sh");
/// Emulated CPUs on a busy machine take their time; a healthy run needs a tenth of it.
const DEADLINE: Duration = Duration::from_secs(900);

/// Boots a guest, runs `script` after what all scripts share, and shows what it printed.
pub(crate) fn run(script: &str) {
    let binary = std::env::var_os("DOORBELL_BIN").map_or_else(|| env!("CARGO_BIN_EXE_doorbell").into(), PathBuf::from);
    let binary = std::path::absolute(binary).unwrap();
    let helper = std::env::current_exe().unwrap();
    let guest = Guest::new()
        .modules(["nvme-tcp"])
        .scratch_mib(512)
        .env("DOORBELL_BIN", binary.to_string_lossy())
        .env("HELPER", helper.to_string_lossy())
        .timeout(DEADLINE);
    let output = guest.run(&format!("{LIB}\n{script}")).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", output.stdout);
    assert!(output.success(), "{output}");
    assert!(output.stdout.ends_with("== done\n"), "it ended early: {output}");
}
