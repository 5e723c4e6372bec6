// SPDX-License-Identifier: BSD-3-Clause

//! A loaded volume's objects in its pool: its store, and its leases of the drives' descriptors.
//!
//! Threads share a volume but not a pool. So the volume has a [`Storage`], plain facts and a key, and the application
//! thread holds the pool's side under that key until [`end()`]. Everything here runs on the application thread.
//!
//! [`place`] finds or makes the pool of a new volume, [`stored`] finds volumes that are not loaded.

mod end;
mod held;
pub mod place;
pub mod stored;

use core::sync::atomic::{AtomicU64, Ordering};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use engine::volume::store::VolumeStore;
use engine::{ReadOnlyReason, SectionAt, BLOCK_SIZE};
use mpool::error::Result;
use mpool::{Kind, Pool, PoolError};
use uuid::Uuid;

use crate::datapath::app_calls::{AppSide, Done};
use crate::pool::service;
use crate::spdk::app_local::AppLocal;
use crate::spdk::open_bdev::{self, BaseHandle, Lease};
use crate::spdk::tasks;
use crate::volume::history::History;
use crate::volume::{Operation, State, Volume};

pub use self::end::{destroy, end, Closing, End};
pub use self::held::{Held, Storages};
pub use self::stored::with_catalog;

/// Label of a pool that `bdev_dedupe_create` made for its volume.
pub use mpool::params::OWN_LABEL;

/// What a volume knows of its objects' place.
#[derive(Debug)]
pub struct Storage {
    /// Key of the application thread's side.
    pub key: u64,
    /// The bdevs as shards need them, in the order in which a placement numbers them.
    pub handles: Vec<BaseHandle>,
    pub bdev_names: Vec<String>,
    pub pool_name: String,
    pub pool_uuid: Uuid,
    /// Blocks of the CAPACITY bdev if the pool was made for the volume, so that all of it counts as the volume's; else
    /// 0.
    own_blocks: AtomicU64,
    /// Completed writes may be in a volatile cache until a flush.
    pub volatile_cache: bool,
}

impl Storage {
    /// Blocks that count as the volume's: all of the bdev if the pool was made for the volume, else the data area.
    pub fn physical_blocks(&self, data_blocks: u64) -> u64 {
        match self.own_blocks.load(Ordering::Relaxed) {
            0 => data_blocks,
            own => own,
        }
    }

    /// Takes over the new size of a pool that has grown.
    pub fn set_own_bytes(&self, bytes: u64) {
        if self.own_blocks.load(Ordering::Relaxed) > 0 {
            self.own_blocks.store(bytes / BLOCK_SIZE as u64, Ordering::Relaxed);
        }
    }
}

static STORAGES: AppLocal<Storages> = AppLocal::new();

/// Starts. On the application thread, when SPDK initialises the module.
pub fn start() {
    STORAGES.set(Some(Rc::default()));
}

/// Drops what is left. On the application thread, when the pools are gone.
pub fn stop() {
    STORAGES.set(None);
}

/// What is held for all volumes; none on other threads, before the start and after the end.
pub fn storages() -> Option<Rc<Storages>> {
    STORAGES.get()
}

/// Whether a volume is loaded or being loaded.
pub fn is_loaded(uuid: Uuid) -> bool {
    storages().is_some_and(|storages| storages.has(uuid))
}

/// Names of the volumes of a pool that are loaded or being loaded.
pub fn names_in(pool: Uuid) -> Vec<String> {
    storages().map_or_else(Vec::new, |storages| storages.names_in(pool))
}

/// Volumes that are not in service, and the operations in progress on them.
pub fn operations() -> Vec<(String, Operation)> {
    storages().map_or_else(Vec::new, |storages| storages.operations())
}

/// The error after the module's end.
pub fn ended() -> PoolError {
    PoolError::new(Kind::Busy, "the module", "SPDK is ending it")
}

/// Holds an open volume, and leases its bdevs.
///
/// # Errors
/// A drive is missing, or was removed.
pub fn hold(store: Rc<VolumeStore>) -> Result<Storage> {
    let pool = store.pool();
    let storages = storages().ok_or_else(ended)?;
    let key = storages.new_key();
    let (mut leases, mut names): (Vec<Lease>, Vec<String>) = (Vec::new(), Vec::new());
    let mut volatile_cache = false;
    let mut own_bytes = 0;
    for drive in store.drives()? {
        let missing = || PoolError::new(Kind::Io, format!("pool '{}'", pool.name()), "one of its drives is missing");
        let properties = drive.device().ok_or_else(missing)?.properties();
        let gone = || PoolError::new(Kind::Io, format!("drive '{}'", properties.name), "the bdev was removed");
        let bdev = open_bdev::find_claimed(&properties.name).ok_or_else(gone)?;
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
    storages.keep(Held { key, store, leases, volume: Weak::new(), removed: false, history: None, operation: None });
    Ok(storage)
}

/// True when the pool was made for a volume.
pub fn is_own(pool: &Pool) -> bool {
    service::label_of(pool) == OWN_LABEL
}

/// The store of a loaded volume.
///
/// # Errors
/// The volume, or the module, has ended.
pub fn store(key: u64) -> Result<Rc<VolumeStore>> {
    storages().and_then(|storages| storages.store(key)).ok_or_else(ended)
}

/// Records the operation in progress on a volume that is not in service.
pub fn note_operation(key: u64, operation: Operation) {
    if let Some(storages) = storages() {
        storages.note_operation(key, operation);
    }
}

/// Tells `volume` when a bdev is removed. False if that has happened already.
pub fn watch(key: u64, volume: &Arc<Volume>) -> bool {
    storages().is_some_and(|storages| storages.watch(key, Arc::downgrade(volume)))
}

/// A bdev is being removed.
fn removed(key: u64, bdev: &str) {
    let Some(storages) = storages() else { return };
    if let Some(volume) = storages.removed(key) {
        volume.base_removed(bdev);
    }
}

/// Serves the calls of volumes' shards.
#[derive(Debug)]
pub struct Calls;

impl AppSide for Calls {
    fn erase_segment(&self, key: u64, segment: u32, done: Done<core::result::Result<u64, ()>>) {
        tasks::spawn(async move {
            let erased = match store(key) {
                Ok(store) => store.erase_segment(segment, || is_in_use(key)).await,
                Err(error) => Err(error),
            };
            done(erased.map_err(|error| log::error!("journal segment {segment} is not erased: {error}")));
        });
    }

    fn append_section(&self, key: u64, section: Vec<u8>, done: Done<Option<u32>>) {
        match history(key) {
            Some(history) => history.append(section, done),
            None => done(None),
        }
    }

    fn read_section(&self, key: u64, at: SectionAt, done: Done<core::result::Result<Vec<u8>, ()>>) {
        match history(key) {
            Some(history) => history.read(at.chapter, done),
            None => done(Err(())),
        }
    }

    fn read_only(&self, key: u64, reason: ReadOnlyReason) {
        if let Some(volume) = storages().and_then(|storages| storages.volume(key)) {
            volume.became_read_only(reason);
        }
    }
}

/// True when a volume accepts writes and is not being taken down.
fn is_in_use(key: u64) -> bool {
    storages().and_then(|storages| storages.volume(key)).is_some_and(|volume| {
        matches!(volume.state(), State::Online | State::Suspended) && volume.read_only_reason().is_none()
    })
}

/// The history of a loaded volume's index; none if it has none, or it is not open.
pub fn history(key: u64) -> Option<Rc<History>> {
    storages().and_then(|storages| storages.history(key))
}

/// Sets or removes the history of a loaded volume's index.
pub fn set_history(key: u64, history: Option<Rc<History>>) {
    if let Some(storages) = storages() {
        storages.set_history(key, history);
    }
}
