// SPDX-License-Identifier: BSD-3-Clause

//! One dedupe bdev: its parts.
//!
//! Each part of a volume's life has its own module, and is a table of [`steps`]. All of them run on SPDK's application
//! thread, except what a shard does by itself: [`create`] makes a volume in a pool and starts it; [`load`] loads an
//! existing one; [`start`] brings it into service and [`stop`] takes it out of service; [`index`] opens and closes its
//! index, with the index's [`history`]; [`registration`] is SPDK's side of start and stop. [`grow`] and [`rebuild`] speak
//! for themselves. [`administration`] has the operator's other changes to a volume in service, [`offline`] what also
//! works on a volume that is not loaded.
//! [`mod@for_each_shard`] visits the shards, [`quiesce`] waits until they are quiescent.
//!
//! Invariant: shards, ports and `spdk_bdev` stay in place from creation until the last `Arc` is dropped, which is after
//! SPDK was told.

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
pub mod rebuild;
mod recovery;
pub mod registration;
pub mod registry;
pub mod saved_counters;
mod setup;
pub mod sizing;
mod start;
mod steps;
mod stop;
pub mod storage;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::format::Geometry;
use engine::index::state::IndexControl;
use engine::volume::inventory::VolumeConfig;
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

/// A dedupe bdev.
pub struct Volume {
    bdev: VirtualBdev,
    name: Arc<str>,
    uuid: Uuid,
    storage: Arc<Storage>,
    /// SPDK's application thread, which creates the volume and takes it down.
    owner: Thread,
    /// What the channels see: the volume's size and shards.
    frontend: Arc<Frontend>,
    /// The layout; changes when the volume grows.
    geometry: Mutex<Geometry>,
    memory: Memory,
    /// As it is recorded.
    config: Mutex<VolumeConfig>,
    index: Mutex<IndexControl>,
    /// What the volume had counted before it was loaded.
    kept: SavedCounters,
    /// Recoveries after crashes, and rebuilds, since the volume was created.
    recoveries: Recoveries,
    control: Mutex<Control>,
}

/// How often a volume's metadata was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recoveries {
    /// By replay of its journals after a crash.
    pub complete: u64,
    /// By a rebuild.
    pub read_only: u64,
}

impl core::fmt::Debug for Volume {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Volume {{ name: {}, shards: {:?} }}", self.name, self.shards())
    }
}

/// Locks a mutex. A panic cannot leave its data half-changed, because panics abort.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Volume {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    pub fn shards(&self) -> &[ShardHost] {
        self.frontend.shards()
    }

    /// The present layout.
    pub fn geometry(&self) -> Geometry {
        *lock(&self.geometry)
    }

    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The recorded configuration, with the operator's changes.
    pub fn config(&self) -> VolumeConfig {
        lock(&self.config).clone()
    }

    /// The volume's objects in its pool.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Physical blocks that count as the volume's own.
    pub fn physical_blocks(&self) -> u64 {
        self.storage.physical_blocks(self.geometry().data_blocks().0)
    }

    /// What the volume had counted before it was loaded.
    pub fn kept(&self) -> &SavedCounters {
        &self.kept
    }

    pub fn recoveries(&self) -> Recoveries {
        self.recoveries
    }

    /// The thread that creates the volume and takes it down.
    pub fn owner(&self) -> Thread {
        self.owner
    }

    pub fn state(&self) -> State {
        self.control().state
    }

    /// The operation in progress, if any.
    pub fn operation(&self) -> Option<Operation> {
        self.control().operation
    }

    /// Why the volume accepts no writes; none while it does.
    pub fn read_only_reason(&self) -> Option<String> {
        self.control().read_only.clone()
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        lock(&self.control)
    }

    pub fn block_bytes(&self) -> u32 {
        self.frontend.block_bytes()
    }
}
