// SPDX-License-Identifier: BSD-3-Clause

//! The pool of a new volume.
//!
//! `bdev_dedupe_create` names a pool or a bdev. For a bdev, a pool is made for the volume, with its name and the label
//! [`OWN_LABEL`](super::OWN_LABEL), and is destroyed with the volume, unless the pool has other objects by then.

use std::rc::Rc;

use engine::volume::catalog::Catalog;
use engine::volume::inventory::VolumeConfig;
use engine::volume::store::{SlabWish, VolumeSpec, VolumeStore};
use mpool::error::Result;
use mpool::{Kind, MediaClass, Pool};
use uuid::Uuid;

use super::{ended, hold, is_own, stored, Storage};
use crate::pool::runtime::{self, Runtime};
use crate::volume::create_params::{CreateParams, Place};
use crate::volume::error::VolumeError;
use crate::volume::sizing::{self, MetadataRoom, Room, SlabPlan};

/// Creates a volume for `shards` shards in its pool, which is made if need be, and holds the volume.
///
/// # Errors
/// There is no such pool, or it cannot be made; a volume of the name or UUID exists; there is too little room; Io.
/// Everything made is removed again.
pub async fn create(params: &CreateParams, shards: usize) -> core::result::Result<Storage, VolumeError> {
    let name = params.name.as_str();
    let runtime = runtime::get().ok_or_else(|| VolumeError::pool(name, ended()))?;
    let service = &runtime.service;
    if let Place::Base(base) = &params.place {
        // A bdev that has just appeared may hold a pool.
        service.examinations.done_with(base).await;
    }
    let _managing = service.manage().await;
    let (pool, made_pool) = find_or_make_pool(&runtime, params).await?;
    let uuid = pool.uuid();
    let outcome = create_in(pool, params, shards).await;
    if outcome.is_err() && made_pool {
        service.destroy_active(uuid).await.unwrap_or_else(|error| log::error!("{error}"));
    }
    outcome
}

async fn find_or_make_pool(
    runtime: &Rc<Runtime>,
    params: &CreateParams,
) -> core::result::Result<(Rc<Pool>, bool), VolumeError> {
    let (name, service) = (params.name.as_str(), &runtime.service);
    let base = match &params.place {
        Place::Base(base) => base,
        Place::Pool(pool) => {
            let pool = service.find(pool).map_err(|error| VolumeError::pool(name, error))?;
            return Ok((pool, false));
        }
    };
    if let Some(pool) = service.pool_on(base) {
        return match is_for(&pool, name).await.map_err(|error| VolumeError::pool(name, error))? {
            true => Ok((pool, false)),
            false => Err(VolumeError::OtherPool {
                name: name.to_owned(),
                base: base.to_owned(),
                pool: pool.name().to_owned(),
            }),
        };
    }
    let pool =
        service.create_for_volume(name, base, params.force).await.map_err(|error| VolumeError::pool(name, error))?;
    Ok((pool, true))
}

/// Whether a pool was made for the volume of this name: it has the label, and no volume of another name.
async fn is_for(pool: &Rc<Pool>, name: &str) -> Result<bool> {
    Ok(is_own(pool) && stored::all_in(pool).await?.iter().all(|volume| volume.entry.name == name))
}

async fn create_in(pool: Rc<Pool>, params: &CreateParams, shards: usize) -> core::result::Result<Storage, VolumeError> {
    let failed = |error| VolumeError::pool(&params.name, error);
    let catalog = Catalog::open(&pool).await.map_err(failed)?;
    let made = make(&pool, &catalog, params, shards).await;
    let closed = catalog.close().await.map_err(failed);
    let store = made?;
    closed?;
    hold(store, true).map_err(failed)
}

async fn make(
    pool: &Rc<Pool>,
    catalog: &Catalog,
    params: &CreateParams,
    shards: usize,
) -> core::result::Result<VolumeStore, VolumeError> {
    let failed = |error| VolumeError::pool(&params.name, error);
    if catalog.find(&params.name).is_some() {
        return Err(VolumeError::Stored { name: params.name.clone(), pool: pool.name().to_owned() });
    }
    let plan = sizing::plan(&room(pool).map_err(failed)?, shards, &params.sizes)
        .map_err(|error| VolumeError::sizing(&params.name, pool.name(), error))?;
    let size = |slabs, config: &mut VolumeConfig| {
        sizing::lay_out(slabs, &plan, shards, &params.sizes, config);
        Ok(())
    };
    VolumeStore::create(pool, catalog, &spec(params, shards, &plan), size).await.map_err(failed)
}

fn spec(params: &CreateParams, shards: usize, plan: &SlabPlan) -> VolumeSpec {
    VolumeSpec {
        name: params.name.clone(),
        uuid: params.uuid.unwrap_or_else(Uuid::new_v4),
        slabs: SlabWish { least: plan.least, wanted: plan.wanted },
        shards,
        config: VolumeConfig {
            slab_blocks: plan.slab_blocks,
            block_size: params.block_size.bytes(),
            map_cache_mib: params.block_map_cache_mib,
            journal_mib: plan.journal_mib,
            compression: params.compression,
            deduplication: params.deduplication,
            reserve_percent: params.reserve_percent,
            core_mask: params.cpumask.clone().unwrap_or_default(),
            ..VolumeConfig::default()
        },
    }
}

/// What a pool can offer.
///
/// # Errors
/// NotFound: it has no CAPACITY drive.
pub fn room(pool: &Pool) -> Result<Room> {
    let drive = pool.drive_of(MediaClass::Capacity)?;
    let (zone_bytes, space) = (drive.zone_bytes(), drive.space_usage());
    let zones = |bytes: u64| bytes / zone_bytes.max(1);
    let metadata = match pool.drive_of(MediaClass::Staging) {
        Ok(drive) => {
            let zone_bytes = drive.zone_bytes();
            let free_zones = drive.space_usage().free_usable_bytes / zone_bytes.max(1);
            Some(MetadataRoom { zone_bytes, free_zones })
        }
        Err(error) if error.kind() == Kind::NotFound => None,
        Err(error) => return Err(error),
    };
    let (usable_zones, free_zones) = (zones(space.usable_bytes), zones(space.free_usable_bytes));
    Ok(Room { zone_bytes, usable_zones, free_zones, metadata })
}
