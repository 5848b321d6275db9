//! Bring-up for the first time and again: reset, reconnect, giving up.

use super::memory::Memory;
use super::scan::Change;
use super::supervisor::Then;
use super::transport::Transport;
use super::{Facts, Identity, Inner};
use crate::admin::Payload;
use crate::error::NvmeError;
use crate::shared::{State, Why};
use doorbell_pci::queue::ShadowPages;
use doorbell_wire_nvme::feature::{HostBehavior, NumberOfQueues};
use doorbell_wire_nvme::identify::{Controller, Ctratt};
use doorbell_wire_nvme::{AdminCommand, Cns, Csi, FeatureId, SetFeatures, bytes};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Inner {
    /// Brings it up for the first time.
    pub(super) async fn first_time(self: &Rc<Self>) -> Result<(), NvmeError> {
        self.silence().await?;
        self.enable().await?;
        self.introduce().await
    }

    /// Learns what the controller is, and settles how it is used. Its namespaces are known afterwards.
    async fn introduce(self: &Rc<Self>) -> Result<(), NvmeError> {
        self.epoch.set(self.epoch.get() + 1);
        let raw: Box<Controller> = self.identify_cns(Cns::CONTROLLER, 0, Csi::NVM).await?;
        let version = self.version().await?;
        let identity = Arc::new(Identity::new(raw, version));
        self.is_the_same(&identity)?;
        let is_memory = matches!(self.transport, Transport::Memory(_));
        let is_discovery = identity.is_discovery();
        if !is_discovery && !identity.has_entry_sizes() {
            return Err(NvmeError::unusable(&self.name, "its queue entries are not of 64 and 16 bytes"));
        }
        let [a, b, c] = identity.raw.crdt_100ms;
        self.shared.set_retry_delays([a.get(), b.get(), c.get()]);
        let mdts = identity.raw.max_transfer(self.cap().mpsmin()).unwrap_or(u64::MAX);
        let max_bytes = u32::try_from(mdts).unwrap_or(u32::MAX).min(self.options.max_transfer_bytes.clamp(4096, 1 << 20));
        *self.facts.borrow_mut() = Some(Facts { identity: identity.clone(), max_bytes, shadows: None });
        if !is_memory {
            self.keep_alive();
        }
        if is_discovery {
            self.await_events().await;
            return Ok(());
        }
        self.agree_on_queues().await?;
        let wide = Ctratt::from_bits(identity.raw.ctratt.get()).elbas();
        if wide || identity.raw.crdt_100ms.iter().any(|delay| delay.get() > 0) {
            self.say_what_is_known(wide).await;
        }
        if let (Transport::Memory(memory), true, true) = (&self.transport, self.options.shadow_doorbells, identity.oacs().doorbell_buffer())
        {
            self.use_shadows(memory).await?;
        }
        self.await_events().await;
        self.scan().await
    }

    /// After a reset, is it the controller that it was? At an address of a network another one may answer.
    fn is_the_same(&self, now: &Identity) -> Result<(), NvmeError> {
        let facts = self.facts.borrow();
        let Some(was) = facts.as_ref().map(|facts| &facts.identity) else { return Ok(()) };
        if (&was.serial, &was.model, &was.subsystem) == (&now.serial, &now.model, &now.subsystem) {
            return Ok(());
        }
        let why = format!("another controller answers there: {} {}, instead of {} {}", now.model, now.serial, was.model, was.serial);
        Err(NvmeError::unusable(&self.name, why))
    }

    /// Set Features, Number of Queues: what it grants is what there is (Base 2.1, 5.1.25.1.5).
    async fn agree_on_queues(&self) -> Result<(), NvmeError> {
        let wanted = self.options.io_queues.clamp(1, u16::MAX - 1);
        let ask = NumberOfQueues::new().with_submission(wanted - 1).with_completion(wanted - 1);
        let set = SetFeatures { fid: FeatureId::NUMBER_OF_QUEUES, cdw11: ask.into_bits(), ..SetFeatures::default() };
        let answer = self.command("Set Features (number of queues)", AdminCommand::SetFeatures(set).encode(), Payload::None).await?;
        let granted = NumberOfQueues::from_bits(answer.cqe.dw0.get());
        let most = u32::from(granted.submission().min(granted.completion())) + 1;
        self.shared.pairs_max.store(most.min(wanted.into()), Ordering::Relaxed);
        Ok(())
    }

    /// Set Features, Host Behavior Support: formats with wide guards are known here, and retry delays are heeded. A controller that
    /// was not told may refuse commands to namespaces with such formats (Base 2.1, 5.1.25.1.14).
    async fn say_what_is_known(&self, wide: bool) {
        let behavior = HostBehavior { acre: 1, lbafee: wide.into(), ..HostBehavior::default() };
        let set = SetFeatures { fid: FeatureId::HOST_BEHAVIOR, ..SetFeatures::default() };
        let sqe = AdminCommand::SetFeatures(set).encode();
        if let Err(error) = self.command("Set Features (host behavior)", sqe, Payload::Out(bytes(&behavior).to_vec())).await {
            tracing::debug!(controller = %self.name, %error, "it does not learn that wide guards are known here");
        }
    }

    /// An error when nobody knows whether the controller uses them: it would hear of nothing that its registers are told.
    async fn use_shadows(&self, memory: &Memory) -> Result<(), NvmeError> {
        let (regions, domain) = (self.env.regions.clone(), memory.function.domain().clone());
        let Some(made) = self.env.blocking(move || ShadowPages::new(&regions, &domain)).await else { return Ok(()) };
        let outcome = match made {
            Ok(pages) => match self.configure_shadows(pages.addresses()).await {
                Ok(()) => Ok(pages),
                Err(error) => {
                    // Nobody knows whether the controller took them: they are never anybody else's.
                    std::mem::forget(pages);
                    Err(error)
                }
            },
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(pages) => {
                if let Some(facts) = &mut *self.facts.borrow_mut() {
                    facts.shadows = Some(Arc::new(pages));
                }
            }
            Err(error @ NvmeError::TimedOut { .. }) => return Err(error),
            Err(error) => tracing::info!(controller = %self.name, %error, "it is used without shadow doorbells"),
        }
        Ok(())
    }

    /// Everything that its queues had comes back: to wait, or with an error. The controller is silent.
    pub(super) async fn take_back(&self) -> bool {
        let mut all = true;
        for id in self.pairs() {
            let back = self.visit(id, |cx, pair| {
                let back = pair.take_back(cx);
                if back {
                    pair.drop_link();
                }
                back
            });
            all &= back.await.unwrap_or(true);
        }
        self.queues.borrow_mut().forget_numbers();
        let pair = self.admin_pair.clone();
        let admin = self.env.local.with(move |cx| {
            let mut pair = pair.borrow_mut();
            pair.hold_back();
            let back = pair.take_back(cx);
            if back {
                pair.drop_link();
            }
            back
        });
        all & admin.await
    }

    pub(super) async fn hold_all(&self) {
        for id in self.pairs() {
            self.visit(id, |_, pair| pair.hold_back()).await;
        }
    }

    async fn try_again(self: &Rc<Self>) -> Result<(), NvmeError> {
        // What an attempt before this one lost is no news.
        self.shared.epoch.fetch_add(1, Ordering::AcqRel);
        self.silence().await?;
        if !self.take_back().await {
            return Err(NvmeError::unusable(&self.name, "it may still be at work on commands that it was given"));
        }
        self.enable().await?;
        self.introduce().await?;
        for id in self.pairs() {
            self.serve(id).await?;
        }
        Ok(())
    }

    /// Resets the controller and brings it up again, as often as the options say, unless somebody wants an end of it. Stop: it is lost.
    pub(super) async fn recover(self: &Rc<Self>, why: &Why) -> Then {
        let began = self.env.local.now();
        tracing::warn!(controller = %self.name, ?why, "resetting");
        self.shared.counters.resets.fetch_add(1, Ordering::Relaxed);
        self.shared.set_state(State::Resetting);
        self.shared.epoch.fetch_add(1, Ordering::AcqRel);
        // Keep-alive and requests for events of the last bring-up end.
        self.epoch.set(self.epoch.get() + 1);
        self.hold_all().await;
        if matches!(why, Why::Subsystem) {
            self.reset_the_subsystem().await;
        }
        let mut failed_fast = false;
        // A way that was lost is tried again after the others.
        let mut untried = self.transport.paths();
        if matches!(why, Why::Lost(_) | Why::TimedOut) {
            self.transport.next_path();
        }
        loop {
            let error = match self.try_again().await {
                Ok(()) => {
                    self.shared.failing.store(false, Ordering::Release);
                    self.shared.set_state(State::Live);
                    tracing::info!(controller = %self.name, "back");
                    self.tell(Change::Back);
                    return Then::Go;
                }
                Err(error) => error,
            };
            let spent_ms = self.env.local.now().since(began) / 1_000_000;
            let gone = self.transport.is_gone().await;
            let lost = self.options.loss_timeout_ms.is_some_and(|limit| spent_ms >= u64::from(limit));
            if gone || (lost || self.options.reconnect_delay_ms == 0) && untried <= 1 {
                tracing::error!(controller = %self.name, %error, "it could not be brought back and is given up");
                return Then::Stop;
            }
            tracing::warn!(controller = %self.name, %error, "it could not be brought back; trying again");
            self.transport.next_path();
            untried = untried.saturating_sub(1);
            if untried == 0 && self.options.fast_fail_ms > 0 && spent_ms >= u64::from(self.options.fast_fail_ms) && !failed_fast {
                failed_fast = true;
                self.shared.failing.store(true, Ordering::Release);
                for id in self.pairs() {
                    self.visit(id, |cx, pair| pair.fail_fast(cx)).await;
                }
            }
            if untried > 0 && !self.waiting.borrow().wants_an_end() {
                continue;
            }
            untried = self.transport.paths();
            if !self.pause().await {
                return self.waiting.borrow().end();
            }
        }
    }

    /// Waits until the next attempt. False when there is to be none.
    async fn pause(&self) -> bool {
        const STEP_NS: u64 = 100_000_000;
        let until = self.env.local.now().after(u64::from(self.options.reconnect_delay_ms) * 1_000_000);
        while self.env.local.now() < until {
            if self.waiting.borrow().wants_an_end() {
                return false;
            }
            self.env.local.sleep_until(until.min(self.env.local.now().after(STEP_NS))).await;
        }
        !self.waiting.borrow().wants_an_end()
    }

    /// Makes the controller silent, whatever it takes, so that memory can be taken from it.
    pub(super) async fn quiet(&self) {
        if let Err(error) = self.silence().await {
            tracing::error!(controller = %self.name, %error, "it could not be stopped");
        }
        let back = self.take_back().await;
        self.leave_controller_memory().await;
        self.transport.close(&self.env).await;
        // One that does not stop can touch nothing once its memory is unmapped.
        if !back && !self.take_back().await {
            tracing::error!(controller = %self.name, "commands are left with it: their memory is not used again");
        }
    }

    /// It is lost or let go: whoever waits is told, and its namespaces leave.
    pub(super) async fn end(&self) {
        self.shared.set_state(State::Gone);
        self.epoch.set(self.epoch.get() + 1);
        self.hold_all().await;
        self.quiet().await;
        for id in self.pairs() {
            self.visit(id, |cx, pair| pair.end(cx)).await;
        }
        let pair = self.admin_pair.clone();
        self.env.local.with(move |cx| pair.borrow_mut().end(cx)).await;
        let left = std::mem::take(&mut *self.namespaces.borrow_mut());
        for namespace in left.into_values() {
            namespace.leave();
            self.tell(Change::Left(namespace));
        }
        self.tell(Change::Ended);
    }
}
