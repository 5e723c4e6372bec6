// SPDX-License-Identifier: BSD-3-Clause

//! Deletion of a volume, complete or not.
//!
//! First the deletion is recorded; then the volume's objects are deleted, then the logs of its MDC, then its entry in
//! the catalog. An interrupted deletion is completed by repeating it.

use std::rc::Rc;

use mpool::error::Result;
use mpool::{Pool, Search};

use super::addition::delete_object;
use super::ledger::Ledger;
use super::VolumeStore;
use crate::volume::catalog::{Catalog, VolumeEntry};
use crate::volume::inventory::InventoryRecord;

impl VolumeStore {
    /// Deletes the volume with all its objects, and closes the store.
    ///
    /// # Errors
    /// Io: [`remove`] completes the deletion. Busy: an object of the volume is in use.
    pub async fn delete(&self, catalog: &Catalog) -> Result<()> {
        self.close().await?;
        remove(&self.pool, catalog, &self.entry).await
    }
}

/// Deletes a volume that is not open, or what exists of it.
///
/// # Errors
/// Invalid: its inventory is malformed. Busy: the volume is in use. Io. Repeating the call completes the deletion.
pub async fn remove(pool: &Rc<Pool>, catalog: &Catalog, entry: &VolumeEntry) -> Result<()> {
    let ledger = Ledger::open(pool, entry).await?;
    let emptied = empty(pool, &ledger).await;
    let closed = ledger.close().await;
    emptied.and(closed)?;
    for id in entry.logs {
        delete_object(pool, id).await?;
    }
    catalog.remove(entry.uuid).await
}

async fn empty(pool: &Rc<Pool>, ledger: &Ledger) -> Result<()> {
    if !ledger.contents().deleted {
        ledger.append(vec![InventoryRecord::Deleted]).await?;
    }
    let mut objects = ledger.contents().objects();
    objects.retain(|id| pool.find(*id, Search::Committed).is_ok());
    pool.delete_together(&objects).await
}

/// Removes all volumes of a pool whose creation or deletion was interrupted. `in_use` names the open volumes, which are
/// skipped. Returns the names of the removed volumes.
///
/// # Errors
/// As for [`remove`], of the first volume that could not be read or removed.
pub async fn remove_unfinished(
    pool: &Rc<Pool>,
    catalog: &Catalog,
    in_use: impl Fn(&VolumeEntry) -> bool,
) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in catalog.entries() {
        if in_use(&entry) {
            continue;
        }
        let ledger = Ledger::open(pool, &entry).await?;
        let whole = ledger.contents().is_whole();
        ledger.close().await?;
        if !whole {
            remove(pool, catalog, &entry).await?;
            removed.push(entry.name);
        }
    }
    Ok(removed)
}
