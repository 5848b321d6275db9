//! A new store.

use super::load::{Tearing, tears};
use super::state::State;
use crate::Error;
use crate::bits::Bits;
use crate::disk::Disk;
use crate::hub::Hub;
use doorbell_block::BlockDevice;
use doorbell_reactor::Local;
use doorbell_wire_blob::{BsType, ClearMethod, Geometry, PAGE_LEN, Plan};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of a store's clusters, one in so many has a page of metadata, where nothing else is asked for; in a small store each has.
const CLUSTERS_PER_PAGE: u64 = 4;
const SMALL: u64 = 4096;

/// What a new store is to be.
#[derive(Clone, Copy, Debug)]
pub struct InitOptions {
    /// Bytes of a cluster.
    pub cluster_bytes: u32,
    /// Pages of metadata: one for each blob, and one for each 512 clusters of a blob of which one is allocated. It cannot be changed later. By default
    /// one for each four clusters, or for each cluster of a store of less than 4096.
    pub md_pages: Option<u32>,
    /// Bytes of a metadata page; zero for 4096, or what the device's physical blocks need.
    pub md_page_bytes: u32,
    /// Whose store it is.
    pub bs_type: BsType,
    /// How what lay on the device is cleared. New clusters read as zeroes however it is done.
    pub clear: ClearMethod,
    /// Does the device write pages of 4096 bytes whole?
    pub tearing: Tearing,
}

impl Default for InitOptions {
    fn default() -> Self {
        let tearing = Tearing::AsReported;
        InitOptions { cluster_bytes: 4 << 20, md_pages: None, md_page_bytes: 0, bs_type: BsType::ANY, clear: ClearMethod::Default, tearing }
    }
}

impl InitOptions {
    /// Pages of metadata that a store on a device of so many bytes gets.
    pub fn md_pages_on(&self, device_bytes: u64) -> u32 {
        let clusters = device_bytes / u64::from(self.cluster_bytes.max(1));
        let usual = (clusters / CLUSTERS_PER_PAGE).max(clusters.min(SMALL)).min(u32::MAX.into()) as u32;
        self.md_pages.unwrap_or(usual)
    }
}

pub(super) async fn init(local: &Local, device: Arc<dyn BlockDevice>, hub: &Arc<Hub>, options: &InitOptions) -> Result<State, Error> {
    let disk = Disk::open(local, device.clone()).await?;
    let info = disk.info().clone();
    if info.read_only {
        return Err(Error::ReadOnlyDevice);
    }
    let plan = Plan {
        device_bytes: info.bytes(),
        block_bytes: info.block_size(),
        physical_block_bytes: info.physical_block_bytes.max(info.block_size()),
        cluster_bytes: options.cluster_bytes,
        md_page_bytes: options.md_page_bytes,
        md_pages: Some(options.md_pages_on(info.bytes())),
    };
    let super_block = plan.super_block(options.bs_type).map_err(Error::Plan)?;
    let geometry = Geometry::of(&super_block, info.bytes()).map_err(Error::Geometry)?;
    super::load::fits(&disk, &geometry)?;
    let super_bytes = vec![0; PAGE_LEN.next_multiple_of(info.block_size() as usize)];
    // What was there before is no store any more, before anything else of it goes.
    disk.write(0, &super_bytes).await?;
    disk.flush().await?;
    let first = u64::from(geometry.md_clusters) * u64::from(geometry.cluster_bytes);
    let rest = info.bytes().saturating_sub(first);
    disk.zero(super_bytes.len() as u64, first - super_bytes.len() as u64).await?;
    let zeroes = match options.clear {
        ClearMethod::None => false,
        ClearMethod::WriteZeroes => disk.zero(first, rest).await.map(|()| true)?,
        ClearMethod::Default | ClearMethod::Unmap => disk.discard(first, rest).await?,
    };
    disk.flush().await?;
    let mut clusters = Bits::new(geometry.total_clusters);
    clusters.set_all(0..geometry.md_clusters);
    let mut blank = Bits::new(geometry.total_clusters);
    if zeroes {
        blank.set_all(geometry.md_clusters..geometry.total_clusters);
    }
    let mut state = State {
        local: local.clone(),
        tears: tears(&info, options.tearing),
        device,
        disk,
        hub: hub.clone(),
        super_bytes,
        super_block,
        geometry,
        pages: Bits::new(geometry.md_len),
        clusters,
        blank,
        blobs: BTreeMap::new(),
        unusable: BTreeMap::new(),
        findings: Vec::new(),
        outsides: BTreeMap::new(),
        stopped: None,
        said_full: false,
    };
    state.write_super().await?;
    Ok(state)
}
