// SPDX-License-Identifier: BSD-3-Clause

//! The pool's mblocks as the source of cache maps, and the pool's single table of maps.
//!
//! Invariant: a mapped mblock is held, so it is committed and stays so. Reads for the cache bypass the mblock's lock: a
//! committed mblock never changes, and a hold prevents its deletion.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::{Rc, Weak};

use async_trait::async_trait;

use super::cache::{MapTable, MblockSource};
use super::device::IoBuf;
use super::error::{Kind, PoolError, Result};
use super::ids::{ObjectId, ObjectType};
use super::metadata::{Hold, Search};
use super::Pool;

/// The mblocks of a pool, with a hold for each use by a map.
#[derive(Debug)]
struct PoolMblocks {
    pool: Weak<Pool>,
    held: RefCell<BTreeMap<ObjectId, Vec<Hold>>>,
}

impl PoolMblocks {
    fn pool(&self) -> Result<Rc<Pool>> {
        self.pool.upgrade().ok_or_else(|| PoolError::new(Kind::NotFound, "pool", "it was deactivated"))
    }

    fn held(&self, id: ObjectId) -> Option<Hold> {
        self.held.borrow().get(&id)?.first().map(|hold| hold.hold())
    }
}

#[async_trait(?Send)]
impl MblockSource for PoolMblocks {
    fn hold(&self, id: ObjectId) -> Result<u64> {
        let object = self.pool()?.find_kind(id, ObjectType::Mblock, Search::Committed)?;
        let Some(hold) = object.hold_unless_leaving() else {
            return Err(PoolError::new(Kind::NotFound, id.to_string(), "it is being deleted"));
        };
        self.held.borrow_mut().entry(id).or_default().push(hold);
        Ok(object.written_bytes())
    }

    fn release(&self, id: ObjectId) {
        let mut held = self.held.borrow_mut();
        if let Some(holds) = held.get_mut(&id) {
            holds.pop();
            if holds.is_empty() {
                held.remove(&id);
            }
        }
    }

    async fn read(&self, id: ObjectId, offset: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        let Some(object) = self.held(id) else {
            return (buf, Err(PoolError::invalid(id.to_string(), "it is read for a map, but not mapped")));
        };
        object.drive().read(object.extent(), offset, buf, range).await
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf> {
        self.pool()?.metadata_drive()?.allocate(bytes)
    }
}

impl Pool {
    /// The table of cache maps, created on first use.
    ///
    /// # Errors
    /// Invalid: the budget for pages is too small.
    pub fn maps(&self) -> Result<Rc<MapTable>> {
        if let Some(maps) = self.maps.get() {
            return Ok(Rc::clone(maps));
        }
        let source: Rc<dyn MblockSource> = Rc::new(PoolMblocks { pool: self.weak(), held: RefCell::default() });
        let tunables = self.tunables.borrow();
        let mut limits = tunables.clone();
        let config = self.config();
        limits.set_readahead_pages(config.readahead_pages);
        limits.set_map_log2(config.map_bytes_shift);
        let budget = u64::from(tunables.cache_mib()) << 20;
        let maps = Rc::new(MapTable::new(&self.host, &source, budget, &limits)?);
        Ok(Rc::clone(self.maps.get_or_init(|| maps)))
    }

    /// Removes the maps that were never attached to: their creator is gone.
    pub(super) fn forget_unused_maps(&self) {
        if let Some(maps) = self.maps.get() {
            maps.destroy_unattached();
        }
    }

    /// Closes the table of maps. No map has an attachment any more.
    pub(super) async fn close_maps(&self) {
        if let Some(maps) = self.maps.get() {
            maps.close().await;
        }
    }
}
