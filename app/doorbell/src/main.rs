//! The binary: reads the command line, does it, and says in one line what went wrong.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    doorbell::main()
}
