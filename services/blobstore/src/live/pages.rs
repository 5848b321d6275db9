//! Metadata on its way to the disk, and the order in which it gets there.

use super::state::{Live, Marker, Meta, State};
use crate::Error;
use crate::blob::Parent;
use crate::disk::DEPTH;
use crate::tasks::all;
use doorbell_wire_blob::{
    BlobId, Chain, Cluster, EXTENT_PAGE_CLUSTERS, Flags, Map as WireMap, MdPage, PAGE_LEN, PageBytes, Xattr, internal, write_extent_page,
};
use std::collections::{BTreeMap, BTreeSet};

/// Of the pages of a store, one in so many is kept for what makes space: deleting, unmapping, shrinking. And no more than so many.
const KEPT_PART: u32 = 16;
const KEPT_MOST: u32 = 64;

/// Lists of clusters that entries of a table are to have.
pub(super) type Lists = BTreeMap<u64, Vec<Cluster>>;

/// May a change use the pages that are kept for those that make space?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// It takes space.
    Space,
    /// It makes space.
    Last,
}

/// A page that is to be written.
type Sheet = (MdPage, Box<PageBytes>);

/// What is to be written for a change, put together before anything is.
struct Draft {
    meta: Meta,
    root: Box<PageBytes>,
    /// All but the root.
    fresh: Vec<Sheet>,
}

impl State {
    /// A page that nobody uses, from `from` on. An extent page is never page 0, which stands for none.
    pub(super) fn take_page(&mut self, from: u32, needs: Needs) -> Result<MdPage, Error> {
        let kept = match needs {
            Needs::Space => (self.geometry.md_len / KEPT_PART).min(KEPT_MOST),
            Needs::Last => 0,
        };
        let free = self.pages.clear_bits();
        let taken = if free > kept { self.pages.take(from) } else { None };
        taken.map(MdPage).ok_or(Error::NoPages { free, kept })
    }

    async fn write_page(&self, at: MdPage, page: &PageBytes) -> Result<(), Error> {
        let offset = self.geometry.page_offset(at).ok_or(Error::Lent)?;
        let mut bytes = vec![0; self.geometry.md_page_bytes as usize];
        bytes[..PAGE_LEN].copy_from_slice(page);
        self.disk.write(offset, &bytes).await
    }

    pub(super) async fn zero_page(&self, at: MdPage) -> Result<(), Error> {
        let offset = self.geometry.page_offset(at).ok_or(Error::Lent)?;
        self.disk.zero(offset, self.geometry.md_page_bytes.into()).await
    }

    /// Writes the super block as it is meant to be, durably.
    pub(super) async fn write_super(&mut self) -> Result<(), Error> {
        if let Some(page) = self.super_bytes.first_chunk_mut() {
            self.super_block.encode(page);
        }
        let written = async {
            self.disk.write(0, &self.super_bytes).await?;
            self.disk.flush().await
        };
        if let Err(error) = written.await {
            self.stop(format!("the super block could not be written: {error}"));
            return Err(error);
        }
        Ok(())
    }

    /// The store is marked as one whose masks are not to be believed, before anything else of it is changed.
    pub(super) async fn mark(&mut self) -> Result<(), Error> {
        self.changeable()?;
        if !self.super_block.clean {
            return Ok(());
        }
        self.super_block.clean = false;
        if self.super_block.size_bytes == 0 {
            self.super_block.size_bytes = self.geometry.size_bytes;
        }
        self.write_super().await
    }

    /// Makes `meta`, with `lists` in place of what its map has there, what the disk says of a blob; that is durable then. Maps are as they were:
    /// who asked for this brings them up to date. `keeps` are pages that the blob had and another one has now.
    pub(super) async fn commit(&mut self, id: BlobId, meta: Meta, lists: &Lists, keeps: &[MdPage], needs: Needs) -> Result<(), Error> {
        self.mark().await?;
        let mut taken = Vec::new();
        let prepared = self.prepare(id, meta, lists, needs, &mut taken).await;
        let (draft, copy) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // Nothing refers to any of it.
                self.retire(taken.into_iter().collect()).await;
                return Err(error);
            }
        };
        self.write_root(id, &draft.root).await?;
        let meta = draft.meta;
        let old = self.blobs.get(&id).map(|live| live.meta.clone());
        match self.blobs.get_mut(&id) {
            Some(live) => live.meta = meta,
            None => {
                let shared = self.shared(&meta);
                self.blobs.insert(id, Live { meta, shared });
            }
        }
        let mut gone: BTreeSet<MdPage> = copy.into_iter().collect();
        if let (Some(old), Some(live)) = (old, self.blobs.get(&id)) {
            gone.extend(old.followers.iter().chain(old.table.iter().filter(|page| page.is_present())));
            let kept: BTreeSet<&MdPage> = live.meta.table.iter().chain(keeps).collect();
            gone.retain(|page| !kept.contains(page));
        }
        self.retire(gone).await;
        Ok(())
    }

    /// Puts together what a change takes and writes, durably, all but the root. Pages that it took are in `taken`, also when it fails.
    async fn prepare(
        &mut self,
        id: BlobId,
        meta: Meta,
        lists: &Lists,
        needs: Needs,
        taken: &mut Vec<MdPage>,
    ) -> Result<(Draft, Option<MdPage>), Error> {
        let draft = self.draft(id, meta, lists, needs, taken)?;
        let copy = if self.tears { Some(self.take_page(1, Needs::Last)?) } else { None };
        taken.extend(copy);
        let copied = copy.iter().map(|at| (at, &draft.root));
        let sheets = draft.fresh.iter().map(|(at, page)| (at, page)).chain(copied);
        all(DEPTH, sheets.map(|(at, page)| self.write_page(*at, page))).await?;
        self.disk.flush().await?;
        Ok((draft, copy))
    }

    /// Writes the root of a blob, durably.
    pub(super) async fn write_root(&mut self, id: BlobId, page: &PageBytes) -> Result<(), Error> {
        let written = async {
            self.write_page(id.root(), page).await?;
            self.disk.flush().await
        };
        if let Err(error) = written.await {
            self.stop(format!("the root of {id} could not be written: {error}"));
            return Err(error);
        }
        Ok(())
    }

    /// Puts together what a change takes. Pages that it took are in `taken`, also when it fails.
    fn draft(&mut self, id: BlobId, mut meta: Meta, lists: &Lists, needs: Needs, taken: &mut Vec<MdPage>) -> Result<Draft, Error> {
        let mut fresh = Vec::new();
        let blank = || Box::new([0; PAGE_LEN]);
        let mut flat = Vec::new();
        if meta.rle {
            flat = (0..meta.map.entries()).flat_map(|entry| lists.get(&entry).cloned().unwrap_or_else(|| meta.map.list(entry))).collect();
        } else {
            meta.table.resize(meta.map.entries() as usize, MdPage::ABSENT);
            let mended = meta.ragged.iter().filter(|entry| !lists.contains_key(entry)).map(|entry| (*entry, meta.map.list(*entry)));
            let mended: Lists = mended.collect();
            for (entry, list) in lists.iter().chain(&mended) {
                let bare = meta.flags.is_thin() && list.iter().all(|cluster| !cluster.is_some());
                let page = if bare { MdPage::ABSENT } else { self.take_page(1, needs)? };
                if page.is_present() {
                    taken.push(page);
                    let mut sheet = blank();
                    write_extent_page(&mut sheet, id, *entry as u32, list)?;
                    fresh.push((page, sheet));
                }
                if let Some(slot) = meta.table.get_mut(*entry as usize) {
                    *slot = page;
                }
                meta.ragged.remove(entry);
            }
        }
        let number = |of: BlobId| of.to_raw().to_le_bytes();
        let parent = match &meta.parent {
            Parent::Snapshot(parent) => Some((internal::SNAP, number(*parent).to_vec())),
            Parent::External(name) => Some((internal::EXTSNAP, name.clone())),
            Parent::None => None,
        };
        let marker = meta.marker.map(|marker| match marker {
            Marker::MadeOf(of) => (internal::SNAPTMP, number(of).to_vec()),
            Marker::DeletedInto(into) => (internal::SNAPRM, number(into).to_vec()),
        });
        let internal: Vec<Xattr<'_>> = parent.iter().chain(&marker).map(|(name, value)| Xattr { name, value }).collect();
        meta.flags.invalid = with(meta.flags.invalid, Flags::INTERNAL_XATTR, !internal.is_empty());
        meta.flags.invalid = with(meta.flags.invalid, Flags::EXTENT_TABLE, !meta.rle);
        meta.flags.invalid = with(meta.flags.invalid, Flags::EXTERNAL_SNAPSHOT, matches!(meta.parent, Parent::External(_)));
        let xattrs: Vec<Xattr<'_>> = meta.xattrs.iter().map(|(name, value)| Xattr { name, value }).collect();
        let map = match meta.rle {
            true => WireMap::Rle(&flat),
            false => WireMap::Table { clusters: meta.map.clusters(), pages: &meta.table },
        };
        let chain = Chain { id, flags: meta.flags, xattrs: &xattrs, internal: &internal, map };
        let followers = (1..chain.page_count()?).map(|_| self.take_page(0, needs).inspect(|page| taken.push(*page)));
        let followers = followers.collect::<Result<Vec<_>, _>>()?;
        let mut root = blank();
        chain.write(&followers, |at, page| match at == id.root() {
            true => *root = *page,
            false => fresh.push((at, Box::new(*page))),
        })?;
        meta.followers = followers;
        Ok(Draft { meta, root, fresh })
    }

    /// Writes extent pages in place, durably. Only where the device writes a page whole or not at all.
    async fn rewrite(&mut self, id: BlobId, lists: &Lists) -> Result<(), Error> {
        self.mark().await?;
        let mut sheets = Vec::new();
        let table = self.meta(id)?.table.clone();
        for (entry, list) in lists {
            let mut sheet = Box::new([0; PAGE_LEN]);
            write_extent_page(&mut sheet, id, *entry as u32, list)?;
            sheets.push((table.get(*entry as usize).copied().unwrap_or_default(), sheet));
        }
        let written = async {
            all(DEPTH, sheets.iter().map(|(at, page)| self.write_page(*at, page))).await?;
            self.disk.flush().await
        };
        if let Err(error) = written.await {
            self.stop(format!("extent pages of {id} could not be written: {error}"));
            return Err(error);
        }
        if let Some(live) = self.blobs.get_mut(&id) {
            live.meta.ragged.retain(|entry| !lists.contains_key(entry));
        }
        Ok(())
    }

    /// Entries of a blob's table get other clusters, durably.
    pub(super) async fn write_lists(&mut self, id: BlobId, lists: &Lists, needs: Needs) -> Result<(), Error> {
        let meta = self.meta(id)?;
        let present = |entry: &u64| meta.table.get(*entry as usize).is_some_and(|page| page.is_present());
        if !self.tears && !meta.rle && lists.keys().all(present) {
            return self.rewrite(id, lists).await;
        }
        self.commit(id, meta.clone(), lists, &[], needs).await
    }

    /// The root of a blob goes: it is none from then on, durably. Its other pages are left as they are.
    pub(super) async fn erase_root(&mut self, id: BlobId) -> Result<(), Error> {
        self.mark().await?;
        let mut copy = None;
        if self.tears {
            let offset = self.geometry.page_offset(id.root()).ok_or(Error::Lent)?;
            let bytes = self.disk.read(offset, PAGE_LEN.next_multiple_of(self.disk.info().block_size() as usize)).await?;
            let page = self.take_page(1, Needs::Last)?;
            copy = Some(page);
            let copied = async {
                self.write_page(page, bytes.first_chunk().ok_or(Error::Lent)?).await?;
                self.disk.flush().await
            };
            if let Err(error) = copied.await {
                self.pages.clear(page.0);
                return Err(error);
            }
        }
        let zeroed = async {
            self.zero_page(id.root()).await?;
            self.disk.flush().await
        };
        if let Err(error) = zeroed.await {
            self.stop(format!("the root of {id} could not be zeroed: {error}"));
            return Err(error);
        }
        if self.tears {
            // Before its page is anything else's: a torn page of which there is a copy is taken for a root.
            self.retire(copy.into_iter().collect()).await;
            self.disk.flush().await?;
        }
        Ok(())
    }

    /// Pages that nobody refers to any more are zeroed, and free.
    pub(super) async fn retire(&mut self, gone: BTreeSet<MdPage>) {
        let zeroed = all(DEPTH, gone.iter().map(|page| self.zero_page(*page))).await;
        match zeroed {
            Ok(()) => self.pages.clear_all(gone.into_iter().map(|page| page.0)),
            // They stay used until the store is loaded again.
            Err(error) => tracing::warn!(%error, "pages of a volume store that are free could not be zeroed"),
        }
    }
}

/// Changes to clusters, as lists of the entries that they lie in.
pub(super) fn changed(meta: &Meta, changes: impl Iterator<Item = (u64, Cluster)>) -> Lists {
    let mut lists = Lists::new();
    for (at, cluster) in changes {
        let entry = at / u64::from(EXTENT_PAGE_CLUSTERS);
        let list = lists.entry(entry).or_insert_with(|| meta.map.list(entry));
        if let Some(slot) = list.get_mut((at % u64::from(EXTENT_PAGE_CLUSTERS)) as usize) {
            *slot = cluster;
        }
    }
    lists
}

fn with(bits: u64, flag: u64, set: bool) -> u64 {
    bits & !flag | if set { flag } else { 0 }
}
