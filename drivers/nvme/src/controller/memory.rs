//! A controller on PCIe, or on what looks like it: bring-up and shutdown by its registers (Base 2.1, 3.5 and 3.6).

use super::registers::Registers;
use super::{Env, Inner};
use crate::error::NvmeError;
use crate::link::{AnyLink, Flight, MemoryLink};
use crate::options::Options;
use doorbell_mem::{Backing, RegionObserver};
use doorbell_pci::queue::{ControllerMemory, MemoryQueue, Pages, Pointing, QueueSpec, Shadow};
use doorbell_pci::{Bar, Function, Interrupts};
use doorbell_wire_nvme::register::{Aqa, Cap, Cc, Property, ShutdownNotice};
use std::sync::Arc;

/// A function and what was found out about it.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) function: Arc<dyn Function>,
    pub(crate) bar: Arc<Bar>,
    pub(crate) registers: Registers,
    pub(crate) cap: Cap,
    observer: Arc<dyn RegionObserver>,
    /// Interrupt vectors that it has; 0 for none, or when they are not to be used.
    pub(crate) vectors: u32,
}

/// Between two looks at a register that is to change.
pub(super) const LOOK_NS: u64 = 1_000_000;
const TICK_NS: u64 = 500_000_000;

/// A description of a queue to be made, for any reactor.
#[derive(Clone)]
pub(crate) struct QueueParts {
    pub(crate) function: Arc<dyn Function>,
    pub(crate) bar: Arc<Bar>,
    pub(crate) regions: doorbell_mem::Regions,
    pub(crate) entries: u16,
    pub(crate) pointing: Pointing,
    pub(crate) max_bytes: u32,
    pub(crate) vector: Option<u32>,
    /// Where its submission ring is to lie, as far as there is room.
    pub(crate) controller_memory: Option<Arc<ControllerMemory>>,
}

impl QueueParts {
    /// Rings, not known to the device yet, and where the device finds them.
    pub(crate) fn make(&self) -> Result<(MemoryLink, (Pages, Pages)), NvmeError> {
        let domain = self.function.domain();
        let spec = QueueSpec {
            entries: self.entries,
            pointing: self.pointing,
            max_bytes: self.max_bytes,
            node: None,
            // Without an IOMMU a ring has to lie in one huge page.
            backing: if domain.is_physical() { Backing::PreferHuge } else { Backing::Ordinary },
        };
        let mut queue = MemoryQueue::<Flight>::new(&self.regions, domain, &self.bar, &spec)?;
        if let Some(memory) = &self.controller_memory
            && !queue.place_submissions_in(memory)
        {
            tracing::info!(controller = self.function.name(), "its own memory has no room for another submission queue");
        }
        let addresses = queue.addresses();
        Ok((MemoryLink::new(queue, self.function.clone(), self.vector)?, addresses))
    }
}

impl Memory {
    /// Takes the function in: its registers are checked, and all memory of the process is mapped for it.
    pub(crate) async fn open(env: &Env, function: Arc<dyn Function>, options: &Options) -> Result<Memory, NvmeError> {
        let (opened, name) = (function.clone(), function.name().to_owned());
        let lost = || NvmeError::unusable(&name, "no helper thread could open it");
        let regions = env.regions.clone();
        let observer: Arc<dyn RegionObserver> = function.domain().clone();
        let seen = observer.clone();
        let work = move || {
            let bar = opened.bar(0)?;
            regions.attach(seen)?;
            Ok::<_, doorbell_pci::PciError>(bar)
        };
        let bar = env.blocking(work).await.ok_or_else(lost)??;
        let registers = Registers::new(env, bar.clone());
        let cap = registers.cap().await;
        let vectors = match function.interrupts() {
            Interrupts::Vectors(n) if options.use_interrupts => n,
            _ => 0,
        };
        let memory = Memory { function, bar, registers, cap, observer, vectors };
        let why = match cap {
            cap if cap.into_bits() == u64::MAX => "its registers read as all ones: it has gone, or its memory space is off",
            cap if cap.mpsmin() > 0 => "it has no memory pages of 4 KiB",
            cap if cap.css() & 0x41 == 0 => "it has no NVM command set",
            _ => return Ok(memory),
        };
        memory.close(env).await;
        Err(NvmeError::unusable(&name, why))
    }

    /// Unmaps the process's memory for it.
    pub(crate) async fn close(&self, env: &Env) {
        let (regions, observer, function) = (env.regions.clone(), self.observer.clone(), self.function.clone());
        env.blocking(move || {
            // A function that has gone has no configuration space.
            let _ = function.set_bus_master(false);
            regions.detach(&observer);
        })
        .await;
    }
}

impl Inner {
    /// Waits until CSTS.RDY is `ready`.
    pub(super) async fn wait_ready(&self, ready: bool, what: &'static str) -> Result<(), NvmeError> {
        let timeout_ns = u64::from(self.cap().timeout_500ms().max(1)) * TICK_NS;
        let limit = self.env.local.now().after(timeout_ns);
        loop {
            let Some(csts) = self.csts().await? else {
                return Err(doorbell_pci::PciError::Gone { function: self.name.clone() }.into());
            };
            if csts.rdy() == ready {
                return Ok(());
            }
            if csts.cfs() && ready {
                return Err(NvmeError::unusable(&self.name, "it reports a fatal error (CSTS.CFS) instead of becoming ready"));
            }
            if self.env.local.now() >= limit {
                let seconds = timeout_ns.div_ceil(1_000_000_000);
                return Err(NvmeError::TimedOut { controller: self.name.clone(), what, seconds });
            }
            self.env.local.sleep_ns(LOOK_NS).await;
        }
    }

    /// Disables the controller and sees that it is silent. A controller that does not stop is reset by its function.
    pub(super) async fn silence_memory(&self, memory: &Memory) -> Result<(), NvmeError> {
        let cc = memory.registers.cc().await;
        if cc.into_bits() != u32::MAX && cc.en() {
            // One that was just enabled may be disabled only once it is ready (Base 2.1, 3.1.4.5); one that failed never is.
            if memory.registers.csts().await.is_some_and(|csts| !csts.rdy() && !csts.cfs()) {
                let _ = self.wait_ready(true, "becoming ready before it is disabled").await;
            }
            memory.registers.set_cc(cc.with_en(false).with_shn(ShutdownNotice::NONE)).await;
        }
        if let Err(error) = self.wait_ready(false, "stopping (CSTS.RDY to become 0)").await
            && memory.registers.csts().await.is_some()
        {
            tracing::warn!(controller = %self.name, %error, "it does not stop: its function is reset");
            let function = memory.function.clone();
            let reset = self.env.blocking(move || function.reset()).await;
            reset.ok_or_else(|| NvmeError::unusable(&self.name, "no helper thread could reset it"))??;
            self.wait_ready(false, "stopping after a reset of its function").await?;
        }
        if memory.registers.note_silence().await {
            return Ok(());
        }
        Err(NvmeError::unusable(&self.name, "it became ready again by itself"))
    }

    /// Entries of the admin queue; one less is in flight at most.
    pub(super) fn admin_entries(&self) -> u16 {
        self.options.admin_queue_entries.clamp(2, 4096).min(self.cap().mqes().saturating_add(1).max(2))
    }

    /// Enables a silent controller, with a new admin queue.
    pub(super) async fn enable_memory(&self, memory: &Memory) -> Result<(), NvmeError> {
        let cap = memory.cap;
        let parts = QueueParts {
            entries: self.admin_entries(),
            pointing: Pointing::Prp,
            vector: (memory.vectors > 0).then_some(0),
            ..self.parts(memory, 1 << 17)
        };
        self.take_controller_memory(memory).await;
        let (mut link, (sq, cq)) = parts.make()?;
        let size = parts.entries - 1;
        // Only now: one that was still at work for somebody before us has stopped.
        let function = memory.function.clone();
        let master = self.env.blocking(move || function.set_bus_master(true)).await;
        master.ok_or_else(|| NvmeError::unusable(&self.name, "no helper thread could let it do DMA"))??;
        let r = &memory.registers;
        r.write32(Property::AQA, Aqa::new().with_asqs(size).with_acqs(size).into_bits()).await;
        r.write64(Property::ASQ, sq.address()).await;
        r.write64(Property::ACQ, cq.address()).await;
        link.queue.connect(0, cap.dstrd(), None)?;
        r.set_cc(Cc::new().with_en(true).with_css(self.command_sets()).with_iosqes(6).with_iocqes(4)).await;
        self.wait_ready(true, "becoming ready (CSTS.RDY)").await?;
        self.set_admin_link(AnyLink::Memory(link)).await?;
        self.admin_goes_live().await;
        Ok(())
    }

    /// What every queue of it is made of.
    pub(super) fn parts(&self, memory: &Memory, max_bytes: u32) -> QueueParts {
        let sgls = self.facts.borrow().as_ref().map_or(0, |facts| facts.identity.sgl_support());
        let pointing = match sgls {
            1 if self.options.use_sgls => Pointing::Sgl { dwords: false },
            2 if self.options.use_sgls => Pointing::Sgl { dwords: true },
            _ => Pointing::Prp,
        };
        QueueParts {
            function: memory.function.clone(),
            bar: memory.bar.clone(),
            regions: self.env.regions.clone(),
            entries: self.io_queue_entries(),
            pointing,
            max_bytes,
            vector: None,
            controller_memory: None,
        }
    }

    /// Has the controller's own memory made known, if it is to be used; otherwise sees that it is not. The controller is silent.
    async fn take_controller_memory(&self, memory: &Memory) {
        let (function, bar, is_told) = (memory.function.clone(), memory.bar.clone(), memory.cap.cmbs());
        if !self.options.use_cmb_sqs {
            if is_told {
                self.env.blocking(move || ControllerMemory::put_away(&bar)).await;
            }
            return;
        }
        let known = self.controller_memory.take();
        let look = move || match known {
            None => ControllerMemory::find(&*function),
            Some(known) => match known.enable() {
                Ok(()) => Ok(Some(known)),
                Err(error) => {
                    known.disable();
                    Err(error)
                }
            },
        };
        match self.env.blocking(look).await {
            Some(Ok(Some(found))) => {
                tracing::info!(controller = %self.name, bytes = found.bytes(), "submission queues lie in its own memory");
                *self.controller_memory.borrow_mut() = Some(found);
            }
            Some(Ok(None)) => tracing::info!(controller = %self.name, "it has no memory of its own for submission queues"),
            Some(Err(error)) => tracing::warn!(controller = %self.name, %error, "submission queues do not lie in its own memory"),
            None => {}
        }
    }

    /// The controller, which is silent, is told that it has no memory of its own.
    pub(super) async fn leave_controller_memory(&self) {
        if let Some(known) = self.controller_memory.take() {
            self.env.blocking(move || known.disable()).await;
        }
    }

    /// The places of queue `qid`'s doorbells in the shadow pages, if those are used.
    pub(crate) fn shadows(&self, qid: u16) -> Option<(Shadow, Shadow)> {
        let pages = self.facts.borrow().as_ref()?.shadows.clone()?;
        let index = u32::from(qid) * 2;
        let scale = 1u32.checked_shl(self.cap().dstrd().into())?;
        Some((pages.place(index.checked_mul(scale)?)?, pages.place((index + 1).checked_mul(scale)?)?))
    }
}
