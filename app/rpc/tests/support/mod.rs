//! A small executor over poll(2), so that the server is tested without a reactor, and a server to talk to.
#![allow(dead_code, reason = "each test uses its own part of it")]

use doorbell_control::{Control, Keep, LocalFuture, Methods, NoParams, Options, Part, RpcError, When, params};
use doorbell_rpc::{Builtins, Executor, LogControl, LogLevel, Readiness, Socket, Watched, add_tuning, serve};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

mod folder;
pub(crate) use folder::Folder;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: LocalFuture<()>,
    ready: Arc<Flag>,
}

struct Wait {
    fd: Rc<OwnedFd>,
    what: PollFlags,
    waker: Waker,
}

#[derive(Default)]
struct Inner {
    spawned: RefCell<Vec<LocalFuture<()>>>,
    waits: RefCell<Vec<Wait>>,
    timers: RefCell<Vec<(Instant, Waker)>>,
}

/// One thread's tasks.
#[derive(Clone, Default)]
pub(crate) struct Polling(Rc<Inner>);

pub(crate) struct PollWatched {
    executor: Polling,
    fd: Rc<OwnedFd>,
    what: PollFlags,
}

impl Watched for PollWatched {
    async fn retry<T>(&self, mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        poll_fn(|cx| match attempt(self.fd.as_fd()) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                let wait = Wait { fd: Rc::clone(&self.fd), what: self.what, waker: cx.waker().clone() };
                self.executor.0.waits.borrow_mut().push(wait);
                Poll::Pending
            }
            done => Poll::Ready(done),
        })
        .await
    }
}

impl Executor for Polling {
    type Watched = PollWatched;

    fn spawn(&self, task: LocalFuture<()>) {
        self.0.spawned.borrow_mut().push(task);
    }

    async fn watch(&self, fd: OwnedFd, what: Readiness) -> io::Result<PollWatched> {
        let what = match what {
            Readiness::Read => PollFlags::IN,
            Readiness::Write => PollFlags::OUT,
        };
        Ok(PollWatched { executor: self.clone(), fd: Rc::new(fd), what })
    }

    async fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        poll_fn(|cx| {
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            self.0.timers.borrow_mut().push((until, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Polling {
    /// Runs until a future is done; the other tasks are dropped then.
    pub(crate) fn block_on<T>(&self, main: impl Future<Output = T>) -> T {
        let mut main = pin!(main);
        let main_ready = Arc::new(Flag(AtomicBool::new(true)));
        let mut tasks: Vec<Task> = Vec::new();
        loop {
            if main_ready.0.swap(false, Ordering::Relaxed) {
                let waker = Waker::from(Arc::clone(&main_ready));
                if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            }
            for future in self.0.spawned.take() {
                tasks.push(Task { future, ready: Arc::new(Flag(AtomicBool::new(true))) });
            }
            tasks.retain_mut(|task| {
                if !task.ready.0.swap(false, Ordering::Relaxed) {
                    return true;
                }
                let waker = Waker::from(Arc::clone(&task.ready));
                task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            });
            let ready = |flag: &Arc<Flag>| flag.0.load(Ordering::Relaxed);
            let busy = ready(&main_ready) || tasks.iter().any(|task| ready(&task.ready));
            if !busy && self.0.spawned.borrow().is_empty() {
                self.sleep_until_something();
            }
        }
    }

    fn sleep_until_something(&self) {
        let mut waits = self.0.waits.take();
        let timers = self.0.timers.take();
        let next = timers.iter().map(|(at, _)| at.saturating_duration_since(Instant::now())).min();
        let timeout = next.unwrap_or(Duration::from_secs(30));
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let mut fds: Vec<_> = waits.iter().map(|wait| PollFd::from_borrowed_fd(wait.fd.as_fd(), wait.what)).collect();
        let count = poll(&mut fds, Some(&timeout)).expect("poll");
        assert!(count > 0 || next.is_some(), "nothing happened for 30 s");
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut ready = ready.into_iter();
        waits.retain(|wait| {
            let ready = ready.next().unwrap_or(false);
            if ready {
                wait.waker.wake_by_ref();
            }
            !ready
        });
        self.0.waits.borrow_mut().append(&mut waits);
        timers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

/// A log in memory.
pub(crate) struct MemoryLog {
    flags: RefCell<BTreeMap<String, bool>>,
    level: Cell<LogLevel>,
    print_level: Cell<LogLevel>,
    pub(crate) timestamps: Cell<bool>,
}

impl MemoryLog {
    pub(crate) fn new() -> Self {
        let flags = ["bdev", "nvmf"].map(|flag| (flag.to_owned(), false));
        Self {
            flags: RefCell::new(flags.into()),
            level: Cell::new(LogLevel::Notice),
            print_level: Cell::new(LogLevel::Info),
            timestamps: Cell::new(true),
        }
    }
}

impl LogControl for MemoryLog {
    fn flags(&self) -> Vec<(String, bool)> {
        self.flags.borrow().clone().into_iter().collect()
    }

    fn set_flag(&self, flag: &str, on: bool) -> bool {
        let mut found = false;
        for (name, is_on) in self.flags.borrow_mut().iter_mut() {
            if flag == "all" || flag == name {
                *is_on = on;
                found = true;
            }
        }
        found
    }

    fn level(&self) -> LogLevel {
        self.level.get()
    }

    fn set_level(&self, level: LogLevel) {
        self.level.set(level);
    }

    fn print_level(&self) -> LogLevel {
        self.print_level.get()
    }

    fn set_print_level(&self, level: LogLevel) {
        self.print_level.set(level);
    }

    fn set_timestamps(&self, on: bool) {
        self.timestamps.set(on);
    }
}

params! {
    struct MallocCreate {
        name: String,
        num_blocks: u64,
        block_size: u32,
        // What the client sends always, because its command line has defaults.
        md_interleave: bool = false,
        dif_is_head_of_md: bool = false,
    }
    struct GetBdevs { name: Option<String> }
    struct Echo { text: String, times: u32 = 1 }
}

/// A device part that keeps names only.
#[derive(Default)]
pub(crate) struct Names(RefCell<Vec<String>>);

impl Part for Names {
    fn name(&self) -> &'static str {
        "bdev"
    }

    fn depends_on(&self) -> &'static [&'static str] {
        &["accel", "keyring", "vmd", "sock", "iobuf"]
    }

    fn methods(self: Rc<Self>, methods: &mut Methods) {
        let names = Rc::clone(&self);
        methods.add("bdev_malloc_create", When::Runtime, "", move |p: MallocCreate| {
            let mut names = names.0.borrow_mut();
            let exists = names.contains(&p.name);
            if !exists {
                names.push(p.name.clone());
            }
            std::future::ready(if exists { Err(RpcError::exists()) } else { Ok(p.name) })
        });
        let names = self;
        methods.add("bdev_get_bdevs", When::Runtime, "", move |p: GetBdevs| {
            let names = names.0.borrow();
            let found: Vec<_> = names.iter().filter(|name| p.name.as_ref().is_none_or(|wanted| wanted == *name)).collect();
            let found = found.into_iter().map(|name| serde_json::json!({"name": name})).collect::<Vec<_>>();
            std::future::ready(if p.name.is_some() && found.is_empty() { Err(RpcError::no_device()) } else { Ok(found) })
        });
        methods.add("doorbell_echo", When::Any, "", |p: Echo| std::future::ready(Ok(p.text.repeat(p.times as usize))));
        methods.add("doorbell_never", When::Any, "", |_: NoParams| std::future::pending::<Result<(), RpcError>>());
        methods.keep(Keep::one("bdev_set_options"));
    }
}

/// A control plane in startup with everything that this crate brings and a device part.
pub(crate) fn control(stop: Rc<Cell<bool>>) -> Control {
    let control = Control::new(Options::default());
    control.add_part(Rc::new(Names::default())).expect("the part fits");
    let kill = Rc::new(move |_| stop.set(true));
    let builtins = Builtins { version: (0, 1, 0), log: Rc::new(MemoryLog::new()), kill };
    builtins.add_to(&control).expect("the methods fit");
    add_tuning(&control).expect("the settings fit");
    control
}

/// A server in a thread of its own, which ends by `spdk_kill_instance`.
pub(crate) struct Server {
    pub(crate) path: PathBuf,
    thread: Option<JoinHandle<()>>,
    _folder: Folder,
}

impl Server {
    /// Starts one; `started`: in runtime, not in startup.
    pub(crate) fn start(started: bool) -> Self {
        let folder = Folder::new();
        let path = folder.0.join("rpc.sock");
        let (ready, is_ready) = std::sync::mpsc::channel();
        let at = path.clone();
        let thread = std::thread::spawn(move || run(&at, started, &ready));
        is_ready.recv_timeout(Duration::from_secs(10)).expect("the server listens");
        Self { path, thread: Some(thread), _folder: folder }
    }
}

fn run(path: &Path, started: bool, ready: &std::sync::mpsc::Sender<()>) {
    let executor = Polling::default();
    let socket = Rc::new(Socket::open(Some(path)).expect("a socket"));
    let stop = Rc::new(Cell::new(false));
    let control = control(Rc::clone(&stop));
    executor.clone().block_on(async {
        if started {
            control.start().await.expect("it starts");
        }
        let server = serve(executor.clone(), control, Rc::clone(&socket));
        executor.spawn(Box::pin(async move {
            panic!("the server ended: {}", server.await);
        }));
        ready.send(()).expect("the test waits");
        while !stop.get() {
            executor.sleep(Duration::from_millis(5)).await;
        }
    });
}

impl Drop for Server {
    fn drop(&mut self) {
        use std::io::Write;
        if let Ok(mut stream) = std::os::unix::net::UnixStream::connect(&self.path) {
            for method in ["framework_start_init", "spdk_kill_instance"] {
                let params = serde_json::json!({"sig_name": "SIGTERM"});
                let params = if method == "spdk_kill_instance" { params } else { serde_json::Value::Null };
                let request = serde_json::json!({"method": method, "params": params});
                let _ = stream.write_all(request.to_string().as_bytes());
            }
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the server ended in order");
            }
        }
    }
}
