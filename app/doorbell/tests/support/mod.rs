//! The binary, run as a person would run it.
#![allow(dead_code, reason = "each test uses its own part of it")]

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder of one's own, gone at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("doorbell-e2e-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("rpc.sock")
    }

    /// What lies in it.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// `doorbell` with these words, in the folder.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let binary = std::env::var_os("DOORBELL_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_doorbell").into());
        let mut command = Command::new(binary);
        command.args(words).current_dir(&self.0).env_remove("XDG_RUNTIME_DIR").env_remove("NOTIFY_SOCKET");
        command
    }

    /// Runs it to its end, or to the end of its time: what should refuse might serve.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let mut command = self.command(words);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let (ended, waits) = mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            if waits.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        watch.join().unwrap();
        output
    }

    /// Calls a method of the server in this folder.
    pub(crate) fn rpc(&self, words: &[&str]) -> Result<serde_json::Value, String> {
        let socket = self.socket();
        let all: Vec<&str> = ["rpc", "-s", socket.to_str().unwrap()].iter().chain(words).copied().collect();
        let output = self.run(&all);
        match output.status.success() {
            true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }

    /// Calls what prints nothing.
    pub(crate) fn rpc_done(&self, words: &[&str]) -> Result<(), String> {
        let socket = self.socket();
        let all: Vec<&str> = ["rpc", "-s", socket.to_str().unwrap()].iter().chain(words).copied().collect();
        let output = self.run(&all);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
    }

    /// Starts a server; it is ready when this comes back.
    pub(crate) fn serve(&self, words: &[&str]) -> Server {
        let socket = self.socket();
        let all: Vec<&str> = ["serve", "-r", socket.to_str().unwrap()].iter().chain(words).copied().collect();
        Server::piped(self.command(&all))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if tx.send(line).is_err() {
                return;
            }
        }
    });
    rx
}

/// A running server. Killed when the test leaves it behind.
pub(crate) struct Server {
    child: Child,
    stdout: mpsc::Receiver<String>,
    stderr: mpsc::Receiver<String>,
    banner: String,
}

impl Server {
    /// One that was put together elsewhere.
    pub(crate) fn piped(mut command: Command) -> Server {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Server { child, stdout: lines(out), stderr: lines(err), banner: String::new() }
    }

    /// One whose stderr is its starter's business.
    pub(crate) fn without_log(mut child: Child) -> Server {
        let out = child.stdout.take().unwrap();
        Server { child, stdout: lines(out), stderr: mpsc::channel().1, banner: String::new() }
    }

    /// Waits for the banner's last line.
    pub(crate) fn ready(mut self) -> Server {
        loop {
            match self.stdout.recv_timeout(DEADLINE) {
                Ok(line) => {
                    self.banner.push_str(&line);
                    self.banner.push('\n');
                    if line.contains("Ctrl-C stops") {
                        return self;
                    }
                }
                Err(_) => panic!("no banner; stderr: {}", self.errors()),
            }
        }
    }

    /// Waits for a line of its log.
    pub(crate) fn logs(self, what: &str) -> Server {
        let mut seen = String::new();
        while let Ok(line) = self.stderr.recv_timeout(DEADLINE) {
            if line.contains(what) {
                return self;
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        panic!("no `{what}` in its log: {seen}");
    }

    fn errors(&mut self) -> String {
        let _ = self.child.kill();
        self.stderr.iter().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn banner(&self) -> &str {
        &self.banner
    }

    /// What follows a word in the banner.
    pub(crate) fn after(&self, word: &str) -> &str {
        let rest = self.banner.split_once(word).unwrap_or_else(|| panic!("no {word} in {}", self.banner)).1;
        rest.split_whitespace().next().unwrap()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn stop(self, signal: Signal) -> (ExitStatus, String) {
        self.signal(signal);
        self.wait()
    }

    /// Sends a signal again and again until the end.
    pub(crate) fn insist(mut self, signal: Signal) -> ExitStatus {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            self.signal(signal);
            // Its end closes its log.
            if self.stderr.recv_timeout(Duration::from_millis(20)) == Err(mpsc::RecvTimeoutError::Disconnected) {
                return self.child.wait().unwrap();
            }
        }
        panic!("it does not end: {}", self.errors());
    }

    /// Waits for the end; what it logged since it was last looked at.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.stderr.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let log = self.errors();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what a server of this test logged since it was last looked at\n{log}");
        }
    }
}

/// A port that is given out once while this process runs: below those that the kernel gives to whoever names none, and taken by a name
/// that the processes of other tests see too. A server may go and come again at it.
pub(crate) fn free_port() -> u16 {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    const PORTS: std::ops::Range<u16> = 12_000..32_000;
    let from = u16::try_from(std::process::id() * 61 % 20_000).unwrap();
    let all = (PORTS.start + from..PORTS.end).chain(PORTS.start..PORTS.start + from);
    for port in all {
        let name = SocketAddr::from_abstract_name(format!("doorbell-test-port-{port}")).unwrap();
        let Ok(taken) = UnixListener::bind_addr(&name) else { continue };
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            TAKEN.lock().unwrap().push(taken);
            return port;
        }
    }
    panic!("no port is free");
}
