//! What differs between a controller behind registers and one behind a network: how it is enabled and silenced, and how its properties are
//! read.

use super::memory::{LOOK_NS, Memory};
use super::tcp::Tcp;
use super::{Env, Inner};
use crate::error::NvmeError;
use crate::link::AnyLink;
use crate::time::within;
use doorbell_wire_nvme::register::{Cap, Cc, CommandSetSelect, Csts, NSSR_MAGIC, Property, ShutdownNotice, ShutdownStatus, Version};

/// How long a controller may be away after a reset of its subsystem, at least.
const BACK_NS: u64 = 2_000_000_000;

/// The way to a controller.
pub(crate) enum Transport {
    /// A PCI function, or what looks like one.
    Memory(Memory),
    /// A subsystem over TCP.
    Tcp(Tcp),
}

impl Transport {
    /// Was it asked back, or has it gone?
    pub(super) fn is_leaving(&self) -> bool {
        match self {
            Transport::Memory(memory) => memory.function.is_leaving(),
            Transport::Tcp(_) => false,
        }
    }

    /// Is there no more point in trying to reach it?
    pub(super) async fn is_gone(&self) -> bool {
        match self {
            Transport::Memory(memory) => memory.function.is_leaving() || memory.registers.csts().await.is_none(),
            // Whatever a target says while it restarts (not here, no such subsystem, not you), it may say something else when it is up: the
            // time that is given to it decides.
            Transport::Tcp(_) => false,
        }
    }

    /// Ways to it: there may be several over a network.
    pub(super) fn paths(&self) -> usize {
        match self {
            Transport::Memory(_) => 1,
            Transport::Tcp(tcp) => tcp.paths.len(),
        }
    }

    /// The next attempt goes another way, if there is one.
    pub(super) fn next_path(&self) {
        if let Transport::Tcp(tcp) = self {
            tcp.paths.next();
        }
    }

    /// Gives up what it holds of the process.
    pub(super) async fn close(&self, env: &Env) {
        match self {
            Transport::Memory(memory) => memory.close(env).await,
            Transport::Tcp(_) => {}
        }
    }
}

impl Inner {
    /// CAP, as it was last read.
    pub(super) fn cap(&self) -> Cap {
        match &self.transport {
            Transport::Memory(memory) => memory.cap,
            Transport::Tcp(tcp) => tcp.cap.get(),
        }
    }

    /// Entries of each of its I/O queues.
    pub(super) fn io_queue_entries(&self) -> u16 {
        self.options.io_queue_entries.max(2).min(self.cap().mqes().saturating_add(1).max(2))
    }

    /// All the command sets that it has, for its namespaces of others than the NVM command set.
    pub(super) fn command_sets(&self) -> CommandSetSelect {
        if self.cap().css() & 0x40 != 0 { CommandSetSelect::ALL } else { CommandSetSelect::NVM }
    }

    /// CSTS; `None` when there is nothing there any more.
    pub(super) async fn csts(&self) -> Result<Option<Csts>, NvmeError> {
        match &self.transport {
            Transport::Memory(memory) => Ok(memory.registers.csts().await),
            Transport::Tcp(_) => self.property(Property::CSTS).await.map(|value| Some(Csts::from_bits(value as u32))),
        }
    }

    pub(super) async fn version(&self) -> Result<Version, NvmeError> {
        match &self.transport {
            Transport::Memory(memory) => Ok(memory.registers.version().await),
            Transport::Tcp(_) => self.property(Property::VS).await.map(|value| Version::from_bits(value as u32)),
        }
    }

    async fn cc(&self) -> Result<Cc, NvmeError> {
        match &self.transport {
            Transport::Memory(memory) => Ok(memory.registers.cc().await),
            Transport::Tcp(_) => self.property(Property::CC).await.map(|value| Cc::from_bits(value as u32)),
        }
    }

    async fn set_cc(&self, cc: Cc) -> Result<(), NvmeError> {
        match &self.transport {
            Transport::Memory(memory) => memory.registers.set_cc(cc).await,
            Transport::Tcp(_) => self.set_property(Property::CC, cc.into_bits().into()).await?,
        }
        Ok(())
    }

    /// Resets the whole subsystem (Base 2.1, 3.7.1), and waits until the controller can be seen again: its link may go down meanwhile.
    pub(super) async fn reset_the_subsystem(&self) {
        let local = &self.env.local;
        match &self.transport {
            Transport::Memory(memory) => {
                memory.registers.write32(Property::NSSR, NSSR_MAGIC).await;
                let until = local.now().after(BACK_NS.max(u64::from(memory.cap.timeout_500ms()) * 500_000_000));
                while memory.registers.csts().await.is_none() && local.now() < until {
                    local.sleep_ns(LOOK_NS).await;
                }
                // As after power-on: whoever stands between keeps what it was before until it is told otherwise.
                let function = memory.function.clone();
                let _ = self.env.blocking(move || function.set_bus_master(false)).await;
            }
            // Its answer may go with the connection.
            Transport::Tcp(_) => drop(within(local, BACK_NS, self.set_property(Property::NSSR, NSSR_MAGIC.into())).await),
        }
    }

    /// Sees to it that the controller touches no memory of commands that it was given.
    pub(super) async fn silence(&self) -> Result<(), NvmeError> {
        match &self.transport {
            Transport::Memory(memory) => self.silence_memory(memory).await,
            // Over a network it touches none: data goes where a link puts it, and a link that is let go puts none.
            Transport::Tcp(_) => Ok(()),
        }
    }

    /// Enables a silent controller, with a new admin queue.
    pub(super) async fn enable(&self) -> Result<(), NvmeError> {
        match &self.transport {
            Transport::Memory(memory) => self.enable_memory(memory).await,
            Transport::Tcp(tcp) => self.enable_tcp(tcp).await,
        }
    }

    pub(super) async fn set_admin_link(&self, link: AnyLink) -> Result<(), NvmeError> {
        let pair = self.admin_pair.clone();
        let set = self.env.local.with(move |_| pair.borrow_mut().set_link(link)).await;
        set.map_err(|e| NvmeError::unusable(&self.name, format!("its admin queue cannot be watched: {e}")))
    }

    pub(super) async fn admin_goes_live(&self) {
        let pair = self.admin_pair.clone();
        self.env.local.with(move |cx| pair.borrow_mut().go_live(cx)).await;
    }

    /// A shutdown by the specification: it may write out what it keeps (Base 2.1, 3.6).
    pub(super) async fn shut_down(&self) {
        if let Err(error) = self.try_to_shut_down().await {
            tracing::warn!(controller = %self.name, %error, "it was not shut down");
        }
    }

    async fn try_to_shut_down(&self) -> Result<(), NvmeError> {
        let cc = self.cc().await?;
        if cc.into_bits() == u32::MAX || !cc.en() {
            return Ok(());
        }
        self.set_cc(cc.with_shn(ShutdownNotice::NORMAL)).await?;
        let rtd3e_ns = self.facts.borrow().as_ref().map_or(0, |facts| facts.identity.shutdown_ns());
        let limit = self.env.local.now().after(rtd3e_ns.clamp(5_000_000_000, 60_000_000_000));
        while let Some(csts) = self.csts().await? {
            if csts.shst() == ShutdownStatus::COMPLETE {
                return Ok(());
            }
            if self.env.local.now() >= limit {
                return Err(NvmeError::unusable(
                    &self.name,
                    "its shutdown did not end in time: what it had not written may be lost with the power",
                ));
            }
            self.env.local.sleep_ns(LOOK_NS).await;
        }
        Ok(())
    }
}
