// SPDX-License-Identifier: BSD-3-Clause

//! Loading a volume from its pool.
//!
//! When a pool becomes active, every volume in its catalog is loaded, so after a restart the bdevs appear without any
//! command. Whatever the way to a load, it takes the same steps.

use std::rc::Rc;
use std::sync::Arc;

use engine::volume::check::CheckReport;
use engine::volume::inventory::VolumeConfig;
use engine::volume::rebuild::RebuildReport;
use engine::volume::store::VolumeStore;
use mpool::{Kind, Pool, PoolError};
use uuid::Uuid;

use super::error::VolumeError;
use super::load_params::LoadParams;
use super::start::start;
use super::steps::{table, Failure, Table};
use super::storage::stored::{self, StoredVolume};
use super::storage::{self, End, Storage};
use super::{setup, Volume};
use crate::pool::runtime::{self, Runtime};

const LOAD: Table<Loading> = table! { "load":
    "see whether the name is free" => |loading| loading.refuse_taken();
    "see whether the cores exist" => |loading| loading.refuse_cores();
    "open the objects" => |loading| loading.open().await, undo loading.release().await;
    "see whether the stored name is free" => |loading| loading.refuse_taken();
    "choose the cores" => |loading| loading.choose_cores().await;
    "start it" => |loading| loading.start().await;
};

/// A volume that is being loaded, or whose objects are opened for another operation.
#[derive(Debug, Default)]
pub(super) struct Loading {
    /// The name, UUID or alias that was given; once the objects are open, the stored name.
    pub(super) name: String,
    /// Where to look for it; else in all active pools.
    pool_name: Option<String>,
    /// Cores to run on from now on.
    cpumask: Option<String>,
    /// Until the objects are open.
    pub(super) found: Option<StoredVolume>,
    storage: Option<Arc<Storage>>,
    cores: Vec<u32>,
    volume: Option<Arc<Volume>>,
    /// The pool of a volume that a rebuild has taken out of service, and has not changed.
    pub(super) comes_back: Option<Uuid>,
    pub(super) rebuilt: Option<RebuildReport>,
    pub(super) checked: Option<CheckReport>,
}

/// Loads a volume that was unloaded. On the app thread.
///
/// # Errors
/// There is no volume of this name, the name of its bdev is taken, or it cannot be loaded.
pub async fn load(params: LoadParams) -> Result<Arc<Volume>, VolumeError> {
    let LoadParams { name, pool_name, cpumask } = params;
    Loading { name, pool_name, cpumask, ..Loading::default() }.load().await
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
    drop(managing);
    match found {
        Ok(found) => Loading::of(found).load().await.map(Some),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(VolumeError::pool(name, error)),
    }
}

/// Loads every volume of a pool that has become active. A volume that cannot be loaded is logged and left for
/// `bdev_dedupe_load`, `bdev_dedupe_check` and `bdev_dedupe_rebuild`. On the app thread.
pub async fn load_all(runtime: &Rc<Runtime>, pool: Uuid) {
    for volume in to_be_loaded(runtime, pool).await {
        let name = volume.entry.name.clone();
        if let Err(error) = Loading::of(volume).load().await {
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

/// The runtime of the pools, or an error for the volume `name`.
pub(super) fn runtime_for(name: &str) -> Result<Rc<Runtime>, VolumeError> {
    runtime::get().ok_or_else(|| VolumeError::pool(name, storage::ended()))
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

impl Loading {
    /// The volume of a name, UUID or alias, in any active pool.
    pub(super) fn named(name: &str) -> Loading {
        Loading { name: name.to_owned(), ..Loading::default() }
    }

    fn of(found: StoredVolume) -> Loading {
        Loading { name: found.entry.name.clone(), found: Some(found), ..Loading::default() }
    }

    async fn load(mut self) -> Result<Arc<Volume>, VolumeError> {
        let name = self.name.clone();
        LOAD.run(&name, &mut self).await?;
        Ok(self.volume.expect("it was started"))
    }

    fn storage(&self) -> &Arc<Storage> {
        self.storage.as_ref().expect("an earlier step opened the objects")
    }

    /// Key of the open objects.
    pub(super) fn key(&self) -> u64 {
        self.storage().key
    }

    pub(super) fn store(&self) -> Result<Rc<VolumeStore>, PoolError> {
        storage::store(self.key())
    }

    pub(super) fn refuse_taken(&self) -> Result<(), VolumeError> {
        match setup::is_taken(&self.name) {
            true => Err(VolumeError::NameTaken { name: self.name.clone() }),
            false => Ok(()),
        }
    }

    fn refuse_cores(&mut self) -> Result<(), VolumeError> {
        if let Some(mask) = &self.cpumask {
            self.cores = setup::choose_cores(Some(mask))?;
        }
        Ok(())
    }

    /// Finds a volume that is not loaded. The caller holds `Service::manage`.
    pub(super) async fn find(&mut self) -> Result<(), VolumeError> {
        let runtime = runtime_for(&self.name)?;
        let found = stored::find(&runtime, &self.name, self.pool_name.as_deref()).await;
        self.found = Some(found.map_err(|error| match error.kind() {
            Kind::NotFound => setup::missing(&self.name),
            _ => VolumeError::pool(&self.name, error),
        })?);
        Ok(())
    }

    /// Finds the volume, unless that was done, opens its objects and leases its bdevs.
    pub(super) async fn open(&mut self) -> Result<(), Failure> {
        let runtime = runtime_for(&self.name)?;
        let _managing = runtime.service.manage().await;
        if self.found.is_none() {
            self.find().await?;
            refuse_faulted(&self.name, &self.found.as_ref().expect("found").pool).await?;
        }
        let found = self.found.take().expect("found");
        let store = VolumeStore::open(&found.pool, found.entry).await?;
        let name = store.entry().name.clone();
        self.storage = Some(Arc::new(storage::hold(Rc::new(store))?));
        self.name = name;
        Ok(())
    }

    pub(super) async fn release(&self) -> Result<(), PoolError> {
        storage::end(self.key(), End::Keep, None).await
    }

    /// The recorded cores, as far as the application has them, or those that were asked for, which are recorded.
    pub(super) async fn choose_cores(&mut self) -> Result<(), PoolError> {
        let store = self.store()?;
        let Some(core_mask) = self.cpumask.take() else {
            self.cores = setup::usable_cores(&self.name, &store.config().core_mask, store.slabs());
            return Ok(());
        };
        let config = VolumeConfig { core_mask, ..store.config() };
        // The volume runs on them even if this fails.
        store.set_config(config).await.unwrap_or_else(|error| log::error!("its cores are not recorded: {error}"));
        Ok(())
    }

    pub(super) async fn start(&mut self) -> Result<(), VolumeError> {
        let storage = Arc::clone(self.storage());
        self.volume = Some(start(&self.name, storage, core::mem::take(&mut self.cores)).await?);
        Ok(())
    }
}
