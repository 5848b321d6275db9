//! Stores that SPDK made, on simulated disks.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod made;

use doorbell_blobstore::{BlobInfo, Blobstore, Error, OpenOptions, Store, Volume};
use doorbell_block::{BlockDevice, Io, Op, Status};
use doorbell_reactor::{AsyncQueue, Local};
use doorbell_sim::{DiskSpec, Image, Machine, SimDisk};
use doorbell_wire_blob::{BlobId, BsType, Chain, Cluster, Flags, Geometry, Map, MdPage, PageBytes, Plan, Xattr, seal, write_extent_page};
use sha2::{Digest, Sha256};
use std::fs;
use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Virtual time that is enough for anything here.
const HOUR: u64 = 3_600_000_000_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/interop")
}

/// An image's bytes, and what the manifest says of it.
pub(crate) fn image(name: &str) -> (Vec<u8>, serde_json::Value) {
    let manifest = fs::read_to_string(folder().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let entry = manifest["images"].as_array().unwrap().iter().find(|image| image["image"] == name).unwrap().clone();
    let packed = fs::File::open(folder().join(format!("{name}.img.zst"))).unwrap();
    let mut bytes = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed).unwrap().read_to_end(&mut bytes).unwrap();
    (bytes, entry)
}

/// A disk that holds `bytes`.
pub(crate) fn disk(bytes: &[u8], block: u64) -> SimDisk {
    let shift = block.trailing_zeros() as u8;
    SimDisk::from_image(DiskSpec::new(1, shift, bytes.len() as u64 >> shift), Image::of(shift, bytes))
}

/// Runs `main` on a machine, and closes that with nothing lost.
pub(crate) fn run<T: 'static, F: Future<Output = T> + 'static>(main: impl FnOnce(Local) -> F) -> T {
    let mut machine = Machine::new(7, 1);
    let answer = machine.run(HOUR, main).unwrap();
    assert!(machine.close(HOUR).iter().all(|closed| closed.boxes_out == 0 && closed.buffers_out == 0));
    answer
}

/// Opens the store of `bytes`, hands it to `then`, and checks that nothing was written.
pub(crate) fn with_store<T: 'static, F: Future<Output = T> + 'static>(
    bytes: &[u8],
    block: u64,
    recover: bool,
    then: impl FnOnce(Local, Result<Store, Error>) -> F + 'static,
) -> T {
    let disk = disk(bytes, block);
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    let answer = run(move |local| async move {
        let store = Store::open(&local, device, &OpenOptions { recover, ..OpenOptions::default() }).await;
        then(local, store).await
    });
    assert_eq!(disk.counters().changes, 0, "a store that is read is not changed");
    answer
}

/// An attribute that is text.
pub(crate) fn text(blob: &BlobInfo, name: &str) -> Option<String> {
    let (_, value) = blob.xattrs.iter().find(|(found, _)| found == name.as_bytes())?;
    Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned())
}

/// The blob whose attribute `name` is `value`.
pub(crate) fn named(store: &Store, value: &str) -> BlobId {
    store.blobs().find(|id| text(&store.blob(*id).unwrap(), "name").as_deref() == Some(value)).unwrap_or_else(|| panic!("no {value}"))
}

/// Reads all of a volume, in requests of 64 KiB that cross no boundary.
pub(crate) async fn read(local: &Local, volume: Volume) -> Vec<u8> {
    let device: Arc<dyn BlockDevice> = Arc::new(volume);
    let info = device.info();
    let queue = AsyncQueue::open(local, device, 4).await.unwrap();
    let (mut out, mut lba) = (Vec::new(), 0);
    while lba < info.blocks {
        let boundary = u64::from(info.limits.boundary_blocks);
        let blocks = (boundary - lba % boundary).min(65536 >> info.block_shift).min(info.blocks - lba) as u32;
        let bytes = blocks << info.block_shift;
        let buffer = local.with(move |cx| cx.buffer(bytes)).await.unwrap();
        buffer.fill(0, bytes, 0xee); // what is not written over shows
        let (status, buffer) = queue.read(lba, blocks, buffer).await;
        assert_eq!(status, Status::Ok);
        let at = out.len();
        out.resize(at + bytes as usize, 0);
        buffer.read_at(0, &mut out[at..]);
        lba += u64::from(blocks);
    }
    out
}

/// One request without payload: its status and result.
pub(crate) async fn ask(queue: &AsyncQueue, op: Op, lba: u64) -> (Status, u64) {
    queue.request(move |io| (io.op, io.lba, io.blocks) = (op, lba, 0), |io: &mut Io| (io.status, io.result)).await
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A store that is written by hand, page by page.
pub(crate) struct Made {
    /// The device.
    pub(crate) bytes: Vec<u8>,
    /// Its geometry.
    pub(crate) geometry: Geometry,
}

/// Bytes of its clusters.
pub(crate) const CLUSTER: usize = 64 << 10;

impl Made {
    /// An empty store of 16 MiB, not clean.
    pub(crate) fn new(cluster_bytes: u32) -> Made {
        let mut bytes = vec![0; 16 << 20];
        let plan = Plan { device_bytes: bytes.len() as u64, cluster_bytes, md_pages: Some(64), ..Plan::default() };
        let found = plan.super_block(BsType::LVOLSTORE).unwrap();
        found.encode(bytes.first_chunk_mut().unwrap());
        let geometry = Geometry::of(&found, bytes.len() as u64).unwrap();
        Made { bytes, geometry }
    }

    pub(crate) fn page(&mut self, at: u32) -> &mut PageBytes {
        let offset = self.geometry.page_offset(MdPage(at)).unwrap() as usize;
        self.bytes[offset..].first_chunk_mut().unwrap()
    }

    /// Changes a page, and makes its checksum fit.
    pub(crate) fn edit(&mut self, at: u32, change: impl FnOnce(&mut PageBytes)) {
        let page = self.page(at);
        change(page);
        seal(page);
    }

    /// Writes a blob whose root is page `root`, with extent page `extent` (none: 0) for `clusters`.
    pub(crate) fn blob(&mut self, root: u32, flags: u64, internal: &[Xattr<'_>], extent: u32, clusters: &[u32]) -> BlobId {
        let id = BlobId::of_root(MdPage(root));
        let flags = Flags { invalid: flags | Flags::EXTENT_TABLE, ..Flags::default() };
        let pages = [MdPage(extent)];
        let map = Map::Table { clusters: clusters.len() as u64, pages: &pages };
        let chain = Chain { id, flags, xattrs: &[], internal, map };
        chain.write(&[], |at, page| *self.page(at.0) = *page).unwrap();
        if extent != 0 {
            let list: Vec<Cluster> = clusters.iter().map(|n| Cluster(*n)).collect();
            write_extent_page(self.page(extent), id, 0, &list).unwrap();
        }
        id
    }

    /// Fills a cluster.
    pub(crate) fn fill(&mut self, cluster: usize, byte: u8) {
        let size = self.geometry.cluster_bytes as usize;
        self.bytes[cluster * size..][..size].fill(byte);
    }

    pub(crate) fn open<T: 'static, F: Future<Output = T> + 'static>(
        &self,
        then: impl FnOnce(Local, Result<Store, Error>) -> F + 'static,
    ) -> T {
        with_store(&self.bytes, 512, false, then)
    }
}

/// A volume, opened.
pub(crate) struct Opened {
    pub(crate) queue: AsyncQueue,
    local: Local,
    shift: u8,
}

impl Opened {
    pub(crate) async fn new(local: &Local, volume: Volume) -> Opened {
        let shift = volume.info().block_shift;
        Opened { queue: AsyncQueue::open(local, Arc::new(volume), 8).await.unwrap(), local: local.clone(), shift }
    }

    /// Writes blocks of one byte.
    pub(crate) async fn write(&self, lba: u64, blocks: u32, byte: u8) -> Status {
        let bytes = blocks << self.shift;
        let buffer = self.local.with(move |cx| cx.buffer(bytes)).await.unwrap();
        buffer.fill(0, bytes, byte);
        self.queue.write(lba, blocks, buffer).await.0
    }

    /// Writes bytes, which are whole blocks.
    pub(crate) async fn put(&self, offset: u64, data: &[u8]) -> Status {
        let bytes = data.len() as u32;
        let buffer = self.local.with(move |cx| cx.buffer(bytes)).await.unwrap();
        buffer.write_at(0, data);
        self.queue.write(offset >> self.shift, bytes >> self.shift, buffer).await.0
    }

    /// Reads blocks.
    pub(crate) async fn read(&self, lba: u64, blocks: u32) -> Vec<u8> {
        let bytes = blocks << self.shift;
        let buffer = self.local.with(move |cx| cx.buffer(bytes)).await.unwrap();
        buffer.fill(0, bytes, 0xee);
        let (status, buffer) = self.queue.read(lba, blocks, buffer).await;
        assert_eq!(status, Status::Ok);
        let mut out = vec![0; bytes as usize];
        buffer.read_at(0, &mut out);
        out
    }

    /// The one byte that blocks are made of.
    pub(crate) async fn byte(&self, lba: u64, blocks: u32) -> u8 {
        let bytes = self.read(lba, blocks).await;
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "blocks {lba}+{blocks} are of several bytes");
        bytes[0]
    }
}

/// Closes a store: queues that were dropped take a moment to go.
pub(crate) async fn unload(local: &Local, store: Blobstore) {
    while let Err(error) = store.clone().unload().await {
        assert_eq!(error, Error::StoreBusy);
        local.sleep_ns(10_000).await;
    }
}

/// Does what waits for a queue to be closed, which takes a turn or two.
pub(crate) async fn once_closed<T>(local: &Local, change: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    loop {
        match change().await {
            Err(Error::InUse(_)) => local.sleep_ns(10_000).await,
            answer => return answer,
        }
    }
}

/// Deletes a blob: queues that were dropped take a moment to go.
pub(crate) async fn delete(local: &Local, store: &Blobstore, id: BlobId) -> Result<(), Error> {
    once_closed(local, async || store.delete(id).await).await
}

/// Attributes of a volume as the layer above writes them.
pub(crate) fn named_as(name: &str, uuid: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut padded = name.as_bytes().to_vec();
    padded.resize(64, 0);
    vec![(b"name".to_vec(), padded), (b"uuid".to_vec(), [uuid.as_bytes(), b"\0"].concat())]
}
