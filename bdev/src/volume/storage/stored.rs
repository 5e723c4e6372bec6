// SPDX-License-Identifier: BSD-3-Clause

//! Volumes in the active pools, loaded or not.

use std::rc::Rc;

use engine::volume::catalog::{Catalog, VolumeEntry};
use engine::volume::store;
use mpool::error::Result;
use mpool::{Kind, Pool, PoolError};
use uuid::Uuid;

use crate::pool::runtime::Runtime;

/// A volume in a pool.
#[derive(Debug, Clone)]
pub struct StoredVolume {
    pub pool: Rc<Pool>,
    pub entry: VolumeEntry,
}

/// Opens the catalog of a pool for `work`, and closes it. The caller holds `Service::manage`.
///
/// # Errors
/// The catalog cannot be read; those of `work`; Io.
pub async fn with_catalog<T>(pool: &Rc<Pool>, work: impl AsyncFnOnce(&Catalog) -> Result<T>) -> Result<T> {
    let catalog = Catalog::open(pool).await?;
    let outcome = work(&catalog).await;
    let closed = catalog.close().await;
    outcome.and_then(|value| closed.map(|()| value))
}

/// The volumes of a pool. The caller holds `Service::manage`.
///
/// # Errors
/// The catalog cannot be read; Io.
pub async fn all_in(pool: &Rc<Pool>) -> Result<Vec<StoredVolume>> {
    let entries = with_catalog(pool, async |catalog| Ok(catalog.entries())).await?;
    Ok(entries.into_iter().map(|entry| StoredVolume { pool: Rc::clone(pool), entry }).collect())
}

/// Removes what is left in a pool of volumes whose creation or deletion was interrupted. The caller holds
/// `Service::manage`.
///
/// # Errors
/// The catalog or an inventory cannot be read; Io.
pub async fn remove_unfinished(pool: &Rc<Pool>) -> Result<()> {
    let is_loaded = |entry: &VolumeEntry| super::is_loaded(entry.uuid);
    let removed = with_catalog(pool, async |catalog| store::remove_unfinished(pool, catalog, is_loaded).await).await;
    for name in removed? {
        log::warn!("pool '{}': volume '{name}', whose creation or deletion was cut short, is gone", pool.name());
    }
    Ok(())
}

impl StoredVolume {
    /// True when `key` is the volume's name, its UUID, or the alias of its bdev.
    fn is_called(&self, key: &str) -> bool {
        let alias = || key.strip_prefix(self.pool.name()).and_then(|rest| rest.strip_prefix('/'));
        self.entry.name == key
            || Uuid::try_parse(key).is_ok_and(|uuid| uuid == self.entry.uuid)
            || alias() == Some(self.entry.name.as_str())
    }
}

/// The volume of a name, UUID or alias that is not loaded, in the pool given, else in any active pool. The caller holds
/// `Service::manage`.
///
/// # Errors
/// NotFound: there is none. Invalid: several pools have one. A catalog cannot be read; Io.
pub async fn find(runtime: &Runtime, name: &str, pool: Option<&str>) -> Result<StoredVolume> {
    let pools = match pool {
        Some(pool) => vec![runtime.service.find(pool)?],
        None => runtime.service.active(),
    };
    let mut found: Vec<StoredVolume> = Vec::new();
    for pool in &pools {
        found.extend(all_in(pool).await?.into_iter().filter(|volume| volume.is_called(name)));
    }
    found.retain(|volume| !super::is_loaded(volume.entry.uuid));
    let subject = || format!("volume '{}'", name.escape_debug());
    let Some(first) = found.pop() else {
        return Err(PoolError::new(Kind::NotFound, subject(), "no active pool has it, or it is loaded"));
    };
    if let Some(other) = found.first() {
        let reason = format!("pools '{}' and '{}' have one; give pool_name", other.pool.name(), first.pool.name());
        return Err(PoolError::invalid(subject(), reason));
    }
    Ok(first)
}
