// SPDX-License-Identifier: BSD-3-Clause

//! The cache maps of a pool: creation, lookup and destruction.

use core::cell::Cell;
use std::rc::Rc;

use futures::channel::oneshot;

use super::address::Layout;
use super::attachment::Attachment;
use super::frames::BufferPool;
use super::map::{Map, Temperature};
use super::page_cache::{CacheStatistics, PageCache};
use super::pressure::Pressure;
use super::readahead::{passage_pages, ReadaheadQueue};
use super::reaper::{self, ReaperLists};
use super::source::MblockSource;
use crate::error::{Kind, PoolError, Result};
use crate::host::Host;
use crate::ids::{ObjectId, PAGE_BYTES};
use crate::tasks::TaskGroup;
use crate::tunables::{ReaperTunables, Tunables, READAHEAD_PAGES_MAX};

/// The smallest budget, in pages.
const BUDGET_PAGES_MIN: u64 = 16;

/// The cache maps of one pool, and the page cache that they share.
#[derive(Debug)]
pub struct MapTable {
    cache: Rc<PageCache>,
    map_log2: u32,
    maps_max: Cell<usize>,
    closing: Cell<bool>,
}

/// The place of a map in the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapInfo {
    /// The map's first byte in the pool's linear address space. Mblock i is at `offset + i * bucket_bytes`.
    pub offset: u64,
    /// Bytes from the start of one mblock to that of the next.
    pub bucket_bytes: u64,
    /// Bytes of the whole region.
    pub bytes: u64,
}

/// The numbers of a map's pages (VRSS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Residency {
    /// Pages of all buckets.
    pub virtual_pages: u64,
    /// Pages in memory.
    pub resident_pages: u64,
}

impl MapTable {
    /// A table without maps, over the mblocks of `source`, with a budget of `budget_bytes` for pages. Starts the ticks
    /// of its reaper.
    ///
    /// # Errors
    /// Invalid: the budget is less than 16 pages.
    pub fn new(
        host: &Rc<dyn Host>,
        source: &Rc<dyn MblockSource>,
        budget_bytes: u64,
        tunables: &Tunables,
    ) -> Result<MapTable> {
        let budget_pages = budget_bytes / PAGE_BYTES as u64;
        let budget_pages = usize::try_from(budget_pages).ok().filter(|_| budget_pages >= BUDGET_PAGES_MIN);
        let budget_pages = budget_pages.ok_or_else(|| {
            PoolError::invalid("page cache", format!("{budget_bytes} bytes are not {BUDGET_PAGES_MIN} pages or more"))
        })?;
        let page_limit = budget_pages - passage_pages(budget_pages);
        let cache = Rc::new(PageCache {
            host: Rc::clone(host),
            source: Rc::clone(source),
            tasks: TaskGroup::new(Rc::clone(host)),
            reaper_tasks: TaskGroup::new(Rc::clone(host)),
            frames: BufferPool::new(Rc::clone(source), PAGE_BYTES, page_limit),
            maps: Default::default(),
            lowest_free_region: Cell::new(1),
            lists: ReaperLists::default(),
            readahead: ReadaheadQueue::new(Rc::clone(source), budget_pages),
            readahead_pages: Cell::new(tunables.readahead_pages()),
            reaper: Cell::new(tunables.reaper),
            pressure: Cell::new(Pressure::none(tunables.reaper.ttl_us())),
            awaiting_removal: Default::default(),
            expiring: Default::default(),
            resident_pages: Default::default(),
            counters: Default::default(),
        });
        reaper::start(&cache);
        let (map_log2, maps_max) = (tunables.map_log2(), tunables.maps_max() as usize);
        Ok(MapTable { cache, map_log2, maps_max: Cell::new(maps_max), closing: Cell::new(false) })
    }

    /// Creates a map over committed mblocks, in this order, and holds them. The map exists until its last attachment is
    /// dropped or, without one, until [`MapTable::destroy`].
    ///
    /// # Errors
    /// Invalid: no mblocks. NotFound: one does not exist or is not committed. TooBig: they do not fit a map. NoSpace:
    /// there are as many maps as allowed. Busy: the pool is being closed.
    pub fn create(&self, ids: &[ObjectId], temperature: Temperature) -> Result<MapInfo> {
        self.refuse_when_closing()?;
        let most = self.maps_max.get();
        if self.cache.maps.borrow().len() >= most {
            return Err(PoolError::new(Kind::NoSpace, "cache map", format!("there are {most} already")));
        }
        let held = self.hold_all(ids)?;
        let region = self.cache.free_region();
        let lengths: Vec<u64> = held.iter().map(|mblock| mblock.1).collect();
        let layout = match Layout::new(self.map_log2, region, &lengths) {
            Ok(layout) => layout,
            Err(error) => {
                self.release_all(&held);
                return Err(error);
            }
        };
        let map = Map::new(layout, temperature, &held, self.cache.host.now());
        self.cache.maps.borrow_mut().insert(region, map);
        Ok(MapInfo { offset: layout.offset(), bucket_bytes: layout.bucket_bytes(), bytes: layout.bytes() })
    }

    /// Removes a map that has never had an attachment. Does nothing to any other.
    pub fn destroy(&self, offset: u64) {
        if let Ok(map) = self.find(offset) {
            if !map.attached_before.replace(true) {
                self.cache.put(&map);
            }
        }
    }

    /// Attaches to `bytes` of a map from `offset` on.
    ///
    /// # Errors
    /// NotFound: there is no map, or its last attachment is gone. Invalid: no bytes, not whole pages, or across the end
    /// of the map. Busy: the pool is being closed.
    pub fn attach(&self, offset: u64, bytes: u64) -> Result<Attachment> {
        self.refuse_when_closing()?;
        let map = self.find(offset)?;
        if map.is_dying() {
            return Err(no_map(offset));
        }
        let end = offset.checked_add(bytes).filter(|end| *end <= map.layout.offset() + map.layout.bytes());
        let page = PAGE_BYTES as u64;
        let Some(end) = end.filter(|_| bytes > 0 && offset.is_multiple_of(page) && bytes.is_multiple_of(page)) else {
            let reason = format!("{bytes} bytes from {offset:#x} on are not whole pages within it");
            return Err(PoolError::invalid(map.subject(), reason));
        };
        let attachment = Attachment::new(&self.cache, &map, offset..end);
        if !map.attached_before.replace(true) {
            self.cache.lists.add(&map, self.cache.host.now());
            // Drop the creation's reference. The attachment has its own.
            self.cache.put(&map);
        }
        Ok(attachment)
    }

    /// Evicts the pages of a map, except those pinned or being read.
    ///
    /// # Errors
    /// NotFound.
    pub fn purge(&self, offset: u64) -> Result<()> {
        let map = self.find(offset)?;
        for mblock in 0..map.mblocks.len() {
            self.cache.evict(&map, mblock, usize::MAX);
        }
        Ok(())
    }

    /// Counts the pages of a map.
    ///
    /// # Errors
    /// NotFound.
    pub fn residency(&self, offset: u64) -> Result<Residency> {
        let map = self.find(offset)?;
        let resident_pages = map.resident_pages.get() as u64;
        Ok(Residency { virtual_pages: map.layout.virtual_pages(), resident_pages })
    }

    /// Changes the reaper's tunables, from the next tick on.
    pub fn set_reaper(&self, tunables: ReaperTunables) {
        self.cache.reaper.set(tunables);
    }

    /// Changes the most maps that there can be. Existing maps stay.
    pub fn set_most(&self, maps: u32) {
        self.maps_max.set(maps as usize);
    }

    /// Changes the most pages of a readahead request; at most 32, 0 disables readahead.
    pub fn set_readahead_pages(&self, pages: u32) {
        self.cache.readahead_pages.set(pages.min(READAHEAD_PAGES_MAX));
    }

    /// Current gauges and counters of the cache.
    #[must_use]
    pub fn statistics(&self) -> CacheStatistics {
        self.cache.statistics()
    }

    /// Removes the maps without an attachment.
    pub fn destroy_unattached(&self) {
        let offsets: Vec<u64> = self.cache.maps.borrow().values().map(|map| map.layout.offset()).collect();
        for offset in offsets {
            self.destroy(offset);
        }
    }

    /// The number of maps.
    #[must_use]
    pub fn count(&self) -> usize {
        self.cache.maps.borrow().len()
    }

    /// Closes the table: refuses new maps and attachments, removes the maps that never had an attachment, waits for the
    /// end of the others, and stops the reaper.
    pub async fn close(&self) {
        self.closing.set(true);
        self.destroy_unattached();
        while self.count() > 0 {
            let (sender, receiver) = oneshot::channel();
            self.cache.awaiting_removal.borrow_mut().push(sender);
            // The sender is dropped when a map is removed, so this ends with an error.
            let _ = receiver.await;
        }
        self.cache.reaper_tasks.stop();
        self.cache.reaper_tasks.drain().await;
        self.cache.tasks.drain().await;
    }

    #[cfg(test)]
    pub(super) fn cache(&self) -> &Rc<PageCache> {
        &self.cache
    }

    fn find(&self, offset: u64) -> Result<Rc<Map>> {
        self.cache.maps.borrow().get(&(offset >> self.map_log2)).cloned().ok_or_else(|| no_map(offset))
    }

    fn refuse_when_closing(&self) -> Result<()> {
        if self.closing.get() {
            return Err(PoolError::new(Kind::Busy, "cache map", "the pool is being closed"));
        }
        Ok(())
    }

    fn hold_all(&self, ids: &[ObjectId]) -> Result<Vec<(ObjectId, u64)>> {
        let mut held = Vec::with_capacity(ids.len());
        for id in ids {
            match self.cache.source.hold(*id) {
                Ok(written_bytes) => held.push((*id, written_bytes)),
                Err(error) => {
                    self.release_all(&held);
                    return Err(error);
                }
            }
        }
        Ok(held)
    }

    fn release_all(&self, held: &[(ObjectId, u64)]) {
        for (id, _) in held {
            self.cache.source.release(*id);
        }
    }
}

impl Drop for MapTable {
    fn drop(&mut self) {
        // A worker under pressure would keep the cache, and itself, alive for ever.
        self.cache.reaper_tasks.stop();
    }
}

fn no_map(offset: u64) -> PoolError {
    PoolError::new(Kind::NotFound, format!("cache map at {offset:#x}"), "there is none")
}
