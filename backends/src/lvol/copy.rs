//! Shallow copies: the clusters that are a volume's own, and not its parents', are copied to a block device.

use super::MODULE;
use super::params::StartCopy;
use super::refusal::{not_claimed, not_opened, refused};
use super::stores::Stores;
use doorbell_bdev::{Access, ClaimKind, Event, Handle};
use doorbell_block::{BlockDevice, Op, Status};
use doorbell_control::RpcError;
use doorbell_reactor::{AsyncQueue, Local};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Bytes that are read and written at a time.
const PIECE_BYTES: u64 = 64 << 10;

/// A copy, and how far it has come.
struct Progress {
    copied: Cell<u64>,
    total: u64,
    /// How it ended.
    ended: RefCell<Option<Result<(), String>>>,
}

/// Those that were begun, and nobody was told the end of.
#[derive(Default)]
pub(super) struct Copies {
    last: Cell<u32>,
    all: RefCell<BTreeMap<u32, Rc<Progress>>>,
}

struct Work {
    local: Local,
    source: Arc<Handle>,
    target: Arc<Handle>,
    /// Is one of the two being removed?
    going: Arc<AtomicBool>,
    clusters: Vec<u64>,
    cluster_bytes: u64,
}

impl Copies {
    pub(super) async fn start(&self, stores: &Stores, params: StartCopy) -> Result<Value, RpcError> {
        let (open, id) = stores.lvol(&params.src_lvol_name)?;
        let lvol = open.store.catalog().get(id).ok_or_else(RpcError::no_device)?;
        if !lvol.read_only {
            return Err(RpcError::not_permitted().because(format!("volume {} is not read-only: copy a snapshot of it", lvol.name)));
        }
        let device = open.device(id).ok_or_else(|| RpcError::no_device().because(format!("volume {} is degraded", lvol.name)))?;
        let going = Arc::new(AtomicBool::new(false));
        let hear = || {
            let going = going.clone();
            Box::new(move |event| going.store(event == Event::Removed || going.load(Relaxed), Relaxed))
        };
        let source = stores.host.registry.open(&device, Access::Read, hear()).map_err(not_opened)?;
        let target = stores.host.registry.open(&params.dst_bdev_name, Access::Write, hear()).map_err(not_opened)?;
        let claim = target.claim(ClaimKind::ExclusiveWrite, MODULE).map_err(not_claimed)?;
        let (from, to) = (source.info(), target.info());
        if to.bytes() < from.bytes() {
            let what = format!("block device {} has {} bytes, and the volume {}", target.name(), to.bytes(), from.bytes());
            return Err(RpcError::invalid_argument().because(what));
        }
        if to.block_size() > from.block_size() {
            let what =
                format!("block device {} has blocks of {} bytes, and the volume of {}", target.name(), to.block_size(), from.block_size());
            return Err(RpcError::invalid_argument().because(what));
        }
        let clusters = open.store.blobstore().own_clusters(id).await.map_err(refused)?;
        let progress = Rc::new(Progress { copied: Cell::new(0), total: clusters.len() as u64, ended: RefCell::default() });
        let number = self.last.get().wrapping_add(1);
        self.last.set(number);
        self.all.borrow_mut().insert(number, progress.clone());
        let work =
            Work { local: stores.host.local.clone(), source, target, going, clusters, cluster_bytes: open.store.cluster_bytes().into() };
        stores.host.local.spawn(async move {
            let ended = work.run(&progress).await;
            drop((work, claim));
            *progress.ended.borrow_mut() = Some(ended);
        });
        Ok(json!({ "operation_id": number }))
    }

    pub(super) fn check(&self, number: u32) -> Result<Value, RpcError> {
        let found = self.all.borrow().get(&number).cloned();
        let Some(progress) = found else {
            return Err(RpcError::invalid_argument().because(format!("there is no copy {number}, or its end was told already")));
        };
        let mut told = json!({ "copied_clusters": progress.copied.get(), "total_clusters": progress.total });
        match &*progress.ended.borrow() {
            None => told["state"] = "in progress".into(),
            Some(Ok(())) => told["state"] = "complete".into(),
            Some(Err(why)) => {
                told["state"] = "error".into();
                told["error"] = why.as_str().into();
            }
        }
        if progress.ended.borrow().is_some() {
            self.all.borrow_mut().remove(&number);
        }
        Ok(told)
    }
}

fn done(status: Status, what: &str) -> Result<(), String> {
    match status {
        Status::Ok => Ok(()),
        status => Err(format!("{what}: {}", status.name())),
    }
}

impl Work {
    async fn run(&self, progress: &Progress) -> Result<(), String> {
        let open = async |device: Arc<dyn BlockDevice>| AsyncQueue::open(&self.local, device, 1).await.map_err(|error| error.to_string());
        let (source, target) = (open(self.source.clone()).await?, open(self.target.clone()).await?);
        let (from, to) = (self.source.info().block_shift, self.target.info().block_shift);
        let piece = PIECE_BYTES.min(self.cluster_bytes);
        let buffer = self.local.with(move |cx| cx.buffer(piece as u32)).await;
        let buffer = buffer.ok_or("no buffer is free: raise the pool's size")?;
        for cluster in &self.clusters {
            let (mut at, end) = (cluster * self.cluster_bytes, (cluster + 1) * self.cluster_bytes);
            while at < end {
                if self.going.load(Relaxed) {
                    return Err("one of the two is being removed".to_owned());
                }
                let len = piece.min(end - at);
                let rest = buffer.slice(0, len as u32);
                let (status, part) = source.read(at >> from, (len >> from) as u32, rest).await;
                done(status, "the volume could not be read")?;
                let (status, _) = target.write(at >> to, (len >> to) as u32, part).await;
                done(status, "the block device could not be written")?;
                at += len;
            }
            progress.copied.set(progress.copied.get() + 1);
        }
        // So that a copy that is said to be complete is one also after a power cut.
        let flushed = if self.target.info().ops.has(Op::Flush) { target.control(Op::Flush, 0, 0).await } else { Status::Ok };
        done(flushed, "the block device could not be flushed")
    }
}
