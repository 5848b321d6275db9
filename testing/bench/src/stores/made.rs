//! Stores in files, written page by page without the services that are measured: every byte of their metadata region is really written, also
//! where it is zero, and the rest of the file is a hole.

use crate::reactor::told;
use doorbell_blobstore::InitOptions;
use doorbell_wire_blob::{
    BlobId, BsType, Chain, Cluster, EXTENT_PAGE_CLUSTERS, Flags, Geometry, Map, MdPage, PAGE_LEN, Plan, clusters_in_entry,
    write_extent_page,
};
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of a block of the file as a device.
pub(super) const BLOCK: u32 = 4096;
/// The page of the only volume's root; the pages behind it are free for its chain.
const ROOT: MdPage = MdPage(0);

/// What lies in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// One thin volume as large as the store, without a cluster.
    Empty,
    /// The same with all clusters that there are.
    Full,
    /// Volumes of 63 extent pages, each of which lists one cluster: no page of the metadata is free.
    Scattered,
}

/// How many pages of metadata a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pages {
    /// As many as stores made here get where nothing is asked for.
    Usual,
    /// One for each cluster, as SPDK makes them.
    EachCluster,
}

/// What a store is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) tebibytes: u64,
    pub(super) cluster_mib: u32,
    pub(super) pages: Pages,
    pub(super) content: Content,
}

impl Spec {
    fn plan(&self) -> Plan {
        let (device_bytes, cluster_bytes) = (self.tebibytes << 40, self.cluster_mib << 20);
        let usual = InitOptions { cluster_bytes, ..InitOptions::default() }.md_pages_on(device_bytes);
        let md_pages = (self.pages == Pages::Usual).then_some(usual);
        Plan { device_bytes, block_bytes: BLOCK, physical_block_bytes: BLOCK, cluster_bytes, md_page_bytes: 0, md_pages }
    }

    /// Bytes of its metadata region.
    pub(super) fn metadata_bytes(&self) -> Result<u64, String> {
        let found = self.plan().super_block(BsType::ANY).map_err(told)?;
        Ok(u64::from(found.md_len) * u64::from(found.md_page_bytes))
    }

    pub(super) fn name(&self) -> String {
        let Spec { tebibytes, cluster_mib, .. } = self;
        let pages = if self.pages == Pages::Usual { "usual" } else { "each cluster" };
        format!("{tebibytes} TiB, {cluster_mib} MiB, {pages}, {:?}", self.content)
    }
}

/// A store in a file, which goes away with this.
pub(super) struct Made {
    pub(super) path: PathBuf,
    pub(super) geometry: Geometry,
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Made {
    /// Writes a store that was not closed, durably.
    pub(super) fn new(folder: &Path, spec: &Spec) -> Result<Made, String> {
        let plan = spec.plan();
        let found = plan.super_block(BsType::ANY).map_err(told)?;
        let geometry = Geometry::of(&found, plan.device_bytes).map_err(told)?;
        let made = Made { path: folder.join(format!("doorbell-bench-{}-store", std::process::id())), geometry };
        let at = |error: std::io::Error| format!("{}: {error}", made.path.display());
        let file = File::create(&made.path).map_err(at)?;
        file.set_len(plan.device_bytes).map_err(at)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let mut page = [0; PAGE_LEN];
        found.encode(&mut page);
        out.write_all(&page).map_err(at)?;
        (1..geometry.md_start).try_for_each(|_| out.write_all(&[0; PAGE_LEN])).map_err(at)?;
        let written = match spec.content {
            Content::Empty => volume(&mut out, &geometry, 0)?,
            Content::Full => volume(&mut out, &geometry, geometry.data_clusters())?,
            Content::Scattered => scattered(&mut out, &geometry)?,
        };
        (written..geometry.md_len).try_for_each(|_| out.write_all(&[0; PAGE_LEN])).map_err(at)?;
        out.seek(SeekFrom::Start(0)).map_err(at)?;
        out.into_inner().map_err(|error| error.to_string())?.sync_all().map_err(at)?;
        Ok(made)
    }
}

fn flags() -> Flags {
    Flags { invalid: Flags::THIN | Flags::EXTENT_TABLE, ..Flags::default() }
}

/// One volume of all clusters, of which the first `allocated` are its own; how many pages that took.
fn volume(out: &mut impl Write, geometry: &Geometry, allocated: u32) -> Result<u32, String> {
    let id = BlobId::of_root(ROOT);
    let clusters = u64::from(geometry.data_clusters());
    let used = allocated.div_ceil(EXTENT_PAGE_CLUSTERS);
    let chain_of = |table: &[MdPage], emit: &mut dyn FnMut(MdPage, &[u8; PAGE_LEN])| {
        let map = Map::Table { clusters, pages: table };
        let chain = Chain { id, flags: flags(), xattrs: &[], internal: &[], map };
        let followers: Vec<MdPage> = (1..chain.page_count().map_err(told)? as u32).map(MdPage).collect();
        chain.write(&followers, emit).map_err(told)?;
        Ok::<u32, String>(followers.len() as u32 + 1)
    };
    let entries = clusters.div_ceil(EXTENT_PAGE_CLUSTERS.into()) as u32;
    // The table's length does not depend on how far away its pages are, as long as they follow each other.
    let table = |first: u32| (0..entries).map(|n| if n < used { MdPage(first + n) } else { MdPage::ABSENT }).collect::<Vec<_>>();
    let chain_len = chain_of(&table(u32::from(u16::MAX)), &mut |_, _| {})?;
    let mut pages = Vec::new();
    let written = chain_of(&table(chain_len), &mut |_, page| pages.extend_from_slice(page))?;
    if written != chain_len {
        return Err(format!("the chain took {written} pages and was to take {chain_len}"));
    }
    let mut page = [0; PAGE_LEN];
    for entry in 0..used {
        let first = geometry.md_clusters + entry * EXTENT_PAGE_CLUSTERS;
        let end = geometry.md_clusters + allocated;
        let covers = clusters_in_entry(entry.into(), clusters);
        let list: Vec<Cluster> = (first..first + covers).map(|n| if n < end { Cluster(n) } else { Cluster(0) }).collect();
        write_extent_page(&mut page, id, entry, &list).map_err(told)?;
        pages.extend_from_slice(&page);
    }
    out.write_all(&pages).map_err(told)?;
    Ok(chain_len + used)
}

/// Volumes of which each extent page lists its first cluster alone; how many pages that took.
fn scattered(out: &mut impl Write, geometry: &Geometry) -> Result<u32, String> {
    const PER: u32 = 64;
    let mut next = geometry.md_clusters;
    let mut page = [0; PAGE_LEN];
    let volumes = geometry.md_len / PER;
    for root in (0..volumes).map(|n| n * PER) {
        let id = BlobId::of_root(MdPage(root));
        let table: Vec<MdPage> = (1..PER).map(|n| MdPage(root + n)).collect();
        let clusters = u64::from((PER - 1) * EXTENT_PAGE_CLUSTERS);
        let map = Map::Table { clusters, pages: &table };
        let chain = Chain { id, flags: flags(), xattrs: &[], internal: &[], map };
        chain.write(&[], |_, bytes| page = *bytes).map_err(told)?;
        out.write_all(&page).map_err(told)?;
        for entry in 0..PER - 1 {
            let mut list = [Cluster(0); EXTENT_PAGE_CLUSTERS as usize];
            list[0] = Cluster(next);
            next += 1;
            write_extent_page(&mut page, id, entry, &list).map_err(told)?;
            out.write_all(&page).map_err(told)?;
        }
    }
    match next <= geometry.total_clusters {
        true => Ok(volumes * PER),
        false => Err(format!("the volumes have {next} clusters, and the store {}", geometry.total_clusters)),
    }
}
