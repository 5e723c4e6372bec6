// SPDX-License-Identifier: BSD-3-Clause

//! One dedupe bdev: what it is made of.
//!
//! Its life, each part in a file of its own, all on SPDK's application thread except what a shard does on its own:
//! [`create`] makes a volume in a pool and loads it, [`load`] loads one that is there, [`start`] brings it into service
//! and [`stop`] takes it out of service; [`index`] opens and closes its index, with the [`history`] of that;
//! [`registration`] is SPDK's side of both. [`administration`] is what an operator has done to a volume meanwhile,
//! [`grow`] its growth, [`offline`] what is done to one that is not loaded. [`mod@for_each_shard`] goes over the shards,
//! [`rest`] waits for them.
//!
//! Invariant: shards, ports and `spdk_bdev` stay in place from creation until the last `Arc` is dropped, which is
//! after SPDK was told.

pub mod administration;
mod control;
pub mod create;
pub mod create_params;
pub mod error;
mod for_each_shard;
mod grow;
pub mod history;
mod index;
pub mod info;
pub mod iostat;
pub mod load;
pub mod load_params;
pub mod machine_memory;
pub mod memory_plan;
pub mod mode;
pub mod offline;
mod quiesce;
mod recovery;
pub mod registration;
pub mod registry;
pub mod saved_counters;
mod setup;
pub mod sizing;
mod start;
mod stop;
pub mod storage;

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::format::Geometry;
use engine::index::state::IndexControl;
use uuid::Uuid;

use self::control::Control;
use self::saved_counters::SavedCounters;
use crate::datapath::frontend::Frontend;
use crate::datapath::shard_host::ShardHost;
use crate::spdk::thread::Thread;
use crate::spdk::virtual_bdev::VirtualBdev;
use memory_plan::Memory;
use storage::Storage;

pub use self::control::{Operation, State};
pub use self::for_each_shard::for_each_shard;

/// One dedupe bdev.
pub struct Volume {
    bdev: VirtualBdev,
    name: Arc<str>,
    uuid: Uuid,
    storage: Storage,
    /// SPDK's application thread, which created it and takes it down.
    owner: Thread,
    /// What its channels see of it: its size, its shards.
    frontend: Arc<Frontend>,
    /// Changes when the volume grows.
    geometry: Mutex<Geometry>,
    memory: Memory,
    /// Size of the index in MiB.
    index_mib: AtomicU64,
    /// Size of the block map's cache in MiB.
    map_cache_mib: AtomicU64,
    /// Size of the index's history in MiB; 0 for none.
    history_mib: u32,
    /// Compression is on.
    reserve_percent: AtomicU8,
    compression: AtomicBool,
    /// Deduplication is on.
    deduplication: AtomicBool,
    /// Whether the index is open.
    index: Mutex<IndexControl>,
    /// What it had counted before it was loaded.
    kept: SavedCounters,
    /// Recoveries after crashes, and rebuilds, in its life.
    recoveries: Recoveries,
    control: Mutex<Control>,
}

/// How often a volume was made whole again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recoveries {
    /// By replay of its journals, after a crash.
    pub complete: u64,
    /// By a rebuild.
    pub read_only: u64,
}

impl core::fmt::Debug for Volume {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Volume {{ name: {}, shards: {:?} }}", self.name, self.shards())
    }
}

/// Locks a mutex whose guarded data cannot be left half-changed by a panic (panics abort).
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Volume {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identity.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Its shards.
    pub fn shards(&self) -> &[ShardHost] {
        self.frontend.shards()
    }

    /// Its present layout.
    pub fn geometry(&self) -> Geometry {
        *lock(&self.geometry)
    }

    /// The memory it uses.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Size of the index in MiB.
    pub fn index_mib(&self) -> u64 {
        self.index_mib.load(Ordering::Relaxed)
    }

    /// Size of the block map's cache in MiB.
    pub fn map_cache_mib(&self) -> u64 {
        self.map_cache_mib.load(Ordering::Relaxed)
    }

    /// Size of the index's history in MiB; 0 for none.
    pub fn history_mib(&self) -> u64 {
        self.history_mib.into()
    }

    /// Percent of the data blocks that are kept until the operator releases them.
    pub fn reserve_percent(&self) -> u8 {
        self.reserve_percent.load(Ordering::Relaxed)
    }

    /// Compression is on.
    pub fn compression(&self) -> bool {
        self.compression.load(Ordering::Relaxed)
    }

    /// What it has in its pool.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Physical blocks that count as its own.
    pub fn physical_blocks(&self) -> u64 {
        self.storage.physical_blocks(self.geometry().data_blocks().0)
    }

    /// What it had counted before it was loaded.
    pub fn kept(&self) -> &SavedCounters {
        &self.kept
    }

    /// How often it was made whole again.
    pub fn recoveries(&self) -> Recoveries {
        self.recoveries
    }

    /// The thread that created it and takes it down.
    pub fn owner(&self) -> Thread {
        self.owner
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.control().state
    }

    /// What is being done with it.
    pub fn operation(&self) -> Option<Operation> {
        self.control().operation
    }

    /// Why it takes no writes any more; none while it does.
    pub fn read_only_reason(&self) -> Option<String> {
        self.control().read_only.clone()
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        lock(&self.control)
    }

    /// Exposed block size in bytes.
    pub fn block_bytes(&self) -> u32 {
        self.frontend.block_bytes()
    }
}
