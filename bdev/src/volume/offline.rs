// SPDX-License-Identifier: BSD-3-Clause

//! Operations on a volume whether it is loaded or not: deletion and check; and one only for a volume that is not loaded:
//! renaming.

use engine::volume::check::{check as recount, CheckReport, Progress};
use engine::volume::recovery::AtRest;
use engine::volume::store::VolumeStore;

use super::administration::find;
use super::error::VolumeError;
use super::load::{refuse_faulted, runtime_for, Loading};
use super::quiesce::LOOK_AGAIN;
use super::recovery::{damaged, make_whole};
use super::steps::{table, Failure, Table};
use super::stop::save;
use super::storage::{self, with_catalog, End};
use super::{registry, Operation};
use crate::spdk::{bdevs, timer};

/// While no other pool is managed.
const DELETE: Table<Loading> = table! { "delete":
    "find it" => |loading| loading.find().await;
    "destroy the objects" => |loading| loading.destroy().await;
};

/// For a volume that is not loaded.
const CHECK: Table<Loading> = table! { "check":
    "open the objects" => |loading| loading.open().await, undo loading.release().await;
    "make the metadata consistent" => |loading| loading.recover().await;
    "recount" => |loading| loading.recount().await;
};

/// Deletes a volume with its content, and its pool if that was made for it. With `force`, even if the volume is in use.
///
/// # Errors
/// There is no such volume; Busy: it is open or claimed; Io.
pub async fn delete(name: &str, force: bool) -> Result<(), VolumeError> {
    if let Some(volume) = registry::find(name) {
        if !force {
            refuse_used(volume.name()).await?;
        }
        return volume.remove(End::Destroy).await;
    }
    let runtime = runtime_for(name)?;
    let _managing = runtime.service.manage().await;
    DELETE.run(name, &mut Loading::named(name)).await?;
    log::info!("{name}: destroyed");
    Ok(())
}

impl Loading {
    async fn destroy(&mut self) -> Result<(), Failure> {
        let (runtime, found) = (runtime_for(&self.name)?, self.found.take().expect("an earlier step found it"));
        Ok(storage::destroy(&runtime, found.pool, &found.entry).await?)
    }

    async fn recover(&self) -> Result<(), Failure> {
        let store = self.store()?;
        make_whole(&self.name, &store, &store.geometry(1)?).await?;
        Ok(())
    }

    async fn recount(&mut self) -> Result<(), Failure> {
        let (store, key) = (self.store()?, self.key());
        let mut tell = |progress| storage::note_operation(key, Operation::at("check", progress));
        self.checked = Some(recount_store(&self.name, &store, &mut tell).await?);
        Ok(())
    }
}

/// Renames a volume that is not loaded.
///
/// # Errors
/// There is no such volume; it is loaded; another one of its pool has the name; Io.
pub async fn rename(name: &str, new_name: &str) -> Result<(), VolumeError> {
    if registry::find(name).is_some() {
        let reason = "it is loaded; bdev_dedupe_unload takes it out of service first".to_owned();
        return Err(VolumeError::Refused { name: name.to_owned(), reason });
    }
    let runtime = runtime_for(name)?;
    let _managing = runtime.service.manage().await;
    let mut loading = Loading::named(name);
    loading.find().await?;
    let found = loading.found.take().expect("found");
    let renamed = with_catalog(&found.pool, async |catalog| catalog.rename(found.entry.uuid, new_name).await).await;
    renamed.map_err(|error| VolumeError::pool(name, error))?;
    log::info!("pool '{}': volume '{}' is called '{new_name}' now", found.pool.name(), found.entry.name);
    Ok(())
}

/// How often to check whether a volume is still in use: half a second in all.
const LOOKS: u32 = 1000;

/// Refuses a volume that is in use. A module that examines a new bdev, as SPDK's do, closes it soon.
async fn refuse_used(name: &str) -> Result<(), VolumeError> {
    let mut looks = 0;
    while let Some(user) = bdevs::user_of(name) {
        if looks == LOOKS {
            return Err(VolumeError::InUse { name: name.to_owned(), user });
        }
        looks += 1;
        timer::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Recounts the references of a volume and compares them with the recorded ones. A loaded volume pauses meanwhile,
/// unless it is read-only; one that is not loaded is made consistent first.
///
/// # Errors
/// There is no such volume; it cannot be made consistent; Busy; Io.
pub async fn check(name: &str) -> Result<CheckReport, VolumeError> {
    let report = match registry::find(name) {
        Some(_) => check_loaded(name).await,
        None => check_stored(name).await,
    }?;
    let verdict = if report.is_clean() { "clean" } else { "not clean" };
    log::info!(
        "{name}: checked, {verdict}: {} logical blocks and {} pages of the block map use {} blocks",
        report.logical_blocks_used,
        report.map_pages,
        report.blocks_used
    );
    Ok(report)
}

async fn check_loaded(name: &str) -> Result<CheckReport, VolumeError> {
    let volume = find(name)?;
    let turn = volume.begin("check")?;
    let mut tell = |progress| turn.show(Operation::at("check", progress));
    let store = storage::store(volume.storage().key).map_err(|error| VolumeError::pool(name, error))?;
    if volume.read_only_reason().is_some() {
        return recount_store(name, &store, &mut tell).await;
    }
    // Saving metadata that cannot be written would make the volume read-only.
    refuse_faulted(name, store.pool()).await?;
    volume.pause().await;
    save(&volume).await;
    let report = recount_store(name, &store, &mut tell).await;
    volume.resume_shards().await;
    volume.unpause().await;
    report
}

async fn check_stored(name: &str) -> Result<CheckReport, VolumeError> {
    let mut loading = Loading::named(name);
    CHECK.run(name, &mut loading).await?;
    loading.release().await.unwrap_or_else(|error| log::error!("{name}: {error}"));
    Ok(loading.checked.expect("it was checked"))
}

async fn recount_store(
    name: &str,
    store: &VolumeStore,
    tell: &mut dyn FnMut(Progress),
) -> Result<CheckReport, VolumeError> {
    let geometry = store.geometry(1).map_err(|error| VolumeError::pool(name, error))?;
    let at_rest = AtRest { media: store, geometry, nonce: store.config().nonce };
    recount(&at_rest, tell).await.map_err(|error| damaged(name, error))
}
