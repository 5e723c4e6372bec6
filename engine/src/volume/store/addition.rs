// SPDX-License-Identifier: BSD-3-Clause

//! New objects of a volume on their way: allocated, then recorded, filled, committed, and at last counted.
//!
//! Until they are committed a power cut makes them vanish; until they are counted they are taken back when the volume is
//! opened next.

use std::rc::Rc;

use mpool::error::{Kind, Result};
use mpool::{MediaClass, ObjectId, ObjectType, Pool, Search};

use super::footprint::{AreaPacking, ROOT_BYTES};
use crate::units::BLOCK_SIZE;
use crate::volume::inventory::{Counts, InventoryRecord, VolumeConfig};

/// New objects.
#[derive(Debug, Default)]
pub(super) struct Addition {
    /// The object with the roots.
    pub(super) roots: Option<ObjectId>,
    /// Slabs.
    pub(super) slabs: Vec<ObjectId>,
    /// Objects with areas.
    pub(super) areas: Vec<ObjectId>,
    /// Logs of segments.
    pub(super) segments: Vec<ObjectId>,
}

/// How many slabs to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabWish {
    /// Fewer are an error.
    pub least: u64,
    /// As many as are wanted, if there is room.
    pub wanted: u64,
}

impl Addition {
    /// Allocates the object with the roots.
    pub(super) async fn take_roots(&mut self, pool: &Pool, class: MediaClass) -> Result<()> {
        let zones = ROOT_BYTES.div_ceil(pool.drive_of(class)?.zone_bytes());
        self.roots = Some(pool.slab_alloc(class, zones, false).await?.id);
        Ok(())
    }

    /// Allocates `count` logs of `bytes` bytes.
    pub(super) async fn take_segments(&mut self, pool: &Pool, class: MediaClass, count: u64, bytes: u64) -> Result<()> {
        for _ in 0..count {
            self.segments.push(pool.mlog_alloc(class, bytes, false).await?.id);
        }
        Ok(())
    }

    /// Allocates slabs, numbered from `first` on, and objects for their areas behind `areas` that there are. Returns how
    /// many there was room for.
    pub(super) async fn take_slabs(
        &mut self,
        pool: &Pool,
        config: &VolumeConfig,
        first: u64,
        wish: SlabWish,
    ) -> Result<u64> {
        let areas = config.area_objects(first);
        while (self.slabs.len() as u64) < wish.wanted {
            let (slabs, taken) = (self.slabs.len() as u64, self.areas.len() as u64);
            let needs_area = config.area_objects(first + slabs + 1) > areas + taken;
            match self.take_slab(pool, config, needs_area).await {
                // Runs of zones may be fewer than zones.
                Err(error) if error.kind() == Kind::NoSpace && slabs >= wish.least => break,
                other => other?,
            }
        }
        Ok(self.slabs.len() as u64)
    }

    async fn take_slab(&mut self, pool: &Pool, config: &VolumeConfig, needs_area: bool) -> Result<()> {
        if needs_area {
            let zones = area_zones(pool, config)?;
            self.areas.push(pool.slab_alloc(config.metadata_class, zones, false).await?.id);
        }
        match pool.slab_alloc(MediaClass::Capacity, config.slab_zones, false).await {
            Ok(slab) => self.slabs.push(slab.id),
            Err(error) => {
                let useless = if needs_area { self.areas.pop() } else { None };
                if let Some(area) = useless {
                    pool.slab_abort(area).await?;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// The records of the objects, behind what counts.
    pub(super) fn records(&self, config: &VolumeConfig, counts: Counts) -> Vec<InventoryRecord> {
        let mut records = Vec::new();
        records.extend(self.roots.map(|object| InventoryRecord::Roots { object }));
        let areas = (config.area_objects(counts.slabs)..).zip(&self.areas);
        records.extend(areas.map(|(number, object)| InventoryRecord::Areas { number, object: *object }));
        let slabs = (counts.slabs..).zip(&self.slabs);
        records.extend(slabs.map(|(number, object)| InventoryRecord::Slab { number, object: *object }));
        let segments = (counts.segments..).zip(&self.segments);
        records.extend(segments.map(|(number, object)| InventoryRecord::Segment { number, object: *object }));
        records
    }

    /// What counts with them.
    pub(super) fn counts(&self, before: Counts) -> Counts {
        Counts { slabs: before.slabs + self.slabs.len() as u64, segments: before.segments + self.segments.len() as u64 }
    }

    fn objects(&self) -> impl DoubleEndedIterator<Item = &ObjectId> {
        self.roots.iter().chain(&self.segments).chain(&self.areas).chain(&self.slabs)
    }

    /// Commits the objects, which are recorded. Some may be after a failure.
    pub(super) async fn commit(&self, pool: &Pool) -> Result<()> {
        let ids: Vec<_> = self.objects().copied().collect();
        pool.commit_together(&ids).await
    }

    /// Takes the objects back, committed or not, after a failure, which is what counts: what cannot be taken back now is
    /// when the volume is opened next.
    pub(super) async fn take_back(&self, pool: &Rc<Pool>) {
        for id in self.objects().rev() {
            let _ = match (pool.find(*id, Search::Uncommitted).is_ok(), id.kind()) {
                (true, Some(ObjectType::Mlog)) => pool.mlog_abort(*id).await,
                (true, _) => pool.slab_abort(*id).await,
                (false, _) => delete_object(pool, *id).await,
            };
        }
    }
}

/// Zones of an object with areas. Those of a volume hold equally many, whatever the zones of its drive are.
fn area_zones(pool: &Pool, config: &VolumeConfig) -> Result<u64> {
    let bytes = config.area_bytes().saturating_mul(config.areas_per_object.into());
    Ok(bytes.div_ceil(pool.drive_of(config.metadata_class)?.zone_bytes()))
}

/// Areas in each object of a new volume.
pub(super) fn areas_per_object(pool: &Pool, slab_blocks: u64, class: MediaClass) -> Result<u32> {
    Ok(AreaPacking::of(slab_blocks, pool.drive_of(class)?.zone_bytes()).areas)
}

/// Deletes a committed object if it is there.
pub(super) async fn delete_object(pool: &Pool, id: ObjectId) -> Result<()> {
    if pool.find(id, Search::Committed).is_err() {
        return Ok(());
    }
    match id.kind() {
        Some(ObjectType::Mlog) => pool.mlog_delete(id).await,
        Some(ObjectType::Mblock) => pool.mblock_delete(id).await,
        _ => pool.slab_delete(id).await,
    }
}

/// Bytes of a slab.
pub(super) const fn slab_bytes(config: &VolumeConfig) -> u64 {
    config.slab_blocks * BLOCK_SIZE as u64
}
