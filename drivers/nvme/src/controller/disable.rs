//! A controller that its owner has stand still, and brought up again.
//!
//! While it is disabled it has no commands and its function stays ours; requests wait, as over a reset without an end.

use super::memory::LOOK_NS;
use super::supervisor::Then;
use super::{Controller, Inner};
use crate::error::NvmeError;
use crate::shared::{Event, State, Why};
use std::rc::Rc;
use std::sync::atomic::Ordering;

impl Controller {
    /// Shuts it down and has it stand still. What it had not finished waits, with all that comes, until [`Controller::enable`]; what goes to its
    /// admin queue fails. Where requests failed at once already, because it could not be reached for too long, they go on to fail.
    pub async fn disable(&self) -> Result<(), NvmeError> {
        if self.state() == State::Gone {
            return Err(NvmeError::unusable(self.name(), "it has gone"));
        }
        let done = self.0.waiting.borrow_mut().disable();
        self.0.shared.tell(Event::Disable);
        match done.await {
            Ok(true) => Ok(()),
            _ => Err(NvmeError::unusable(self.name(), "it could not be disabled; the log says why")),
        }
    }

    /// Brings it up again after [`Controller::disable`], as after a reset. When that fails for good, it is lost.
    pub async fn enable(&self) -> Result<(), NvmeError> {
        if self.state() != State::Disabled {
            return Err(NvmeError::unusable(self.name(), "it is not disabled"));
        }
        let done = self.0.waiting.borrow_mut().reset(self.0.shared.epoch.load(Ordering::Acquire));
        self.0.shared.tell(Event::Enable);
        match done.await {
            Ok(true) => Ok(()),
            _ => Err(NvmeError::unusable(self.name(), "it could not be enabled; the log says why")),
        }
    }
}

impl Inner {
    /// Stops it, takes everything back to wait, and leaves it so.
    pub(super) async fn disable(self: &Rc<Self>) -> Then {
        tracing::info!(controller = %self.name, "it is disabled");
        let was_live = self.shared.state() == State::Live;
        // From here on nobody takes it for one that does what it is given.
        self.shared.set_state(State::Resetting);
        self.shared.epoch.fetch_add(1, Ordering::AcqRel);
        self.epoch.set(self.epoch.get() + 1);
        self.hold_all().await;
        // One that is being sought has nobody to tell.
        if was_live {
            self.drain().await;
            self.shut_down().await;
        }
        let silent = self.silence().await;
        let is_back = silent.is_ok() && self.take_back().await;
        if let Err(error) = silent {
            tracing::warn!(controller = %self.name, %error, "it could not be disabled");
        }
        if is_back {
            let pair = self.admin_pair.clone();
            self.env.local.with(move |cx| pair.borrow_mut().fail_fast(cx)).await;
            self.shared.set_state(State::Disabled);
            // Who asked for a reset meanwhile does not wait for somebody to enable it.
            self.waiting.borrow_mut().end_resets(u64::MAX, false);
        }
        self.answer_disable(is_back);
        // One that does not stop is reset, whatever that takes.
        if is_back { Then::Go } else { Then::Reset }
    }

    pub(super) fn answer_disable(&self, done: bool) {
        self.waiting.borrow_mut().take_disable().into_iter().for_each(|w| w.send(done));
    }

    /// Lets what it was given end by itself, for a while: what may not be done twice need not be given up.
    async fn drain(&self) {
        const LIMIT_NS: u64 = 5_000_000_000;
        let limit = self.env.local.now().after(LIMIT_NS);
        for id in self.pairs() {
            while self.visit(id, |_, pair| pair.has_some()).await == Some(true) && self.env.local.now() < limit {
                self.env.local.sleep_ns(LOOK_NS).await;
            }
        }
    }

    pub(super) async fn handle_while_disabled(self: &Rc<Self>, event: Event) -> Then {
        match event {
            Event::Opened(id) => self.note_pair(id),
            Event::Closed(id) => self.retire(id, false).await,
            Event::Disable => self.answer_disable(true),
            Event::Enable => return self.reset(&Why::Enabled).await,
            Event::Detach => return Then::Stop,
            // It has nothing that could be late, and is looked at anew when it is enabled. A request for a reset ends then.
            Event::Again(_) | Event::Lost(..) | Event::Reset(..) | Event::Abort(..) | Event::Rescan => {}
        }
        Then::Go
    }

    /// All that can happen to one that stands still is that it leaves.
    pub(super) fn look_while_disabled(&self) -> Then {
        if self.transport.is_leaving() {
            tracing::warn!(controller = %self.name, "its function is asked back or has gone");
            return Then::Stop;
        }
        Then::Go
    }
}
