// SPDX-License-Identifier: BSD-3-Clause

//! Creating a volume: its pool if need be, its objects in the pool, and then the same steps as for every load.

use std::sync::Arc;

use super::create_params::{CreateParams, Place};
use super::error::VolumeError;
use super::load::{bring_up, load_if_stored};
use super::storage::place;
use super::{registry, setup, Volume};
use crate::pool::runtime;
use crate::spdk::bdevs;

/// Creates a volume and brings it into service. On the app thread.
///
/// # Errors
/// The name is taken; a size does not suit the pool; there is not enough memory or space; Io. Nothing is left behind.
pub async fn create(params: CreateParams) -> Result<Arc<Volume>, VolumeError> {
    if params.unless_exists {
        if let Some(there) = existing(&params).await? {
            return Ok(there);
        }
    }
    if setup::is_taken(&params.name) {
        return Err(VolumeError::Exists { name: params.name });
    }
    let cores = setup::choose_cores(params.cpumask.as_deref())?;
    let storage = place::create(&params, cores.len()).await?;
    bring_up(&params.name, storage, cores).await
}

/// The volume of this name in the place that was asked for, loaded if it was not.
///
/// # Errors
/// A volume of this name is in another place; it cannot be loaded.
async fn existing(params: &CreateParams) -> Result<Option<Arc<Volume>>, VolumeError> {
    let name = params.name.as_str();
    let Some(runtime) = runtime::get() else { return Ok(None) };
    if let Place::Base(base) = &params.place {
        // The base's volume is loaded before SPDK is told that the bdev has been examined.
        runtime.service.examinations.done_with(base).await;
    }
    let pool = match &params.place {
        Place::Pool(pool) => runtime.service.find(pool).ok(),
        Place::Base(base) => runtime.service.pool_on(&bdevs::canonical(base)),
    };
    let Some(pool) = pool.map(|pool| pool.uuid()) else { return Ok(None) };
    match registry::named(name) {
        Some(volume) if volume.storage().pool_uuid == pool => Ok(Some(volume)),
        Some(_) => Err(VolumeError::Exists { name: name.to_owned() }),
        None => load_if_stored(&runtime, name, pool).await,
    }
}
