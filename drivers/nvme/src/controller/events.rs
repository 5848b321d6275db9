//! Asynchronous events: asked for, read, acted upon, asked for again (Base 2.1, 5.1.2).

use super::{Change, Inner};
use crate::admin::Payload;
use crate::shared::Event;
use doorbell_wire_nvme::event::{AsyncEvent, EventType};
use doorbell_wire_nvme::feature::AsyncEventConfig;
use doorbell_wire_nvme::log::ChangedZones;
use doorbell_wire_nvme::{AdminCommand, FeatureId, LogId, NSID_ALL, SetFeatures, view};
use std::rc::Rc;

/// Requests for events at once.
const REQUESTS: u8 = 4;

impl Inner {
    /// Asks for the events that are acted upon, and starts to wait for them.
    pub(super) async fn await_events(self: &Rc<Self>) {
        let Some(identity) = self.facts.borrow().as_ref().map(|facts| facts.identity.clone()) else { return };
        let offered = AsyncEventConfig::from_bits(identity.raw.oaes.get());
        let wanted = AsyncEventConfig::new()
            .with_smart(0xff)
            .with_namespace(offered.namespace())
            .with_firmware(offered.firmware())
            .with_zones(offered.zones());
        let wanted = if self.is_discovery() { AsyncEventConfig::new().with_discovery(true) } else { wanted };
        let set = SetFeatures { fid: FeatureId::ASYNC_EVENT_CONFIG, cdw11: wanted.into_bits(), ..SetFeatures::default() };
        if let Err(error) = self.command("Set Features", AdminCommand::SetFeatures(set).encode(), Payload::None).await {
            tracing::debug!(controller = %self.name, %error, "events could not be chosen");
        }
        let epoch = self.epoch.get();
        // Half of a short queue is left to commands that are answered.
        let most = REQUESTS.min(identity.raw.aerl.saturating_add(1)).into();
        for _ in 0..(self.admin_entries() - 1).div_euclid(2).min(most) {
            let inner = self.clone();
            self.env.local.spawn(async move { inner.heed(epoch).await });
        }
    }

    fn is_discovery(&self) -> bool {
        self.facts.borrow().as_ref().is_some_and(|facts| facts.identity.is_discovery())
    }

    /// One request for events after another, until the controller is brought up anew.
    async fn heed(self: Rc<Self>, epoch: u64) {
        while self.epoch.get() == epoch {
            let answer = self.admin.send(AdminCommand::AsyncEventRequest.encode(), Payload::None).await;
            let Ok(answer) = answer else { return };
            if !answer.cqe.status().is_ok() || self.epoch.get() != epoch {
                return;
            }
            self.act(AsyncEvent::from_bits(answer.cqe.dw0.get()), answer.cqe.dw1.get()).await;
        }
    }

    /// `parameter` is dword 1: for zones, their namespace.
    async fn act(&self, event: AsyncEvent, parameter: u32) {
        let (kind, info, lid) = (event.event_type(), event.info(), event.lid());
        tracing::info!(controller = %self.name, kind = kind.name().unwrap_or("unknown"), info, log = lid.name().unwrap_or("unknown"), "event");
        // Reading the page lets the controller tell the next event of the kind.
        let bytes = match lid {
            LogId::ERROR => 64,
            LogId::SMART | LogId::FIRMWARE_SLOT | LogId::SANITIZE => 512,
            LogId::CHANGED_NAMESPACES | LogId::CHANGED_ZONES => 4096,
            _ => 0,
        };
        let nsid = if lid == LogId::CHANGED_ZONES { parameter } else { NSID_ALL };
        if bytes > 0 {
            match self.log_page(lid, nsid, bytes).await {
                Ok(page) if lid == LogId::CHANGED_ZONES => self.tell_of_zones(nsid, &page.data),
                Ok(_) => {}
                Err(error) => tracing::warn!(controller = %self.name, %error, "the log page of an event could not be read"),
            }
        }
        if kind == EventType::NOTICE && info == AsyncEvent::NAMESPACE_CHANGED.info() {
            self.shared.tell(Event::Rescan);
        }
        if kind == EventType::NOTICE && info == AsyncEvent::DISCOVERY_CHANGED.info() {
            self.tell(Change::Log);
        }
    }

    /// Nothing is kept of zones: the next report shows them as they are now.
    fn tell_of_zones(&self, nsid: u32, page: &[u8]) {
        let Some(changed) = view::<ChangedZones>(page) else { return };
        match changed.iter() {
            Some(zones) => zones.for_each(|zone| tracing::warn!(controller = %self.name, nsid, zone, "a zone changed by itself")),
            None => tracing::warn!(controller = %self.name, nsid, "more zones changed by themselves than their list holds"),
        }
    }
}
