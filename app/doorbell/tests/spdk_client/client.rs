//! `spdk-rpc`, kept running to take one command after another: it needs longer to start than to do anything.

use crate::support::{Folder, Server};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What the server answered: the error's code and message, as SPDK's scripts look at them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: i64,
    pub(crate) message: String,
}

/// A client of the server in a folder. Each command has a connection of its own.
pub(crate) struct Client {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    socket: String,
}

impl Client {
    pub(crate) fn of(folder: &Folder) -> Client {
        let mut command = Command::new("spdk-rpc");
        command.arg("--server").current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("spdk-rpc, of `pip install spdk==26.9`: {error}"));
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Client { child, commands, answers, socket: folder.socket().display().to_string() }
    }

    /// Runs a command; what it printed, in `Err` if it failed.
    fn run(&mut self, command: &str) -> Result<String, String> {
        writeln!(self.commands, "-s {} {command}", self.socket).unwrap();
        let mut text = String::new();
        loop {
            let before = text.len();
            assert_ne!(self.answers.read_line(&mut text).unwrap(), 0, "spdk-rpc ended at `{command}`: {text}");
            match text[before..].trim_end() {
                "**STATUS=0" => return Ok(text[..before].to_owned()),
                "**STATUS=1" => return Err(text[..before].to_owned()),
                _ => {}
            }
        }
    }

    /// A command that must succeed: the JSON that it printed, or else its text.
    pub(crate) fn ok(&mut self, command: &str) -> Value {
        let text = self.run(command).unwrap_or_else(|error| panic!("{command}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|_| text.trim().into())
    }

    /// A command that the server must refuse.
    pub(crate) fn refused(&mut self, command: &str) -> Refused {
        let text = self.run(command).expect_err(command);
        let (_, error) = text.split_once("response:\n").unwrap_or_else(|| panic!("{command}: not refused by the server: {text}"));
        let error: Value = serde_json::from_str(error).unwrap();
        Refused { code: error["code"].as_i64().unwrap(), message: error["message"].as_str().unwrap().to_owned() }
    }

    /// Everything that a client can ask about what is configured.
    pub(crate) fn everything(&mut self) -> Vec<(String, Value)> {
        let mut asked: Vec<String> =
            ["bdev_get_bdevs", "nvmf_get_transports", "nvmf_get_subsystems", "framework_get_subsystems", "save_config"]
                .map(str::to_owned)
                .into();
        let subsystems = self.ok("nvmf_get_subsystems");
        let nqns = subsystems.as_array().unwrap().iter().map(|one| one["nqn"].as_str().unwrap());
        asked.extend(nqns.map(|nqn| format!("nvmf_subsystem_get_listeners {nqn}")));
        asked.into_iter().map(|command| (command.clone(), self.ok(&command))).collect()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server in a folder; it answers RPC when this comes back.
pub(crate) fn serve(folder: &Folder, words: &[&str]) -> Server {
    folder.serve(words).logs("RPC")
}

/// Ends a server as an operator would, and looks at how it ended.
pub(crate) fn stop(server: Server) {
    let (status, log) = server.stop(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

/// A port where nothing listens.
pub(crate) fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Compares what two servers answered, one question at a time, so that a difference is found in the output.
pub(crate) fn same(one: &[(String, Value)], other: &[(String, Value)]) {
    assert_eq!(one.iter().map(|(asked, _)| asked).collect::<Vec<_>>(), other.iter().map(|(asked, _)| asked).collect::<Vec<_>>());
    for ((asked, one), (_, other)) in one.iter().zip(other) {
        assert_eq!(one, other, "{asked}");
    }
}
