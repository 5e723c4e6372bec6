// SPDX-License-Identifier: BSD-3-Clause

//! Operations on a volume whether it is loaded or not: deletion, check, rebuild; and one only for a volume that is not
//! loaded: renaming.

use engine::volume::access::VolumeMedia;
use engine::volume::catalog::Catalog;
use engine::volume::check::{check as recount, CheckReport, Progress};
use engine::volume::inventory::{StateKind, VolumeState};
use engine::volume::rebuild::{rebuild as make_anew, RebuildReport};
use engine::volume::recovery::{AtRest, RecoveryConfig};
use engine::volume::store::VolumeStore;

use super::administration::find;
use super::error::VolumeError;
use super::load::{bring_up, held_name, hold, let_go, not_found, recorded_cores, refuse_faulted, runtime_for};
use super::quiesce::LOOK_AGAIN;
use super::recovery::{damaged, make_whole};
use super::stop::save;
use super::storage::{self, stored, End, Storage};
use super::{registry, Operation};
use crate::spdk::{bdevs, timer};

/// Deletes a volume with its content, and its pool if that was made for it. With `force`, even if the volume is in use.
///
/// # Errors
/// There is no such volume; Busy: it is open or claimed; Io.
pub async fn delete(name: &str, force: bool) -> Result<(), VolumeError> {
    let failed = |error| VolumeError::pool(name, error);
    if let Some(volume) = registry::find(name) {
        if !force {
            refuse_used(volume.name()).await?;
        }
        return volume.remove(End::Destroy).await.map_err(failed);
    }
    let runtime = runtime_for(name)?;
    let _managing = runtime.service.manage().await;
    let found = stored::find(&runtime, name, None).await.map_err(|error| not_found(name, error))?;
    storage::destroy(&runtime, found.pool, &found.entry).await.map_err(failed)?;
    log::info!("{name}: destroyed");
    Ok(())
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
    let failed = |error| VolumeError::pool(name, error);
    let runtime = runtime_for(name)?;
    let _managing = runtime.service.manage().await;
    let found = stored::find(&runtime, name, None).await.map_err(|error| not_found(name, error))?;
    let catalog = Catalog::open(&found.pool).await.map_err(failed)?;
    let renamed = catalog.rename(found.entry.uuid, new_name).await;
    let closed = catalog.close().await;
    renamed.and(closed).map_err(failed)?;
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
    let mut tell = |progress| turn.show(operation("check", progress));
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
    let held = hold(name, None).await?;
    let report = async {
        let store = storage::store(held.key).map_err(|error| VolumeError::pool(name, error))?;
        let geometry = store.geometry(1).map_err(|error| VolumeError::pool(name, error))?;
        make_whole(name, &store, &geometry).await?;
        let mut tell = |progress| storage::note_operation(held.key, operation("check", progress));
        recount_store(name, &store, &mut tell).await
    }
    .await;
    let_go(name, &held).await;
    report
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

/// An operation with its progress.
fn operation(name: &'static str, progress: Progress) -> Operation {
    let percent = progress.done.saturating_mul(100) / progress.total.max(1);
    Operation { name, percent: Some(percent.min(100) as u8) }
}

/// Makes a volume consistent that is read-only, damaged or not loaded, giving up what cannot be saved, and brings it
/// into service.
///
/// # Errors
/// There is no such volume; it accepts writes; it cannot be written or loaded.
pub async fn rebuild(name: &str) -> Result<RebuildReport, VolumeError> {
    let mut key = name.to_owned();
    if registry::find(name).is_some() {
        let volume = find(name)?;
        if volume.read_only_reason().is_none() {
            let reason = "it is in service and takes writes; only a volume that is read-only or unloaded is rebuilt";
            return Err(VolumeError::Refused { name: name.to_owned(), reason: reason.to_owned() });
        }
        refuse_unwritable(name, volume.storage().key).await?;
        // The alias goes away with the bdev.
        key = volume.uuid().to_string();
        if let Err(error) = volume.remove(End::Keep).await {
            // The volume is out of service nevertheless, and a rebuild does without what could not be written.
            log::warn!("{name}: {error}");
        }
    }
    let held = hold(&key, None).await?;
    let name = &held_name(name, &held).await?;
    match rebuild_store(name, &held).await {
        Ok((report, cores)) => bring_up(name, held, cores).await.map(|_| report),
        Err(error) => {
            give_up(name, held).await;
            Err(error)
        }
    }
}

/// Refuses to rebuild a loaded volume, before it leaves service, if its pool or its own inventory takes no changes.
async fn refuse_unwritable(name: &str, key: u64) -> Result<(), VolumeError> {
    let failed = |error| VolumeError::pool(name, error);
    let store = storage::store(key).map_err(failed)?;
    refuse_faulted(name, store.pool()).await?;
    store.set_state(store.state()).await.map_err(failed)
}

/// After a rebuild that failed before it changed anything, brings the volume back as it was. Otherwise releases it: its
/// journals may be replayed in part, so a read could return data older than what was acknowledged.
async fn give_up(name: &str, held: Storage) {
    let unchanged = storage::store(held.key).is_ok_and(|store| store.state().kind == StateKind::ReadOnly);
    match recorded_cores(name, &held) {
        Ok(cores) if unchanged => {
            if let Err(error) = bring_up(name, held, cores).await {
                log::error!("{name}: not loaded after a rebuild that did not begin: {error}");
            }
        }
        _ => let_go(name, &held).await,
    }
}

/// Rebuilds a volume's metadata. While this runs, the volume is recorded as being rebuilt. Also returns the cores to
/// load the volume on.
async fn rebuild_store(name: &str, held: &Storage) -> Result<(RebuildReport, Vec<u32>), VolumeError> {
    let failed = |error| VolumeError::pool(name, error);
    let store = storage::store(held.key).map_err(failed)?;
    let before = store.state();
    let geometry = store.geometry(1).map_err(failed)?;
    let config =
        RecoveryConfig { geometry, nonce: store.config().nonce, generation: before.generation, shards: before.shards };
    store.set_state(VolumeState { kind: StateKind::Rebuild, ..before.clone() }).await.map_err(failed)?;
    log::info!("{name}: its rebuild begins");
    let mut tell = |progress: Progress| storage::note_operation(held.key, operation("rebuild", progress));
    let made = async {
        let report = make_anew(&*store, &config, &mut tell).await.map_err(|error| damaged(name, error))?;
        store.flush().await.map_err(failed)?;
        let after = VolumeState {
            kind: StateKind::Clean,
            logical_blocks_used: report.logical_blocks_used,
            map_pages: report.map_pages,
            read_only_recoveries: before.read_only_recoveries + 1,
            reason: String::new(),
            ..before
        };
        store.set_state(after).await.map_err(failed)?;
        Ok(report)
    };
    let report = made
        .await
        .map_err(|error: VolumeError| VolumeError::HalfRebuilt { name: name.to_owned(), cause: error.to_string() })?;
    log::info!("{name}: rebuilt; lost: {:?}", report.lost);
    let cores = recorded_cores(name, held)?;
    Ok((report, cores))
}
