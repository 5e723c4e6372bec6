// SPDX-License-Identifier: BSD-3-Clause

//! Creation of a volume.
//!
//! In order: the logs of its MDC are allocated, recorded in the catalog and committed; its objects are allocated and
//! recorded; roots and summaries are written; the objects are committed; then configuration, state and, last of all,
//! the counts are recorded. [`super::remove`] undoes an interrupted creation.

use std::rc::Rc;

use mpool::error::{Kind, PoolError, Result};
use mpool::{MediaClass, ObjectId, Pool, Search};
use uuid::Uuid;

use super::addition::{areas_per_object, Addition, SlabWish};
use super::delete::remove;
use super::footprint::JournalLayout;
use super::ledger::{mdc_bytes, Ledger};
use super::{fresh, VolumeStore};
use crate::units::{Blocks, BLOCK_SIZE};
use crate::volume::catalog::{Catalog, VolumeEntry};
use crate::volume::inventory::{Counts, InventoryRecord, VolumeConfig};

/// The properties of a new volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    /// The name, 1 to 255 bytes.
    pub name: String,
    /// The UUID, unmasked.
    pub uuid: Uuid,
    /// The number of slabs, at least and wanted.
    pub slabs: SlabWish,
    /// The number of shards for whose journals room is made at once.
    pub shards: usize,
    /// The configuration. A slab has whole zones of the CAPACITY drive; creation sets what depends on the pool or is
    /// random.
    pub config: VolumeConfig,
}

impl VolumeStore {
    /// Creates a volume and opens it. `size` sets the sizes that depend on the number of slabs for which there was room:
    /// of the volume, of its index and of the index's history.
    ///
    /// # Errors
    /// Exists: the name or UUID is taken. Invalid: the properties are impossible, or `size` refuses. NoSpace: room for
    /// fewer slabs than the least. Io. What was made is deleted as far as possible.
    pub async fn create(
        pool: &Rc<Pool>,
        catalog: &Catalog,
        spec: &VolumeSpec,
        size: impl FnOnce(u64, &mut VolumeConfig) -> Result<()>,
    ) -> Result<VolumeStore> {
        let config = first_config(pool, spec)?;
        let entry = enter(pool, catalog, spec).await?;
        let made = match make(pool, &entry, config, spec, size).await {
            Ok(()) => VolumeStore::open(pool, entry.clone()).await,
            Err(error) => Err(error),
        };
        if made.is_err() {
            // Report the first failure; leftovers are removed with the unfinished volumes.
            let _ = remove(pool, catalog, &entry).await;
        }
        made
    }
}

/// The configuration, as far as it does not depend on the number of slabs.
fn first_config(pool: &Pool, spec: &VolumeSpec) -> Result<VolumeConfig> {
    let invalid = |reason: String| PoolError::invalid(format!("volume '{}'", spec.name.escape_debug()), reason);
    let mut config = spec.config.clone();
    let has_staging = pool.drive_of(MediaClass::Staging).is_ok();
    config.metadata_class = if has_staging { MediaClass::Staging } else { MediaClass::Capacity };
    let zone_bytes = pool.drive_of(MediaClass::Capacity)?.zone_bytes();
    let slab_bytes = config.slab_blocks.saturating_mul(BLOCK_SIZE as u64);
    if !slab_bytes.is_multiple_of(zone_bytes) {
        return Err(invalid(format!("slabs of {slab_bytes} bytes are not whole zones of {zone_bytes}")));
    }
    config.slab_zones = slab_bytes / zone_bytes;
    let mut nonce = [0; 8];
    pool.host().random(&mut nonce);
    pool.host().random(&mut config.secret);
    config.nonce = u64::from_le_bytes(nonce);
    // Placeholders until the number of slabs is known.
    config.logical_blocks = Blocks(1);
    config.areas_per_object = 1;
    config.check().map_err(|error| invalid(format!("its configuration: {error}")))?;
    if spec.slabs.wanted > config.max_slabs() || spec.slabs.least > spec.slabs.wanted {
        return Err(invalid(format!("{:?} of {} blocks are not possible", spec.slabs, config.slab_blocks)));
    }
    config.areas_per_object = areas_per_object(pool, config.slab_blocks, config.metadata_class)?;
    Ok(config)
}

/// Makes the logs of the MDC, and records the volume in the catalog.
async fn enter(pool: &Rc<Pool>, catalog: &Catalog, spec: &VolumeSpec) -> Result<VolumeEntry> {
    let mut logs = Vec::with_capacity(2);
    for _ in 0..2 {
        match pool.mlog_alloc(MediaClass::Capacity, mdc_bytes(spec.slabs.wanted), false).await {
            Ok(log) => logs.push(log.id),
            Err(error) => {
                take_back(pool, &logs).await;
                return Err(error);
            }
        }
    }
    let entry = VolumeEntry { uuid: spec.uuid, name: spec.name.clone(), logs: [logs[0], logs[1]] };
    if let Err(error) = catalog.add(entry.clone()).await {
        take_back(pool, &logs).await;
        return Err(error);
    }
    for id in &logs {
        if let Err(error) = pool.mlog_commit(*id).await {
            take_back(pool, &logs).await;
            // Report the failure of the commit. An entry whose logs do not exist does not count.
            let _ = catalog.remove(entry.uuid).await;
            return Err(error);
        }
    }
    Ok(entry)
}

async fn take_back(pool: &Rc<Pool>, logs: &[ObjectId]) {
    for id in logs {
        // Best effort: the first failure was reported.
        let _ = match pool.find(*id, Search::Uncommitted) {
            Ok(_) => pool.mlog_abort(*id).await,
            Err(_) => pool.mlog_delete(*id).await,
        };
    }
}

/// Makes the objects and the inventory.
async fn make(
    pool: &Rc<Pool>,
    entry: &VolumeEntry,
    mut config: VolumeConfig,
    spec: &VolumeSpec,
    size: impl FnOnce(u64, &mut VolumeConfig) -> Result<()>,
) -> Result<()> {
    let ledger = Ledger::open(pool, entry).await?;
    let mut addition = Addition::default();
    let filled = fill(pool, &ledger, &mut addition, &mut config, (spec, size)).await;
    let made = match filled {
        Ok(()) => count(&ledger, &addition, config).await,
        Err(error) => {
            addition.take_back(pool).await;
            Err(error)
        }
    };
    let closed = ledger.close().await;
    made.and(closed)
}

/// Allocates, records, fills and commits the objects.
async fn fill(
    pool: &Rc<Pool>,
    ledger: &Ledger,
    addition: &mut Addition,
    config: &mut VolumeConfig,
    (spec, size): (&VolumeSpec, impl FnOnce(u64, &mut VolumeConfig) -> Result<()>),
) -> Result<()> {
    let class = config.metadata_class;
    let journal = JournalLayout::of(config.journal_mib, pool.drive_of(class)?.zone_bytes());
    let segments = u64::from(journal.segments).saturating_mul(spec.shards as u64);
    addition.take_roots(pool, class).await?;
    addition.take_segments(pool, class, segments, journal.segment_bytes).await?;
    let slabs = addition.take_slabs(pool, config, 0, spec.slabs).await?;
    size(slabs, config)?;
    let invalid = |reason: String| ledger.refuse(Kind::Invalid, reason);
    config.check().map_err(|error| invalid(format!("its configuration: {error}")))?;
    config.geometry(slabs, spec.shards).map_err(|error| invalid(error.to_string()))?;
    ledger.append(addition.records(config, Counts::default())).await?;
    fresh::write_roots(pool, addition.roots, config).await?;
    fresh::write_summaries(pool, config, &addition.areas, 0..slabs).await?;
    pool.drive_of(class)?.flush().await?;
    addition.commit(pool).await
}

/// Ends the creation. After a failure it is unknown whether the objects count; [`remove`] deletes them.
async fn count(ledger: &Ledger, addition: &Addition, config: VolumeConfig) -> Result<()> {
    ledger
        .append(vec![
            InventoryRecord::Config(Box::new(config)),
            InventoryRecord::State(Box::default()),
            InventoryRecord::Counts(addition.counts(Counts::default())),
        ])
        .await
}
