//! A blob as its metadata describes it, put together from the pages of a scan.

use crate::map::{Extent, Map};
use crate::scan::Scan;
use doorbell_wire_blob::{
    BlobId, BlobRef, ChainPage, ChainReader, Cluster, Flags, Geometry, Head, MapKind, MdPage, Part, clusters_in_entry,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most clusters of a blob that is opened: 2^28, which are a pebibyte of clusters of 4 MiB. A page of metadata may claim any number, and each
/// 512 of them cost memory here.
pub(crate) const CLUSTERS_MAX: u64 = 1 << 28;

/// What a blob shows when its own cluster is not allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent {
    /// Zeroes.
    None,
    /// A snapshot of the same store.
    Snapshot(BlobId),
    /// A device outside of the store, by what the store calls it.
    External(Vec<u8>),
}

/// A name and a value.
pub type Attribute = (Vec<u8>, Vec<u8>);

/// A blob that can be used.
pub(crate) struct Blob {
    pub(crate) flags: Flags,
    pub(crate) xattrs: Vec<Attribute>,
    pub(crate) parent: Parent,
    pub(crate) map: Arc<Map>,
    pub(crate) head: Head,
    /// Pages of its chain behind the root.
    pub(crate) followers: Vec<MdPage>,
    /// Its extent pages, one or none for each 512 clusters; nothing in a blob that lists its clusters in the chain.
    pub(crate) table: Vec<MdPage>,
    /// Entries of the table whose page lists more or fewer clusters than it should.
    pub(crate) ragged: BTreeSet<u64>,
}

impl Blob {
    /// Are its clusters listed in the chain itself, as in stores of old?
    pub(crate) fn is_rle(&self) -> bool {
        matches!(self.head.map, MapKind::Rle { .. })
    }
}

/// What was found of a blob.
pub(crate) struct Found {
    /// The blob; or why it cannot be used.
    pub(crate) blob: Result<Blob, String>,
    /// Pages that it has, as far as they were found.
    pub(crate) pages: Vec<MdPage>,
    /// Clusters that it has, as far as they were found.
    pub(crate) clusters: Vec<Cluster>,
    /// Is all that it has in these lists?
    pub(crate) whole: bool,
}

/// What a chain's pages say, before it is known to make sense.
#[derive(Default)]
struct Said {
    xattrs: Vec<Attribute>,
    external: Vec<u8>,
    runs: Vec<(Cluster, u32)>,
    table: Vec<(MdPage, u32)>,
}

impl Said {
    fn take(&mut self, part: Part<'_>) {
        match part {
            // Of several of one name the first counts.
            Part::Xattr(xattr) if self.xattrs.iter().all(|(name, _)| name != xattr.name) => {
                self.xattrs.push((xattr.name.to_vec(), xattr.value.to_vec()));
            }
            Part::Internal(xattr) if xattr.name == doorbell_wire_blob::internal::EXTSNAP && self.external.is_empty() => {
                self.external = xattr.value.to_vec();
            }
            Part::Clusters(run) => self.runs.push((run.cluster, run.count)),
            Part::ExtentPages(run) => self.table.push((run.page, run.count)),
            Part::Xattr(_) | Part::Internal(_) | Part::Unknown(_) => {}
        }
    }
}

impl Found {
    /// Follows the chain of `id`.
    pub(crate) fn of(geometry: &Geometry, scan: &Scan, id: BlobId) -> Found {
        let mut reader = ChainReader::new(geometry, id);
        let mut said = Said::default();
        let mut pages = Vec::new();
        let mut broken = None;
        while let Some(at) = reader.wanted() {
            let page = scan.chains.get(&at).and_then(|bytes| ChainPage::decode(at, bytes).ok());
            let Some(page) = page else {
                broken = Some(format!("{at}, where its metadata goes on, is not readable or is another's"));
                break;
            };
            if let Err(fault) = reader.push(at, &page, |part| said.take(part)) {
                broken = Some(fault.fault.to_string());
                break;
            }
            pages.push(at);
        }
        let followers = pages.iter().skip(1).copied().collect();
        let mut found = Found { blob: Err(String::new()), pages, clusters: Vec::new(), whole: broken.is_none() };
        let head = match broken {
            Some(why) => Err(why),
            None => reader.finish().map_err(|fault| fault.fault.to_string()),
        };
        found.blob = head.and_then(|head| found.map(geometry, scan, head, said, followers));
        found
    }

    /// The blob, its clusters looked up. What it refers to is noted also where it cannot be used.
    fn map(&mut self, geometry: &Geometry, scan: &Scan, head: Head, said: Said, followers: Vec<MdPage>) -> Result<Blob, String> {
        let clusters = head.map.clusters();
        let mut why = None;
        if clusters > CLUSTERS_MAX {
            why = Some(format!("it has {clusters} clusters, and no more than {CLUSTERS_MAX} are opened"));
        }
        let map = Map::new(if why.is_none() { clusters } else { 0 });
        let (mut table, mut ragged) = (Vec::new(), BTreeSet::new());
        match head.map {
            MapKind::Rle { .. } => self.runs(&map, &said.runs),
            MapKind::Table { clusters } => {
                let mut entry = 0;
                for (page, count) in &said.table {
                    if page.is_present() {
                        match self.extent(geometry, scan, &map, (*page, entry, clusters, head.flags)) {
                            Ok(true) => {}
                            Ok(false) => drop(ragged.insert(entry)),
                            Err(fault) => drop(why.get_or_insert(fault)),
                        }
                    }
                    entry += u64::from(*count);
                    if why.is_none() {
                        table.resize(entry as usize, *page);
                    }
                }
            }
        }
        if head.flags.unknown_invalid() != 0 {
            why.get_or_insert(format!("it has flags {:#x}, which only something newer knows", head.flags.unknown_invalid()));
        }
        let parent = match (head.flags.is_external_clone(), head.parent.map(BlobRef::id)) {
            (true, _) => Parent::External(said.external),
            (false, Some(Some(id))) => Parent::Snapshot(id),
            (false, Some(None)) => return Err("what stands for its parent is no blob".into()),
            (false, None) => Parent::None,
        };
        match why {
            Some(why) => Err(why),
            None => Ok(Blob { flags: head.flags, xattrs: said.xattrs, parent, map: Arc::new(map), head, followers, table, ragged }),
        }
    }

    fn runs(&mut self, map: &Map, runs: &[(Cluster, u32)]) {
        let mut at = 0;
        for (first, count) in runs {
            // The reader has checked that allocated runs lie within the store.
            if first.is_some() {
                for n in 0..*count {
                    let cluster = Cluster(first.0 + n);
                    self.clusters.push(cluster);
                    map.set(at + u64::from(n), cluster);
                }
            }
            at += u64::from(*count);
        }
    }

    /// Reads an extent page; whether it lists as many clusters as it should.
    fn extent(
        &mut self,
        geometry: &Geometry,
        scan: &Scan,
        map: &Map,
        (page, entry, clusters, flags): (MdPage, u64, u64, Flags),
    ) -> Result<bool, String> {
        let Some(found) = scan.extents.get(&page) else {
            self.whole = false;
            return Err(format!("{page} should list its clusters from {} on, and is not readable or is something else", entry * 512));
        };
        self.pages.push(page);
        if u64::from(found.start) != entry * 512 {
            self.whole = false;
            return Err(format!("{page} lists clusters from {} on, and should from {}", found.start, entry * 512));
        }
        // What a page lists too many is nobody's; what it lists too few is not allocated.
        let covers = clusters_in_entry(entry, clusters);
        let mut extent = vec![Cluster::NONE; covers as usize];
        for (at, cluster) in &found.allocated {
            let Some(slot) = extent.get_mut(usize::from(*at)) else { continue };
            if !geometry.holds_data(*cluster) {
                return Err(format!("{page} lists {cluster}, which no blob can have"));
            }
            *slot = *cluster;
            self.clusters.push(*cluster);
        }
        if !flags.is_thin() && extent.iter().any(|cluster| !cluster.is_some()) {
            return Err(format!("{page} lists {} clusters of {covers}, and the blob is not thin", found.listed));
        }
        map.put(entry, Extent::new(extent.into_iter()));
        Ok(found.listed == covers)
    }
}
