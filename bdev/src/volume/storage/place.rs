// SPDX-License-Identifier: BSD-3-Clause

//! The pool of a new volume.
//!
//! `bdev_dedupe_create` names a pool or a bdev. For a bdev, a pool is made for the volume, with its name and the label
//! [`OWN_LABEL`](super::OWN_LABEL), and is destroyed with the volume, unless the pool has other objects by then.

use std::rc::Rc;

use mpool::error::Result;
use mpool::{Kind, MediaClass, Pool};

use super::{is_own, stored};
use crate::pool::runtime::Runtime;
use crate::volume::create_params::{CreateParams, Place};
use crate::volume::error::VolumeError;
use crate::volume::machine_memory;
use crate::volume::sizing::{MetadataRoom, Room};

/// By default a volume takes at most one part in this many of the machine's free memory.
const MEMORY_SHARE: u64 = 4;

/// The pool of a new volume, and whether it was made for that. The caller holds `Service::manage`.
///
/// # Errors
/// There is no such pool, or it cannot be made; it was made for another volume.
pub async fn find_or_make_pool(
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
    // Several volumes, and the application itself, are to fit.
    let memory_mib = machine_memory::machine().map(|machine| (machine.available / MEMORY_SHARE) >> 20);
    Ok(Room { zone_bytes, usable_zones, free_zones, metadata, memory_mib })
}
