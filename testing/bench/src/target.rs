//! The binary as a server, in a folder of its own; it ends, and the folder goes, with this.

use crate::admin::Admin;
use crate::command::{doorbell, output};
use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The name of the subsystem that it serves.
pub(crate) const NQN: &str = "nqn.2026-11.io.doorbell:bench";

/// How long it may take to start. Far beyond any budget: what takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait between two attempts to reach it.
const LOOK: Duration = Duration::from_micros(200);

/// A running server.
pub(crate) struct Target {
    child: Child,
    folder: PathBuf,
    pub(crate) address: SocketAddr,
    /// When its process was started.
    pub(crate) began: Instant,
}

impl Target {
    /// Starts `doorbell serve` with these flags more.
    pub(crate) fn start(flags: &[&str]) -> Result<Target, String> {
        Target::start_under(&[], flags)
    }

    /// The same under another program with its own flags, if there is one.
    pub(crate) fn start_under(under: &[OsString], flags: &[&str]) -> Result<Target, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("doorbell-bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(told)?;
        let log = File::create(folder.join("log")).map_err(told)?;
        // Free now; nobody else is likely to take it in between.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| format!("no free port: {error}"))?;
        let plain = doorbell()?;
        let mut command = match under {
            [] => plain,
            [program, words @ ..] => {
                let mut command = Command::new(program);
                command.args(words).arg(plain.get_program()).env_remove("XDG_RUNTIME_DIR").env_remove("NOTIFY_SOCKET");
                command
            }
        };
        command
            .args(["serve", "--nqn", NQN, "--listen", &address.to_string(), "--allow-any-host", "-r", "rpc.sock"])
            .args(flags)
            .current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let began = Instant::now();
        let child = command.spawn().map_err(|error| format!("doorbell does not start: {error}"))?;
        Ok(Target { child, folder, address, began })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its RPC socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("rpc.sock")
    }

    /// The folder that it runs in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Calls a method of it, in the words of `doorbell rpc`.
    pub(crate) fn rpc(&self, words: &[&str]) -> Result<(), String> {
        output(doorbell()?.args(["rpc", "-s"]).arg(self.socket()).args(words)).map(drop)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        self.rpc(&["spdk_kill_instance", "sig_name=SIGTERM"])?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.child.try_wait().map_err(|error| error.to_string())? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("doorbell serve ended with {status}")),
                None => std::thread::sleep(LOOK),
            }
        }
        Err("doorbell serve does not end".to_owned())
    }

    /// A connection to it, as soon as it takes one.
    pub(crate) fn reach(&mut self) -> Result<Admin, String> {
        let address = self.address;
        self.once(|_| Admin::open(address))
    }

    /// What `attempt` gives, as soon as it succeeds.
    pub(crate) fn once<T>(&mut self, mut attempt: impl FnMut(&Path) -> Result<T, String>) -> Result<T, String> {
        loop {
            let why = match attempt(&self.folder) {
                Ok(there) => return Ok(there),
                Err(why) => why,
            };
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("doorbell serve ended with {status}: {}", log.lines().last().unwrap_or_default()));
            }
            if self.began.elapsed() > PATIENCE {
                return Err(format!("doorbell serve cannot be reached: {why}"));
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
