use std::io::Read;
use std::process::Command;
use std::time::Duration;

use super::{environment, family, output, run, which, words};

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn success_and_failure_are_told_apart() {
    let limit = Duration::from_secs(60);
    assert_eq!(run(&mut sh("true"), limit), Ok(()));
    let message = run(&mut sh("exit 3"), limit).expect_err("it failed");
    assert!(message.ends_with("ended with status 3"), "{message}");
    assert!(run(&mut Command::new("no-such-program"), limit).is_err());
}

#[test]
fn what_outlives_its_time_is_killed_with_its_children() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    // The grandchild holds the pipe open, and would say so if it lived on.
    let mut command = sh("sh -c 'echo begun; sleep 30; echo lives'; true");
    command.stdout(writer);
    let message = run(&mut command, Duration::from_millis(500)).expect_err("it was killed");
    assert!(message.contains("was killed"), "{message}");
    drop(command);
    let mut said = String::new();
    reader.read_to_string(&mut said).expect("the end of the pipe");
    assert!(!said.contains("lives"), "{said}");
}

#[test]
fn a_family_reaches_to_grandchildren_and_no_further() {
    let parents = [(2, 1), (3, 2), (4, 3), (5, 1)];
    assert_eq!(family(2, &parents).into_iter().collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn commands_show_as_one_could_type_them() {
    let mut command = Command::new("cargo");
    command.args(["doc", "-E", "a & b"]).env("RUSTDOCFLAGS", "-D warnings");
    assert_eq!(words(&command), "cargo doc -E 'a & b'");
    assert_eq!(environment(&command), "RUSTDOCFLAGS='-D warnings' ");
}

#[test]
fn output_is_captured_and_programs_are_found() {
    assert_eq!(output(&mut sh("echo out; echo err >&2")).as_deref(), Ok("out\n"));
    assert!(output(&mut sh("echo why >&2; exit 1")).expect_err("it failed").contains("why"));
    assert!(which("sh").is_some());
    assert_eq!(which("no-such-program"), None);
}
