// SPDX-License-Identifier: BSD-3-Clause

//! Bringing a volume into service whose objects are open and whose metadata is consistent: create threads, start
//! shards, register. If a step fails, the earlier ones are undone.

use std::sync::{Arc, Mutex};

use engine::{IndexImage, ReadOnlyReason};

use super::control::Control;
use super::error::VolumeError;
use super::for_each_shard::for_each_shard;
use super::load::Loaded;
use super::memory_plan::Memory;
use super::saved_counters::SavedCounters;
use super::stop::save;
use super::{index, setup, storage, Recoveries, Volume};
use crate::datapath::frontend::Frontend;
use crate::datapath::plan::Plan;
use crate::datapath::shard_host::ShardHost;
use crate::spdk::thread::Thread;
use crate::spdk::virtual_bdev::VirtualBdev;

/// Brings a volume into service.
///
/// # Errors
/// There is not enough memory of some kind; a bdev below was removed; SPDK refuses the bdev. No shard is left.
pub async fn start(mut loaded: Loaded) -> Result<Arc<Volume>, VolumeError> {
    let name = loaded.name.clone();
    let memory = Memory::of(&loaded.geometry, &loaded.config, loaded.history_bytes);
    setup::refuse_too_large(&name, &memory)?;
    let owner = Thread::current().ok_or_else(|| VolumeError::Thread { name: name.clone(), core: loaded.cores[0] })?;
    let shards = setup::make_shards(&name, &loaded.cores, owner)?;
    let mut plans = setup::make_plans(&loaded, &shards, owner);
    for (plan, image) in plans.iter_mut().zip(core::mem::take(&mut loaded.images)) {
        // The previous generation saved the image.
        plan.engine.index_image = Some(IndexImage { generation: loaded.state.generation - 1, bytes: image });
    }
    let read_only = loaded.read_only.is_some();
    let volume = Arc::new(assemble(loaded, memory, owner, shards));
    if !storage::watch(volume.storage.key, &volume) {
        volume.control().base_gone = true;
    }
    let start = move |shard: &ShardHost| plans.pop_front().map_or(Ok(()), |plan: Plan| shard.start(plan));
    let results = for_each_shard(&volume, start).await;
    let mut started = Ok(());
    for (shard, result) in volume.shards().iter().zip(results) {
        started =
            started.and(result.map_err(|error| VolumeError::Start { name: name.clone(), core: shard.core, error }));
    }
    if read_only {
        for_each_shard(&volume, |shard| shard.enter_read_only(ReadOnlyReason::Told)).await;
    }
    if started.is_ok() {
        volume.open_index().await;
    }
    let outcome = started.and_then(|()| volume.check_base()).and_then(|()| volume.register());
    if let Err(error) = outcome {
        // No request ever came, so a recovery would miss nothing of what is saved here.
        for_each_shard(&volume, |shard| shard.enter_read_only(ReadOnlyReason::Told)).await;
        save(&volume).await;
        volume.close_index(false).await;
        for_each_shard(&volume, ShardHost::stop).await;
        return Err(error);
    }
    Ok(volume)
}

fn assemble(loaded: Loaded, memory: Memory, owner: Thread, shards: Arc<[ShardHost]>) -> Volume {
    let index = index::control_of(&loaded.config, &loaded.state);
    let Loaded { name, uuid, storage, config, state, geometry, read_only, .. } = loaded;
    let name: Arc<str> = Arc::from(name);
    Volume {
        frontend: Arc::new(Frontend::new(Arc::clone(&name), config.block_size, geometry, shards)),
        bdev: VirtualBdev::new(&name),
        name,
        uuid,
        storage,
        owner,
        geometry: Mutex::new(geometry),
        memory,
        config: Mutex::new(config),
        index: Mutex::new(index),
        kept: SavedCounters::new(state.counters),
        recoveries: Recoveries { complete: state.complete_recoveries, read_only: state.read_only_recoveries },
        control: Mutex::new(Control { read_only, ..Control::default() }),
    }
}

impl Volume {
    /// Fails if a bdev below was removed.
    fn check_base(&self) -> Result<(), VolumeError> {
        if !self.control().base_gone {
            return Ok(());
        }
        Err(VolumeError::BaseRemoved { name: self.name.to_string(), base: self.storage.bdev_names.join("' or '") })
    }
}
