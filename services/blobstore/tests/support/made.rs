//! Stores made here, each with what a manifest says of it: for tests here, and for checks with SPDK elsewhere (`cargo xtask interop`).
//!
//! What a volume holds is stated from the writes alone, never from reading it back.

#![allow(dead_code, reason = "each user uses a part")]

use super::{Opened, named_as, run, sha256, unload};
use doorbell_blobstore::{BlobOptions, Blobstore, InitOptions, Parent};
use doorbell_block::{BlockDevice, Status};
use doorbell_reactor::Local;
use doorbell_sim::{DiskSpec, SimDisk};
use doorbell_wire_blob::{BlobId, BsType};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of each image.
const BYTES: u64 = 64 << 20;
/// The pattern that volumes are written with, as the manifest words it.
pub(crate) const PATTERN: &str = "pattern(seed,nblocks): block i of 4096 B = struct.pack(\"<QQ\",seed,i)*256; every block with i%64==63 is instead sha256-expanded: concat(sha256(struct.pack(\"<QQQ\",seed,i,k)).digest() for k in 0..127)";

/// An image and its entry in the manifest.
pub(crate) struct Made {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) entry: Value,
}

/// A store while it is made.
struct Maker {
    local: Local,
    store: Blobstore,
    cluster: u64,
    contents: BTreeMap<String, Vec<u8>>,
    ids: BTreeMap<String, BlobId>,
    writes: Vec<Value>,
}

/// An id that is the same whenever it is made.
fn uuid(of: &str) -> String {
    let mut bytes: [u8; 16] = Sha256::digest(of.as_bytes())[..16].try_into().unwrap();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes);
    for block in 0..bytes as u64 / 4096 {
        if block % 64 == 63 {
            for part in 0..128u64 {
                let words = [seed, block, part].map(u64::to_le_bytes).concat();
                out.extend(Sha256::digest(words));
            }
        } else {
            out.extend([seed, block].map(u64::to_le_bytes).concat().repeat(256));
        }
    }
    out
}

impl Maker {
    async fn new(local: &Local, device: Arc<dyn BlockDevice>, image: &str, cluster: u32) -> Maker {
        let options = InitOptions { cluster_bytes: cluster, bs_type: BsType::LVOLSTORE, ..InitOptions::default() };
        let store = Blobstore::init(local, device, &options).await.unwrap();
        let of_store = store.create(&BlobOptions::default()).await.unwrap();
        store.set_super_blob(Some(of_store)).await.unwrap();
        store.set_xattr(of_store, b"uuid", format!("{}\0", uuid(image)).as_bytes()).await.unwrap();
        store.set_xattr(of_store, b"name", b"lvs0\0").await.unwrap();
        let (contents, ids, writes) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Maker { local: local.clone(), store, cluster: cluster.into(), contents, ids, writes }
    }

    async fn create(&mut self, name: &str, bytes: u64, thin: bool) {
        let options = BlobOptions { clusters: bytes / self.cluster, thin, xattrs: named_as(name, &uuid(name)), ..BlobOptions::default() };
        let id = self.store.create(&options).await.unwrap();
        self.ids.insert(name.to_owned(), id);
        self.contents.insert(name.to_owned(), vec![0; bytes as usize]);
    }

    async fn write(&mut self, name: &str, offset: u64, bytes: u64, seed: u64) {
        let data = pattern(seed, bytes as usize);
        let volume = Opened::new(&self.local, self.store.volume(self.ids[name]).await.unwrap()).await;
        let mut rest = data.as_slice();
        while !rest.is_empty() {
            let at = offset + (data.len() - rest.len()) as u64;
            // No request goes from one cluster to the next.
            let part = (self.cluster - at % self.cluster).min(32 << 10).min(rest.len() as u64);
            let (now, later) = rest.split_at(part as usize);
            assert_eq!(volume.put(at, now).await, Status::Ok);
            rest = later;
        }
        self.contents.get_mut(name).unwrap()[offset as usize..(offset + bytes) as usize].copy_from_slice(&data);
        self.writes.push(json!({"lvol": name, "offset": offset, "bytes": bytes, "seed": seed, "first_block": 0}));
    }

    async fn snapshot(&mut self, of: &str, name: &str) {
        let id = self.store.snapshot(self.ids[of], named_as(name, &uuid(name))).await.unwrap();
        self.ids.insert(name.to_owned(), id);
        self.contents.insert(name.to_owned(), self.contents[of].clone());
    }

    async fn clone_of(&mut self, of: &str, name: &str) {
        let id = self.store.clone_of(self.ids[of], named_as(name, &uuid(name))).await.unwrap();
        self.ids.insert(name.to_owned(), id);
        self.contents.insert(name.to_owned(), self.contents[of].clone());
    }

    async fn resize(&mut self, name: &str, bytes: u64) {
        self.store.resize(self.ids[name], bytes / self.cluster).await.unwrap();
        self.contents.get_mut(name).unwrap().resize(bytes as usize, 0);
    }

    /// What a manifest says of it.
    async fn entry(&self, image: &str, what: &str, block: u64) -> Value {
        let (usage, name_of) = (self.store.usage().await, |id: BlobId| {
            let found = self.ids.iter().find(|(_, other)| **other == id);
            found.map(|(name, _)| name.clone()).unwrap_or_default()
        });
        let (mut lvols, mut contents) = (serde_json::Map::new(), serde_json::Map::new());
        for (name, id) in &self.ids {
            let info = self.store.blob(*id).await.unwrap();
            let mut lvol = json!({"lvol_store_uuid": uuid(image), "thin_provision": info.flags.is_thin(),
                "num_allocated_clusters": info.allocated, "snapshot": info.flags.is_read_only(),
                "clone": info.parent != Parent::None, "esnap_clone": false});
            if let Parent::Snapshot(parent) = info.parent {
                lvol["base_snapshot"] = name_of(parent).into();
            }
            if !info.clones.is_empty() {
                lvol["clones"] = info.clones.iter().map(|id| name_of(*id)).collect();
            }
            let blocks = info.clusters * self.cluster / block;
            lvols.insert(format!("lvs0/{name}"), json!({"uuid": uuid(name), "num_blocks": blocks, "block_size": block, "lvol": lvol}));
            let content = &self.contents[name];
            contents.insert(format!("lvs0/{name}"), json!({"bytes": content.len(), "sha256": sha256(content)}));
        }
        json!({"image": image, "what": what, "block_size": block,
            "lvstore": [{"uuid": uuid(image), "name": "lvs0", "total_data_clusters": usage.clusters,
                "free_clusters": usage.free_clusters, "block_size": block, "cluster_size": self.cluster}],
            "lvols": lvols, "writes": self.writes, "content": contents})
    }
}

/// How a store is left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Closed,
    Killed,
}

fn make<F: Future<Output = Maker> + 'static>(
    name: &'static str,
    what: &'static str,
    block: u64,
    left: Left,
    fill: impl FnOnce(Local, Arc<dyn BlockDevice>, &'static str) -> F + 'static,
) -> Made {
    let shift = block.trailing_zeros() as u8;
    let disk = SimDisk::new(DiskSpec::new(11, shift, BYTES >> shift));
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    let (mut entry, killed) = run(move |local| async move {
        let maker = fill(local.clone(), device, name).await;
        let entry = maker.entry(name, what, block).await;
        let killed = disk.snapshot().to_vec();
        unload(&local, maker.store).await;
        (entry, if left == Left::Killed { killed } else { disk.snapshot().to_vec() })
    });
    entry["raw_size"] = killed.len().into();
    entry["raw_sha256"] = sha256(&killed).into();
    Made { name, bytes: killed, entry }
}

async fn plain(local: Local, device: Arc<dyn BlockDevice>, image: &'static str, cluster: u32) -> Maker {
    let mut maker = Maker::new(&local, device, image, cluster).await;
    maker.create("thick", 8 << 20, false).await;
    maker.create("thin", 16 << 20, true).await;
    maker.create("empty_thin", 32 << 20, true).await;
    maker.write("thick", 0, 2 << 20, 1).await;
    maker.write("thick", 5 << 20, 1 << 20, 2).await;
    maker.write("thin", 0, 64 << 10, 3).await;
    maker.write("thin", 7 << 20, 512 << 10, 4).await;
    maker.write("thin", (16 << 20) - (64 << 10), 64 << 10, 5).await;
    maker
}

async fn tree(local: Local, device: Arc<dyn BlockDevice>, image: &'static str) -> Maker {
    let mut maker = Maker::new(&local, device, image, 64 << 10).await;
    maker.create("base", 8 << 20, true).await;
    maker.write("base", 0, 2 << 20, 11).await;
    maker.write("base", 4 << 20, 512 << 10, 12).await;
    maker.snapshot("base", "snap1").await;
    maker.write("base", 1 << 20, 384 << 10, 13).await;
    maker.snapshot("base", "snap2").await;
    maker.clone_of("snap1", "clone1").await;
    maker.clone_of("snap2", "clone2").await;
    maker.resize("clone2", 10 << 20).await;
    maker.write("base", 6 << 20, 128 << 10, 14).await;
    maker.write("clone1", (1 << 20) + (4 << 10), 192 << 10, 15).await;
    maker.clone_of("snap2", "clone3").await;
    maker.store.decouple(maker.ids["clone3"]).await.unwrap();
    maker.clone_of("snap1", "inflated").await;
    maker.store.inflate(maker.ids["inflated"]).await.unwrap();
    maker.snapshot("inflated", "gone").await;
    let gone = maker.ids.remove("gone").unwrap();
    maker.contents.remove("gone");
    super::delete(&local, &maker.store, gone).await.unwrap();
    maker
}

/// All of them.
pub(crate) fn all() -> Vec<Made> {
    let what = "thick, thin and empty thin volumes, closed";
    vec![
        make("m_plain_bs512", what, 512, Left::Closed, |local, device, name| plain(local, device, name, 64 << 10)),
        make("m_plain_bs4096", what, 4096, Left::Closed, |local, device, name| plain(local, device, name, 128 << 10)),
        make(
            "m_tree_bs512",
            "snapshots and clones, one decoupled, one inflated, one snapshot deleted again, closed",
            512,
            Left::Closed,
            tree,
        ),
        make("m_killed_bs512", "the same tree, not closed", 512, Left::Killed, tree),
    ]
}
