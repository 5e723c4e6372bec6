// SPDX-License-Identifier: BSD-3-Clause

//! Rebuilding the metadata of a volume that is read-only, damaged or not loaded, giving up what cannot be saved. While
//! this runs, the volume is recorded as being rebuilt.
//!
//! A rebuild that fails before it has changed anything brings the volume back into service. One that fails later leaves
//! it out of service: its journals may be replayed in part, so a read could return data older than what was
//! acknowledged.

use engine::volume::access::VolumeMedia;
use engine::volume::inventory::{StateKind, VolumeState};
use engine::volume::rebuild::{rebuild as rebuild_metadata, RebuildReport};
use engine::volume::recovery::RecoveryConfig;
use mpool::PoolError;

use super::administration::find;
use super::error::VolumeError;
use super::load::{load_if_stored, refuse_faulted, runtime_for, Loading};
use super::recovery::damaged;
use super::steps::{table, Failure, Table};
use super::storage::{self, End};
use super::{registry, Operation};

const REBUILD: Table<Loading> = table! { "rebuild":
    "take it out of service" => |loading| loading.unload().await, undo loading.bring_back().await;
    "open the objects" => |loading| loading.open().await, undo loading.release().await;
    "see whether the name is free" => |loading| loading.refuse_taken();
    "record that it begins" => |loading| loading.begin_rebuild().await;
    "rebuild the metadata" => |loading| loading.rebuild().await;
    "record that it is done" => |loading| loading.end_rebuild().await;
    "choose the cores" => |loading| loading.choose_cores().await;
    "start it" => |loading| loading.start().await;
};

/// Rebuilds a volume's metadata and brings it into service.
///
/// # Errors
/// There is no such volume; it accepts writes; it cannot be written or loaded.
pub async fn rebuild(name: &str) -> Result<RebuildReport, VolumeError> {
    let mut loading = Loading::named(name);
    REBUILD.run(name, &mut loading).await?;
    Ok(loading.rebuilt.expect("it was rebuilt"))
}

impl Loading {
    async fn unload(&mut self) -> Result<(), Failure> {
        let name = self.name.clone();
        if registry::find(&name).is_none() {
            return Ok(());
        }
        let volume = find(&name)?;
        if volume.read_only_reason().is_none() {
            let reason = "it is in service and takes writes; only a volume that is read-only or unloaded is rebuilt";
            return Err(VolumeError::Refused { name, reason: reason.to_owned() }.into());
        }
        // Its pool, or its own inventory, may take no changes.
        let store = storage::store(volume.storage().key)?;
        refuse_faulted(&name, store.pool()).await?;
        store.set_state(store.state()).await?;
        drop(store);
        // The alias goes away with the bdev.
        self.name = volume.uuid().to_string();
        self.comes_back = Some(volume.storage().pool_uuid);
        if let Err(error) = volume.remove(End::Keep).await {
            // The volume is out of service nevertheless, and a rebuild does without what could not be written.
            log::warn!("{name}: {error}");
        }
        Ok(())
    }

    async fn bring_back(&self) -> Result<(), VolumeError> {
        let Some(pool) = self.comes_back else { return Ok(()) };
        load_if_stored(&runtime_for(&self.name)?, &self.name, pool).await.map(drop)
    }

    async fn begin_rebuild(&mut self) -> Result<(), PoolError> {
        let store = self.store()?;
        let state = VolumeState { kind: StateKind::Rebuild, ..store.state() };
        store.set_state(state).await?;
        self.comes_back = None;
        log::info!("{}: its rebuild begins", self.name);
        Ok(())
    }

    async fn rebuild(&mut self) -> Result<(), Failure> {
        let (store, key) = (self.store()?, self.key());
        let (state, nonce) = (store.state(), store.config().nonce);
        let geometry = store.geometry(1).map_err(|error| self.half_rebuilt(&VolumeError::pool(&self.name, error)))?;
        let config = RecoveryConfig { geometry, nonce, generation: state.generation, shards: state.shards };
        let mut tell = |progress| storage::note_operation(key, Operation::at("rebuild", progress));
        let report = rebuild_metadata(&*store, &config, &mut tell).await;
        self.rebuilt = Some(report.map_err(|error| self.half_rebuilt(&damaged(&self.name, error)))?);
        store.flush().await.map_err(|error| self.half_rebuilt(&VolumeError::pool(&self.name, error)))?;
        Ok(())
    }

    async fn end_rebuild(&self) -> Result<(), Failure> {
        let (store, report) = (self.store()?, self.rebuilt.as_ref().expect("an earlier step made it"));
        let before = store.state();
        let after = VolumeState {
            kind: StateKind::Clean,
            logical_blocks_used: report.logical_blocks_used,
            map_pages: report.map_pages,
            read_only_recoveries: before.read_only_recoveries + 1,
            reason: String::new(),
            ..before
        };
        store.set_state(after).await.map_err(|error| self.half_rebuilt(&VolumeError::pool(&self.name, error)))?;
        log::info!("{}: rebuilt; lost: {:?}", self.name, report.lost);
        Ok(())
    }

    fn half_rebuilt(&self, cause: &VolumeError) -> VolumeError {
        VolumeError::HalfRebuilt { name: self.name.clone(), cause: cause.to_string() }
    }
}
