//! A controller over NVMe/TCP: connections instead of rings, properties instead of registers, and keep-alive.

use super::Inner;
use super::memory::LOOK_NS;
use super::paths::{Path, Paths};
use crate::address::TcpAddress;
use crate::admin::Payload;
use crate::error::NvmeError;
use crate::link::AnyLink;
use crate::link::tcp::{DEPTH_MAX, HostName, TcpLink, TcpOffer, TcpSpec};
use crate::link::{Raw, Stage};
use crate::shared::PairId;
use crate::time::within;
use doorbell_wire_nvme::fabrics::CNTLID_DYNAMIC;
use doorbell_wire_nvme::register::{Cap, Cc, Property};
use doorbell_wire_nvme::{AdminCommand, FabricsCommand, PropertyGet, PropertySet};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// How a subsystem over TCP is reached.
#[derive(Clone)]
pub struct TcpOptions {
    /// Who connects.
    pub host: HostName,
    /// Digests and alignment.
    pub offer: TcpOffer,
    /// Let the controller say how far it has read its queues.
    pub flow_control: bool,
    /// How long it may take until a queue is connected, in milliseconds.
    pub connect_timeout_ms: u32,
}

/// A subsystem over TCP.
pub(crate) struct Tcp {
    pub(super) paths: Paths,
    pub(super) cap: Cell<Cap>,
    cntlid: Cell<u16>,
}

impl Tcp {
    pub(super) fn new(address: TcpAddress, options: TcpOptions) -> Tcp {
        Tcp { paths: Paths::new(address, options), cap: Cell::new(Cap::new()), cntlid: Cell::new(CNTLID_DYNAMIC) }
    }
}

impl Inner {
    /// What a connection is to be; names are looked up each time, since a target may move.
    async fn spec(&self, tcp: &Tcp, path: &Path, qid: u16) -> Result<TcpSpec, NvmeError> {
        let address = path.address.clone();
        let found = self.env.blocking(move || Ok::<_, crate::address::ResolveError>((address.resolve()?, address.resolve_source()?))).await;
        let found = found.ok_or_else(|| NvmeError::unusable(&self.name, "no helper thread could look its address up"))?;
        let (addresses, source) = found.map_err(|e| NvmeError::unusable(&self.name, e.to_string()))?;
        let entries = match qid {
            0 => self.options.admin_queue_entries,
            _ => self.io_queue_entries(),
        };
        let in_capsule = self.facts.borrow().as_ref().map_or(0, |facts| {
            let raw = &facts.identity.raw;
            if raw.icdoff.get() == 0 { u32::try_from(raw.in_capsule_len()).unwrap_or(u32::MAX) } else { 0 }
        });
        Ok(TcpSpec {
            addresses,
            source,
            priority: path.address.priority,
            subsystem: path.address.subsystem.clone(),
            host: path.options.host.clone(),
            offer: path.options.offer,
            qid,
            cntlid: if qid == 0 { CNTLID_DYNAMIC } else { tcp.cntlid.get() },
            depth: entries.max(2).saturating_sub(1).min(DEPTH_MAX),
            keep_alive_ms: self.options.keep_alive_ms,
            flow_control: path.options.flow_control,
            in_capsule,
            connect_timeout_ns: u64::from(path.options.connect_timeout_ms) * 1_000_000,
        })
    }

    fn refused(&self, why: impl Into<String>) -> NvmeError {
        NvmeError::unusable(&self.name, why)
    }

    /// Connects the admin queue and enables the controller.
    pub(super) async fn enable_tcp(&self, tcp: &Tcp) -> Result<(), NvmeError> {
        let spec = self.spec(tcp, &tcp.paths.take_first(), 0).await?;
        let link = TcpLink::begin(self.env.local.now(), spec).map_err(|f| self.refused(f.to_string()))?;
        self.set_admin_link(AnyLink::other(link)).await?;
        let cntlid = loop {
            let pair = self.admin_pair.clone();
            let stage = self.env.local.with(move |cx| pair.borrow_mut().advance(cx)).await;
            match stage {
                Stage::Ready { cntlid } => break cntlid,
                Stage::Failed(why) => return Err(self.refused(why)),
                Stage::Connecting => self.env.local.sleep_ns(LOOK_NS).await,
            }
        };
        tcp.cntlid.set(cntlid);
        self.admin_goes_live().await;
        tcp.cap.set(Cap::from_bits(self.property(Property::CAP).await?));
        let cc = Cc::new().with_en(true).with_css(self.command_sets()).with_iosqes(6).with_iocqes(4);
        self.set_property(Property::CC, cc.into_bits().into()).await?;
        self.wait_ready(true, "becoming ready (CSTS.RDY)").await
    }

    /// Connects an I/O queue on its reactor. False: the pair has gone meanwhile.
    pub(super) async fn connect_queue(&self, tcp: &Tcp, id: PairId, qid: u16) -> Result<bool, NvmeError> {
        let spec = self.spec(tcp, &tcp.paths.used(), qid).await?;
        let begun = self.visit(id, move |cx, pair| {
            let link = TcpLink::begin(cx.now(), spec).map_err(|f| f.to_string())?;
            pair.set_link(AnyLink::other(link)).map_err(|e| e.to_string())
        });
        match begun.await {
            None => return Ok(false),
            Some(Err(why)) => return Err(self.refused(why)),
            Some(Ok(())) => {}
        }
        loop {
            match self.visit(id, |cx, pair| pair.advance(cx)).await {
                None => return Ok(false),
                Some(Stage::Ready { .. }) => break,
                Some(Stage::Failed(why)) => return Err(self.refused(why)),
                Some(Stage::Connecting) => self.env.local.sleep_ns(LOOK_NS).await,
            }
        }
        Ok(self.visit(id, |cx, pair| pair.go_live(cx)).await.is_some())
    }

    pub(super) async fn property(&self, property: Property) -> Result<u64, NvmeError> {
        let get = PropertyGet { len: property.size(), property };
        let answer = self.command("Property Get", FabricsCommand::PropertyGet(get).encode(), Payload::None).await?;
        Ok(answer.cqe.result())
    }

    pub(super) async fn set_property(&self, property: Property, value: u64) -> Result<(), NvmeError> {
        let set = PropertySet { len: property.size(), property, value };
        self.command("Property Set", FabricsCommand::PropertySet(set).encode(), Payload::None).await.map(drop)
    }

    /// Says now and then that this host lives, until the controller is brought up anew.
    pub(super) fn keep_alive(self: &Rc<Self>) {
        let (inner, epoch) = (self.clone(), self.epoch.get());
        let lost_epoch = self.shared.epoch.load(Ordering::Acquire);
        let period_ns = u64::from(self.options.keep_alive_ms) * 1_000_000 / 2;
        if period_ns == 0 {
            return;
        }
        self.env.local.spawn(async move {
            while inner.epoch.get() == epoch {
                inner.env.local.sleep_ns(period_ns).await;
                if inner.epoch.get() != epoch {
                    return;
                }
                let raw = Raw { sqe: AdminCommand::KeepAlive.encode(), pages: None };
                // One that is silent for longer than it may hear nothing itself has gone.
                let why = match within(&inner.env.local, 2 * period_ns, inner.admin.run(raw, Payload::None)).await {
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => format!("Keep Alive: {error}"),
                    None => "Keep Alive was not answered in time".to_owned(),
                };
                if inner.epoch.get() == epoch {
                    inner.shared.tell(crate::shared::Event::Lost(lost_epoch, why));
                }
                return;
            }
        });
    }
}
