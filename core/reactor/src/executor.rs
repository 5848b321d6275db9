//! The local executor: futures of the control plane, run by the reactor between its consumers.
//!
//! Tasks never move to another thread. Their wakers may: a wake is a push on a locked list and, if the reactor sleeps, a ring of its eventfd.

use crate::local::{Call, Local};
use doorbell_block::{Consumer, ConsumerId, Cx, Port, Token};
use doorbell_sys::wakeup::Notifier;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Where wakers leave the numbers of tasks.
pub(crate) struct WakeList {
    woken: Mutex<Vec<usize>>,
    /// Was a task woken or spawned, or a call made, since the reactor last looked? One flag, since every turn asks.
    any: AtomicBool,
    notifier: Option<Notifier>,
}

impl WakeList {
    fn add(&self, task: usize) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        self.any.store(true, Ordering::SeqCst);
        if let Some(n) = &self.notifier {
            n.notify();
        }
    }

    fn take(&self, into: &mut Vec<usize>) {
        self.any.store(false, Ordering::SeqCst);
        into.append(&mut self.woken.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

struct TaskWaker {
    task: usize,
    queued: AtomicBool,
    list: Arc<WakeList>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.list.add(self.task);
        }
    }
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    future: Boxed,
    flag: Arc<TaskWaker>,
    waker: Waker,
}

/// What `Local` handles and the reactor share.
pub(crate) struct Shared {
    calls: RefCell<VecDeque<Call>>,
    spawned: RefCell<Vec<Boxed>>,
    pub(crate) waiting: RefCell<HashMap<Token, Waker>>,
    pub(crate) consumer: Cell<Option<ConsumerId>>,
    pub(crate) now: Cell<u64>,
    pub(crate) ports: Vec<Port>,
    pub(crate) tasks: Cell<usize>,
    list: Arc<WakeList>,
}

impl Shared {
    pub(crate) fn spawn(&self, future: Boxed) {
        self.spawned.borrow_mut().push(future);
        self.list.any.store(true, Ordering::SeqCst);
    }

    pub(crate) fn call(&self, call: Call) {
        self.calls.borrow_mut().push_back(call);
        self.list.any.store(true, Ordering::SeqCst);
    }
}

/// Runs tasks.
pub(crate) struct Executor {
    shared: Rc<Shared>,
    tasks: Vec<Option<Task>>,
    free: Vec<usize>,
    woken: Vec<usize>,
}

/// Wakes the tasks that wait for a descriptor or a timer.
struct Waiters(Rc<Shared>);

impl Consumer for Waiters {
    fn run(&mut self, _cx: &mut Cx, token: Token) {
        let waker = self.0.waiting.borrow_mut().remove(&token);
        if let Some(w) = waker {
            w.wake();
        }
    }
}

impl Executor {
    pub(crate) fn new(cx: &mut Cx, ports: Vec<Port>, notifier: Option<Notifier>) -> Executor {
        let list = Arc::new(WakeList { woken: Mutex::new(Vec::new()), any: AtomicBool::new(false), notifier });
        let shared = Rc::new(Shared {
            calls: RefCell::default(),
            spawned: RefCell::default(),
            waiting: RefCell::default(),
            consumer: Cell::new(None),
            now: Cell::new(0),
            ports,
            tasks: Cell::new(0),
            list,
        });
        let waiters = Waiters(shared.clone());
        let id = cx.adopt(|_, _| waiters);
        shared.consumer.set(Some(id));
        Executor { shared, tasks: Vec::new(), free: Vec::new(), woken: Vec::new() }
    }

    pub(crate) fn local(&self) -> Local {
        Local::new(self.shared.clone())
    }

    /// Is there anything to run?
    #[inline]
    pub(crate) fn pending(&self) -> bool {
        self.shared.list.any.load(Ordering::SeqCst)
    }

    /// Runs every task that was woken and every call it made, until there is nothing more (or for a bounded number of rounds).
    #[cold]
    pub(crate) fn run(&mut self, cx: &mut Cx) {
        self.shared.now.set(cx.now().0);
        for _ in 0..64 {
            if !self.pending() {
                return;
            }
            // The flag goes down first: what comes from here on raises it again.
            self.shared.list.take(&mut self.woken);
            self.take_in();
            let mut woken = std::mem::take(&mut self.woken);
            for n in woken.drain(..) {
                self.poll_task(n);
            }
            self.woken = woken;
            loop {
                let call = self.shared.calls.borrow_mut().pop_front();
                let Some(call) = call else { break };
                call(cx);
            }
        }
    }

    /// Takes in what was spawned, in the order in which it was.
    fn take_in(&mut self) {
        let spawned = std::mem::take(&mut *self.shared.spawned.borrow_mut());
        for future in spawned {
            let n = self.free.pop().unwrap_or_else(|| {
                self.tasks.push(None);
                self.tasks.len() - 1
            });
            let flag = Arc::new(TaskWaker { task: n, queued: AtomicBool::new(true), list: self.shared.list.clone() });
            if let Some(slot) = self.tasks.get_mut(n) {
                *slot = Some(Task { future, waker: flag.clone().into(), flag });
                self.shared.tasks.set(self.shared.tasks.get() + 1);
                self.woken.push(n);
            }
        }
    }

    fn poll_task(&mut self, n: usize) {
        let Some(Some(task)) = self.tasks.get_mut(n) else { return };
        task.flag.queued.store(false, Ordering::Release);
        if task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready() {
            if let Some(slot) = self.tasks.get_mut(n) {
                *slot = None;
            }
            self.free.push(n);
            self.shared.tasks.set(self.shared.tasks.get() - 1);
        }
    }

    /// Drops every task; what they hold goes with them.
    pub(crate) fn clear(&mut self, cx: &mut Cx) {
        self.shared.spawned.borrow_mut().clear();
        self.tasks.clear();
        self.free.clear();
        self.shared.tasks.set(0);
        loop {
            let call = self.shared.calls.borrow_mut().pop_front();
            let Some(call) = call else { break };
            call(cx);
        }
    }
}
