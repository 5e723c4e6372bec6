// SPDX-License-Identifier: BSD-3-Clause

//! Growth of a loaded volume: a larger logical size, or more slabs.
//!
//! The new size is on media before any shard knows of it; then the volume pauses while its shards take over the new
//! layout. So after any failure the volume has either the old or the new size.

use std::rc::Rc;
use std::sync::Arc;

use engine::format::slab_summary::SlabSummary;
use engine::format::{Geometry, Placement};
use engine::volume::store::{SlabWish, VolumeStore};
use engine::Blocks;
use mpool::{MediaClass, PoolError};

use super::error::VolumeError;
use super::for_each_shard::for_each_shard;
use super::load::runtime_for;
use super::setup::summaries_of;
use super::steps::{table, Failure, Table};
use super::storage::{self, place};
use super::{lock, sizing, Volume};
use crate::datapath::shard_host::ShardHost;

const GROW_LOGICAL: Table<Growth> = table! { "grow_logical":
    "record the size" => |growth| growth.record().await, undo growth.record_former().await;
    "lay it out" => |growth| growth.lay_out();
    "pause it" => |growth| growth.volume.pause().await;
    "give the shards the layout" => |growth| growth.take_over().await;
    "accept requests again" => |growth| growth.volume.unpause().await;
};

const GROW_PHYSICAL: Table<Growth> = table! { "grow_physical":
    "see whether all reference counts are known" => |growth| growth.refuse_unknown().await;
    "let the pool use the growth of its bdevs" => |growth| growth.grow_pool().await;
    "count the slabs that there is room for" => |growth| growth.plan();
    "add the slabs" => |growth| growth.store.grow(growth.more).await.map(drop);
    "lay it out" => |growth| growth.lay_out();
    "pause it" => |growth| growth.volume.pause().await;
    "give the shards the layout" => |growth| growth.take_over().await;
    "accept requests again" => |growth| growth.volume.unpause().await;
};

/// A volume that is growing.
struct Growth {
    volume: Arc<Volume>,
    store: Rc<VolumeStore>,
    /// The size to grow to; none for as much as there is room for.
    wanted_mib: Option<u64>,
    former: Geometry,
    more: SlabWish,
    /// Where the objects lie after the growth, once it is laid out.
    placement: Option<Arc<Placement>>,
}

impl Volume {
    /// Increases the size that clients see.
    ///
    /// # Errors
    /// The size is not larger, or too large; read-only; Busy; Io.
    pub async fn grow_logical(self: &Arc<Volume>, mib: u64) -> Result<(), VolumeError> {
        let _turn = self.begin("grow_logical")?;
        self.refuse_read_only()?;
        let present = self.geometry().logical_blocks();
        if Blocks(mib << 8) <= present {
            return Err(self.refused(format!("its logical size is {} MiB, and it only grows", present.0 >> 8)));
        }
        GROW_LOGICAL.run(&self.name, &mut self.growth(Some(mib))?).await?;
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
        let former = self.geometry().slabs();
        GROW_PHYSICAL.run(&self.name, &mut self.growth(mib)?).await?;
        let (slabs, mib) = (self.geometry().slabs(), self.geometry().data_blocks().0 >> 8);
        log::info!("{}: it has {slabs} slabs with {mib} MiB now, instead of {former}", self.name);
        Ok(mib)
    }

    fn growth(self: &Arc<Volume>, wanted_mib: Option<u64>) -> Result<Growth, VolumeError> {
        let store = storage::store(self.storage.key).map_err(|error| VolumeError::pool(&self.name, error))?;
        let (former, more) = (self.geometry(), SlabWish { least: 0, wanted: 0 });
        Ok(Growth { volume: Arc::clone(self), store, wanted_mib, former, more, placement: None })
    }

    fn refused(&self, reason: String) -> VolumeError {
        VolumeError::Refused { name: self.name.to_string(), reason }
    }
}

impl Growth {
    async fn record(&self) -> Result<(), VolumeError> {
        let blocks = Blocks(self.wanted_mib.unwrap_or_default() << 8);
        self.volume.record(|config| config.logical_blocks = blocks).await
    }

    async fn record_former(&self) -> Result<(), VolumeError> {
        self.volume.record(|config| config.logical_blocks = self.former.logical_blocks()).await
    }

    async fn refuse_unknown(&self) -> Result<(), VolumeError> {
        let shards = for_each_shard(&self.volume, ShardHost::statistics).await;
        match shards.iter().map(|shard| shard.slabs_unrecovered).sum::<u64>() {
            0 => Ok(()),
            unknown => Err(self
                .volume
                .refused(format!("the reference counts of {unknown} slabs are not known yet; try again later"))),
        }
    }

    async fn grow_pool(&self) -> Result<(), Failure> {
        let pool = self.store.pool();
        let runtime = runtime_for(&self.volume.name)?;
        let _managing = runtime.service.manage().await;
        runtime.service.registry().drives_grow(&pool.uuid().to_string()).await?;
        self.volume.storage.set_own_bytes(pool.drive_of(MediaClass::Capacity)?.descriptor().bytes);
        Ok(())
    }

    fn plan(&mut self) -> Result<(), Failure> {
        let (pool, slabs, slab_blocks) = (self.store.pool(), self.former.slabs(), self.former.slab_blocks());
        let mut room = place::room(pool)?;
        let kept = self.store.free_index_zones()?;
        room.free_zones = room.free_zones.saturating_sub(kept);
        let more = sizing::plan_growth(&room, (slabs, slab_blocks), self.wanted_mib)
            .map_err(|error| VolumeError::sizing(&self.volume.name, pool.name(), error))?;
        if more == 0 {
            let reason = format!("{slabs} slabs of {} MiB are what it can have now", slab_blocks >> 8);
            return Err(self.volume.refused(reason).into());
        }
        self.more = SlabWish { least: if self.wanted_mib.is_some() { more } else { 1 }, wanted: more };
        Ok(())
    }

    fn lay_out(&mut self) -> Result<(), PoolError> {
        let geometry = self.store.geometry(self.former.shards())?;
        let placement = self.store.placement(geometry)?;
        self.placement = Some(Arc::new(placement));
        Ok(())
    }

    async fn take_over(&mut self) {
        let placement = self.placement.take().expect("an earlier step made it");
        let (geometry, first) = (placement.geometry, self.former.slabs());
        let fresh = SlabSummary::new(u32::try_from(geometry.slab_blocks()).unwrap_or(u32::MAX));
        let summaries: Vec<_> = (first..geometry.slabs()).map(|_| fresh).collect();
        for_each_shard(&self.volume, move |shard| {
            let own = summaries_of(&geometry, shard.id, first, &summaries);
            shard.grow(geometry, Arc::clone(&placement), own);
        })
        .await;
        *lock(&self.volume.geometry) = geometry;
    }
}
