//! The target: the release binary `doorbell serve` as a child, on one core, set up by RPC. Killed when the bench leaves it behind.

use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The subsystem's name.
pub(super) const NQN: &str = "nqn.2026-11.io.doorbell:bench-target";
/// How long it may take to start, to stop, or to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ticks of utime and stime in a second (USER_HZ, the same on every Linux).
const TICKS: u64 = 100;

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Device {
    /// Nothing is stored: the transport alone is measured
    Null,
    /// Memory: one copy of the data more, which is the device's
    Malloc,
}

/// A child.
pub(super) struct Target {
    child: Child,
    folder: PathBuf,
    rpc: UnixStream,
    pub(super) address: SocketAddr,
}

/// Counters of the child: its time on the core by the kernel, the rest by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) user_ns: u64,
    pub(super) system_ns: u64,
    pub(super) ios: u64,
    pub(super) receives: u64,
    pub(super) sends: u64,
    pub(super) looks: u64,
    pub(super) copied_bytes: u64,
}

impl Reading {
    /// What happened since `before`.
    pub(super) fn since(self, before: Reading) -> Reading {
        Reading {
            user_ns: self.user_ns - before.user_ns,
            system_ns: self.system_ns - before.system_ns,
            ios: self.ios - before.ios,
            receives: self.receives - before.receives,
            sends: self.sends - before.sends,
            looks: self.looks - before.looks,
            copied_bytes: self.copied_bytes - before.copied_bytes,
        }
    }

    /// All system calls of the path: the target makes no others while it serves.
    pub(super) fn calls(self) -> u64 {
        self.receives + self.sends + self.looks
    }

    /// User and system time.
    pub(super) fn cpu_ns(self) -> u64 {
        self.user_ns + self.system_ns
    }
}

impl Target {
    /// Starts it on core `core`; with `under` it runs under that program (callgrind).
    pub(super) fn start(device: Device, core: u32, under: &[OsString]) -> Result<Target, String> {
        let binary = std::env::var_os("DOORBELL_BIN").ok_or("DOORBELL_BIN is not set: run this by `cargo xtask bench -- nvme-tcp`")?;
        let folder = std::env::temp_dir().join(format!("doorbell-bench-{}-{}", std::process::id(), device as u8));
        std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        let socket = folder.join("rpc.sock");
        let mut words: Vec<OsString> = under.to_vec();
        words.push(binary);
        words.extend(["serve", "--empty", "-m"].map(OsString::from));
        words.push(format!("[{core}]").into());
        words.push("-r".into());
        words.push(socket.clone().into());
        let (program, arguments) = words.split_first().ok_or("nothing to run")?;
        let log = std::fs::File::create(folder.join("log")).map_err(|e| e.to_string())?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", program.to_string_lossy()))?;
        match set_up(&mut child, &socket, device) {
            Ok((rpc, address)) => Ok(Target { child, folder, rpc, address }),
            Err(why) => {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                let _ = child.kill().and_then(|()| child.wait());
                let _ = std::fs::remove_dir_all(&folder);
                Err(format!("{why}; its log: {log}"))
            }
        }
    }

    /// Its process, for who wants to watch it.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it stands. Its own counters are as they were after its last turn of work.
    pub(super) fn read(&mut self) -> Result<Reading, String> {
        let stats = call(&mut self.rpc, "nvmf_get_stats", json!({}))?;
        let group = &stats["poll_groups"][0];
        let count = |name: &str| group[name].as_u64().ok_or_else(|| format!("nvmf_get_stats has no {name}"));
        let (user_ns, system_ns) = times(self.pid())?;
        Ok(Reading {
            user_ns,
            system_ns,
            ios: count("completed_nvme_io")?,
            receives: count("socket_receives")?,
            sends: count("socket_sends")?,
            looks: count("epoll_waits")?,
            copied_bytes: count("bytes_copied")?,
        })
    }

    /// Stops it in an orderly way.
    pub(super) fn stop(mut self) -> Result<(), String> {
        call(&mut self.rpc, "spdk_kill_instance", json!({"sig_name": "SIGTERM"}))?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.child.try_wait().map_err(|e| e.to_string())? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("the target ended with {status}")),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err("the target does not stop".into())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn set_up(child: &mut Child, socket: &Path, device: Device) -> Result<(UnixStream, SocketAddr), String> {
    let mut rpc = connect(child, socket)?;
    let port = free_port()?;
    let blocks = 1u64 << 17; // 64 MiB
    match device {
        Device::Null => call(&mut rpc, "bdev_null_create", json!({"name": "bench0", "block_size": 512, "num_blocks": blocks}))?,
        Device::Malloc => call(&mut rpc, "bdev_malloc_create", json!({"name": "bench0", "block_size": 512, "num_blocks": blocks}))?,
    };
    call(&mut rpc, "nvmf_create_transport", json!({"trtype": "TCP", "max_queue_depth": super::host::ENTRIES}))?;
    call(&mut rpc, "nvmf_create_subsystem", json!({"nqn": NQN, "allow_any_host": true}))?;
    call(&mut rpc, "nvmf_subsystem_add_ns", json!({"nqn": NQN, "namespace": {"bdev_name": "bench0"}}))?;
    let at = json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": port.to_string()});
    call(&mut rpc, "nvmf_subsystem_add_listener", json!({"nqn": NQN, "listen_address": at}))?;
    Ok((rpc, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}

fn free_port() -> Result<u16, String> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
    taken.map(|a| a.port()).map_err(|e| format!("no free port: {e}"))
}

/// Connects once it listens.
fn connect(child: &mut Child, socket: &Path) -> Result<UnixStream, String> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
            return Ok(stream);
        }
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            return Err(format!("the target ended with {status} before it listened"));
        }
        if Instant::now() > end {
            return Err("the target does not listen".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn call(rpc: &mut UnixStream, method: &str, params: Value) -> Result<Value, String> {
    let lost = |e: std::io::Error| format!("{method}: {e}");
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    rpc.write_all(request.to_string().as_bytes()).map_err(lost)?;
    let mut text = Vec::new();
    loop {
        let mut room = [0; 8192];
        let n = rpc.read(&mut room).map_err(lost)?;
        if n == 0 {
            return Err(format!("{method}: the target has gone"));
        }
        text.extend_from_slice(&room[..n]);
        if let Ok(answer) = serde_json::from_slice::<Value>(&text) {
            return match answer.get("result") {
                Some(result) => Ok(result.clone()),
                None => Err(format!("{method}: {}", answer["error"])),
            };
        }
    }
}

/// User and system time of a process, all threads, in nanoseconds: proc_pid_stat(5), fields 14 and 15.
fn times(pid: u32) -> Result<(u64, u64), String> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    // The first field after the name is the third.
    let field = |n: usize| rest.split_whitespace().nth(n - 3).and_then(|f| f.parse::<u64>().ok()).map(|t| t * (1_000_000_000 / TICKS));
    field(14).zip(field(15)).ok_or_else(|| format!("{path} is not what proc(5) says"))
}
