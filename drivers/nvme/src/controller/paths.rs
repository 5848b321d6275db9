//! Several ways to one subsystem: one is used, the others stand by until it is lost.
//!
//! What it is not: no two are used at once, and no state of a namespace is asked for (ANA); what makes a path the next one is that the one
//! in use is lost.
//!
//! Invariants: there is one at least; the admin queue and the I/O queues of one bring-up go the same way.

use super::tcp::TcpOptions;
use super::transport::Transport;
use super::{Controller, Inner};
use crate::address::TcpAddress;
use crate::error::NvmeError;
use crate::shared::{State, Why};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Names a path of a controller. The one that it was attached by is [`PathId::FIRST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathId(u64);

impl PathId {
    /// The path that a controller was attached by.
    pub const FIRST: PathId = PathId(0);
}

/// Why a controller is not given a path, or keeps one.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// It has it already.
    #[error("it has this path already")]
    Known,
    /// A function of this machine has one.
    #[error("only a controller on a network has several paths")]
    OnlyOne,
    /// It leads to something else.
    #[error("it leads elsewhere: {0}")]
    Elsewhere(String),
    /// Nothing is to be reached that way, or the controller has gone.
    #[error(transparent)]
    Failed(#[from] NvmeError),
}

/// One way.
pub(super) struct Path {
    id: PathId,
    pub(super) address: TcpAddress,
    pub(super) options: TcpOptions,
}

/// All ways of a controller, the next one to be used in front.
pub(super) struct Paths {
    all: RefCell<VecDeque<Rc<Path>>>,
    used: RefCell<Rc<Path>>,
    made: std::cell::Cell<u64>,
}

impl Paths {
    pub(super) fn new(address: TcpAddress, options: TcpOptions) -> Paths {
        let first = Rc::new(Path { id: PathId::FIRST, address, options });
        Paths { all: RefCell::new(VecDeque::from([first.clone()])), used: RefCell::new(first), made: std::cell::Cell::new(1) }
    }

    pub(super) fn len(&self) -> usize {
        self.all.borrow().len()
    }

    /// The next bring-up goes another way, if there is one.
    pub(super) fn next(&self) {
        self.all.borrow_mut().rotate_left(1);
    }

    /// The way of a bring-up that begins.
    pub(super) fn take_first(&self) -> Rc<Path> {
        if let Some(first) = self.all.borrow().front() {
            *self.used.borrow_mut() = first.clone();
        }
        self.used()
    }

    /// The way of this bring-up.
    pub(super) fn used(&self) -> Rc<Path> {
        self.used.borrow().clone()
    }

    fn has(&self, address: &TcpAddress) -> bool {
        let place = |a: &TcpAddress| (a.address.clone(), a.service.clone(), a.source_address.clone(), a.source_service.clone());
        self.all.borrow().iter().any(|path| place(&path.address) == place(address))
    }

    fn add(&self, address: TcpAddress, options: TcpOptions) -> PathId {
        let id = PathId(self.made.replace(self.made.get() + 1));
        self.all.borrow_mut().push_back(Rc::new(Path { id, address, options }));
        id
    }

    /// Takes one away. True when it is the one in use.
    fn remove(&self, id: PathId) -> bool {
        self.all.borrow_mut().retain(|path| path.id != id);
        self.used.borrow().id == id
    }
}

impl Controller {
    /// The path in use, or the one that was used last.
    pub fn path(&self) -> PathId {
        match &self.0.transport {
            Transport::Memory(_) => PathId::FIRST,
            Transport::Tcp(tcp) => tcp.paths.used().id,
        }
    }

    /// Gives it another path, which is used when the ones before it are lost. It has to lead to the same subsystem: a controller is
    /// connected there once, and compared.
    pub async fn add_path(&self, address: TcpAddress, how: TcpOptions) -> Result<PathId, PathError> {
        let inner = &self.0;
        let Transport::Tcp(tcp) = &inner.transport else { return Err(PathError::OnlyOne) };
        if tcp.paths.has(&address) {
            return Err(PathError::Known);
        }
        let used = tcp.paths.used();
        if used.address.subsystem != address.subsystem {
            return Err(PathError::Elsewhere(format!("to subsystem {} instead of {}", address.subsystem, used.address.subsystem)));
        }
        if used.options.host != how.host {
            return Err(PathError::Elsewhere(format!("as host {} instead of {}", how.host.nqn, used.options.host.nqn)));
        }
        let there = Controller::connect(&inner.env, &inner.name, address.clone(), how.clone(), inner.options.clone()).await?;
        let differs = inner.differs(&there.0);
        there.detach().await;
        match differs {
            Some(why) => Err(PathError::Elsewhere(why)),
            None if self.state() == State::Gone => Err(NvmeError::unusable(&inner.name, "it has gone").into()),
            // Somebody else may have been as quick.
            None if tcp.paths.has(&address) => Err(PathError::Known),
            None => Ok(tcp.paths.add(address, how)),
        }
    }

    /// Takes a path away. When it is the one in use, the controller is reached by another one afterwards; commands wait meanwhile. The last
    /// one stays: [`Controller::detach`] lets go of it.
    pub async fn remove_path(&self, id: PathId) -> Result<(), PathError> {
        let Transport::Tcp(tcp) = &self.0.transport else { return Err(PathError::OnlyOne) };
        if tcp.paths.len() == 1 {
            return Err(PathError::OnlyOne);
        }
        match (tcp.paths.remove(id), self.state()) {
            (true, State::Live) => Ok(self.reset_for(Why::PathRemoved).await?),
            // It is being sought just now, which may take long: should it be found this way, it is reset once more.
            (true, _) => {
                self.0.shared.ask_for_reset(Why::PathRemoved);
                Ok(())
            }
            (false, _) => Ok(()),
        }
    }

    pub(super) async fn reset_for(&self, why: Why) -> Result<(), NvmeError> {
        if self.state() == State::Gone {
            return Err(NvmeError::unusable(&self.0.name, "it has gone"));
        }
        if self.state() == State::Disabled {
            return Err(NvmeError::unusable(&self.0.name, "it is disabled"));
        }
        let after = self.0.shared.ask_for_reset(why);
        let done = self.0.waiting.borrow_mut().reset(after);
        match done.await {
            Ok(true) => Ok(()),
            _ => Err(NvmeError::unusable(&self.0.name, "the reset failed; the log says why")),
        }
    }
}

impl Inner {
    /// What tells this controller's subsystem from another's.
    fn differs(&self, other: &Inner) -> Option<String> {
        let identity = |inner: &Inner| inner.facts.borrow().as_ref().map(|facts| facts.identity.clone());
        let (Some(ours), Some(theirs)) = (identity(self), identity(other)) else { return Some("nobody knows where".to_owned()) };
        for (what, a, b) in [
            ("serial number", &ours.serial, &theirs.serial),
            ("model", &ours.model, &theirs.model),
            ("subsystem", &ours.subsystem, &theirs.subsystem),
        ] {
            if a != b {
                return Some(format!("its {what} is {b:?} instead of {a:?}"));
            }
        }
        let there = other.namespaces.borrow();
        let mut both = self
            .namespaces
            .borrow()
            .values()
            .filter_map(|ns| Some((ns.clone(), there.get(&ns.nsid())?.clone())))
            .collect::<Vec<_>>()
            .into_iter();
        // By the measure of a reset: what would leave then is refused now.
        let other = both.find(|(a, b)| !a.is_same(b.described()))?;
        Some(format!("namespace {} has other identifiers or limits there", other.0.nsid()))
    }
}

#[cfg(test)]
mod tests;
