// SPDX-License-Identifier: BSD-3-Clause

//! The pages of all maps of a pool: lookup, reads, pins and eviction.
//!
//! Invariants: the counters of resident pages agree with the entries; an mblock is in the order of expiry while it has
//! resident pages, unless its map is pinned; no borrow is held while pins or buffers are dropped, because that may
//! evict.

use core::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::{select, Either};

use super::frames::{Buffer, BufferPool};
use super::map::{Entry, Map, Page, Temperature};
use super::pressure::{time_to_live, Pressure};
use super::readahead::ReadaheadQueue;
use super::reaper::ReaperLists;
use super::source::MblockSource;
use crate::error::{Kind, PoolError, Result};
use crate::host::Host;
use crate::tasks::TaskGroup;
use crate::tunables::ReaperTunables;
use crate::units::Nanos;

/// The least time between two updates of an mblock's access time.
const ACCESS_GRANULARITY: Nanos = Nanos(10_000_000);

/// How long a read waits for memory when all pages are pinned.
pub const MEMORY_WAIT: Nanos = Nanos(1_000_000_000);

/// Gauges and counters of a pool's page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStatistics {
    /// Pages that the budget allows, without the bounce buffers of readahead.
    pub page_limit: usize,
    /// Pages in memory or being read, out of `page_limit`.
    pub pages_in_use: usize,
    /// Resident pages of cold, warm, hot and pinned maps.
    pub resident_pages: [usize; 4],
    /// Lookups that found the page resident.
    pub hits: u64,
    /// Lookups that did not, including those of pages that were being read.
    pub misses: u64,
    /// Pages evicted under pressure.
    pub evicted_pages: u64,
    /// Pages that readahead has started to read.
    pub readahead_pages: u64,
    /// Batches of readahead that were dropped for lack of room.
    pub readahead_dropped: u64,
    /// Urgency of the reaper, 0 to 10000.
    pub urgency: u64,
}

/// The shared state of all maps of a pool.
#[derive(Debug)]
pub struct PageCache {
    pub host: Rc<dyn Host>,
    pub source: Rc<dyn MblockSource>,
    /// The reads in flight.
    pub tasks: TaskGroup,
    pub reaper_tasks: TaskGroup,
    pub frames: Rc<BufferPool>,
    /// All maps, by region.
    pub maps: RefCell<BTreeMap<u64, Rc<Map>>>,
    /// Every region from 1 to below this has a map.
    pub lowest_free_region: Cell<u64>,
    pub lists: ReaperLists,
    pub readahead: ReadaheadQueue,
    /// The most pages of a readahead request.
    pub readahead_pages: Cell<u32>,
    pub reaper: Cell<ReaperTunables>,
    pub pressure: Cell<Pressure>,
    /// Dropped when a map is destroyed.
    pub awaiting_removal: RefCell<Vec<oneshot::Sender<()>>>,
    /// Mblocks with resident pages: time of expiry, region, index.
    pub expiring: RefCell<BTreeSet<(Nanos, u64, usize)>>,
    /// Resident pages by temperature.
    pub resident_pages: [Cell<usize>; 4],
    pub counters: Cell<CacheStatistics>,
}

/// A reference to a map; dropping the last one destroys the map.
#[derive(Debug)]
pub struct MapRef {
    pub cache: Rc<PageCache>,
    pub map: Rc<Map>,
}

/// A page that is not evicted until this is dropped.
#[derive(Debug)]
pub struct PinnedPage {
    page: Rc<Page>,
    hold: MapRef,
}

/// The result of a page lookup.
#[derive(Debug)]
pub enum Wanted {
    /// The page is resident.
    Here(PinnedPage),
    /// The page is being read.
    Coming(oneshot::Receiver<Result<PinnedPage>>),
}

impl MapRef {
    /// Adds a reference.
    pub fn new(cache: &Rc<PageCache>, map: &Rc<Map>) -> MapRef {
        map.references.set(map.references.get() + 1);
        MapRef { cache: Rc::clone(cache), map: Rc::clone(map) }
    }
}

impl Drop for MapRef {
    fn drop(&mut self) {
        self.cache.put(&self.map);
    }
}

impl PinnedPage {
    fn new(cache: &Rc<PageCache>, map: &Rc<Map>, page: &Rc<Page>) -> PinnedPage {
        page.pins.set(page.pins.get() + 1);
        PinnedPage { page: Rc::clone(page), hold: MapRef::new(cache, map) }
    }

    pub fn bytes(&self) -> &[u8] {
        self.page.buffer.bytes()
    }
}

impl Drop for PinnedPage {
    fn drop(&mut self) {
        self.page.pins.set(self.page.pins.get() - 1);
        if self.page.pins.get() == 0 {
            self.hold.cache.serve_waiting();
        }
    }
}

impl PageCache {
    /// Updates the counters.
    pub fn count(&self, change: impl FnOnce(&mut CacheStatistics)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }

    /// Current gauges and counters.
    pub fn statistics(&self) -> CacheStatistics {
        CacheStatistics {
            page_limit: self.frames.limit(),
            pages_in_use: self.frames.in_use(),
            resident_pages: self.resident_pages.each_ref().map(Cell::get),
            urgency: self.pressure.get().urgency,
            ..self.counters.get()
        }
    }

    /// The lowest region without a map.
    pub fn free_region(&self) -> u64 {
        let maps = self.maps.borrow();
        let mut region = self.lowest_free_region.get();
        while maps.contains_key(&region) {
            region += 1;
        }
        self.lowest_free_region.set(region);
        region
    }

    /// Records an access to an mblock, at most every 10 ms.
    pub fn touch(&self, map: &Map, mblock: usize) {
        let (now, accessed) = (self.host.now(), &map.mblocks[mblock].accessed);
        if now.0.saturating_sub(accessed.get().0) < ACCESS_GRANULARITY.0 {
            return;
        }
        accessed.set(now);
        if self.withdraw_from_expiry(map, mblock) {
            self.enter_into_expiry(map, mblock);
        }
    }

    /// Finds a page: resident, or with a read in flight.
    pub fn find(self: &Rc<Self>, map: &Rc<Map>, mblock: usize, page: u32) -> Option<Wanted> {
        let mut pages = map.mblocks[mblock].pages.borrow_mut();
        match pages.get_mut(&page)? {
            Entry::Resident(resident) => Some(Wanted::Here(PinnedPage::new(self, map, resident))),
            Entry::Reading(waiting) => {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                Some(Wanted::Coming(receiver))
            }
        }
    }

    /// Whether a page is resident or being read.
    pub fn is_known(&self, map: &Map, mblock: usize, page: u32) -> bool {
        map.mblocks[mblock].pages.borrow().contains_key(&page)
    }

    /// Allocates memory for a page. Evicts if there is none, waits if nothing can be evicted.
    ///
    /// # Errors
    /// NoMemory: nothing could be evicted for [`MEMORY_WAIT`].
    pub async fn frame(self: &Rc<Self>) -> Result<Buffer> {
        if let Some(frame) = self.frame_now() {
            return Ok(frame);
        }
        match select(self.frames.wait(), self.host.sleep(MEMORY_WAIT)).await {
            Either::Left((Ok(frame), _)) => Ok(frame),
            _ => Err(PoolError::new(Kind::NoMemory, "page cache", "all of its pages are pinned or being read")),
        }
    }

    /// Memory for a page, if it is available without waiting.
    pub fn frame_now(&self) -> Option<Buffer> {
        self.frames.take().or_else(|| {
            // Evict some more at once, so that not every miss has to search.
            self.reclaim((self.frames.limit() / 64).max(self.frames.waiting() + 1));
            self.frames.take()
        })
    }

    /// Evicts pages for the tasks that wait for memory.
    pub fn serve_waiting(&self) {
        let waiting = self.frames.waiting();
        if waiting > 0 {
            self.reclaim(waiting);
        }
    }

    /// Evicts pages in order of expiry, until `wanted` are gone or no more can be evicted.
    fn reclaim(&self, wanted: usize) {
        let (mut evicted, mut after) = (0, (Nanos(0), 0, 0));
        while evicted < wanted {
            let next = self.expiring.borrow().range(after..).next().copied();
            let Some((expires, region, mblock)) = next else { break };
            after = (expires, region, mblock + 1);
            let map = self.maps.borrow().get(&region).cloned();
            evicted += map.map_or(0, |map| self.evict(&map, mblock, wanted - evicted));
        }
        self.count(|counters| counters.evicted_pages += evicted as u64);
    }

    /// Evicts at most `limit` unpinned pages of an mblock. Returns how many.
    pub fn evict(&self, map: &Map, mblock: usize, limit: usize) -> usize {
        let mut victims = Vec::new();
        let mut still_resident = false;
        map.mblocks[mblock].pages.borrow_mut().retain(|_, entry| match entry {
            Entry::Resident(page) if page.pins.get() == 0 && victims.len() < limit => {
                victims.push(Rc::clone(page));
                false
            }
            Entry::Resident(_) => {
                still_resident = true;
                true
            }
            Entry::Reading(_) => true,
        });
        self.count_resident(map, |pages| pages - victims.len());
        if !still_resident {
            self.withdraw_from_expiry(map, mblock);
        }
        victims.len()
    }

    /// Makes a page resident and hands it to the waiting tasks.
    pub fn publish(self: &Rc<Self>, map: &Rc<Map>, mblock: usize, number: u32, buffer: Buffer) {
        let page = Rc::new(Page { buffer, pins: Cell::new(0) });
        let before = map.mblocks[mblock].pages.borrow_mut().insert(number, Entry::Resident(Rc::clone(&page)));
        self.count_resident(map, |pages| pages + 1);
        if map.mblocks[mblock].expires.get().is_none() {
            self.enter_into_expiry(map, mblock);
        }
        if let Some(Entry::Reading(waiting)) = before {
            for sender in waiting {
                // A cancelled waiter drops its pin.
                let _ = sender.send(Ok(PinnedPage::new(self, map, &page)));
            }
        }
    }

    /// Delays a miss when memory is scarce.
    pub async fn delay_miss(&self) {
        if let Some((least_us, most_us)) = self.pressure.get().delay_us() {
            self.host.sleep(self.random_time(least_us, most_us)).await;
        }
    }

    /// A random time between the bounds, in us.
    pub fn random_time(&self, least_us: u64, most_us: u64) -> Nanos {
        let mut bytes = [0; 8];
        self.host.random(&mut bytes);
        let span = (most_us - least_us + 1) * 1000;
        Nanos((least_us * 1000 + u64::from_le_bytes(bytes) % span).min(most_us * 1000))
    }

    /// Resident pages that can be evicted at some time: all but those of pinned maps.
    pub fn tracked_pages(&self) -> usize {
        [Temperature::Cold, Temperature::Warm, Temperature::Hot]
            .iter()
            .map(|temperature| self.resident_pages[*temperature as usize].get())
            .sum()
    }

    /// Drops one reference; the last one destroys the map.
    pub fn put(&self, map: &Rc<Map>) {
        map.references.set(map.references.get() - 1);
        if map.references.get() == 0 {
            self.remove(map);
        }
    }

    fn remove(&self, map: &Rc<Map>) {
        let region = map.layout.region();
        self.maps.borrow_mut().remove(&region);
        self.lowest_free_region.set(self.lowest_free_region.get().min(region));
        self.lists.remove(map);
        for (index, mblock) in map.mblocks.iter().enumerate() {
            self.evict(map, index, usize::MAX);
            assert!(mblock.pages.borrow().is_empty(), "pinned pages and reads under way refer to their map");
            self.source.release(mblock.id);
        }
        map.awaiting_end.take();
        self.awaiting_removal.take();
    }

    fn count_resident(&self, map: &Map, change: impl Fn(usize) -> usize) {
        map.resident_pages.set(change(map.resident_pages.get()));
        let total = &self.resident_pages[map.temperature as usize];
        total.set(change(total.get()));
    }

    fn enter_into_expiry(&self, map: &Map, mblock: usize) {
        let Some(ttl) = time_to_live(self.reaper.get().ttl_us(), map.temperature) else { return };
        let (region, entry) = (map.layout.region(), &map.mblocks[mblock]);
        let expires = Nanos(entry.accessed.get().0.saturating_add(ttl.0));
        entry.expires.set(Some(expires));
        self.expiring.borrow_mut().insert((expires, region, mblock));
    }

    fn withdraw_from_expiry(&self, map: &Map, mblock: usize) -> bool {
        let Some(expires) = map.mblocks[mblock].expires.take() else { return false };
        self.expiring.borrow_mut().remove(&(expires, map.layout.region(), mblock))
    }
}
