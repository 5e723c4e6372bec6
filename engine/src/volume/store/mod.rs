// SPDX-License-Identifier: BSD-3-Clause

//! The objects of a volume in its pool, used on the pool's thread.
//!
//! | object | number | media class |
//! |---|---|---|
//! | MDC with the inventory ([`super::inventory`]) | 1 | CAPACITY |
//! | slab: data blocks | 1 for each slab | CAPACITY |
//! | metadata object: areas of as many slabs as fit its zones | slab n is in object n / areas per object | metadata |
//! | roots of the block map | 1 | metadata |
//! | log: segment of a recovery journal | some for each shard | metadata |
//! | mblock: closed chapter of the index's history (`chapters`) | as many as the window holds | CAPACITY |
//! | log: open chapter of the history (`history_log`) | 1, once there is a record | CAPACITY |
//!
//! The metadata class is STAGING if the pool had such a drive when the volume was created, else CAPACITY. It never
//! changes: all segments of a journal must have the same sector size.
//!
//! Invariants:
//! * An object is recorded before it is committed, written before it is counted, and used only after that. So at any
//!   power cut every object has an owner, and the volume has the old or the new number of slabs.
//! * While the store is open it holds all of its objects: they cannot be deleted, nor the logs of its journals opened.
//! * The numbers of slabs and of segments only grow.
//! * Objects of the index may be missing. They are looked up when needed, and never keep a volume from being opened.
//!
//! The store does not interpret the state: [`VolumeStore::set_state`] is for the code that loads, saves and recovers.

mod addition;
mod chapters;
mod create;
mod delete;
mod footprint;
mod fresh;
mod grow;
mod history_log;
mod journals;
mod ledger;
mod media;
#[cfg(test)]
mod tests;
mod transfer;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::lock::Mutex;

pub use addition::SlabWish;
pub use chapters::{Chapter, ChapterReader};
pub use create::VolumeSpec;
pub use delete::{remove, remove_unfinished};
pub use footprint::{AreaPacking, Footprint, IndexLayout, JournalLayout, MIN_SEGMENTS};
pub use history_log::HistoryLog;

use mpool::drive::Drive;
use mpool::error::{Kind, PoolError, Result};
use mpool::{ClaimedLog, MediaClass, ObjectId, Pool, Search, SlabObject};

use crate::format::{DeviceByte, Geometry, Placement};
use crate::volume::catalog::VolumeEntry;
use crate::volume::inventory::{Contents, InventoryRecord, VolumeConfig, VolumeState};
use addition::{delete_object, slab_bytes};
use footprint::ROOT_BYTES;
use ledger::Ledger;

#[derive(Debug, Default)]
struct Objects {
    slabs: Vec<Rc<SlabObject>>,
    areas: Vec<Rc<SlabObject>>,
    /// None once the store is closed.
    roots: Option<Rc<SlabObject>>,
    segments: Vec<Rc<ClaimedLog>>,
}

/// The open store of a volume.
#[derive(Debug)]
pub struct VolumeStore {
    pool: Rc<Pool>,
    entry: VolumeEntry,
    ledger: Ledger,
    objects: RefCell<Objects>,
    /// Held while objects are added, or the store is closed.
    changing: Mutex<()>,
    /// It is unknown whether the objects added last count.
    uncertain: Cell<bool>,
}

impl VolumeStore {
    /// Opens a volume, and deletes what an interrupted step has left.
    ///
    /// # Errors
    /// Unfinished: its creation or deletion was interrupted; [`remove`] completes the deletion. Invalid: its inventory
    /// is malformed, or does not fit its objects. Busy: the volume is open. Io.
    pub async fn open(pool: &Rc<Pool>, entry: VolumeEntry) -> Result<VolumeStore> {
        let ledger = Ledger::open(pool, &entry).await?;
        let opened = open_objects(pool, &ledger).await;
        match opened {
            Ok(objects) => {
                let (pool, objects) = (Rc::clone(pool), RefCell::new(objects));
                let (changing, uncertain) = (Mutex::new(()), Cell::new(false));
                Ok(VolumeStore { pool, entry, ledger, objects, changing, uncertain })
            }
            Err(error) => {
                // Report the first failure.
                let _ = ledger.close().await;
                Err(error)
            }
        }
    }

    /// Name, UUID and MDC logs of the volume.
    #[must_use]
    pub fn entry(&self) -> &VolumeEntry {
        &self.entry
    }

    /// The pool that holds the volume's objects.
    #[must_use]
    pub fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// A copy of the recorded configuration.
    #[must_use]
    pub fn config(&self) -> VolumeConfig {
        self.ledger.contents().config.clone().expect("an open store has one")
    }

    /// A copy of the recorded state.
    #[must_use]
    pub fn state(&self) -> VolumeState {
        self.ledger.contents().state.clone().expect("an open store has one")
    }

    /// The number of slabs that count.
    #[must_use]
    pub fn slabs(&self) -> u64 {
        self.ledger.contents().counts.unwrap_or_default().slabs
    }

    /// Changes the configuration, durably: sizes that can change online, and how the volume is loaded.
    ///
    /// # Errors
    /// Invalid: a field has an impossible value, or cannot change. Io.
    pub async fn set_config(&self, config: VolumeConfig) -> Result<()> {
        config.check().map_err(|error| self.ledger.refuse(Kind::Invalid, format!("its configuration: {error}")))?;
        self.ledger.append(vec![InventoryRecord::Config(Box::new(config))]).await
    }

    /// Records the volume's state, durably.
    ///
    /// # Errors
    /// Invalid: a field has an impossible value. Io.
    pub async fn set_state(&self, state: VolumeState) -> Result<()> {
        state.check().map_err(|error| self.ledger.refuse(Kind::Invalid, format!("its state: {error}")))?;
        self.ledger.append(vec![InventoryRecord::State(Box::new(state))]).await
    }

    /// The layout of the volume on `shards` shards.
    ///
    /// # Errors
    /// Invalid: the layout is impossible, for example with more shards than slabs.
    pub fn geometry(&self, shards: usize) -> Result<Geometry> {
        let geometry = self.config().geometry(self.slabs(), shards);
        geometry.map_err(|error| self.ledger.refuse(Kind::Invalid, error.to_string()))
    }

    /// The places of the objects. Journal segments are those that exist: see [`VolumeStore::prepare_journals`].
    ///
    /// # Errors
    /// NotFound: the store is closed.
    pub fn placement(&self, geometry: Geometry) -> Result<Placement> {
        let config = self.config();
        let objects = self.objects.borrow();
        let byte = |object: &SlabObject| {
            let props = object.props();
            DeviceByte { device: device_of(props.class), at: props.drive_offset }
        };
        let metadata = device_of(config.metadata_class);
        let (per_object, area_bytes) = (u64::from(config.areas_per_object), config.area_bytes());
        let area = |slab: u64| {
            let object = objects.areas.get((slab / per_object) as usize).ok_or_else(|| self.closed())?;
            Ok(byte(object).plus(slab % per_object * area_bytes))
        };
        Ok(Placement {
            geometry,
            slabs: objects.slabs.iter().map(|slab| byte(slab)).collect(),
            areas: (0..objects.slabs.len() as u64).map(area).collect::<Result<_>>()?,
            roots: byte(objects.roots.as_ref().ok_or_else(|| self.closed())?),
            segments: objects
                .segments
                .iter()
                .map(|log| DeviceByte { device: metadata, at: log.drive_offset() })
                .collect(),
        })
    }

    /// The drives that the volume uses: device 0 and, if the volume uses STAGING, device 1.
    ///
    /// # Errors
    /// NotFound: a drive is missing.
    pub fn drives(&self) -> Result<Vec<Rc<Drive>>> {
        let mut drives = vec![self.pool.drive_of(MediaClass::Capacity)?];
        if self.config().metadata_class == MediaClass::Staging {
            drives.push(self.pool.drive_of(MediaClass::Staging)?);
        }
        Ok(drives)
    }

    /// Free zones of the CAPACITY drive that must be left to the index.
    ///
    /// # Errors
    /// NotFound: the drive is missing.
    pub fn free_index_zones(&self) -> Result<u64> {
        let zone_bytes = self.pool.drive_of(MediaClass::Capacity)?.zone_bytes();
        let layout = IndexLayout::of(self.config().history_mib, zone_bytes);
        let contents = self.ledger.contents();
        let taken = contents.chapters.len() + usize::from(contents.history_log.is_some());
        Ok(layout.zones.saturating_sub(taken as u64))
    }

    /// Releases all objects and closes the inventory.
    ///
    /// # Errors
    /// Io.
    pub async fn close(&self) -> Result<()> {
        let _alone = self.changing.lock().await;
        self.objects.take();
        self.ledger.close().await
    }

    fn closed(&self) -> PoolError {
        self.ledger.refuse(Kind::NotFound, "it is closed")
    }
}

/// The number of a class's device in a [`Placement`].
const fn device_of(class: MediaClass) -> u8 {
    match class {
        MediaClass::Capacity => 0,
        MediaClass::Staging => 1,
    }
}

/// Deletes objects that do not count, and opens those that do.
async fn open_objects(pool: &Rc<Pool>, ledger: &Ledger) -> Result<Objects> {
    let contents = ledger.contents().clone();
    let (true, Some(config)) = (contents.is_whole(), &contents.config) else {
        return Err(ledger.refuse(Kind::Unfinished, "its creation or deletion was cut short"));
    };
    for id in contents.strays() {
        delete_object(pool, id).await?;
    }
    let mut objects = Objects::default();
    let counted = counted(&contents);
    let capacity = MediaClass::Capacity;
    for id in counted.slabs {
        objects.slabs.push(open_object(pool, ledger, *id, capacity, slab_bytes(config)).await?);
    }
    let metadata = config.metadata_class;
    let areas_bytes = config.area_bytes().saturating_mul(config.areas_per_object.into());
    for id in counted.areas {
        objects.areas.push(open_object(pool, ledger, *id, metadata, areas_bytes).await?);
    }
    if let Some(id) = contents.roots {
        objects.roots = Some(open_object(pool, ledger, id, metadata, ROOT_BYTES).await?);
    }
    for id in counted.segments {
        objects.segments.push(claim_segment(pool, ledger, *id, metadata).await?);
    }
    Ok(objects)
}

/// The objects that count.
struct Counted<'a> {
    slabs: &'a [ObjectId],
    areas: &'a [ObjectId],
    segments: &'a [ObjectId],
}

fn counted(contents: &Contents) -> Counted<'_> {
    let counts = contents.counts.unwrap_or_default();
    fn first(objects: &[ObjectId], count: u64) -> &[ObjectId] {
        &objects[..objects.len().min(usize::try_from(count).unwrap_or(usize::MAX))]
    }
    Counted {
        slabs: first(&contents.slabs, counts.slabs),
        areas: first(&contents.areas, contents.counted_areas()),
        segments: first(&contents.segments, counts.segments),
    }
}

async fn open_object(
    pool: &Rc<Pool>,
    ledger: &Ledger,
    id: ObjectId,
    class: MediaClass,
    least_bytes: u64,
) -> Result<Rc<SlabObject>> {
    check_there(pool, ledger, id, class)?;
    let object = pool.slab_open(id).await.map_err(|error| error.while_doing(ledger.subject()))?;
    let bytes = object.props().capacity_bytes;
    if bytes < least_bytes {
        return Err(ledger.refuse(Kind::Invalid, format!("{id} has {bytes} bytes instead of {least_bytes}")));
    }
    Ok(Rc::new(object))
}

async fn claim_segment(pool: &Rc<Pool>, ledger: &Ledger, id: ObjectId, class: MediaClass) -> Result<Rc<ClaimedLog>> {
    check_there(pool, ledger, id, class)?;
    let log = pool.mlog_claim(id).await.map_err(|error| error.while_doing(ledger.subject()))?;
    Ok(Rc::new(log))
}

/// Checks that an object that counts is committed, and lies on the drive of its class.
fn check_there(pool: &Pool, ledger: &Ledger, id: ObjectId, class: MediaClass) -> Result<()> {
    match pool.find(id, Search::Committed) {
        Ok(object) if object.class() == class => Ok(()),
        Ok(object) => Err(ledger.refuse(Kind::Invalid, format!("{id} lies on {} instead of {class}", object.class()))),
        Err(_) => Err(ledger.refuse(Kind::Invalid, format!("its {id} does not exist"))),
    }
}
