//! The namespaces of a controller: found, and found again when they change.

use super::Inner;
use crate::error::NvmeError;
use crate::namespace::{Described, Namespace, Pages, ZonedPages};
use doorbell_wire_nvme::identify::{self, Ctratt, NamespaceId, NamespaceIds, NamespaceList, NvmController, ZonedController};
use doorbell_wire_nvme::{Cns, Csi, NSID_ALL, bytes};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What happened to a namespace, or to all.
#[derive(Clone)]
pub enum Change {
    /// It is there.
    Arrived(Arc<Namespace>),
    /// It is not there any more. What is open on it fails.
    Left(Arc<Namespace>),
    /// It has another size.
    Resized(Arc<Namespace>),
    /// A discovery controller's log is another one now.
    Log,
    /// It was reset or lost, and is back, perhaps by another path and under another number.
    Back,
    /// The controller is lost or was let go; its namespaces have left.
    Ended,
}

/// Who is told of changes.
pub type Watcher = Box<dyn Fn(Change)>;

/// Namespaces of a controller at most. One that says it has more is believed up to here.
const NAMESPACES: usize = 4096;

impl Inner {
    /// Looks which namespaces there are, and tells what has changed.
    pub(super) async fn scan(&self) -> Result<(), NvmeError> {
        let present = self.active().await?;
        let limits = self.limits().await;
        let known: BTreeSet<u32> = self.namespaces.borrow().keys().copied().collect();
        for nsid in known.difference(&present) {
            let left = self.namespaces.borrow_mut().remove(nsid);
            if let Some(left) = left {
                left.leave();
                self.tell(Change::Left(left));
            }
        }
        for nsid in present {
            match self.describe(nsid, limits.as_deref()).await {
                Ok(described) => self.note(nsid, described),
                // One that does not answer would be waited for as often as it has namespaces.
                Err(error @ NvmeError::TimedOut { .. }) => return Err(error),
                Err(error) => tracing::error!(controller = %self.name, nsid, %error, "a namespace is left out"),
            }
        }
        Ok(())
    }

    fn note(&self, nsid: u32, described: Described) {
        let known = self.namespaces.borrow().get(&nsid).cloned();
        if let Some(known) = known {
            if known.is_same(&described) {
                if known.refresh(&described) {
                    self.tell(Change::Resized(known));
                }
                return;
            }
            // Another namespace, or another format, under the same number.
            known.leave();
            self.namespaces.borrow_mut().remove(&nsid);
            self.tell(Change::Left(known));
        }
        let namespace = Arc::new(Namespace::new(self.shared.clone(), nsid, described));
        self.namespaces.borrow_mut().insert(nsid, namespace.clone());
        self.tell(Change::Arrived(namespace));
    }

    pub(super) fn tell(&self, change: Change) {
        if let Some(watcher) = &*self.watcher.borrow() {
            watcher(change);
        }
    }

    /// Identifiers of the active namespaces, list by list.
    async fn active(&self) -> Result<BTreeSet<u32>, NvmeError> {
        let mut found = BTreeSet::new();
        let mut after = 0;
        loop {
            let list: Box<NamespaceList> = self.identify_cns(Cns::ACTIVE_NAMESPACES, after, Csi::NVM).await?;
            let more: Vec<u32> = list.iter().collect();
            // They rise; a list that does not would never end.
            let rising = more.iter().try_fold(after, |last, &n| (n > last && n < NSID_ALL).then_some(n));
            let Some(last) = rising else {
                return Err(NvmeError::unusable(&self.name, "its list of namespaces does not rise"));
            };
            found.extend(&more);
            if more.len() < 1024 || found.len() >= NAMESPACES {
                return Ok(found.into_iter().take(NAMESPACES).collect());
            }
            after = last;
        }
    }

    /// Limits of the NVM command set. Controllers before 2.0 have no such page.
    async fn limits(&self) -> Option<Box<NvmController>> {
        self.identify_cns(Cns::CSI_CONTROLLER, 0, Csi::NVM).await.ok()
    }

    async fn zoned(&self, nsid: u32) -> Result<ZonedPages, NvmeError> {
        let namespace = self.identify_cns(Cns::CSI_NAMESPACE, nsid, Csi::ZONED).await?;
        let controller: Box<ZonedController> = self.identify_cns(Cns::CSI_CONTROLLER, 0, Csi::ZONED).await?;
        Ok(ZonedPages { namespace, append_log2: controller.zasl })
    }

    async fn describe(&self, nsid: u32, limits: Option<&NvmController>) -> Result<Described, NvmeError> {
        let raw: Box<identify::Namespace> = self.identify_cns(Cns::NAMESPACE, nsid, Csi::NVM).await?;
        let (mut uuid, mut csi) = (None, Csi::NVM);
        let (mut nguid, mut eui64) = (raw.nguid, raw.eui64);
        // Optional before 1.3: a namespace without descriptors is one of the NVM command set.
        if let Ok(page) = self.identify_cns::<NamespaceList>(Cns::NAMESPACE_DESCRIPTORS, nsid, Csi::NVM).await {
            for id in NamespaceIds::new(bytes(&*page)) {
                match id {
                    NamespaceId::Uuid(id) => uuid = Some(id),
                    NamespaceId::Csi(id) => csi = id,
                    NamespaceId::Nguid(id) => nguid = id,
                    NamespaceId::Eui64(id) => eui64 = id,
                    NamespaceId::Other(..) => {}
                }
            }
        }
        let zoned = if csi == Csi::ZONED { Some(self.zoned(nsid).await?) } else { None };
        let facts = self.facts.borrow().clone();
        let facts = facts.ok_or_else(|| NvmeError::unusable(&self.name, "it is not identified"))?;
        // What is protected may be cut in another way than it was before 2.0 (NVM 1.1, 4.1.5.3).
        let is_protected = raw.dps & 7 != 0 && raw.format().ms.get() > 0;
        let extended = match is_protected && Ctratt::from_bits(facts.identity.raw.ctratt.get()).elbas() {
            true => Some(self.identify_cns(Cns::CSI_NAMESPACE, nsid, Csi::NVM).await?),
            false => None,
        };
        let pages = Pages { limits, extended: extended.as_deref() };
        Described::new(raw, &facts.identity, facts.max_bytes, &pages, csi, zoned.as_ref(), (uuid, nguid, eui64))
            .map_err(|why| NvmeError::unusable(&self.name, why))
    }
}
