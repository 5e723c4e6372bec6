// SPDX-License-Identifier: BSD-3-Clause

//! Loading a volume from its pool, after a clean stop or a crash, on any number of shards.
//!
//! When a pool becomes active, every volume in its catalog is loaded, so after a restart the bdevs appear without any
//! command. A volume that was saved needs only its summaries; any other is recovered first ([`super::recovery`]). Then
//! the new generation is recorded, which voids the journals; their segments are erased and distributed to the shards;
//! and the shards start.
//!
//! A read-only volume stays read-only when it is loaded: its operator decides about a rebuild.

use std::rc::Rc;
use std::sync::Arc;

use engine::format::slab_summary::SlabSummary;
use engine::format::{Geometry, JournalSegment, Placement};
use engine::volume::inventory::{StateKind, VolumeConfig, VolumeState};
use engine::volume::store::VolumeStore;
use mpool::{Kind, Pool, PoolError};
use uuid::Uuid;

use super::error::VolumeError;
use super::load_params::LoadParams;
use super::storage::stored::{self, StoredVolume};
use super::storage::{self, End, Storage};
use super::{recovery, setup, start, Volume};
use crate::pool::runtime::{self, Runtime};
use crate::spdk::cpumask;

/// A volume whose objects are open and whose metadata is consistent.
#[derive(Debug)]
pub struct Loaded {
    pub name: String,
    pub uuid: Uuid,
    /// The volume's objects in its pool.
    pub storage: Storage,
    pub config: VolumeConfig,
    /// The recorded state, with the generation that begins now.
    pub state: VolumeState,
    /// The layout on the shards of this load.
    pub geometry: Geometry,
    /// Where the volume's objects lie.
    pub placement: Placement,
    /// Erased segments for each shard's journal.
    pub segments: Vec<Vec<JournalSegment>>,
    pub summaries: Vec<SlabSummary>,
    /// The index images of the last stop, shard by shard, if that stop was clean and on the same number of shards.
    pub images: Vec<Vec<u8>>,
    /// Sections of the index's history of which each shard keeps hooks; none without a history.
    pub history_sections: Option<u32>,
    /// Memory of the history.
    pub history_bytes: u64,
    /// One for each shard.
    pub cores: Vec<u32>,
    /// Why the volume accepts no writes; none if it does.
    pub read_only: Option<String>,
}

/// Loads a volume that was unloaded. On the app thread.
///
/// # Errors
/// There is no volume of this name, the name of its bdev is taken, or it cannot be loaded.
pub async fn load(params: LoadParams) -> Result<Arc<Volume>, VolumeError> {
    let given = params.name.as_str();
    refuse_taken(given)?;
    let asked = params.cpumask.as_deref().map(|mask| setup::choose_cores(Some(mask))).transpose()?;
    let held = hold(given, params.pool_name.as_deref()).await?;
    let name = &held_name(given, &held).await?;
    let cores = match asked {
        Some(cores) => {
            change_mask(&held, params.cpumask.unwrap_or_default()).await;
            cores
        }
        None => recorded_cores(name, &held)?,
    };
    bring_up(name, held, cores).await
}

/// Loads the volume of this name in a pool, if the pool has one.
///
/// # Errors
/// It cannot be loaded.
pub(super) async fn load_if_stored(
    runtime: &Rc<Runtime>,
    name: &str,
    pool: Uuid,
) -> Result<Option<Arc<Volume>>, VolumeError> {
    let managing = runtime.service.manage().await;
    let found = stored::find(runtime, name, Some(&pool.to_string())).await;
    let found = match found {
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        other => other.map_err(|error| VolumeError::pool(name, error))?,
    };
    refuse_taken(name)?;
    let held = open(found).await.map_err(|error| VolumeError::pool(name, error))?;
    drop(managing);
    let cores = recorded_cores(name, &held)?;
    bring_up(name, held, cores).await.map(Some)
}

/// The stored name of a held volume; `given` may be its UUID or alias. A volume whose stored name is taken is released.
///
/// # Errors
/// The stored name is taken.
pub(super) async fn held_name(given: &str, held: &Storage) -> Result<String, VolumeError> {
    let name = storage::store(held.key).map_err(|error| VolumeError::pool(given, error))?.entry().name.clone();
    if let Err(error) = refuse_taken(&name) {
        let_go(&name, held).await;
        return Err(error);
    }
    Ok(name)
}

pub(super) async fn let_go(name: &str, held: &Storage) {
    storage::end(held.key, End::Keep, None).await.unwrap_or_else(|error| log::error!("{name}: {error}"));
}

fn refuse_taken(name: &str) -> Result<(), VolumeError> {
    match setup::is_taken(name) {
        true => Err(VolumeError::NameTaken { name: name.to_owned() }),
        false => Ok(()),
    }
}

/// The error for a name that no stored volume has.
pub(super) fn not_found(name: &str, error: PoolError) -> VolumeError {
    match error.kind() {
        Kind::NotFound => setup::missing(name),
        _ => VolumeError::pool(name, error),
    }
}

/// Loads every volume of a pool that has become active. A volume that cannot be loaded is logged and left for
/// `bdev_dedupe_load`, `bdev_dedupe_check` and `bdev_dedupe_rebuild`. On the app thread.
pub async fn load_all(runtime: &Rc<Runtime>, pool: Uuid) {
    for volume in to_be_loaded(runtime, pool).await {
        let name = volume.entry.name.clone();
        if let Err(error) = load_stored(runtime, volume).await {
            log::error!("not loaded: {error}");
        }
        if runtime.service.is_finishing() {
            log::info!("{name}: no volume is loaded any more: the application ends");
            return;
        }
    }
}

async fn to_be_loaded(runtime: &Rc<Runtime>, pool: Uuid) -> Vec<StoredVolume> {
    let _managing = runtime.service.manage().await;
    let Ok(pool) = runtime.service.find(&pool.to_string()) else { return Vec::new() };
    if let Err(error) = stored::remove_unfinished(&pool).await {
        log::error!("pool '{}' may have volumes whose creation or deletion was cut short: {error}", pool.name());
    }
    let mut volumes = stored::all_in(&pool).await.unwrap_or_else(|error| {
        log::error!("volumes of pool '{}' are not loaded: {error}", pool.name());
        Vec::new()
    });
    volumes.retain(|volume| !storage::is_loaded(volume.entry.uuid));
    volumes
}

async fn load_stored(runtime: &Rc<Runtime>, volume: StoredVolume) -> Result<(), VolumeError> {
    let name = volume.entry.name.clone();
    refuse_taken(&name)?;
    let managing = runtime.service.manage().await;
    let held = open(volume).await.map_err(|error| VolumeError::pool(&name, error))?;
    drop(managing);
    let cores = recorded_cores(&name, &held)?;
    bring_up(&name, held, cores).await.map(drop)
}

/// The runtime of the pools, or an error for the volume `name`.
pub(super) fn runtime_for(name: &str) -> Result<Rc<Runtime>, VolumeError> {
    runtime::get().ok_or_else(|| VolumeError::pool(name, storage::ended()))
}

/// Finds a volume that is not loaded, in the pool given or in any, opens and holds it.
pub(super) async fn hold(name: &str, pool_name: Option<&str>) -> Result<Storage, VolumeError> {
    let runtime = runtime_for(name)?;
    let _managing = runtime.service.manage().await;
    let found = stored::find(&runtime, name, pool_name).await.map_err(|error| not_found(name, error))?;
    refuse_faulted(name, &found.pool).await?;
    open(found).await.map_err(|error| VolumeError::pool(name, error))
}

/// Refuses a change to a volume whose pool takes no changes at present, after one more try.
///
/// # Errors
/// Faulted.
pub(super) async fn refuse_faulted(name: &str, pool: &Rc<Pool>) -> Result<(), VolumeError> {
    pool.try_again().await;
    let faults = pool.faults();
    if faults.is_empty() {
        return Ok(());
    }
    let (name, pool) = (name.to_owned(), pool.name().to_owned());
    Err(VolumeError::Faulted { name, pool, faults: faults.join(", ") })
}

/// Opens and holds a volume. The caller holds `Service::manage`.
async fn open(volume: StoredVolume) -> Result<Storage, PoolError> {
    let store = VolumeStore::open(&volume.pool, volume.entry).await?;
    storage::hold(store, false)
}

/// The recorded cores of the volume, as far as the application has them.
pub(super) fn recorded_cores(name: &str, held: &Storage) -> Result<Vec<u32>, VolumeError> {
    let store = storage::store(held.key).map_err(|error| VolumeError::pool(name, error))?;
    Ok(setup::usable_cores(name, &store.config().core_mask, store.slabs()))
}

/// Records the cores that a volume runs on from now on. The volume runs even if this fails.
async fn change_mask(held: &Storage, core_mask: String) {
    let Ok(store) = storage::store(held.key) else { return };
    let config = VolumeConfig { core_mask, ..store.config() };
    store.set_config(config).await.unwrap_or_else(|error| log::error!("its cores are not recorded: {error}"));
}

/// Brings a held volume into service. After a failure it is no longer held, and what was made for it is removed.
///
/// # Errors
/// Its metadata is damaged; there is not enough memory; SPDK refuses the bdev; Io.
pub(super) async fn bring_up(name: &str, held: Storage, cores: Vec<u32>) -> Result<Arc<Volume>, VolumeError> {
    let key = held.key;
    let outcome = match prepare(name, held, cores).await {
        Ok(loaded) => start::start(loaded).await,
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        storage::end(key, End::Undo, None).await.unwrap_or_else(|error| log::error!("{error}"));
    }
    outcome
}

/// Makes a volume's metadata consistent, and records that the volume is loaded.
async fn prepare(name: &str, storage: Storage, cores: Vec<u32>) -> Result<Loaded, VolumeError> {
    let failed = |error| VolumeError::pool(name, error);
    let store = storage::store(storage.key).map_err(failed)?;
    if cores.len() as u64 > store.slabs() {
        let error = PoolError::new(Kind::Invalid, "its cores", format!("{} have no slab", cpumask::format(&cores)));
        return Err(failed(error));
    }
    let geometry = store.geometry(cores.len()).map_err(failed)?;
    let whole = recovery::make_whole(name, &store, &geometry).await?;
    let images = super::index::load_images(name, &store, cores.len()).await;
    let history = super::index::window(&store, cores.len());
    let before = whole.state;
    let kind = if before.kind == StateKind::ReadOnly { StateKind::ReadOnly } else { StateKind::Dirty };
    let shards = cores.len() as u16;
    let state = VolumeState { kind, generation: before.generation + 1, shards, ..before };
    // Before the journals are erased: half of a journal that still counts would be damage.
    store.set_state(state.clone()).await.map_err(failed)?;
    let segments = store.prepare_journals(cores.len()).await.map_err(failed)?;
    let read_only = (kind == StateKind::ReadOnly).then(|| state.reason.clone());
    Ok(Loaded {
        name: name.to_owned(),
        uuid: store.entry().uuid,
        config: store.config(),
        placement: store.placement(geometry).map_err(failed)?,
        storage,
        state,
        geometry,
        segments,
        summaries: whole.summaries,
        images,
        history_sections: history.map(|(sections, _)| sections),
        history_bytes: history.map_or(0, |(_, bytes)| bytes),
        cores,
        read_only,
    })
}
