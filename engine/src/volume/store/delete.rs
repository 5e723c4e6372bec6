// SPDX-License-Identifier: BSD-3-Clause

//! Deletion of a volume, whole or not.
//!
//! First it is recorded that the volume is being deleted; then its objects go, then the logs of its MDC, then its entry
//! in the catalog. When this is cut short, doing it again does the rest.

use std::rc::Rc;

use mpool::error::Result;
use mpool::Pool;

use super::addition::delete_object;
use super::ledger::Ledger;
use super::VolumeStore;
use crate::volume::catalog::{Catalog, VolumeEntry};
use crate::volume::inventory::InventoryRecord;

impl VolumeStore {
    /// Deletes the volume with all that it has. The store is closed by it.
    ///
    /// # Errors
    /// Io; [`remove`] does the rest. Busy: an object of it is in use.
    pub async fn delete(&self, catalog: &Catalog) -> Result<()> {
        self.close().await?;
        remove(&self.pool, catalog, &self.entry).await
    }
}

/// Deletes a volume that is not open, or what there is of it.
///
/// # Errors
/// Invalid: its inventory makes no sense. Busy: it is in use. Io. Doing it again does the rest.
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
    let objects = ledger.contents().objects();
    for id in objects {
        delete_object(pool, id).await?;
    }
    Ok(())
}

/// Removes all volumes of a pool whose creation or deletion was cut short. `in_use` says which are open and so not to be
/// looked at. Returns the names of those that were removed.
///
/// # Errors
/// As for [`remove`], of the first volume that could not be looked at or removed.
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
