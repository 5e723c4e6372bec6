// SPDX-License-Identifier: BSD-3-Clause

//! New objects of a volume in progress: allocated, then recorded, filled, committed, and finally counted.
//!
//! A power cut before the commit makes them vanish. Objects that are not counted are deleted when the volume is opened
//! next.

use std::rc::Rc;

use mpool::error::{Kind, Result};
use mpool::{MediaClass, ObjectId, ObjectType, Pool, Search};

use super::footprint::{AreaPacking, ROOT_BYTES};
use crate::units::BLOCK_SIZE;
use crate::volume::inventory::{Counts, InventoryRecord, VolumeConfig};

/// The new objects.
#[derive(Debug, Default)]
pub(super) struct Addition {
    /// The object with the roots.
    pub(super) roots: Option<ObjectId>,
    /// Objects of slabs.
    pub(super) slabs: Vec<ObjectId>,
    /// Objects with slab areas.
    pub(super) areas: Vec<ObjectId>,
    /// Logs of journal segments.
    pub(super) segments: Vec<ObjectId>,
}

/// The number of slabs to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabWish {
    /// The fewest that will do; less room is an error.
    pub least: u64,
    /// The number to add if there is room.
    pub wanted: u64,
}

impl Addition {
    pub(super) async fn take_roots(&mut self, pool: &Pool, class: MediaClass) -> Result<()> {
        let zones = ROOT_BYTES.div_ceil(pool.drive_of(class)?.zone_bytes());
        self.roots = Some(pool.slab_alloc(class, zones, false).await?.id);
        Ok(())
    }

    /// Allocates `count` logs of `bytes` bytes for segments.
    pub(super) async fn take_segments(&mut self, pool: &Pool, class: MediaClass, count: u64, bytes: u64) -> Result<()> {
        for _ in 0..count {
            self.segments.push(pool.mlog_alloc(class, bytes, false).await?.id);
        }
        Ok(())
    }

    /// Allocates slabs, numbered from `first` on, and objects for their areas as needed. Returns how many slabs there
    /// was room for.
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
                // Fragmentation: there may be free zones, but no run that is long enough.
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

    /// The records of the objects, numbered from the counts on.
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

    /// The counts that include the objects.
    pub(super) fn counts(&self, before: Counts) -> Counts {
        Counts { slabs: before.slabs + self.slabs.len() as u64, segments: before.segments + self.segments.len() as u64 }
    }

    fn objects(&self) -> impl DoubleEndedIterator<Item = &ObjectId> {
        self.roots.iter().chain(&self.segments).chain(&self.areas).chain(&self.slabs)
    }

    /// Commits the objects, which are recorded. After a failure some may be committed.
    pub(super) async fn commit(&self, pool: &Pool) -> Result<()> {
        let ids: Vec<_> = self.objects().copied().collect();
        pool.commit_together(&ids).await
    }

    /// Deletes the objects, committed or not, after a failure. Errors are ignored, because the first failure is
    /// reported: an object that cannot be deleted now is deleted when the volume is opened next.
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

/// The zones of an object with slab areas. All such objects of a volume hold the same number of areas, whatever the
/// zone size of the drive is.
fn area_zones(pool: &Pool, config: &VolumeConfig) -> Result<u64> {
    let bytes = config.area_bytes().saturating_mul(config.areas_per_object.into());
    Ok(bytes.div_ceil(pool.drive_of(config.metadata_class)?.zone_bytes()))
}

/// The number of areas in each object of a new volume.
pub(super) fn areas_per_object(pool: &Pool, slab_blocks: u64, class: MediaClass) -> Result<u32> {
    Ok(AreaPacking::of(slab_blocks, pool.drive_of(class)?.zone_bytes()).areas)
}

/// Deletes a committed object if it exists.
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

pub(super) const fn slab_bytes(config: &VolumeConfig) -> u64 {
    config.slab_blocks * BLOCK_SIZE as u64
}
