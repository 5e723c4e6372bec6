// SPDX-License-Identifier: BSD-3-Clause

//! One dedupe bdev: what it is made of.
//!
//! Its life, each part in a file of its own, all on SPDK's application thread except what a shard does on its own:
//! [`create`] makes a volume in a pool and loads it, [`load`] loads one that is there, [`start`] brings it into service
//! and [`stop`] takes it out of service; [`index`] opens and closes its index, with the [`history`] of that;
//! [`registration`] is SPDK's side of both. [`administration`] is what an operator has done to a volume meanwhile,
//! [`grow`] its growth, [`offline`] what is done to one that is not loaded. [`mod@tour`] goes over the shards,
//! [`rest`] waits for them.
//!
//! Invariant: shards, ports and `spdk_bdev` stay in place from creation until the last `Arc` is dropped, which is
//! after SPDK was told.

pub mod administration;
mod control;
pub mod create;
mod grow;
pub mod history;
mod index;
pub mod kept;
pub mod load;
pub mod offline;
mod recovery;
mod registration;
mod rest;
mod start;
mod stop;
mod tour;

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, AtomicUsize, Ordering};
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::hash::IndexControl;
use engine::volume::Geometry;
use engine::Lbn;
use uuid::Uuid;

use crate::channel::Port;
use crate::ffi;
use crate::needs::Memory;
use crate::pool::storage::Storage;
use crate::shard_host::ShardHost;
use crate::thread::{self, Thread};

use self::control::Control;
use self::kept::Kept;

pub use self::control::{Operation, State};
pub use self::tour::tour;

/// One dedupe bdev.
pub struct Volume {
    bdev: UnsafeCell<ffi::spdk_bdev>,
    name: Arc<str>,
    c_name: CString,
    uuid: Uuid,
    storage: Storage,
    /// SPDK's application thread, which created it and takes it down.
    owner: Thread,
    /// Exposed block size in bytes.
    block_bytes: u32,
    /// Size that clients see.
    logical_bytes: AtomicU64,
    /// Changes when the volume grows.
    geometry: Mutex<Geometry>,
    /// The layout at the start, which says for good which shard owns a block.
    sharding: Geometry,
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
    kept: Kept,
    /// Recoveries after crashes, and rebuilds, in its life.
    recoveries: Recoveries,
    shards: Arc<[ShardHost]>,
    /// Each from `Box::into_raw`; see [`Port`].
    ports: Mutex<Vec<NonNull<Port>>>,
    next_shard: AtomicUsize,
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

// SAFETY: `bdev` is SPDK's while it is registered and otherwise touched by the owner thread only; ports are made
// for many threads; all else is Send and Sync.
unsafe impl Send for Volume {}
// SAFETY: as above.
unsafe impl Sync for Volume {}

impl core::fmt::Debug for Volume {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Volume {{ name: {}, shards: {:?} }}", self.name, self.shards)
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
        &self.shards
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
    pub fn kept(&self) -> &Kept {
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
        self.block_bytes
    }

    /// The bytes of `blocks` exposed blocks from `offset` on; none when they are not all inside the volume.
    pub fn byte_range(&self, offset: u64, blocks: u64) -> Option<Range<u64>> {
        let unit = u64::from(self.block_bytes);
        let end = offset.checked_add(blocks)?.checked_mul(unit)?;
        (end <= self.logical_bytes.load(Ordering::Relaxed)).then_some(offset * unit..end)
    }

    /// The shard that owns a block.
    pub fn logical_shard(&self, lbn: Lbn) -> &ShardHost {
        &self.shards[self.sharding.logical_shard(lbn).index()]
    }

    /// The port of a thread, made when it is the first time.
    pub fn port(&self, thread: Thread) -> NonNull<Port> {
        let mut ports = lock(&self.ports);
        // SAFETY: ports live as long as the volume.
        if let Some(port) = ports.iter().find(|port| unsafe { port.as_ref() }.thread() == thread) {
            return *port;
        }
        let port = NonNull::from(Box::leak(Box::new(Port::new(thread))));
        ports.push(port);
        port
    }

    /// The shard for what has no range: the one on the thread or core of the channel, else the next in turn.
    pub fn deal_shard(&self, thread: Thread) -> usize {
        let core = thread::current_core();
        let near = self.shards.iter().position(|shard| shard.thread == thread);
        let near = near.or_else(|| self.shards.iter().position(|shard| Some(shard.core) == core));
        near.unwrap_or_else(|| self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len())
    }

    fn device(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        for port in lock(&self.ports).drain(..) {
            // SAFETY: from `Box::leak`, freed once; all channels are gone and the port is quiet (`stop`), or there
            // never was a channel.
            drop(unsafe { Box::from_raw(port.as_ptr()) });
        }
    }
}

/// A counted reference to the volume behind a context pointer of SPDK's.
///
/// # Safety
/// `context` is the address of a volume that some `Arc` keeps.
pub unsafe fn volume_of(context: *mut c_void) -> Arc<Volume> {
    let volume = context.cast::<Volume>().cast_const();
    // SAFETY: every volume is made by `Arc::new`, and the caller vouches that it is alive.
    unsafe {
        Arc::increment_strong_count(volume);
        Arc::from_raw(volume)
    }
}
