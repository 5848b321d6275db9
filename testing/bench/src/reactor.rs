//! One reactor for a measurement, at whose end nothing may be missing.

use doorbell_mem::{ClassSpec, PoolSpec};
use doorbell_reactor::{Config, Local, Polling, run};
use std::future::Future;

/// Runs `main` on a reactor, and holds its boxes and buffers to be all there at the end.
pub(crate) fn on_reactor<T: 'static, F: Future<Output = Result<T, String>> + 'static>(
    polling: Polling,
    main: impl FnOnce(Local) -> F,
) -> Result<T, String> {
    let classes = [(4 << 10, 256), (64 << 10, 64), (128 << 10, 64)].map(|(size, count)| ClassSpec { size, count });
    let pool = PoolSpec { classes: classes.to_vec(), ..PoolSpec::default() };
    let config = Config { boxes: 1024, pool, polling, ..Config::default() };
    let (answer, closed) = run(&config, main).map_err(|error| error.to_string())?;
    let answer = answer?;
    match closed.iter().any(|closed| closed.boxes_out != 0 || closed.buffers_out != 0) {
        true => Err(format!("something was lost: {closed:?}")),
        false => Ok(answer),
    }
}

/// Nanoseconds of a core that this thread has used, in the kernel too.
pub(crate) fn thread_cpu_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// An error as it is told to who runs the benchmark.
pub(crate) fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
