//! The namespaces of a controller: found, and found again when they change.

use super::Inner;
use crate::error::{CommandError, NvmeError};
use crate::namespace::{Described, Namespace, Pages, ZonedPages};
use crate::status::may_repeat;
use doorbell_wire_nvme::identify::{self, Ctratt, NamespaceId, NamespaceIds, NamespaceList, NvmController, ZonedController};
use doorbell_wire_nvme::{Cns, Csi, NSID_ALL, Wire, bytes};
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

/// Is it the controller that does not answer, rather than a namespace that is not to be had?
fn is_silence(error: &NvmeError) -> bool {
    matches!(error, NvmeError::TimedOut { .. } | NvmeError::Command { source: CommandError::NotDone(_), .. })
}

/// Namespaces of a controller at most. One that says it has more is believed up to here.
const NAMESPACES: usize = 4096;

impl Inner {
    /// Looks which namespaces there are, and tells what has changed.
    pub(super) async fn scan(&self) -> Result<(), NvmeError> {
        let present = self.active().await?;
        let limits = self.limits().await?;
        let known: BTreeSet<u32> = self.namespaces.borrow().keys().copied().collect();
        for nsid in known.difference(&present) {
            self.forget(*nsid);
        }
        for nsid in present {
            match self.describe_patiently(nsid, limits.as_deref()).await {
                Ok(described) => self.note(nsid, described),
                // A controller that does not answer would be waited for as often as it has namespaces.
                Err(error) if is_silence(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(controller = %self.name, nsid, %error, "a namespace is left out");
                    // Nobody knows whether it still is what is open.
                    self.forget(nsid);
                }
            }
        }
        Ok(())
    }

    /// A namespace is not there any more, or not as it was.
    pub(super) fn forget(&self, nsid: u32) {
        let left = self.namespaces.borrow_mut().remove(&nsid);
        if let Some(left) = left {
            left.leave();
            self.tell(Change::Left(left));
        }
    }

    /// Describes a namespace; one that is not ready just now is asked a few times.
    async fn describe_patiently(&self, nsid: u32, limits: Option<&NvmController>) -> Result<Described, NvmeError> {
        const TRIES: u32 = 4;
        const PAUSE_NS: u64 = 250_000_000;
        let mut tries = 1;
        loop {
            match self.describe(nsid, limits).await {
                Err(NvmeError::Command { source: CommandError::Status(status), .. }) if may_repeat(status) && tries < TRIES => {
                    tries += 1;
                    self.env.local.sleep_ns(PAUSE_NS).await;
                }
                other => return other,
            }
        }
    }

    /// A page of Identify that not all controllers have.
    async fn identify_optional<T: Wire + Clone>(&self, cns: Cns, nsid: u32) -> Result<Option<Box<T>>, NvmeError> {
        match self.identify_cns::<T>(cns, nsid, Csi::NVM).await {
            Ok(page) => Ok(Some(page)),
            Err(NvmeError::Command { source: CommandError::Status(status), .. }) if !may_repeat(status) => Ok(None),
            Err(error) => Err(error),
        }
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
            self.forget(nsid);
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
    async fn limits(&self) -> Result<Option<Box<NvmController>>, NvmeError> {
        self.identify_optional(Cns::CSI_CONTROLLER, 0).await
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
        if let Some(page) = self.identify_optional::<NamespaceList>(Cns::NAMESPACE_DESCRIPTORS, nsid).await? {
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
        // One entry of a ring stays free.
        let pages = Pages { limits, extended: extended.as_deref(), holds_pairs: self.io_queue_entries() > 2 };
        Described::new(raw, &facts.identity, facts.max_bytes, &pages, csi, zoned.as_ref(), (uuid, nguid, eui64))
            .map_err(|why| NvmeError::unusable(&self.name, why))
    }
}
