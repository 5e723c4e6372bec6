// SPDX-License-Identifier: BSD-3-Clause

//! What a volume has in its pool, while it is loaded: its store, and the use of the drives' descriptors.
//!
//! A volume is shared between threads and the pool is not, so the volume holds a [`Storage`], plain facts and a key,
//! and the application thread keeps the pool's side of it under that key until [`end()`]. Everything here runs there.
//!
//! [`place`] finds or makes the pool of a new volume, [`stored`] finds volumes that are not loaded.

mod end;
mod held;
pub mod place;
pub mod stored;

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use engine::pool::error::Result;
use engine::pool::{Kind, Pool, PoolError};
use engine::volume::store::VolumeStore;
use engine::{ReadOnlyReason, SectionAt, BLOCK_SIZE};
use std::rc::Rc;
use uuid::Uuid;

use super::bdev::Lease;
use super::runtime::{self, Runtime};
use super::service;
use crate::transfer::BaseHandle;
use crate::volume::history::History;
use crate::volume::{Operation, State, Volume};

pub use self::end::{destroy, end, Closing, End};
pub use self::held::{Held, Storages};

/// Label of a pool that `bdev_dedupe_create` made for its volume.
pub use engine::pool::params::OWN_LABEL;

/// What a volume knows of its place.
#[derive(Debug)]
pub struct Storage {
    /// The application thread's side of it.
    pub key: u64,
    /// What shards need to know of the bdevs, in the order in which a placement numbers them.
    pub handles: Vec<BaseHandle>,
    /// Their names.
    pub bdev_names: Vec<String>,
    /// Name of the pool.
    pub pool_name: String,
    /// Identity of the pool.
    pub pool_uuid: Uuid,
    /// Blocks of the CAPACITY bdev when the pool was made for the volume, so that all of it counts as the volume's;
    /// else 0.
    own_blocks: AtomicU64,
    /// Writes may be in a volatile cache until a flush.
    pub volatile_cache: bool,
}

impl Storage {
    /// What counts as the volume's, in blocks: all of the bdev when the pool was made for the volume, else its data
    /// area.
    pub fn physical_blocks(&self, data_blocks: u64) -> u64 {
        match self.own_blocks.load(Ordering::Relaxed) {
            0 => data_blocks,
            own => own,
        }
    }

    /// Takes note that the pool has grown.
    pub fn set_own_bytes(&self, bytes: u64) {
        if self.own_blocks.load(Ordering::Relaxed) > 0 {
            self.own_blocks.store(bytes / BLOCK_SIZE as u64, Ordering::Relaxed);
        }
    }
}

/// The module has ended.
pub fn ended() -> PoolError {
    PoolError::new(Kind::Busy, "the module", "SPDK is ending it")
}

/// Keeps an open volume and leases the bdevs that it uses.
///
/// # Errors
/// A drive is missing, or was removed.
pub fn hold(runtime: &Rc<Runtime>, store: VolumeStore, is_new: bool) -> Result<Storage> {
    let pool = store.pool();
    let key = runtime.storages.new_key();
    let (mut leases, mut names): (Vec<Lease>, Vec<String>) = (Vec::new(), Vec::new());
    let mut volatile_cache = false;
    let mut own_bytes = 0;
    for drive in store.drives()? {
        let missing = || PoolError::new(Kind::Io, format!("pool '{}'", pool.name()), "one of its drives is missing");
        let properties = drive.device().ok_or_else(missing)?.properties();
        let gone = || PoolError::new(Kind::Io, format!("drive '{}'", properties.name), "the bdev was removed");
        let bdev = runtime.find_claimed(&properties.name).ok_or_else(gone)?;
        let name = properties.name.clone();
        leases.push(bdev.lease(move || removed(key, &name)).ok_or_else(gone)?);
        volatile_cache |= properties.volatile_cache;
        if names.is_empty() && is_own(pool) {
            own_bytes = properties.bytes;
        }
        names.push(properties.name);
    }
    let handles: Vec<BaseHandle> = leases.iter().map(Lease::handle).collect();
    let storage = Storage {
        key,
        handles,
        bdev_names: names,
        pool_name: pool.name().to_owned(),
        pool_uuid: pool.uuid(),
        own_blocks: AtomicU64::new(own_bytes / BLOCK_SIZE as u64),
        volatile_cache,
    };
    runtime.storages.keep(Held {
        key,
        store: Rc::new(store),
        leases,
        volume: Weak::new(),
        removed: false,
        is_new,
        history: None,
        operation: None,
    });
    Ok(storage)
}

/// True when a pool was made for a volume.
pub fn is_own(pool: &Pool) -> bool {
    service::label_of(pool) == OWN_LABEL
}

/// The store of a loaded volume.
///
/// # Errors
/// The volume, or the module, has ended.
pub fn store(key: u64) -> Result<Rc<VolumeStore>> {
    runtime::get().and_then(|runtime| runtime.storages.store(key)).ok_or_else(ended)
}

/// Notes what is being done with a volume that is not in service.
pub fn note_operation(key: u64, operation: Operation) {
    if let Some(runtime) = runtime::get() {
        runtime.storages.note_operation(key, operation);
    }
}

/// Tells `volume` when a bdev is removed. False when that has happened already.
pub fn watch(key: u64, volume: &Arc<Volume>) -> bool {
    runtime::get().is_some_and(|runtime| runtime.storages.watch(key, Arc::downgrade(volume)))
}

/// A bdev goes away.
fn removed(key: u64, bdev: &str) {
    let Some(runtime) = runtime::get() else { return };
    if let Some(volume) = runtime.storages.removed(key) {
        volume.base_removed(bdev);
    }
}

/// Erases a journal segment of a volume and calls `done` with its new generation.
pub fn erase_segment(key: u64, segment: u32, done: impl FnOnce(core::result::Result<u64, ()>) + 'static) {
    runtime::spawn(async move {
        let erased = match store(key) {
            Ok(store) => store.erase_segment(segment, || is_in_use(key)).await,
            Err(error) => Err(error),
        };
        done(erased.map_err(|error| log::error!("journal segment {segment} is not erased: {error}")));
    });
}

/// A volume takes writes, and is not being taken down.
fn is_in_use(key: u64) -> bool {
    let volume = runtime::get().and_then(|runtime| runtime.storages.volume(key));
    volume.is_some_and(|volume| {
        matches!(volume.state(), State::Online | State::Suspended) && volume.read_only_reason().is_none()
    })
}

/// The history of a loaded volume's index; none when there is none, or it is not open.
pub fn history(key: u64) -> Option<Rc<History>> {
    runtime::get().and_then(|runtime| runtime.storages.history(key))
}

/// Keeps the history of a loaded volume's index, or lets it go.
pub fn set_history(key: u64, history: Option<Rc<History>>) {
    if let Some(runtime) = runtime::get() {
        runtime.storages.set_history(key, history);
    }
}

/// Takes a section of a volume's index, and calls `done` with its number when it can be read; with none if it is lost.
pub fn append_section(key: u64, section: Vec<u8>, done: impl FnOnce(Option<u32>) + 'static) {
    match history(key) {
        Some(history) => history.append(section, done),
        None => done(None),
    }
}

/// Reads a section of a volume's index, and calls `done` with it.
pub fn read_section(key: u64, at: SectionAt, done: impl FnOnce(core::result::Result<Vec<u8>, ()>) + 'static) {
    match history(key) {
        Some(history) => history.read(at.chapter, done),
        None => done(Err(())),
    }
}

/// A shard of a volume takes no writes any more.
pub fn read_only(key: u64, reason: ReadOnlyReason) {
    let volume = runtime::get().and_then(|runtime| runtime.storages.volume(key));
    if let Some(volume) = volume {
        volume.became_read_only(reason);
    }
}
