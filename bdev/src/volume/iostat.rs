// SPDX-License-Identifier: BSD-3-Clause

//! The I/O of a pool by media class: what the pool does itself, and what the shards of its volumes do beside it on the same
//! bdevs. What a volume did is the pool's when the volume is taken out of service, so nothing counts back.

use std::rc::Rc;
use std::sync::Arc;

use mpool::drive::IoCounters;
use mpool::{MediaClass, Pool};

use super::{registry, storage};
use crate::datapath::shard_host::ShardHost;
use crate::volume::{for_each_shard, Volume};

/// The I/O of one media class.
#[derive(Debug)]
pub struct ClassIo {
    /// Which.
    pub class: MediaClass,
    /// The bdev of its drive; none of a missing one.
    pub bdev: Option<String>,
    /// All of it.
    pub all: IoCounters,
    /// The part of volumes that are in service.
    pub volumes: IoCounters,
}

/// The I/O of a pool.
#[derive(Debug)]
pub struct PoolIo {
    /// The pool.
    pub pool: Rc<Pool>,
    /// Its classes that have a drive.
    pub classes: Vec<ClassIo>,
}

/// What a volume has done on each of its bdevs since it was loaded.
async fn of_volume(volume: &Arc<Volume>) -> Vec<IoCounters> {
    let shards = for_each_shard(volume, ShardHost::io_counters).await;
    let sum = |bdev: usize| {
        let counts = shards.iter().filter_map(|shard| shard.get(bdev).copied());
        counts.fold(IoCounters::default(), IoCounters::plus)
    };
    (0..volume.storage().bdev_names.len()).map(sum).collect()
}

/// What a pool and its volumes have done since it was activated.
pub async fn gather(pool: Rc<Pool>) -> PoolIo {
    let mut classes: Vec<_> = MediaClass::ALL.into_iter().filter_map(|class| class_io(&pool, class)).collect();
    for volume in registry::all() {
        if volume.storage().pool_uuid != pool.uuid() {
            continue;
        }
        let counted = of_volume(&volume).await;
        for (name, counted) in volume.storage().bdev_names.iter().zip(counted) {
            if let Some(class) = classes.iter_mut().find(|class| class.bdev.as_ref() == Some(name)) {
                class.all = class.all.plus(counted);
                class.volumes = class.volumes.plus(counted);
            }
        }
    }
    PoolIo { pool, classes }
}

fn class_io(pool: &Pool, class: MediaClass) -> Option<ClassIo> {
    let drive = pool.drive_of(class).ok()?;
    let bdev = drive.device().map(|device| device.properties().name);
    Some(ClassIo { class, bdev, all: drive.io_counters(), volumes: IoCounters::default() })
}

/// Adds to a pool's own what a volume has done that is about to stop.
pub async fn keep(volume: &Arc<Volume>) {
    let counted = of_volume(volume).await;
    let Some(store) = storage::store(volume.storage().key).ok() else { return };
    for drive in store.pool().drives() {
        let Some(device) = drive.device() else { continue };
        let name = device.properties().name;
        if let Some(bdev) = volume.storage().bdev_names.iter().position(|known| *known == name) {
            drive.add_io(counted[bdev]);
        }
    }
}
