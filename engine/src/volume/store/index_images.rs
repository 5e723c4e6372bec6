// SPDX-License-Identifier: BSD-3-Clause

//! Images of the level-1 index, which a clean stop saves for the next load.
//!
//! The image of a shard lies in mblocks, each recorded before it is committed. An image belongs to the load generation
//! that saved it: it counts as long as the volume is recorded as clean in that generation, and is void from the moment
//! that the next generation is recorded, whatever becomes of its mblocks. The store does not know the content of an
//! image.

use mpool::error::{Kind, Result};
use mpool::{MediaClass, Search};

use super::addition::delete_object;
use super::chapters::{read, write};
use super::VolumeStore;
use crate::volume::inventory::{ImagePiece, InventoryRecord, StateKind};

impl VolumeStore {
    /// Saves the image of shard `shard` of `shards`, for the volume's present load generation. It counts once the
    /// volume is recorded as clean.
    ///
    /// # Errors
    /// NoSpace; Io. [`VolumeStore::delete_images`] deletes the pieces that were saved.
    pub async fn save_image(&self, shard: u16, shards: u16, image: &[u8]) -> Result<()> {
        let zone_bytes = self.pool.drive_of(MediaClass::Capacity)?.zone_bytes() as usize;
        for (piece, content) in (0..).zip(image.chunks(zone_bytes)) {
            let object = self.pool.mblock_alloc(MediaClass::Capacity, false).await?.id;
            // At most 64 MiB.
            let bytes = content.len() as u32;
            let record = ImagePiece { generation: self.state().generation, object, bytes, shard, shards, piece };
            let made = async {
                write(&self.pool, object, core::iter::once(content)).await?;
                self.ledger.append(vec![InventoryRecord::Image(record)]).await?;
                self.pool.mblock_commit(object).await
            };
            if let Err(error) = made.await {
                // Report the first failure; an uncommitted mblock vanishes.
                let _ = self.pool.mblock_abort(object).await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// The images of all shards, if a clean stop saved them with the same number of shards. To be called before the
    /// next load generation is recorded.
    ///
    /// # Errors
    /// NotFound: one of their mblocks is missing. Io.
    pub async fn load_images(&self, shards: u16) -> Result<Option<Vec<Vec<u8>>>> {
        let state = self.state();
        let mut pieces = self.ledger.contents().images.clone();
        pieces.retain(|piece| piece.generation == state.generation);
        if state.kind != StateKind::Clean || pieces.is_empty() || pieces.iter().any(|piece| piece.shards != shards) {
            return Ok(None);
        }
        pieces.sort_by_key(|piece| (piece.shard, piece.piece));
        let mut images = vec![Vec::new(); shards.into()];
        let mut next = vec![0; shards.into()];
        for piece in &pieces {
            let shard = usize::from(piece.shard);
            let missing = || self.ledger.refuse(Kind::NotFound, format!("the index of shard {shard} has a gap"));
            if next[shard] != piece.piece || self.pool.find(piece.object, Search::Committed).is_err() {
                return Err(missing());
            }
            next[shard] += 1;
            images[shard].append(&mut read(&self.pool, piece.object, piece.bytes.into()).await?);
        }
        Ok(Some(images))
    }

    /// Deletes all images. An interrupted deletion is completed by repeating it.
    ///
    /// # Errors
    /// Io.
    pub async fn delete_images(&self) -> Result<()> {
        let pieces = self.ledger.contents().images.clone();
        if pieces.is_empty() {
            return Ok(());
        }
        for piece in &pieces {
            delete_object(&self.pool, piece.object).await?;
        }
        self.ledger.append(vec![InventoryRecord::ImagesGone]).await
    }
}
