// SPDX-License-Identifier: BSD-3-Clause

//! Growth of a loaded volume: a larger logical size, or more slabs.
//!
//! The new size is on media before any shard knows of it; then the volume pauses while its shards take over the new
//! layout. So after any failure the volume has either the old or the new size.

use std::sync::Arc;

use engine::format::slab_summary::SlabSummary;
use engine::volume::store::{SlabWish, VolumeStore};
use engine::Blocks;
use mpool::{MediaClass, Pool};

use super::error::VolumeError;
use super::for_each_shard::for_each_shard;
use super::setup::summaries_of;
use super::storage::{self, place};
use super::{lock, sizing, Volume};
use crate::datapath::shard_host::ShardHost;
use crate::pool::runtime;

impl Volume {
    /// Increases the size that clients see.
    ///
    /// # Errors
    /// The size is not larger, or too large; read-only; Busy; Io.
    pub async fn grow_logical(self: &Arc<Volume>, mib: u64) -> Result<(), VolumeError> {
        let _turn = self.begin("grow_logical")?;
        self.refuse_read_only()?;
        let blocks = Blocks(mib << 8);
        let present = self.geometry().logical_blocks();
        if blocks <= present {
            return Err(self.refused(format!("its logical size is {} MiB, and it only grows", present.0 >> 8)));
        }
        let store = storage::store(self.storage.key).map_err(|error| VolumeError::pool(&self.name, error))?;
        self.record(|config| config.logical_blocks = blocks).await?;
        self.take_over(&store, 0, Vec::new()).await?;
        self.show_growth();
        log::info!("{}: its logical size is {mib} MiB now", self.name);
        Ok(())
    }

    /// Adds slabs: up to `mib` MiB in all, or as many as the pool has room for once it uses the growth of its bdevs.
    /// Returns the size of the data area in MiB.
    ///
    /// # Errors
    /// There is no room for another slab, or for that many; not all reference counts are known yet; read-only; Busy;
    /// Io.
    pub async fn grow_physical(self: &Arc<Volume>, mib: Option<u64>) -> Result<u64, VolumeError> {
        let _turn = self.begin("grow_physical")?;
        self.refuse_read_only()?;
        let unknown: u64 =
            for_each_shard(self, ShardHost::statistics).await.iter().map(|shard| shard.slabs_unrecovered).sum();
        if unknown > 0 {
            return Err(
                self.refused(format!("the reference counts of {unknown} slabs are not known yet; try again later"))
            );
        }
        let failed = |error| VolumeError::pool(&self.name, error);
        let store = storage::store(self.storage.key).map_err(failed)?;
        let pool = store.pool();
        self.grow_pool(pool).await?;
        let geometry = self.geometry();
        let (slabs, slab_blocks) = (geometry.slabs(), geometry.slab_blocks());
        let mut room = place::room(pool).map_err(failed)?;
        let kept = store.free_index_zones(self.shards().len()).map_err(failed)?;
        room.free_zones = room.free_zones.saturating_sub(kept);
        let more = sizing::plan_growth(&room, (slabs, slab_blocks), mib)
            .map_err(|error| VolumeError::sizing(&self.name, pool.name(), error))?;
        if more == 0 {
            return Err(self.refused(format!("{slabs} slabs of {} MiB are what it can have now", slab_blocks >> 8)));
        }
        let least = if mib.is_some() { more } else { 1 };
        store.grow(SlabWish { least, wanted: more }).await.map_err(failed)?;
        let fresh = SlabSummary::new(u32::try_from(slab_blocks).unwrap_or(u32::MAX));
        let summaries = (slabs..store.slabs()).map(|_| fresh).collect();
        self.take_over(&store, slabs, summaries).await?;
        let mib = self.geometry().data_blocks().0 >> 8;
        log::info!("{}: it has {} slabs with {mib} MiB now, instead of {slabs}", self.name, self.geometry().slabs());
        Ok(mib)
    }

    /// Lets the pool use the growth of its bdevs.
    async fn grow_pool(&self, pool: &Pool) -> Result<(), VolumeError> {
        let failed = |error| VolumeError::pool(&self.name, error);
        let runtime = runtime::get().ok_or_else(|| failed(storage::ended()))?;
        let _managing = runtime.service.manage().await;
        runtime.service.registry().drives_grow(&pool.uuid().to_string()).await.map_err(failed)?;
        self.storage.set_own_bytes(pool.drive_of(MediaClass::Capacity).map_err(failed)?.descriptor().bytes);
        Ok(())
    }

    fn refused(&self, reason: String) -> VolumeError {
        VolumeError::Refused { name: self.name.to_string(), reason }
    }

    /// Makes the shards take over the store's present layout; `summaries` are those of the slabs from `first` on.
    async fn take_over(
        self: &Arc<Volume>,
        store: &VolumeStore,
        first: u64,
        summaries: Vec<SlabSummary>,
    ) -> Result<(), VolumeError> {
        let failed = |error| VolumeError::pool(&self.name, error);
        let geometry = store.geometry(self.shards().len()).map_err(failed)?;
        let placement = Arc::new(store.placement(geometry).map_err(failed)?);
        self.pause().await;
        for_each_shard(self, move |shard| {
            let own = summaries_of(&geometry, shard.id, first, &summaries);
            shard.grow(geometry, Arc::clone(&placement), own);
        })
        .await;
        *lock(&self.geometry) = geometry;
        self.unpause().await;
        Ok(())
    }
}
