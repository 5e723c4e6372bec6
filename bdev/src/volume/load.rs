// SPDX-License-Identifier: BSD-3-Clause

//! Loading a volume from its pool, after a clean stop, after a crash, on any number of shards.
//!
//! When a pool becomes active every volume in its catalog is loaded, so after a restart the bdevs are there without
//! anybody asking for them. A volume that was saved needs its summaries only; any other is recovered first
//! ([`super::recovery`]). Then the new generation is recorded, which voids the journals, their segments are erased and
//! dealt to the shards, and the shards start.
//!
//! A volume that was read-only comes back read-only: its operator is to decide about a rebuild.

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

/// A volume whose objects are open and whose metadata is whole.
#[derive(Debug)]
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// What it has in its pool.
    pub storage: Storage,
    /// What it is.
    pub config: VolumeConfig,
    /// What became of it, with the generation that begins now.
    pub state: VolumeState,
    /// Its layout on the shards that it gets.
    pub geometry: Geometry,
    /// Where its objects lie.
    pub placement: Placement,
    /// Erased segments for each shard's journal.
    pub segments: Vec<Vec<JournalSegment>>,
    /// Summaries of its slabs.
    pub summaries: Vec<SlabSummary>,
    /// Its index as the last stop has left it, shard by shard, if that was a clean one on as many shards.
    pub images: Vec<Vec<u8>>,
    /// Sections of the index's history of which each shard keeps hooks; none without a history.
    pub history_sections: Option<u32>,
    /// Bytes of memory for the history.
    pub history_bytes: u64,
    /// The cores of its shards.
    pub cores: Vec<u32>,
    /// Why it takes no writes.
    pub read_only: Option<String>,
}

/// Loads a volume that was unloaded. On the app thread.
///
/// # Errors
/// There is none of this name, its bdev's name is taken, or it cannot be loaded.
pub async fn load(params: LoadParams) -> Result<Arc<Volume>, VolumeError> {
    let given = params.name.as_str();
    refuse_taken(given)?;
    let asked = params.cpumask.as_deref().map(|mask| setup::choose_cores(Some(mask))).transpose()?;
    let held = hold(given, params.pool_name.as_deref()).await?;
    let name = &held_name(given, &held)?;
    let cores = match asked {
        Some(cores) => {
            change_mask(&held, params.cpumask.unwrap_or_default()).await;
            cores
        }
        None => recorded_cores(name, &held)?,
    };
    bring_up(name, held, cores).await
}

/// Loads the volume of a name in a pool, if that has one.
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

/// The name of a volume that is held, which may have been called otherwise. If that is taken it is held no longer.
pub(super) fn held_name(given: &str, held: &Storage) -> Result<String, VolumeError> {
    let store = storage::store(held.key).map_err(|error| VolumeError::pool(given, error))?;
    Ok(store.entry().name.clone())
}

fn refuse_taken(name: &str) -> Result<(), VolumeError> {
    match setup::is_taken(name) {
        true => Err(VolumeError::NameTaken { name: name.to_owned() }),
        false => Ok(()),
    }
}

/// Says of a name that is no stored volume's what it is.
pub(super) fn not_found(name: &str, error: PoolError) -> VolumeError {
    match error.kind() {
        Kind::NotFound => setup::missing(name),
        _ => VolumeError::pool(name, error),
    }
}

/// Loads every volume of a pool that has become active. What cannot be loaded is logged, and left for
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

/// The host of the pools.
pub(super) fn runtime_for(name: &str) -> Result<Rc<Runtime>, VolumeError> {
    runtime::get().ok_or_else(|| VolumeError::pool(name, storage::ended()))
}

/// Finds a volume that is not loaded, in this pool or any, opens and holds it.
pub(super) async fn hold(name: &str, pool_name: Option<&str>) -> Result<Storage, VolumeError> {
    let runtime = runtime_for(name)?;
    let _managing = runtime.service.manage().await;
    let found = stored::find(&runtime, name, pool_name).await.map_err(|error| not_found(name, error))?;
    refuse_faulted(name, &found.pool).await?;
    open(found).await.map_err(|error| VolumeError::pool(name, error))
}

/// Refuses work that changes a volume whose pool takes no changes just now, which is tried once more for it.
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

/// Opens and holds a volume. The caller manages.
async fn open(volume: StoredVolume) -> Result<Storage, PoolError> {
    let store = VolumeStore::open(&volume.pool, volume.entry).await?;
    storage::hold(store, false)
}

/// The cores that the volume is recorded to run on, as far as the application has them.
pub(super) fn recorded_cores(name: &str, held: &Storage) -> Result<Vec<u32>, VolumeError> {
    let store = storage::store(held.key).map_err(|error| VolumeError::pool(name, error))?;
    Ok(setup::usable_cores(name, &store.config().core_mask, store.slabs()))
}

/// Records the cores that a volume runs on from now on. That it cannot be recorded does not keep it from running.
async fn change_mask(held: &Storage, core_mask: String) {
    let Ok(store) = storage::store(held.key) else { return };
    let config = VolumeConfig { core_mask, ..store.config() };
    store.set_config(config).await.unwrap_or_else(|error| log::error!("its cores are not recorded: {error}"));
}

/// Brings a volume into service that is held. After a failure it is held no longer, and what was made for it is taken
/// back.
///
/// # Errors
/// Its metadata is damaged; there is not enough memory; SPDK does not take it; Io.
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

/// Makes a volume's metadata whole, and records that it is loaded.
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
