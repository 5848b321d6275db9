//! Completion scripts and manual pages, made from the command line's own definition.

use crate::cli::Cli;
use clap::CommandFactory;
use std::io::{self, Write};
use std::path::Path;

#[cfg(test)]
mod tests;

/// Prints the completions of a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "doorbell", &mut script);
    io::stdout().write_all(&script)
}

/// Prints the manual page of the whole, or writes one for each command into a folder.
pub(crate) fn man(out: Option<&Path>) -> io::Result<()> {
    match out {
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder),
        None => clap_mangen::Man::new(Cli::command()).render(&mut io::stdout()),
    }
}
