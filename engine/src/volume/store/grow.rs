// SPDX-License-Identifier: BSD-3-Clause

//! Growth of a volume by slabs.
//!
//! The new objects are recorded, the new slabs' summaries written, the objects committed, and finally counted: the
//! COUNTS record is the moment of growth. The user of the volume must then adopt the new [`super::Placement`] and
//! geometry; its shards are quiesced meanwhile.

use std::rc::Rc;

use mpool::error::{Kind, Result};
use mpool::MediaClass;

use super::addition::{delete_object, slab_bytes, Addition, SlabWish};
use super::{claim_segment, fresh, open_object, VolumeStore};
use crate::volume::inventory::InventoryRecord;

impl VolumeStore {
    /// Adds slabs. Returns how many there was room for.
    ///
    /// # Errors
    /// Invalid: more slabs than block numbers allow. NoSpace: room for fewer than the least. Io. Then nothing has
    /// changed, unless recording the growth failed: the next [`VolumeStore::open`] finds out.
    pub async fn grow(&self, wish: SlabWish) -> Result<u64> {
        let _alone = self.changing.lock().await;
        let config = self.config();
        let slabs = self.slabs();
        if slabs.checked_add(wish.wanted).is_none_or(|slabs| slabs > config.max_slabs()) {
            let reason = format!("it has {slabs} slabs, and at most {} are possible", config.max_slabs());
            return Err(self.ledger.refuse(Kind::Invalid, reason));
        }
        self.add(async |addition| {
            addition.take_slabs(&self.pool, &config, slabs, wish).await?;
            Ok(())
        })
        .await?;
        Ok(self.slabs() - slabs)
    }

    /// Adds the objects that `take` allocates. The caller holds `changing`.
    pub(super) async fn add(&self, take: impl AsyncFnOnce(&mut Addition) -> Result<()>) -> Result<()> {
        if self.objects.borrow().roots.is_none() {
            return Err(self.closed());
        }
        if self.uncertain.get() {
            let reason = "nobody knows whether the objects added last count; the next opening tells";
            return Err(self.ledger.refuse(Kind::Io, reason));
        }
        // Leftovers of a failed addition: their records are about to be replaced.
        let strays = self.ledger.contents().strays();
        for id in strays {
            delete_object(&self.pool, id).await?;
        }
        let mut addition = Addition::default();
        let outcome = async {
            take(&mut addition).await?;
            self.make(&addition).await
        }
        .await;
        if outcome.is_err() {
            addition.take_back(&self.pool).await;
            return outcome;
        }
        let counts = addition.counts(self.ledger.contents().counts.unwrap_or_default());
        // After a failure it is unknown whether the objects count, so they stay.
        self.uncertain.set(true);
        self.ledger.append(vec![InventoryRecord::Counts(counts)]).await?;
        self.uncertain.set(false);
        self.take_in(&addition).await
    }

    /// Records, fills and commits objects.
    async fn make(&self, addition: &Addition) -> Result<()> {
        let (config, counts) = (self.config(), self.ledger.contents().counts.unwrap_or_default());
        self.ledger.append(addition.records(&config, counts)).await?;
        let areas = self.ledger.contents().areas.clone();
        let slabs = counts.slabs..addition.counts(counts).slabs;
        fresh::write_summaries(&self.pool, &config, &areas, slabs).await?;
        self.pool.drive_of(config.metadata_class)?.flush().await?;
        addition.commit(&self.pool).await
    }

    /// Opens objects that have just been counted.
    async fn take_in(&self, addition: &Addition) -> Result<()> {
        let config = self.config();
        let metadata = config.metadata_class;
        let areas_bytes = config.area_bytes().saturating_mul(config.areas_per_object.into());
        for id in &addition.slabs {
            let slab = open_object(&self.pool, &self.ledger, *id, MediaClass::Capacity, slab_bytes(&config)).await?;
            self.objects.borrow_mut().slabs.push(slab);
        }
        for id in &addition.areas {
            let areas = open_object(&self.pool, &self.ledger, *id, metadata, areas_bytes).await?;
            self.objects.borrow_mut().areas.push(areas);
        }
        for id in &addition.segments {
            let segment = claim_segment(&self.pool, &self.ledger, *id, metadata).await?;
            self.objects.borrow_mut().segments.push(Rc::clone(&segment));
        }
        Ok(())
    }
}
