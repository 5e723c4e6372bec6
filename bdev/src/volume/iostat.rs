// SPDX-License-Identifier: BSD-3-Clause

//! The I/O of a pool by media class: the pool's own I/O, and that of its volumes' shards on the same bdevs. When a
//! volume goes out of service, its counts are added to the pool's own, so no count ever decreases.

use std::rc::Rc;
use std::sync::Arc;

use mpool::drive::IoCounters;
use mpool::{MediaClass, Pool};

use super::{registry, storage};
use crate::datapath::shard_host::ShardHost;
use crate::volume::{for_each_shard, Volume};

#[derive(Debug)]
pub struct ClassIo {
    pub class: MediaClass,
    /// The bdev of the class's drive; none if the drive is missing.
    pub bdev: Option<String>,
    /// All I/O, the volumes' included.
    pub all: IoCounters,
    /// The part of the volumes in service.
    pub volumes: IoCounters,
}

#[derive(Debug)]
pub struct PoolIo {
    pub pool: Rc<Pool>,
    /// The classes that have a drive.
    pub classes: Vec<ClassIo>,
}

/// The I/O of a volume on each of its bdevs since it was loaded.
async fn of_volume(volume: &Arc<Volume>) -> Vec<IoCounters> {
    let shards = for_each_shard(volume, ShardHost::io_counters).await;
    let sum = |bdev: usize| {
        let counts = shards.iter().filter_map(|shard| shard.get(bdev).copied());
        counts.fold(IoCounters::default(), IoCounters::plus)
    };
    (0..volume.storage().bdev_names.len()).map(sum).collect()
}

/// The I/O of a pool and its volumes since the pool was activated.
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

/// Adds the I/O of a volume that is about to stop to the pool's own.
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
