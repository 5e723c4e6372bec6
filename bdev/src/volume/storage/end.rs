// SPDX-License-Identifier: BSD-3-Clause

//! Releasing a loaded volume's objects, when its shards do no more I/O.

use std::rc::Rc;

use engine::volume::access::VolumeMedia;
use engine::volume::catalog::VolumeEntry;
use engine::volume::inventory::{StateKind, VolumeState};
use engine::volume::store::{self, VolumeStore};
use mpool::error::Result;
use mpool::Pool;

use super::{ended, is_own, storages, with_catalog, Held};
use crate::pool::runtime::{self, Runtime};
use crate::pool::service;

/// What happens to a volume's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Keep,
    /// The objects are destroyed, and with them a pool that was made for the volume.
    Destroy,
}

/// What is recorded for a volume that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    pub logical_blocks_used: u64,
    /// Pages of the block map, without the roots.
    pub map_pages: u64,
    /// The volume's counters (see [`crate::volume::saved_counters`]).
    pub counters: Vec<(u64, u64)>,
}

/// Releases a volume's objects. With `closing` the volume was saved, and is recorded as clean.
///
/// # Errors
/// Io; the volume no longer uses the bdevs nevertheless.
pub async fn end(key: u64, end: End, closing: Option<Closing>) -> Result<()> {
    let runtime = runtime::get().ok_or_else(ended)?;
    let Some(held) = storages().and_then(|storages| storages.take(key)) else { return Ok(()) };
    let Held { store, leases, .. } = held;
    let saved = match closing {
        Some(closing) => record_clean(&store, closing).await,
        None => Ok(()),
    };
    // First, because the removal of a bdev may wait for the leases.
    drop(leases);
    let _managing = runtime.service.manage().await;
    let (pool, entry) = (Rc::clone(store.pool()), store.entry().clone());
    let uuid = pool.uuid();
    let closed = store.close().await;
    drop(store);
    let outcome = match end {
        End::Destroy => destroy(&runtime, pool, &entry).await,
        End::Keep => {
            drop(pool);
            saved.and(closed)
        }
    };
    runtime.service.released(uuid).await;
    outcome
}

/// Records that nothing needs to be recovered.
async fn record_clean(store: &VolumeStore, closing: Closing) -> Result<()> {
    store.flush().await?;
    let Closing { logical_blocks_used, map_pages, counters } = closing;
    store
        .set_state(VolumeState { kind: StateKind::Clean, logical_blocks_used, map_pages, counters, ..store.state() })
        .await
}

/// Destroys a volume that is not open, and its pool if that was made for it and has no other volume. The caller holds
/// `Service::manage`.
///
/// # Errors
/// Io; Busy.
pub async fn destroy(runtime: &Rc<Runtime>, pool: Rc<Pool>, entry: &VolumeEntry) -> Result<()> {
    let is_last = with_catalog(&pool, async |catalog| {
        store::remove(&pool, catalog, entry).await?;
        Ok(catalog.entries().is_empty())
    })
    .await?;
    let is_useless = is_last && is_own(&pool) && service::has_only_root(&pool);
    let uuid = pool.uuid();
    drop(pool);
    if is_useless {
        runtime.service.destroy_active(uuid).await?;
    }
    Ok(())
}
