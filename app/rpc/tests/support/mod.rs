//! A server to talk to, on a real reactor.
#![allow(dead_code, reason = "each test uses its own part of it")]

mod folder;
pub(crate) use folder::Folder;

use doorbell_control::{Control, Keep, Methods, NoParams, Options, Part, RpcError, When, params};
use doorbell_reactor::{Config, Local, run};
use doorbell_rpc::{Builtins, LogControl, LogLevel, Socket, add_tuning, serve};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

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
        let thread = std::thread::spawn(move || process(&at, started, &ready));
        is_ready.recv_timeout(Duration::from_secs(10)).expect("the server listens");
        Self { path, thread: Some(thread), _folder: folder }
    }
}

fn process(path: &Path, started: bool, ready: &std::sync::mpsc::Sender<()>) {
    let socket = Rc::new(Socket::open(Some(path)).expect("a socket"));
    let stop = Rc::new(Cell::new(false));
    let ready = ready.clone();
    let main = |local: Local| async move {
        let control = control(Rc::clone(&stop));
        if started {
            control.start().await.expect("it starts");
        }
        let server = serve(local.clone(), control, socket);
        local.spawn(async move {
            panic!("the server ended: {}", server.await);
        });
        ready.send(()).expect("the test waits");
        while !stop.get() {
            local.sleep_ns(5_000_000).await;
        }
    };
    run(&Config { boxes: 64, ..Config::default() }, main).expect("a reactor");
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
