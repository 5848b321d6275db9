//! From nothing to serving: time and memory of `doorbell serve`, its pools as they are by default.
//!
//! The clock begins before the process is made. A host counts as served when its connection request has been answered (ICResp), a client
//! when its first RPC has.

use crate::bench::{self, Bench};
use crate::figures::median;
use crate::procfs;
use crate::target::Target;
use clap::Args;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// This benchmark.
pub(crate) const BENCH: Bench = Bench::of::<Options>("start", "From nothing to serving: milliseconds and memory");

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Starts of each kind
    #[arg(long, default_value_t = 10)]
    starts: u32,
}

/// Flags, and what they mean.
const KINDS: [(&str, &[&str]); 2] =
    [("as it is by default, a new file", &[]), ("64 MiB of memory", &["--malloc", "64M", "--allow-any-host"])];

/// One start.
struct Started {
    host_ms: f64,
    rpc_ms: f64,
    now_mib: f64,
    most_mib: f64,
}

impl bench::Options for Options {
    fn run(&self) -> Result<(), String> {
        println!("medians of {} starts (budget: 100 ms, 100 MiB)", self.starts);
        println!("{:34} {:>12} {:>14} {:>14} {:>10} {:>12}", "", "to a host", "the slowest", "to an RPC", "MiB then", "at most");
        for (what, flags) in KINDS {
            let starts = (0..self.starts).map(|_| once(flags)).collect::<Result<Vec<_>, _>>()?;
            let of = |figure: fn(&Started) -> f64| median(starts.iter().map(figure).collect());
            let slowest = starts.iter().map(|start| start.host_ms).fold(0.0, f64::max);
            println!(
                "{what:34} {:>9.1} ms {slowest:>11.1} ms {:>11.1} ms {:>10.1} {:>12.1}",
                of(|start| start.host_ms),
                of(|start| start.rpc_ms),
                of(|start| start.now_mib),
                of(|start| start.most_mib)
            );
        }
        Ok(())
    }
}

fn once(flags: &[&str]) -> Result<Started, String> {
    let mut target = Target::start(flags)?;
    let (began, socket) = (target.began, target.socket());
    let asked = std::thread::spawn(move || {
        while rpc(&socket).is_err() {
            if began.elapsed() > Duration::from_secs(30) {
                return None;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Some(began.elapsed())
    });
    let host = target.reach();
    let host_ms = began.elapsed().as_secs_f64() * 1e3;
    let answered = asked.join().map_err(|_| "the asking thread panicked")?;
    drop(host?);
    let rpc_ms = answered.ok_or("no RPC was answered")?.as_secs_f64() * 1e3;
    let [now, most] = procfs::resident_kib(target.pid())?;
    Ok(Started { host_ms, rpc_ms, now_mib: now as f64 / 1024.0, most_mib: most as f64 / 1024.0 })
}

/// Asks for the version.
fn rpc(socket: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(br#"{"jsonrpc":"2.0","id":1,"method":"spdk_get_version"}"#)?;
    match stream.read(&mut [0; 4096])? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
