//! The volumes of a store by the names that people know them by.

use super::{Failed, failed, shown};
use doorbell_blobstore::{BlobInfo, Parent, Store};
use doorbell_lvol::attributes;
use doorbell_wire_blob::{BlobId, BsType};
use serde_json::{Value, json};

/// Names that are told to somebody who named something else.
const NAMES_TOLD: usize = 12;

/// A store, and what its blobs are called.
pub(super) struct Catalog {
    pub(super) store: Store,
    /// The store's own name and UUID, where it is a store of logical volumes.
    pub(super) name: Option<String>,
    pub(super) uuid: Option<String>,
    /// The blobs that can be used, but for the one that describes the store.
    pub(super) volumes: Vec<Entry>,
}

/// One volume.
pub(super) struct Entry {
    pub(super) blob: BlobInfo,
    pub(super) name: Option<String>,
    pub(super) uuid: Option<String>,
}

impl Entry {
    fn of(blob: BlobInfo) -> Entry {
        let (name, uuid) = (attributes::name(&blob.xattrs), attributes::uuid(&blob.xattrs).map(|uuid| uuid.to_string()));
        Entry { blob, name, uuid }
    }

    /// What to call it: its name, or else its blob.
    pub(super) fn title(&self) -> String {
        self.name.as_deref().map_or_else(|| id_text(self.blob.id), shown)
    }
}

pub(super) fn id_text(id: BlobId) -> String {
    format!("{:#x}", id.to_raw())
}

impl Catalog {
    pub(super) fn of(store: Store) -> Catalog {
        // Other stores may keep anything in that blob.
        let is_of_volumes = store.super_block().bs_type == BsType::LVOLSTORE;
        let of_store = store.super_block().super_blob.id().filter(|_| is_of_volumes);
        let blobs = store.blobs().filter_map(|id| store.blob(id).ok()).map(Entry::of);
        let (own, volumes): (Vec<Entry>, Vec<Entry>) = blobs.partition(|entry| Some(entry.blob.id) == of_store);
        let (name, uuid) = own.into_iter().next().map_or((None, None), |entry| (entry.name, entry.uuid));
        Catalog { store, name, uuid, volumes }
    }

    /// The volume of a name, `store/name`, a UUID or a blob's id.
    pub(super) fn find(&self, wanted: &str) -> Result<&Entry, Failed> {
        let inside = self.name.as_ref().and_then(|store| wanted.strip_prefix(store.as_str())?.strip_prefix('/'));
        let is_named = |entry: &&Entry| entry.name.as_deref().is_some_and(|name| name == wanted || Some(name) == inside);
        let is_uuid = |entry: &&Entry| entry.uuid.as_deref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(wanted));
        let mut named = self.volumes.iter().filter(|entry| is_named(entry) || is_uuid(entry));
        match (named.next(), named.next()) {
            (Some(entry), None) => return Ok(entry),
            (Some(one), Some(other)) => {
                let (one, other) = (id_text(one.blob.id), id_text(other.blob.id));
                return Err(failed(format!("several volumes are called {wanted}: say which blob, {one} or {other}")));
            }
            _ => {}
        }
        let id = wanted.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).and_then(BlobId::from_raw);
        let Some(id) = id else { return Err(self.nobody(wanted)) };
        match self.volumes.iter().find(|entry| entry.blob.id == id) {
            Some(entry) => Ok(entry),
            // It says why it cannot be used, or that it is not there.
            None => Err(self.store.blob(id).err().map_or_else(|| failed(format!("{id} describes the store, and is no volume")), failed)),
        }
    }

    fn nobody(&self, wanted: &str) -> Failed {
        let mut names: Vec<String> = self.volumes.iter().take(NAMES_TOLD).map(Entry::title).collect();
        if self.volumes.len() > NAMES_TOLD {
            names.push(format!("{} more", self.volumes.len() - NAMES_TOLD));
        }
        let unusable = match self.store.unusable().count() {
            0 => "",
            _ => "; there are blobs that cannot be used, which `doorbell volume list` shows",
        };
        let there = if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
        failed(format!("no volume is called {wanted}: {there}{unusable}"))
    }

    /// What a blob is called.
    pub(super) fn title(&self, id: BlobId) -> String {
        self.volumes.iter().find(|entry| entry.blob.id == id).map_or_else(|| id_text(id), Entry::title)
    }

    pub(super) fn bytes(&self, clusters: u64) -> u64 {
        clusters.saturating_mul(self.store.geometry().cluster_bytes.into())
    }

    /// What is told of a volume wherever one is named.
    pub(super) fn json(&self, entry: &Entry) -> Value {
        let blob = &entry.blob;
        let (parent, outside) = match &blob.parent {
            Parent::None => (None, None),
            Parent::Snapshot(id) => (Some(self.title(*id)), None),
            Parent::External(name) => (None, Some(outside_text(name))),
        };
        json!({
            "name": entry.name,
            "uuid": entry.uuid,
            "blob": id_text(blob.id),
            "bytes": self.bytes(blob.clusters),
            "allocated_bytes": self.bytes(blob.allocated),
            "thin": blob.flags.is_thin(),
            "snapshot": blob.flags.is_read_only(),
            "parent": parent,
            "outside_parent": outside,
            "clones": blob.clones.iter().map(|id| self.title(*id)).collect::<Vec<_>>(),
        })
    }

    /// The same of the store.
    pub(super) fn store_json(&self) -> Value {
        let geometry = self.store.geometry();
        json!({
            "name": self.name,
            "uuid": self.uuid,
            "type": self.store.super_block().bs_type.to_string(),
            "block_bytes": geometry.io_unit_bytes,
            "cluster_bytes": geometry.cluster_bytes,
            "total_bytes": self.bytes(geometry.data_clusters().into()),
            "free_bytes": self.bytes(self.store.free_clusters().into()),
            "was_closed": self.store.super_block().clean,
        })
    }
}

/// A device outside of the store, as the store calls it.
pub(super) fn outside_text(name: &[u8]) -> String {
    shown(String::from_utf8_lossy(name).trim_end_matches('\0'))
}

/// What kind of volume it is, in words.
pub(super) fn kind(volume: &Value) -> String {
    let named = |key: &str| volume.get(key).and_then(Value::as_str).map(shown);
    let of = named("parent").map(|parent| format!("clone of {parent}"));
    let of = of.or_else(|| named("outside_parent").map(|parent| format!("clone of {parent}, outside")));
    let own = match (volume["snapshot"] == true, volume["thin"] == true) {
        (true, _) => Some("snapshot"),
        // That a clone is thin goes without saying.
        (false, true) => of.is_none().then_some("thin"),
        (false, false) => Some("thick"),
    };
    let away = (volume["degraded"] == true).then(|| "degraded: its parent is not there".to_owned());
    own.map(str::to_owned).into_iter().chain(of).chain(away).collect::<Vec<_>>().join(", ")
}
