//! Shallow copies: the clusters that are a volume's own, and not its parents', are copied to a block device.

use super::MODULE;
use super::params::{CheckCopy, StartCopy};
use super::refusal::refused;
use super::stores::Stores;
use doorbell_bdev::{Access, ClaimKind};
use doorbell_block::BlockDevice;
use doorbell_control::RpcError;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A copy, and how far it has come.
#[derive(Default)]
struct Progress {
    copied: Cell<u64>,
    total: Cell<u64>,
    /// How it ended.
    ended: RefCell<Option<Result<(), String>>>,
}

/// Those that were begun, and nobody was told the end of.
#[derive(Default)]
pub(super) struct Copies {
    last: Cell<u32>,
    all: RefCell<BTreeMap<u32, Rc<Progress>>>,
}

impl Copies {
    fn begin(&self, total: u64) -> (u32, Rc<Progress>) {
        let number = self.last.get().wrapping_add(1);
        self.last.set(number);
        let progress = Rc::new(Progress { total: Cell::new(total), ..Progress::default() });
        self.all.borrow_mut().insert(number, progress.clone());
        (number, progress)
    }
}

impl Stores {
    pub(super) async fn start_copy(self: Rc<Self>, params: StartCopy) -> Result<Value, RpcError> {
        let (open, id) = self.lvol(&params.src_lvol_name)?;
        let lvol = open.store.catalog().get(id).ok_or_else(RpcError::no_device)?;
        if !lvol.read_only {
            return Err(RpcError::not_permitted().because(format!("volume {} is not read-only: copy a snapshot of it", lvol.name)));
        }
        let device = open.device(id).ok_or_else(|| RpcError::no_device().because(format!("volume {} is degraded", lvol.name)))?;
        let (volume, going) = self.host.open(&device, Access::Read)?;
        let target = self.host.hold(&params.dst_bdev_name, Access::Write, ClaimKind::ExclusiveWrite, MODULE)?;
        let (from, to, name) = (volume.info(), target.handle.info(), target.handle.name());
        if to.bytes() < from.bytes() {
            let what = format!("block device {name} has {} bytes, and the volume {}", to.bytes(), from.bytes());
            return Err(RpcError::invalid_argument().because(what));
        }
        if to.block_size() > from.block_size() {
            let what = format!("block device {name} has blocks of {} bytes, and the volume of {}", to.block_size(), from.block_size());
            return Err(RpcError::invalid_argument().because(what));
        }
        let total = open.store.blobstore().blob(id).await.map_err(refused)?.allocated;
        let (number, progress) = self.copies.begin(total);
        let blobstore = open.store.blobstore().clone();
        self.host.local.spawn(async move {
            let go_on = |copied, total| {
                progress.copied.set(copied);
                progress.total.set(total);
                !going.is_removed() && !target.ear.is_removed()
            };
            let ended = match blobstore.shallow_copy(id, volume, target.handle.clone(), go_on).await {
                Ok(true) => Ok(()),
                Ok(false) => Err("the volume or the block device is being removed".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            drop((target, blobstore));
            *progress.ended.borrow_mut() = Some(ended);
        });
        Ok(json!({ "operation_id": number }))
    }

    pub(super) async fn check_copy(self: Rc<Self>, params: CheckCopy) -> Result<Value, RpcError> {
        let (number, all) = (params.operation_id, &self.copies.all);
        let found = all.borrow().get(&number).cloned();
        let Some(progress) = found else {
            return Err(RpcError::invalid_argument().because(format!("there is no copy {number}, or its end was told already")));
        };
        let mut told = json!({ "copied_clusters": progress.copied.get(), "total_clusters": progress.total.get() });
        let ended = progress.ended.borrow();
        match &*ended {
            None => told["state"] = "in progress".into(),
            Some(Ok(())) => told["state"] = "complete".into(),
            Some(Err(why)) => {
                told["state"] = "error".into();
                told["error"] = why.as_str().into();
            }
        }
        if ended.is_some() {
            all.borrow_mut().remove(&number);
        }
        Ok(told)
    }
}
