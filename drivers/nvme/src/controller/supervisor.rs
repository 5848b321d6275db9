//! The one task that changes a controller: it takes events one after the other, and looks at the controller once a second.

use super::Inner;
use super::transport::Transport;
use crate::admin::{Answer, Commands, Payload};
use crate::error::CommandError;
use crate::link::Raw;
use crate::options::OnTimeout;
use crate::pair::{Overdue, Pair};
use crate::shared::{Event, PairId, State, Why};
use crate::time::within;
use doorbell_block::{IoId, Status as Ended};
use doorbell_reactor::{Receiver, Sender, oneshot};
use doorbell_wire_nvme::register::Csts;
use doorbell_wire_nvme::{Abort, AdminCommand, Cid, Sqe};
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// Between two looks.
const TICK_NS: u64 = 1_000_000_000;

/// Who waits for what the supervisor does.
#[derive(Default)]
pub(crate) struct Waiting {
    /// With the bring-up after which each asked.
    resets: Vec<(u64, Sender<bool>)>,
    detach: Vec<Sender<()>>,
    disable: Vec<Sender<bool>>,
}

impl Waiting {
    /// For the end of a reset that begins after this bring-up.
    pub(super) fn reset(&mut self, after: u64) -> Receiver<bool> {
        let (tx, rx) = oneshot();
        self.resets.push((after, tx));
        rx
    }

    /// Is somebody waiting for it to be let go, or to stand still?
    pub(super) fn wants_an_end(&self) -> bool {
        !self.detach.is_empty() || !self.disable.is_empty()
    }

    /// What that somebody wants.
    pub(super) fn end(&self) -> Then {
        if self.detach.is_empty() && !self.disable.is_empty() { Then::Disable } else { Then::Stop }
    }

    pub(super) fn disable(&mut self) -> Receiver<bool> {
        let (tx, rx) = oneshot();
        self.disable.push(tx);
        rx
    }

    /// Tells those who wait for a reset and asked before this bring-up how it went: for who asked later there is another one to come.
    pub(super) fn end_resets(&mut self, before: u64, done: bool) {
        self.resets.extract_if(.., |(after, _)| *after < before).for_each(|(_, w)| w.send(done));
    }

    /// Who waits for it to stand still.
    pub(super) fn take_disable(&mut self) -> Vec<Sender<bool>> {
        std::mem::take(&mut self.disable)
    }

    pub(super) fn detach(&mut self) -> Receiver<()> {
        let (tx, rx) = oneshot();
        self.detach.push(tx);
        rx
    }
}

/// What comes next.
#[derive(PartialEq, Eq)]
pub(super) enum Then {
    Go,
    /// It is disabled.
    Disable,
    /// It is reset.
    Reset,
    Stop,
}

impl Inner {
    /// Until the controller is lost or let go.
    pub(super) async fn supervise(self: Rc<Self>) {
        loop {
            let event = within(&self.env.local, TICK_NS, self.shared.event()).await;
            let mut then = match event {
                Some(event) => self.handle(event).await,
                None if self.shared.state() == State::Disabled => self.look_while_disabled(),
                None => self.look().await,
            };
            loop {
                then = match then {
                    Then::Disable => self.disable().await,
                    Then::Reset => self.reset(&Why::Fatal).await,
                    Then::Go | Then::Stop => break,
                };
            }
            if then == Then::Stop {
                break;
            }
        }
        self.end().await;
        // A pair that was opened meanwhile waits for a link; who opens from now on finds the controller gone.
        while let Some(event) = self.shared.try_event() {
            if let Event::Opened(id) = event {
                self.visit(id, |cx, pair| pair.end(cx)).await;
            }
        }
        self.answer_all();
    }

    fn answer_all(&self) {
        let mut waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.end_resets(u64::MAX, false);
        waiting.detach.into_iter().for_each(|w| w.send(()));
        waiting.disable.into_iter().for_each(|w| w.send(false));
    }

    async fn handle(self: &Rc<Self>, event: Event) -> Then {
        if self.shared.state() == State::Disabled {
            return self.handle_while_disabled(event).await;
        }
        match event {
            // A bring-up may have served it since.
            Event::Opened(id) if self.queues.borrow().qid(id).is_some() => {}
            // Its owner may have closed it since.
            Event::Again(id) if !self.queues.borrow().has(id) || self.queues.borrow().qid(id).is_some() => {}
            Event::Opened(id) | Event::Again(id) => self.serve_or_end(id).await,
            Event::Closed(id) => self.retire(id, true).await,
            Event::Lost(epoch, _) if epoch < self.shared.epoch.load(Ordering::Acquire) => {}
            Event::Lost(_, why) => return self.reset(&Why::Lost(why)).await,
            // One has been done since.
            Event::Reset(_, epoch) if epoch < self.shared.epoch.load(Ordering::Acquire) => {}
            Event::Reset(why, _) => return self.reset(&why).await,
            Event::Abort(id, cid, io) => {
                if !self.abort(id, cid, io).await {
                    return self.reset(&Why::TimedOut).await;
                }
            }
            Event::Rescan => {
                if let Err(error) = self.scan().await {
                    tracing::warn!(controller = %self.name, %error, "its namespaces could not be looked at");
                }
            }
            Event::Disable => return Then::Disable,
            Event::Enable => {}
            Event::Detach => {
                self.shut_down().await;
                return Then::Stop;
            }
        }
        Then::Go
    }

    pub(super) async fn reset(self: &Rc<Self>, why: &Why) -> Then {
        let then = self.recover(why).await;
        // What was asked for while it came back has not been done: the controller was reset before that.
        let before = if then == Then::Go { self.shared.epoch.load(Ordering::Acquire) } else { u64::MAX };
        self.waiting.borrow_mut().end_resets(before, then == Then::Go);
        then
    }

    /// Is the controller still there, and does it do what it is asked?
    async fn look(self: &Rc<Self>) -> Then {
        if self.transport.is_leaving() {
            tracing::warn!(controller = %self.name, "its function is asked back or has gone");
            return Then::Stop;
        }
        // Over a network keep-alive tells.
        let csts = match &self.transport {
            Transport::Memory(memory) => memory.registers.csts().await,
            Transport::Tcp(_) => Some(Csts::new()),
        };
        match csts {
            None => {
                tracing::error!(controller = %self.name, "it has gone: its registers read as all ones");
                return Then::Stop;
            }
            Some(csts) if csts.cfs() => return self.reset(&Why::Fatal).await,
            Some(_) => {}
        }
        let policy = self.options.policy;
        if policy.admin_timeout_ns > 0 && !self.late_admin(policy.admin_timeout_ns).await.is_empty() {
            return self.reset(&Why::TimedOut).await;
        }
        if policy.timeout_ns > 0 {
            return self.look_for_late(policy.timeout_ns, policy.on_timeout).await;
        }
        Then::Go
    }

    async fn late_admin(&self, limit_ns: u64) -> Vec<Overdue> {
        let pair = self.admin_pair.clone();
        self.env.local.with(move |cx| pair.borrow().overdue(cx.now(), limit_ns)).await
    }

    async fn look_for_late(self: &Rc<Self>, limit_ns: u64, what: OnTimeout) -> Then {
        for id in self.pairs() {
            let late = self.visit(id, move |cx, pair| pair.overdue(cx.now(), limit_ns)).await.unwrap_or_default();
            let Some(oldest) = late.first().copied() else { continue };
            self.shared.counters.timeouts.fetch_add(late.len() as u64, Ordering::Relaxed);
            let (count, age_ms) = (late.len(), oldest.age_ns / 1_000_000);
            tracing::warn!(controller = %self.name, reactor = id.reactor.0, count, age_ms, "commands take too long");
            match what {
                OnTimeout::Nothing => {}
                OnTimeout::Abort if oldest.age_ns < 2 * limit_ns => {
                    for overdue in late {
                        if !self.abort(id, overdue.cid, overdue.io).await {
                            // One that does not even answer an Abort answers nothing.
                            return self.reset(&Why::TimedOut).await;
                        }
                    }
                }
                OnTimeout::Abort | OnTimeout::Reset => return self.reset(&Why::TimedOut).await,
            }
        }
        Then::Go
    }

    /// Asks the controller to give a command back. It comes back by itself or aborted; the answer to the Abort says nothing more.
    /// False when there is no answer in time.
    async fn abort(&self, id: PairId, cid: Cid, io: IoId) -> bool {
        // Nothing else happens meanwhile, so that a controller which does not answer is not waited for as long as others might be.
        const LIMIT_NS: u64 = 5_000_000_000;
        let Some(sqid) = self.queues.borrow().qid(id) else { return true };
        // The identifier may be another command's by now.
        if self.visit(id, move |_, pair| pair.has(cid, io)).await != Some(true) {
            return true;
        }
        let sqe = AdminCommand::Abort(Abort { sqid, cid }).encode();
        let limit_ns = match self.options.policy.admin_timeout_ns {
            0 => LIMIT_NS,
            ns => ns.min(LIMIT_NS),
        };
        match within(&self.env.local, limit_ns, self.admin.run(Raw { sqe, pages: None }, Payload::None)).await {
            Some(Ok(_)) => true,
            Some(Err(error)) => {
                tracing::warn!(controller = %self.name, sqid, %error, "a command could not be aborted");
                true
            }
            None => {
                tracing::warn!(controller = %self.name, sqid, "an Abort was not answered");
                false
            }
        }
    }

    /// A command of async code on this reactor's I/O queue.
    pub(super) async fn passthrough(self: &Rc<Self>, sqe: Sqe, payload: Payload) -> Result<Answer, CommandError> {
        match self.shared.state() {
            State::Gone => return Err(CommandError::NotDone(Ended::Gone)),
            // It would not outlive the bring-up that it waits for.
            State::Disabled => return Err(CommandError::NotDone(Ended::Aborted)),
            State::Connecting | State::Live | State::Resetting => {}
        }
        let known = self.io_commands.borrow().clone();
        let commands = match known {
            Some(commands) => commands,
            None => {
                let shared = self.shared.clone();
                let pair = self.env.local.with(move |cx| Pair::of(cx, &shared)).await;
                let pair = pair.map_err(|_| CommandError::NotDone(Ended::Internal))?;
                let commands = Rc::new(Commands::open(&self.env.local, pair).await);
                *self.io_commands.borrow_mut() = Some(commands.clone());
                commands
            }
        };
        commands.send(sqe, payload).await
    }
}
