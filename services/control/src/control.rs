//! The control plane of one process: its parts, its methods, its state.

use crate::error::RpcError;
use crate::field;
use crate::interface::spdk;
use crate::keep::{Keep, Kept};
use crate::method::{LocalFuture, Method, Methods, Run, When};
use crate::notify::Notifications;
use crate::param::{Fault, Given};
use crate::part::{ConfigCall, Part};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

#[cfg(test)]
mod tests;

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for `framework_start_init`; startup methods may be called.
    Startup,
    /// Parts are being started.
    Starting,
    /// Everything runs; runtime methods may be called.
    Runtime,
    /// A part did not start; nothing but leaving makes sense.
    Failed,
    /// Parts are being stopped.
    Stopping,
}

/// Told what an operator should know.
pub type Notice = Box<dyn Fn(&str)>;

/// What a control plane is made with.
#[derive(Default)]
pub struct Options {
    /// The only methods that may be called (`--rpcs-allowed`); none: all.
    pub allowed: Option<Vec<String>>,
    /// Told, once each, what an operator should know: a setting that changes nothing, a deprecated name.
    pub notice: Option<Notice>,
    /// The ring that parts push to.
    pub notifications: Notifications,
}

/// A part or method that does not fit with the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Two methods of one name.
    #[error("method {0} is registered twice")]
    DuplicateMethod(&'static str),
    /// Two parts of one name.
    #[error("part {0} is registered twice")]
    DuplicatePart(&'static str),
    /// Parts that wait for one another.
    #[error("part {0} depends on itself by way of others")]
    Cycle(&'static str),
}

struct Inner {
    state: Cell<State>,
    methods: RefCell<BTreeMap<&'static str, Rc<Method>>>,
    aliases: RefCell<BTreeMap<&'static str, &'static str>>,
    parts: RefCell<Vec<Rc<dyn Part>>>,
    kept: RefCell<Vec<Kept>>,
    waiting: RefCell<Vec<Waker>>,
    noticed: RefCell<BTreeSet<String>>,
    options: Options,
}

/// The control plane. Clones are the same one; it stays on the reactor that made it.
#[derive(Clone)]
pub struct Control(Rc<Inner>);

/// A [`Control`] seen from something that it holds, so that neither keeps the other alive.
#[derive(Clone)]
pub struct WeakControl(Weak<Inner>);

impl WeakControl {
    /// The control plane, if it still is.
    pub fn upgrade(&self) -> Option<Control> {
        self.0.upgrade().map(Control)
    }

    /// The control plane, or the error that a method answers while the process ends.
    pub fn get(&self) -> Result<Control, RpcError> {
        self.upgrade().ok_or_else(|| RpcError::internal("Internal error").because("the process is stopping"))
    }
}

impl Control {
    /// An empty one in startup.
    pub fn new(options: Options) -> Self {
        Self(Rc::new(Inner {
            state: Cell::new(State::Startup),
            methods: RefCell::default(),
            aliases: RefCell::default(),
            parts: RefCell::default(),
            kept: RefCell::default(),
            waiting: RefCell::default(),
            noticed: RefCell::default(),
            options,
        }))
    }

    /// A handle for what it holds itself.
    pub fn downgrade(&self) -> WeakControl {
        WeakControl(Rc::downgrade(&self.0))
    }

    /// How far the process is.
    pub fn state(&self) -> State {
        self.0.state.get()
    }

    /// The notifications.
    pub fn notifications(&self) -> &Notifications {
        &self.0.options.notifications
    }

    /// Adds a part and its methods.
    pub fn add_part(&self, part: Rc<dyn Part>) -> Result<(), ControlError> {
        let name = part.name();
        if self.0.parts.borrow().iter().any(|other| other.name() == name) {
            return Err(ControlError::DuplicatePart(name));
        }
        let mut methods = Methods::default();
        Rc::clone(&part).methods(&mut methods);
        self.0.parts.borrow_mut().push(part);
        self.ordered()?;
        self.take(methods, name)
    }

    /// Adds methods that belong to no part.
    pub fn add_methods(&self, fill: impl FnOnce(&mut Methods)) -> Result<(), ControlError> {
        let mut methods = Methods::default();
        fill(&mut methods);
        self.take(methods, "")
    }

    /// Adds a tuning method to a part that does not bring it itself, unless it does.
    pub fn keep(&self, part: &'static str, keep: Keep) -> Result<(), ControlError> {
        if self.method(keep.method).is_some() {
            return Ok(());
        }
        let mut methods = Methods::default();
        methods.keep(keep);
        self.take(methods, part)
    }

    fn take(&self, methods: Methods, part: &'static str) -> Result<(), ControlError> {
        for method in methods.0 {
            let names = std::iter::once(method.name).chain(method.aliases.iter().map(|alias| alias.name));
            for name in names.clone() {
                if self.method(name).is_some() {
                    return Err(ControlError::DuplicateMethod(name));
                }
            }
            let mut aliases = self.0.aliases.borrow_mut();
            aliases.extend(names.skip(1).map(|alias| (alias, method.name)));
            if let Run::Kept(keep) = method.run {
                self.0.kept.borrow_mut().push(Kept::new(keep, part));
            }
            self.0.methods.borrow_mut().insert(method.name, Rc::new(method));
        }
        Ok(())
    }

    /// Every method that may be called at all, by name.
    pub fn methods(&self) -> Vec<Rc<Method>> {
        let methods = self.0.methods.borrow();
        methods.values().filter(|method| self.allowed(method)).cloned().collect()
    }

    /// A method by its name or an alias.
    pub fn method(&self, name: &str) -> Option<Rc<Method>> {
        let aliases = self.0.aliases.borrow();
        let name = aliases.get(name).copied().unwrap_or(name);
        self.0.methods.borrow().get(name).cloned()
    }

    /// Whether the state is one in which the method may be called.
    pub fn callable_now(&self, method: &Method) -> bool {
        self.check_state(method.when).is_ok()
    }

    fn allowed(&self, method: &Method) -> bool {
        match &self.0.options.allowed {
            Some(allowed) => allowed.iter().any(|name| name == method.name),
            None => true,
        }
    }

    fn check_state(&self, when: When) -> Result<(), RpcError> {
        match (when, self.state()) {
            (When::Any, _) | (When::Startup, State::Startup) | (When::Runtime, State::Runtime) => Ok(()),
            (When::Startup, _) => Err(RpcError::only_before_init()),
            (When::Runtime, State::Stopping) => Err(RpcError::busy().because("the process is stopping")),
            (When::Runtime, _) => Err(RpcError::only_after_init()),
        }
    }

    /// Tells the operator something, once.
    pub fn notice(&self, text: &str) {
        if !self.0.noticed.borrow_mut().insert(text.to_owned()) {
            return;
        }
        if let Some(notice) = &self.0.options.notice {
            notice(text);
        }
    }

    /// Calls a method by name.
    pub fn call(&self, name: &str, params: Option<Value>) -> LocalFuture<Result<Value, RpcError>> {
        match self.begin(name, params) {
            Ok(answer) => answer,
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// The error for a call whose parameters cannot be decoded at all.
    pub fn refuse(&self, name: &str, fault: &Fault) -> RpcError {
        match self.callable(name) {
            Ok(method) => spdk().refusal(method.name, fault),
            Err(error) => error,
        }
    }

    fn callable(&self, name: &str) -> Result<Rc<Method>, RpcError> {
        let method = self.method(name).filter(|method| self.allowed(method)).ok_or_else(RpcError::method_not_found)?;
        self.check_state(method.when)?;
        Ok(method)
    }

    fn begin(&self, name: &str, params: Option<Value>) -> Result<LocalFuture<Result<Value, RpcError>>, RpcError> {
        let method = self.callable(name)?;
        if method.aliases.iter().any(|alias| alias.name == name && alias.deprecated) {
            self.notice(&format!("RPC method {name} is deprecated: its name is {} now", method.name));
        }
        if let Some(instead) = method.deprecated {
            self.notice(&format!("RPC method {} is deprecated: {instead}", method.name));
        }
        match &method.run {
            Run::Typed(run) => Ok(run(params)),
            Run::Kept(keep) => {
                self.remember(&method, keep, params)?;
                Ok(Box::pin(std::future::ready(Ok(Value::Bool(true)))))
            }
        }
    }

    /// Checks and keeps a call of a tuning method.
    fn remember(&self, method: &Method, keep: &Keep, params: Option<Value>) -> Result<(), RpcError> {
        let params = params.filter(|params| !params.is_null()).unwrap_or_else(|| Value::Object(Default::default()));
        let checked = Given::object(params.clone()).and_then(|given| field::check(method.fields, given));
        checked.map_err(|fault| spdk().refusal(method.name, &fault))?;
        for (name, texts) in keep.only {
            let text = params.get(name).filter(|value| !value.is_null());
            if let Some(text) = text.and_then(Value::as_str).filter(|text| !texts.contains(text)) {
                let problem = format!("{name} `{text}` is none of {}", texts.join(", "));
                return Err(RpcError::invalid_argument().because(problem));
            }
        }
        if let Value::Object(map) = params {
            let mut kept = self.0.kept.borrow_mut();
            if let Some(kept) = kept.iter_mut().find(|kept| kept.keep.method == method.name) {
                kept.take(map);
            }
        }
        self.notice(&format!("{}: kept for the saved configuration; it changes nothing here", method.name));
        Ok(())
    }

    /// The parts, each after those it depends on, otherwise as they were added.
    pub fn parts(&self) -> Vec<Rc<dyn Part>> {
        self.ordered().unwrap_or_default()
    }

    fn ordered(&self) -> Result<Vec<Rc<dyn Part>>, ControlError> {
        let mut left = self.0.parts.borrow().clone();
        let mut ordered = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let waits = |part: &Rc<dyn Part>| part.depends_on().iter().any(|name| left.iter().any(|other| other.name() == *name));
            let Some(free) = left.iter().position(|part| !waits(part)) else {
                return Err(ControlError::Cycle(left[0].name()));
            };
            ordered.push(left.remove(free));
        }
        Ok(ordered)
    }

    /// What a part depends on, as far as it is here.
    pub fn dependencies(&self, part: &dyn Part) -> Vec<&'static str> {
        let parts = self.0.parts.borrow();
        let here = |name: &&&'static str| parts.iter().any(|part| part.name() == **name);
        part.depends_on().iter().filter(here).copied().collect()
    }

    /// The calls that would configure a part as it is now; `None` if there is no such part.
    pub fn config(&self, part: &str) -> Option<Vec<ConfigCall>> {
        let parts = self.0.parts.borrow();
        let part = parts.iter().find(|other| other.name() == part)?;
        let kept = self.0.kept.borrow();
        let mut calls: Vec<_> = kept.iter().filter(|kept| kept.part == part.name()).flat_map(Kept::save).collect();
        calls.extend(part.save());
        Some(calls)
    }

    /// Starts the parts (`framework_start_init`): once, from startup.
    pub async fn start(&self) -> Result<(), RpcError> {
        if self.state() != State::Startup {
            return Err(RpcError::only_before_init());
        }
        self.enter(State::Starting);
        for part in self.parts() {
            let name = part.name();
            if let Err(error) = part.init().await {
                self.enter(State::Failed);
                let why = error.data.as_deref().map_or_else(|| error.message.to_string(), str::to_owned);
                return Err(RpcError { data: Some(format!("part {name} did not start: {why}")), ..error });
            }
        }
        self.enter(State::Runtime);
        Ok(())
    }

    /// Waits until the parts run (`framework_wait_init`).
    pub async fn started(&self) -> Result<(), RpcError> {
        poll_fn(|cx| match self.state() {
            State::Startup | State::Starting => {
                let mut waiting = self.0.waiting.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
            State::Runtime => Poll::Ready(Ok(())),
            State::Failed | State::Stopping => Poll::Ready(Err(RpcError::internal("Internal error"))),
        })
        .await
    }

    /// Stops the parts, the last one first. A second call finds nothing to do.
    pub async fn stop(&self) {
        if self.state() == State::Stopping {
            return;
        }
        let mut parts = self.parts();
        self.enter(State::Stopping);
        while let Some(part) = parts.pop() {
            part.stop().await;
        }
    }

    fn enter(&self, state: State) {
        self.0.state.set(state);
        let waiting = std::mem::take(&mut *self.0.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("state", &self.state()).finish_non_exhaustive()
    }
}
