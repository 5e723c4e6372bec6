// SPDX-License-Identifier: BSD-3-Clause

//! Making a volume: its pool if need be, its objects in the pool, and then what every load does.

use std::sync::Arc;

use super::load::bring_up;
use super::Volume;
use crate::error::VolumeError;
use crate::params::CreateParams;
use crate::pool::storage::place;
use crate::setup;

/// Makes a volume and brings it into service. On the app thread.
///
/// # Errors
/// The name is taken; a size does not suit the pool; there is not enough memory or space; Io. Nothing is left then.
pub async fn create(params: CreateParams) -> Result<Arc<Volume>, VolumeError> {
    if setup::is_taken(&params.name) {
        return Err(VolumeError::Exists { name: params.name });
    }
    let cores = setup::choose_cores(params.cpumask.as_deref())?;
    let storage = place::create(&params, cores.len()).await?;
    bring_up(&params.name, storage, cores).await
}
