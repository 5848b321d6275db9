use clap::{CommandFactory, Parser};

use super::{Cli, Command};

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn what_follows_bench_is_the_benchmarks_own() {
    for line in [&["xtask", "bench", "--", "path", "--runs", "3"][..], &["xtask", "bench", "path", "--runs", "3"]] {
        let Ok(Cli { command: Command::Bench(options) }) = Cli::try_parse_from(line) else { panic!("{line:?} does not parse") };
        assert_eq!(options.arguments, ["path", "--runs", "3"]);
    }
}

#[test]
fn a_guest_wants_a_script() {
    assert!(Cli::try_parse_from(["xtask", "guest", "--net"]).is_err());
    assert!(Cli::try_parse_from(["xtask", "guest", "--net", "nvme", "list", "-v"]).is_ok());
}
