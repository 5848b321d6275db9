//! Doorbell as a host of Linux's own target (nvmet-tcp), both in one QEMU guest: whole controllers from the command line.
//!
//! A mixed load from two reactors is verified with each choice of digests; the target's port is taken away and put back under load, and no
//! request fails; discovery, a wrong name and a host that is not allowed are told in words. What is not shown: speed (CPUs are emulated).

use doorbell_vm::Guest;
use std::path::PathBuf;

const LIB: &str = include_str!("guest_support/lib.sh");
const SCRIPT: &str = include_str!("guest_support/nvmet.sh");

#[test]
fn linuxs_target_serves_our_controllers() {
    let binary = std::env::var_os("DOORBELL_BIN").map_or_else(|| env!("CARGO_BIN_EXE_doorbell").into(), PathBuf::from);
    let guest = Guest::new()
        .modules(["nvmet", "nvmet-tcp"])
        .scratch_mib(128)
        .timeout(std::time::Duration::from_secs(600))
        .env("DOORBELL_BIN", std::path::absolute(binary).unwrap().to_string_lossy());
    let output = guest.run(&format!("{LIB}\n{SCRIPT}")).expect("a guest");
    println!("{}", output.stdout);
    assert!(output.success() && output.stdout.ends_with("== done\n"), "{output}");
}
