//! The store as a whole: it takes what its device has grown by, is closed, and is destroyed.

use super::state::State;
use crate::Error;
use crate::bits::Bits;
use doorbell_wire_blob::{Geometry, MaskKind, PAGE_LEN, mask_part};

/// Bytes of a mask that are written at a time.
const PART: u64 = 1 << 20;

impl State {
    pub(super) async fn grow(&mut self) -> Result<bool, Error> {
        self.changeable()?;
        let bytes = self.device.info().bytes();
        let Some(grown) = self.geometry.grown(&self.super_block, bytes).map_err(Error::Geometry)? else { return Ok(false) };
        let geometry = Geometry::of(&grown, bytes).map_err(Error::Geometry)?;
        self.super_block = grown;
        self.super_block.clean = false;
        self.write_super().await?;
        self.geometry = geometry;
        self.clusters.resize(geometry.total_clusters);
        self.blank.resize(geometry.total_clusters);
        self.said_full = false;
        Ok(true)
    }

    /// Writes what is used, and last that it is to be believed.
    pub(super) async fn unload(&mut self) -> Result<(), Error> {
        self.unused()?;
        if self.super_block.clean {
            return Ok(());
        }
        self.changeable()?;
        let mut ids = Bits::new(self.geometry.md_len);
        ids.set_all(self.blobs.keys().chain(self.unusable.keys()).map(|id| id.root().0));
        for (kind, bits) in [(MaskKind::Pages, &self.pages), (MaskKind::BlobIds, &ids), (MaskKind::Clusters, &self.clusters)] {
            self.write_mask(kind, bits).await?;
        }
        self.disk.flush().await?;
        self.super_block.clean = true;
        self.write_super().await
    }

    async fn write_mask(&self, kind: MaskKind, bits: &Bits) -> Result<(), Error> {
        let Some(place) = self.geometry.mask(kind) else { return Ok(()) };
        let range = self.geometry.mask_bytes(place);
        let mut at = range.start;
        while at < range.end {
            let mut part = vec![0; (range.end - at).min(PART) as usize];
            mask_part(kind, bits.len(), bits.words(), at - range.start, &mut part);
            self.disk.write(at, &part).await?;
            at += part.len() as u64;
        }
        Ok(())
    }

    pub(super) async fn destroy(&mut self) -> Result<(), Error> {
        self.unused()?;
        let block = self.disk.info().block_size() as usize;
        self.stopped = Some("the store is destroyed".to_owned());
        self.disk.write(0, &vec![0; PAGE_LEN.next_multiple_of(block)]).await?;
        self.disk.flush().await
    }
}
