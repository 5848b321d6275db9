//! A store is loaded: read, and brought in order on the disk where it was not closed.
//!
//! Whatever is done here is done in such an order that it may be interrupted anywhere, and is done again by the next load.

use super::pages::{Lists, Needs};
use super::state::{Live, Meta, State};
use crate::bits::Bits;
use crate::disk::Disk;
use crate::hub::Hub;
use crate::{Error, Finding, OpenOptions, Store};
use doorbell_block::{BlockDevice, DeviceInfo};
use doorbell_reactor::Local;
use doorbell_wire_blob::{BlobId, BsType, Damage, Flags, Geometry, PAGE_LEN};
use std::collections::BTreeMap;
use std::sync::Arc;

/// May the device tear a page of metadata when the power goes?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tearing {
    /// As it says of itself: where it does not promise that 4096 bytes survive whole or not at all, it may.
    #[default]
    AsReported,
    /// It may.
    Possible,
    /// It does not, whatever it says.
    Never,
}

/// How to load a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// The type that it has to be of; [`BsType::ANY`] for any.
    pub expected: BsType,
    /// Look at all metadata, as after a crash, also when the store says that it was closed.
    pub recover: bool,
    /// Does the device write pages of 4096 bytes whole?
    pub tearing: Tearing,
}

pub(super) fn tears(info: &DeviceInfo, tearing: Tearing) -> bool {
    match tearing {
        Tearing::AsReported => (u64::from(info.atomic.power_fail_blocks.max(1)) << info.block_shift) < PAGE_LEN as u64,
        Tearing::Possible => true,
        Tearing::Never => false,
    }
}

/// Can pages be written one by one?
pub(super) fn fits(disk: &Disk, geometry: &Geometry) -> Result<(), Error> {
    let info = disk.info();
    let unit = u64::from(info.limits.write_unit_blocks.max(1)) << info.block_shift;
    match u64::from(geometry.md_page_bytes).is_multiple_of(unit) {
        true => Ok(()),
        false => Err(Error::WriteUnit { unit, page_bytes: geometry.md_page_bytes }),
    }
}

pub(super) async fn load(local: &Local, device: Arc<dyn BlockDevice>, hub: &Arc<Hub>, options: &LoadOptions) -> Result<State, Error> {
    let disk = Disk::open(local, device.clone()).await?;
    let info = disk.info().clone();
    let store = Store::read(&disk, device.clone(), &OpenOptions { expected: options.expected, recover: options.recover }).await?;
    fits(&disk, &store.geometry)?;
    let super_bytes = disk.read(0, PAGE_LEN.next_multiple_of(info.block_size() as usize)).await?;
    let stopped = if info.read_only { Some("the device is read-only".to_owned()) } else { why_not(&store) };
    let Store { super_block, geometry, blobs, unusable, used, used_pages, resolved, restored, copies, findings, doubts, .. } = store;
    let mut state = State {
        local: local.clone(),
        tears: tears(&info, options.tearing),
        device,
        disk,
        hub: hub.clone(),
        super_bytes,
        super_block,
        geometry,
        pages: used_pages,
        clusters: used,
        blank: Bits::new(geometry.total_clusters),
        blobs: BTreeMap::new(),
        unusable,
        findings,
        outsides: BTreeMap::new(),
        stopped: None,
        said_full: false,
    };
    let metas: Vec<(BlobId, Meta)> = blobs.into_iter().map(|(id, blob)| (id, Meta::of(blob))).collect();
    for (id, meta) in metas {
        // What it shows of its parents comes when all are there.
        let shared = state.shared(&meta);
        state.blobs.insert(id, Live { meta, shared });
    }
    let again: Vec<_> = state.blobs.iter().map(|(id, live)| (*id, state.shared(&live.meta))).collect();
    for (id, shared) in again {
        if let Some(live) = state.blobs.get_mut(&id) {
            live.shared = shared;
        }
    }
    if let Some(why) = stopped {
        state.stop(why);
        return Ok(state);
    }
    if !restored.is_empty() || !copies.is_empty() {
        state.mark().await?;
        for (root, bytes) in restored {
            state.write_root(BlobId::of_root(root), &bytes).await?;
        }
        state.retire(copies).await;
        state.disk.flush().await?;
    }
    // What those had that go is another's, or nobody's, and is not among what is used. It is, until they are gone: this may be interrupted.
    let go: Vec<u32> = resolved.iter().flat_map(|found| &found.pages).map(|page| page.0).filter(|page| !state.pages.has(*page)).collect();
    state.pages.set_all(go.iter().copied());
    for found in resolved {
        if found.kept {
            state.keep(found.id, found.shared).await?;
        } else {
            state.erase_root(found.id).await?;
        }
    }
    state.pages.clear_all(go);
    if !doubts.is_empty() {
        // So that the masks are written anew.
        state.mark().await?;
    }
    Ok(state)
}

/// Why the metadata of a store must not be changed: what is wrong might be made worse.
fn why_not(store: &Store) -> Option<String> {
    let is_grave = |finding: &&Finding| match finding {
        Finding::Page(fault) => match fault.damage {
            // What was torn before anything referred to it is nobody's. A root that is damaged says so itself, for all that is known.
            Damage::Checksum { id, sequence, .. } => sequence == 0 && id == BlobId::of_root(fault.page).to_raw(),
            _ => true,
        },
        Finding::Unreadable(_) | Finding::TwoOwners { .. } => true,
        Finding::Blob { .. } => !store.whole,
        Finding::NoRoot { .. } => true,
        // Masks that were not believed say nothing, but where a blob was when they were written.
        Finding::Interrupted { .. }
        | Finding::MaskLacks { .. }
        | Finding::Leaked { .. }
        | Finding::Mask(_)
        | Finding::MaskUnreadable(_) => false,
    };
    let grave: Vec<String> = store.findings.iter().chain(&store.doubts).filter(is_grave).map(ToString::to_string).collect();
    (!grave.is_empty()).then(|| grave.join("; "))
}

impl State {
    /// A snapshot of which an operation was interrupted stays: its clone gives up what it listed of it already.
    async fn keep(&mut self, id: BlobId, shared: Option<(BlobId, std::collections::BTreeSet<u64>)>) -> Result<(), Error> {
        if let Some((clone, entries)) = shared {
            let meta = self.meta(clone)?.clone();
            let lists: Lists = entries.into_iter().map(|entry| (entry, meta.map.list(entry))).collect();
            let theirs = self.meta(id)?.table.clone();
            self.commit(clone, meta, &lists, &theirs, Needs::Last).await?;
        }
        let mut meta = self.meta(id)?.clone();
        meta.marker = None;
        meta.flags.data_ro |= Flags::READ_ONLY;
        self.commit(id, meta, &Lists::new(), &[], Needs::Last).await?;
        let shared = self.shared(self.meta(id)?);
        if let Some(live) = self.blobs.get_mut(&id) {
            live.shared = shared;
        }
        Ok(())
    }
}
