// SPDX-License-Identifier: BSD-3-Clause

//! What a volume has in its pool: slabs, an inventory of them, and the use of the drive's descriptor.
//!
//! A volume is shared between threads and the pool is not, so the volume holds a [`Storage`], plain facts and a key,
//! and the application thread keeps the pool's side of it under that key until [`end`].
//!
//! `bdev_dedupe_create` names a pool, or a bdev. In the second case the pool is made for the volume, has its name and
//! the label [`OWN_LABEL`], and is destroyed with it, unless something else is in it by then.
//!
//! A volume's metadata is in RAM only in this release. So when its objects are found in the pool after a restart they
//! are taken over if they are what was asked for, else made anew; it starts empty either way.

use core::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use engine::pool::error::Result;
use engine::pool::{Kind, MediaClass, Pool, PoolError};
use engine::volume::catalog::{Catalog, VolumeEntry};
use engine::volume::inventory::Inventory;
use engine::BLOCK_SIZE;
use uuid::Uuid;

use super::bdev::Lease;
use super::runtime::{self, Runtime};
use super::service;
use crate::error::CreateError;
use crate::params::CreateParams;
use crate::sizing::{self, Room, SlabPlan};
use crate::transfer::BaseHandle;
use crate::volume::Volume;

/// Label of a pool that `bdev_dedupe_create` made for its volume.
pub const OWN_LABEL: &str = "dedupe-volume";

/// What a volume knows of its place.
#[derive(Debug)]
pub struct Storage {
    /// The application thread's side of it.
    pub key: u64,
    /// The volume's identity.
    pub volume_uuid: Uuid,
    /// What shards need to know of the bdev that the CAPACITY drive is.
    pub handle: BaseHandle,
    /// Its name.
    pub bdev_name: String,
    /// Name of the pool.
    pub pool_name: String,
    /// Identity of the pool.
    pub pool_uuid: Uuid,
    /// What of the drive counts as the volume's, in blocks: all of it when the pool was made for the volume, else its
    /// slabs.
    pub physical_blocks: u64,
    /// Writes may be in a volatile cache until a flush.
    pub write_cache: bool,
    /// Alignment of buffers, a power of two.
    pub required_alignment: u8,
    /// Blocks in a slab.
    pub slab_blocks: u64,
    /// First block of each slab on the bdev.
    pub slab_places: Arc<[u64]>,
}

/// What becomes of a volume's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// They stay.
    Keep,
    /// They are destroyed, and with them a pool that was made for them.
    Destroy,
    /// Those that [`obtain`] made are destroyed: the volume was not finished.
    Undo,
}

/// The application thread's side.
#[derive(Debug)]
pub struct Held {
    key: u64,
    pool: Rc<Pool>,
    inventory: Inventory,
    lease: Lease,
    volume: Weak<Volume>,
    /// The removal of the bdev came before the volume was known.
    removed: bool,
    is_new: bool,
}

/// What the application thread keeps for all volumes.
#[derive(Debug, Default)]
pub struct Storages {
    held: RefCell<Vec<Held>>,
    next_key: core::cell::Cell<u64>,
}

impl Storages {
    fn take(&self, key: u64) -> Option<Held> {
        let mut held = self.held.borrow_mut();
        let index = held.iter().position(|held| held.key == key)?;
        Some(held.swap_remove(index))
    }

    fn has_volume(&self, uuid: Uuid) -> bool {
        self.held.borrow().iter().any(|held| held.inventory.entry().uuid == uuid)
    }
}

/// The module has ended.
fn ended() -> PoolError {
    PoolError::new(Kind::Busy, "the module", "SPDK is ending it")
}

/// Finds or makes the pool, and the volume's slabs in it.
///
/// # Errors
/// There is no such pool, or it cannot be made; the volume is in use; there is too little room; Io. What was made is
/// taken back.
pub async fn obtain(params: &CreateParams, shards: usize) -> core::result::Result<Storage, CreateError> {
    let name = params.name.as_str();
    let runtime = runtime::get().ok_or_else(|| CreateError::pool(name, ended()))?;
    let service = &runtime.service;
    if let Some(base) = &params.base_bdev_name {
        // A bdev that has appeared just now may have the volume's pool on it.
        service.examinations.done_with(base).await;
    }
    let _managing = service.manage().await;
    let (pool, made_pool) = find_or_make_pool(&runtime, params).await?;
    let outcome = obtain_in(&runtime, &pool, params, shards).await;
    let uuid = pool.uuid();
    drop(pool);
    if outcome.is_err() && made_pool {
        service.destroy_active(uuid).await.unwrap_or_else(|error| log::error!("{error}"));
    }
    outcome
}

async fn find_or_make_pool(
    runtime: &Rc<Runtime>,
    params: &CreateParams,
) -> core::result::Result<(Rc<Pool>, bool), CreateError> {
    let (name, service) = (params.name.as_str(), &runtime.service);
    if let Some(pool_name) = &params.pool_name {
        let pool = service.find(pool_name).map_err(|error| CreateError::pool(name, error))?;
        return Ok((pool, false));
    }
    let base = params.base_bdev_name.as_deref().unwrap_or_default();
    if let Some(pool) = service.pool_on(base) {
        if is_for(&pool, name).await.map_err(|error| CreateError::pool(name, error))? {
            return Ok((pool, false));
        }
        let (name, base, pool) = (name.to_owned(), base.to_owned(), pool.name().to_owned());
        return Err(CreateError::OtherPool { name, base, pool });
    }
    let pool = service.create_for_volume(name, base).await.map_err(|error| CreateError::pool(name, error))?;
    Ok((pool, true))
}

/// Whether a pool was made for the volume of this name: it has the label, and no volume of another name.
async fn is_for(pool: &Rc<Pool>, name: &str) -> Result<bool> {
    if service::label_of(pool) != OWN_LABEL {
        return Ok(false);
    }
    let catalog = Catalog::open(pool).await?;
    let is = catalog.entries().iter().all(|entry| entry.name == name);
    catalog.close().await?;
    Ok(is)
}

/// Finds or makes the volume in a pool.
async fn obtain_in(
    runtime: &Rc<Runtime>,
    pool: &Rc<Pool>,
    params: &CreateParams,
    shards: usize,
) -> core::result::Result<Storage, CreateError> {
    let failed = |error| CreateError::pool(&params.name, error);
    let catalog = Catalog::open(pool).await.map_err(failed)?;
    let made = find_or_make_volume(runtime, pool, &catalog, params, shards).await;
    let closed = catalog.close().await.map_err(failed);
    let (inventory, slab_blocks, is_new) = made?;
    closed?;
    hold(runtime, pool, inventory, slab_blocks, is_new).map_err(failed)
}

async fn find_or_make_volume(
    runtime: &Rc<Runtime>,
    pool: &Rc<Pool>,
    catalog: &Catalog,
    params: &CreateParams,
    shards: usize,
) -> core::result::Result<(Inventory, u64, bool), CreateError> {
    let failed = |error| CreateError::pool(&params.name, error);
    let mut uuid = params.uuid;
    if let Some(entry) = catalog.find(&params.name) {
        if runtime.storages.has_volume(entry.uuid) {
            return Err(CreateError::Exists { name: params.name.clone() });
        }
        uuid = uuid.or(Some(entry.uuid));
        if let Some(found) = take_over(pool, catalog, entry, params, shards).await.map_err(failed)? {
            return Ok(found);
        }
    }
    let plan = sizing::plan(&room(pool).map_err(failed)?, shards, &params.wishes())
        .map_err(|error| CreateError::sizing(&params.name, pool.name(), error))?;
    let uuid = uuid.unwrap_or_else(Uuid::new_v4);
    let inventory = make(pool, catalog, &params.name, uuid, &plan).await.map_err(failed)?;
    Ok((inventory, plan.slab_blocks, true))
}

/// Opens a volume that is there, if it is what was asked for; else destroys it.
async fn take_over(
    pool: &Rc<Pool>,
    catalog: &Catalog,
    entry: VolumeEntry,
    params: &CreateParams,
    shards: usize,
) -> Result<Option<(Inventory, u64, bool)>> {
    let is_same = params.uuid.is_none_or(|uuid| uuid == entry.uuid);
    let inventory = Inventory::open(pool, entry).await?;
    let zone_bytes = pool.drive_of(MediaClass::Capacity)?.zone_bytes();
    let slab_bytes = inventory.slab_zones().saturating_mul(zone_bytes);
    let slabs = inventory.slabs() as u64;
    let wishes = params.wishes();
    let fits = |wish: Option<u64>, bytes: u64| wish.is_none_or(|mib| mib << 20 == bytes);
    let physical = wishes.physical_mib.map(|mib| ((mib << 20) / slab_bytes.max(1) * slab_bytes) >> 20);
    let usable = is_same
        && slabs >= shards as u64
        && (slab_bytes / BLOCK_SIZE as u64).is_power_of_two()
        && fits(wishes.slab_mib, slab_bytes)
        && fits(physical, slab_bytes.saturating_mul(slabs));
    if usable {
        log::info!("{}: takes over its {slabs} slabs in pool '{}'", params.name, pool.name());
        return Ok(Some((inventory, slab_bytes / BLOCK_SIZE as u64, false)));
    }
    log::info!("{}: what pool '{}' has of it does not suit, and is made anew", params.name, pool.name());
    inventory.destroy(catalog).await?;
    Ok(None)
}

fn room(pool: &Pool) -> Result<Room> {
    let drive = pool.drive_of(MediaClass::Capacity)?;
    let (zone_bytes, space) = (drive.zone_bytes(), drive.space_usage());
    let zones = |bytes: u64| bytes / zone_bytes.max(1);
    Ok(Room { zone_bytes, usable_zones: zones(space.usable_bytes), free_zones: zones(space.free_usable_bytes) })
}

/// Makes a volume with as many of the slabs that are wanted as there is room for.
async fn make(pool: &Rc<Pool>, catalog: &Catalog, name: &str, uuid: Uuid, plan: &SlabPlan) -> Result<Inventory> {
    let inventory = Inventory::create(pool, catalog, name, uuid, plan.slab_zones).await?;
    let mut outcome = Ok(());
    while outcome.is_ok() && (inventory.slabs() as u64) < plan.wanted {
        outcome = inventory.add_slab().await;
    }
    match outcome {
        // Runs of zones may be fewer than zones.
        Err(error) if error.kind() == Kind::NoSpace && inventory.slabs() as u64 >= plan.least => Ok(inventory),
        Err(error) => {
            inventory.destroy(catalog).await?;
            Err(error)
        }
        Ok(()) => Ok(inventory),
    }
}

fn hold(
    runtime: &Rc<Runtime>,
    pool: &Rc<Pool>,
    inventory: Inventory,
    slab_blocks: u64,
    is_new: bool,
) -> Result<Storage> {
    let drive = pool.drive_of(MediaClass::Capacity)?;
    let missing = || PoolError::new(Kind::Io, format!("pool '{}'", pool.name()), "its CAPACITY drive is missing");
    let properties = drive.device().ok_or_else(missing)?.properties();
    let gone = || PoolError::new(Kind::Io, format!("drive '{}'", properties.name), "the bdev was removed");
    let bdev = runtime.find_claimed(&properties.name).ok_or_else(gone)?;
    let key = runtime.storages.next_key.get();
    runtime.storages.next_key.set(key + 1);
    let lease = bdev.lease(move || removed(key)).ok_or_else(gone)?;
    let places: Vec<u64> = inventory.slab_offsets().iter().map(|offset| offset / BLOCK_SIZE as u64).collect();
    let is_own = service::label_of(pool) == OWN_LABEL;
    let handle = lease.handle();
    let storage = Storage {
        key,
        volume_uuid: inventory.entry().uuid,
        handle,
        bdev_name: properties.name.clone(),
        pool_name: pool.name().to_owned(),
        pool_uuid: pool.uuid(),
        physical_blocks: match is_own {
            true => properties.bytes / BLOCK_SIZE as u64,
            false => places.len() as u64 * slab_blocks,
        },
        write_cache: properties.volatile_cache,
        required_alignment: handle.alignment.ilog2() as u8,
        slab_blocks,
        slab_places: Arc::from(places),
    };
    let held = Held { key, pool: Rc::clone(pool), inventory, lease, volume: Weak::new(), removed: false, is_new };
    runtime.storages.held.borrow_mut().push(held);
    Ok(storage)
}

/// Tells `volume` when its bdev is removed. False when that has happened already. On the application thread.
pub fn watch(key: u64, volume: Weak<Volume>) -> bool {
    let Some(runtime) = runtime::get() else { return false };
    let mut all = runtime.storages.held.borrow_mut();
    let Some(held) = all.iter_mut().find(|held| held.key == key) else { return false };
    held.volume = volume;
    !held.removed
}

/// The bdev goes away.
fn removed(key: u64) {
    let Some(runtime) = runtime::get() else { return };
    let mut all = runtime.storages.held.borrow_mut();
    let Some(held) = all.iter_mut().find(|held| held.key == key) else { return };
    held.removed = true;
    let volume = held.volume.upgrade();
    drop(all);
    if let Some(volume) = volume {
        volume.base_removed();
    }
}

/// Gives back what a volume has, when its shards do no more I/O. On the application thread.
///
/// # Errors
/// Io; the volume's use of the bdev has ended all the same.
pub async fn end(key: u64, end: End) -> Result<()> {
    let runtime = runtime::get().ok_or_else(ended)?;
    let Some(held) = runtime.storages.take(key) else { return Ok(()) };
    let Held { pool, inventory, lease, is_new, .. } = held;
    // First: the removal of the bdev may wait for it.
    drop(lease);
    let _managing = runtime.service.manage().await;
    let uuid = pool.uuid();
    let outcome = match end {
        End::Destroy => destroy(&runtime, pool, inventory).await,
        End::Undo if is_new => destroy(&runtime, pool, inventory).await,
        End::Keep | End::Undo => {
            drop(pool);
            inventory.close().await
        }
    };
    runtime.service.released(uuid).await;
    outcome
}

async fn destroy(runtime: &Rc<Runtime>, pool: Rc<Pool>, inventory: Inventory) -> Result<()> {
    let catalog = Catalog::open(&pool).await?;
    let destroyed = inventory.destroy(&catalog).await;
    let is_last = catalog.entries().is_empty();
    let closed = catalog.close().await;
    destroyed.and(closed)?;
    let is_useless = is_last && service::label_of(&pool) == OWN_LABEL && service::has_only_root(&pool);
    let uuid = pool.uuid();
    drop(pool);
    if is_useless {
        runtime.service.destroy_active(uuid).await?;
    }
    Ok(())
}
