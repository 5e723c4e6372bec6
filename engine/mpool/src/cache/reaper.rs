// SPDX-License-Identifier: BSD-3-Clause

//! The reaper: evicts mblocks that were not used for long before memory runs out.
//!
//! A tick computes the pressure from the free share of the budget. While there is pressure, a worker for each of three
//! lists of maps looks for expired mblocks and evicts all of their pages. Pinned maps are on no list, all others on
//! exactly one.

use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::map::{Map, Temperature};
use super::page_cache::PageCache;
use super::pressure::{free_share, time_to_live};
use crate::host::Level;
use crate::units::Nanos;

/// The number of lists, and so of workers.
const LISTS: usize = 3;

/// Time between ticks; the longer one when the tunables leave the reaper no work.
const TICK: Nanos = Nanos(333_000_000);
const IDLE_TICK: Nanos = Nanos(1_000_000_000);

/// The most maps that a worker reaps in a turn, and the most that it looks at.
const TURN_MAPS: usize = 5;
const TURN_LOOKS: usize = 64;

/// Maps with fewer resident pages are left alone.
const MAP_PAGES_MIN: usize = 32;

/// The bounds of the pause after a turn, in us.
const PAUSE_US: (u64, u64) = (300, 700);

/// A worker also pauses within a turn, after this many pages.
const PAUSE_PAGES: usize = 1024;

/// The maps that can be reaped.
#[derive(Debug, Default)]
pub struct ReaperLists {
    lists: [List; LISTS],
}

/// Maps in the order in which the worker looks at them.
#[derive(Debug, Default)]
struct List {
    maps: RefCell<BTreeMap<u64, Rc<Map>>>,
    next_key: Cell<u64>,
    working: Cell<bool>,
}

impl ReaperLists {
    /// Puts a map on a list that depends on the time, unless it is pinned.
    pub fn add(&self, map: &Rc<Map>, now: Nanos) {
        assert!(map.listed.get().is_none(), "a map is on one list, once");
        if map.temperature != Temperature::Pinned {
            // The multiplier spreads times that are close together.
            let list = (now.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % LISTS;
            self.append(list, map);
        }
    }

    /// Removes a map from its list.
    pub fn remove(&self, map: &Map) {
        if let Some((list, key)) = map.listed.take() {
            self.lists[list].maps.borrow_mut().remove(&key);
        }
    }

    /// Maps on each list.
    #[cfg(test)]
    pub fn lengths(&self) -> [usize; LISTS] {
        self.lists.each_ref().map(|list| list.maps.borrow().len())
    }

    fn append(&self, list: usize, map: &Rc<Map>) {
        let key = self.lists[list].next_key.get();
        self.lists[list].next_key.set(key + 1);
        self.lists[list].maps.borrow_mut().insert(key, Rc::clone(map));
        map.listed.set(Some((list, key)));
    }

    /// The next maps of a list that are worth reaping. Moves all maps that were looked at to the tail.
    fn turn(&self, list: usize) -> Vec<Rc<Map>> {
        let mut chosen = Vec::new();
        let looks = self.lists[list].maps.borrow().len().min(TURN_LOOKS);
        for _ in 0..looks {
            let Some((_, map)) = self.lists[list].maps.borrow_mut().pop_first() else { break };
            self.append(list, &map);
            if !map.is_dying() && map.resident_pages.get() >= MAP_PAGES_MIN {
                chosen.push(map);
                if chosen.len() == TURN_MAPS {
                    break;
                }
            }
        }
        chosen
    }
}

/// Starts the ticks. They end with the cache, or when its reaper is told to stop.
pub fn start(cache: &Rc<PageCache>) {
    let (weak, tasks) = (Rc::downgrade(cache), cache.reaper_tasks.clone());
    cache.reaper_tasks.spawn(async move {
        while let Some(period) = weak.upgrade().map(|cache| cache.tick_period()) {
            if tasks.sleep_or_stop(period).await {
                return;
            }
            if let Some(cache) = weak.upgrade() {
                cache.tick();
            }
        }
    });
}

impl PageCache {
    fn tick_period(&self) -> Nanos {
        if self.reaper.get().mempct() < 100 {
            TICK
        } else {
            IDLE_TICK
        }
    }

    /// Computes the pressure, and starts workers if there is any.
    pub fn tick(self: &Rc<Self>) {
        let (before, tunables) = (self.pressure.get(), self.reaper.get());
        let free = self.frames.limit() - self.frames.in_use();
        let share = free_share(self.tracked_pages() as u64, free as u64);
        let pressure = before.next(share, tunables.mempct(), tunables.ttl_us());
        self.pressure.set(pressure);
        let changed = before.is_active() != pressure.is_active();
        if (changed && tunables.debug() >= 1) || (pressure.is_active() && tunables.debug() >= 2) {
            let (urgency, ttl_us) = (pressure.urgency, pressure.ttl_us);
            let line = format!("reaper: {share} of 10000 free, urgency {urgency}, time to live {ttl_us} us");
            self.host.log(Level::Debug, &line);
        }
        if pressure.is_active() {
            for list in 0..LISTS {
                self.start_worker(list);
            }
        }
    }

    fn start_worker(self: &Rc<Self>, list: usize) {
        if self.lists.lists[list].working.replace(true) {
            return;
        }
        let cache = Rc::clone(self);
        self.reaper_tasks.spawn(async move {
            while cache.pressure.get().is_active() && !cache.reaper_tasks.is_stopping() {
                for map in cache.lists.turn(list) {
                    cache.reap(&map).await;
                }
                cache.pause().await;
            }
            cache.lists.lists[list].working.set(false);
        });
    }

    async fn pause(&self) {
        self.reaper_tasks.sleep_or_stop(self.random_time(PAUSE_US.0, PAUSE_US.1)).await;
    }

    /// Evicts the expired mblocks of a map, as long as enough of its pages are resident.
    async fn reap(&self, map: &Map) {
        let mut since_pause = 0;
        for (index, mblock) in map.mblocks.iter().enumerate() {
            let pressure = self.pressure.get();
            if map.resident_pages.get() < MAP_PAGES_MIN || !pressure.is_active() {
                return;
            }
            let Some(ttl) = time_to_live(pressure.ttl_us, map.temperature) else { return };
            if mblock.accessed.get().0.saturating_add(ttl.0) > self.host.now().0 {
                continue;
            }
            let evicted = self.evict(map, index, usize::MAX);
            self.count(|counters| counters.evicted_pages += evicted as u64);
            if evicted > 0 && self.reaper.get().debug() >= 3 {
                let line = format!("reaper: {}: {evicted} pages of {} evicted", map.subject(), mblock.id);
                self.host.log(Level::Debug, &line);
            }
            since_pause += evicted;
            if since_pause >= PAUSE_PAGES {
                since_pause = 0;
                self.pause().await;
            }
        }
    }
}
