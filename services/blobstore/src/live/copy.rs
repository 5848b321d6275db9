//! What is a blob's own goes to another device.

use super::Blobstore;
use crate::Error;
use crate::disk::Disk;
use doorbell_block::BlockDevice;
use doorbell_wire_blob::BlobId;
use std::sync::Arc;

pub(super) async fn shallow(
    store: &Blobstore,
    id: BlobId,
    [volume, target]: [Arc<dyn BlockDevice>; 2],
    mut go_on: impl FnMut(u64, u64) -> bool,
) -> Result<bool, Error> {
    let (clusters, len): (Vec<u64>, u64) = {
        let state = store.state().await;
        (state.meta(id)?.map.allocated().map(|(at, _)| at).collect(), state.geometry.cluster_bytes.into())
    };
    let local = &store.0.local;
    let (volume, target) = (Disk::open(local, volume).await?, Disk::open(local, target).await?);
    let all = clusters.len() as u64;
    for (copied, at) in (0..).zip(clusters) {
        if !go_on(copied, all) {
            return Ok(false);
        }
        target.copy_from(&volume, at * len, at * len, len).await?;
    }
    target.flush().await?;
    Ok(go_on(all, all))
}
