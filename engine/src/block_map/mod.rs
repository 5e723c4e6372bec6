// SPDX-License-Identifier: BSD-3-Clause

//! The block map of one shard: a cache of pages, the trees that lead to them, pages created on first use, and
//! write-back.
//!
//! A synchronous state machine. Its user asks for the page of a block with [`BlockMap::fetch`] and gets the page
//! pinned, at once or by an event; it reads and changes entries, and unpins the page. [`BlockMap::advance`] starts
//! transfers, [`BlockMap::io_done`] takes their results, [`BlockMap::pop_event`] returns events for the user.
//!
//! ```text
//!  fetch -- cached --------------------------------------------------------------> Page, pinned
//!    | not cached
//!    v      nearest cached ancestor, or the root from its fixed place
//!  walk down: entry mapped ----> load the page, go on -----------------------------> Ready, pinned
//!             unmapped, read --> NoPage
//!             unmapped, write -> Allocate, Append, committed: empty page, go on ----> Ready, pinned
//!  a page that is a hole -- begin_release, committed ------------------------------> gone, its block is free
//! ```
//!
//! Invariants:
//! * A page contains only what the recovery journal has made durable: changes and new pages come with the number of
//!   their committed entry. So a page can be written at any time.
//! * A page needs the journal from the first entry that is in no durable image of the page; [`BlockMap::oldest_need`]
//!   is the smallest of these. A new page and its parent need the entry of its allocation.
//! * A dirty, outgoing or pinned page stays in the cache, unless it is a hole that is released.
//! * Each page of the trees has at most one load or allocation in flight; all requests that need the page wait for it.
//! * Nothing is allocated after construction, except by [`BlockMap::set_capacity`] and [`BlockMap::read_only`].
//!
//! Why there is no deadlock in the smallest cache ([`BlockMap::minimum_pages`]): a user holds one pinned page or waits.
//! A waiting user waits for one incoming page, or for an allocation, which holds its page and the parent; the number of
//! allocations is limited. All other frames hold pages that can be evicted at once or after a write, which waits only
//! for the device. When the volume becomes read-only, nothing is written any more, and the cache grows by as many
//! frames as its users can need, so that reads go on.
//!
//! Differs from dm-vdo: pages above the leaves are in the same cache as leaves instead of in memory of their own, so a
//! cache of any size can serve a volume of any size; a page that has become a hole is released and its block freed; a
//! new page is written once, not twice, since each of its sectors has a check code and the journal keeps its entries
//! until then; there are no generations of tree pages, since the write of a page never waits for the journal, and one
//! flush after a batch ends the need of all its pages.

mod allocation;
mod buffers;
mod dirty_list;
mod frame;
mod frames;
mod interface;
mod load;
mod page_memory;
mod release;
mod requests;
mod statistics;
#[cfg(test)]
mod tests;
mod walk;
mod write_back;

use std::collections::VecDeque;

use crate::arena::Arena;
use crate::env::{Env, ReadOnlyReason};
use crate::error::RequestError;
use crate::format::{Geometry, Mapping, PageId};
use crate::io::MetadataIo;
use crate::units::Lbn;
use allocation::Allocation;
use buffers::Buffers;
use frames::Frames;
use release::Release;
use requests::{Request, Starved};
use write_back::{Batch, MAX_BATCHES};

pub use interface::{EraInput, Fetch, Frame, MapConfig, MapEvent, Purpose};
pub use release::Leaving;
pub use statistics::MapStatistics;

/// Maximum number of page allocations in progress.
pub const MAX_ALLOCATIONS: usize = 32;

/// Maximum number of page releases in progress.
const MAX_RELEASES: usize = 32;

/// Frames beyond those that users can hold: for the pages on the way down a tree, and some for the choice of a victim.
const SPARE_PAGES: usize = 16;

/// The page cache, the trees and the transfers of one shard's block map.
#[derive(Debug)]
pub struct BlockMap<Buf> {
    geometry: Geometry,
    nonce: u64,
    users: usize,
    frames: Frames,
    requests: Arena<Request>,
    starved: Starved,
    /// Frames whose load is not started.
    to_load: VecDeque<u32>,
    allocations: Arena<Allocation>,
    /// Pages that may have become holes.
    holes: VecDeque<PageId>,
    /// Whether an internal request is in progress, for a hole or for its parent.
    fetches_own: bool,
    releases: Arena<Release>,
    buffers: Buffers<Buf>,
    batches: [Batch; MAX_BATCHES],
    events: VecDeque<MapEvent>,
    /// Configured size of the cache.
    pages: usize,
    saving: bool,
    read_only: bool,
    /// The latest entry whose change is in a page.
    latest: u64,
    mapped: i64,
    map_pages: i64,
    counts: MapStatistics,
}

impl<Buf: Copy> BlockMap<Buf> {
    /// The size of the smallest cache in which `users` users do not block each other.
    #[must_use]
    pub const fn minimum_pages(users: usize) -> usize {
        let allocations = if users < MAX_ALLOCATIONS { users } else { MAX_ALLOCATIONS };
        users + 2 * allocations + SPARE_PAGES
    }

    /// A map with an empty cache. Pages are transferred through `bufs`, at least two blocks.
    ///
    /// # Panics
    /// If the cache is smaller than [`BlockMap::minimum_pages`], if there are fewer than two blocks, or no users.
    #[must_use]
    pub fn new(config: &MapConfig, bufs: Vec<Buf>) -> BlockMap<Buf> {
        let MapConfig { geometry, nonce, pages, users, mapped, map_pages } = *config;
        let minimum = BlockMap::<Buf>::minimum_pages(users);
        assert!(pages >= minimum, "a cache of {pages} pages: {users} users need {minimum}");
        assert!(users > 0, "a map without users");
        let allocations = users.min(MAX_ALLOCATIONS);
        let buffers = Buffers::new(bufs);
        let batch = (buffers.share() / MAX_BATCHES).max(1);
        BlockMap {
            geometry,
            nonce,
            users,
            frames: Frames::new(pages),
            // One request is the map's own.
            requests: Arena::new(users + 1, Request::NONE),
            starved: Starved::new(),
            to_load: VecDeque::with_capacity(users),
            allocations: Arena::new(allocations, Allocation::NONE),
            holes: VecDeque::with_capacity(pages),
            fetches_own: false,
            releases: Arena::new(MAX_RELEASES, Release::NONE),
            buffers,
            batches: std::array::from_fn(|_| Batch::new(batch)),
            // One event per user, one per allocation, and one for read-only.
            events: VecDeque::with_capacity(users + allocations + 1),
            pages,
            saving: false,
            read_only: false,
            latest: 0,
            mapped,
            map_pages,
            counts: MapStatistics::default(),
        }
    }

    /// Gets the leaf page of a block. After [`Fetch::Wait`] an event with the number `waiter` follows.
    ///
    /// # Panics
    /// If more than the configured number of users wait.
    #[inline]
    pub fn fetch(&mut self, lbn: Lbn, purpose: Purpose, waiter: u32) -> Fetch {
        *(if purpose != Purpose::Read { &mut self.counts.write_count } else { &mut self.counts.read_count }) += 1;
        let leaf = PageId::leaf_of(lbn);
        if let Some(frame) = self.frames.find_resident(leaf) {
            self.frames.pin(frame);
            self.counts.found_in_cache += 1;
            return Fetch::Page(Frame(frame));
        }
        self.fetch_absent(leaf, purpose, waiter)
    }

    /// Prefetches a block's entry: returns the raw entry if its page is in the cache, else 0. Calls for the blocks of a
    /// batch overlap their cache misses, as long as no call needs the result of another; the caller passes all results
    /// to `black_box`.
    #[inline]
    #[must_use]
    pub fn touch(&self, lbn: Lbn) -> u64 {
        match self.frames.find_resident(PageId::leaf_of(lbn)) {
            Some(frame) => self.frames.entries.get(frame, lbn.slot()),
            None => 0,
        }
    }

    /// Reads an entry of a pinned page.
    #[inline]
    #[must_use]
    pub fn get(&self, frame: Frame, slot: usize) -> Mapping {
        Mapping::from_raw(self.frames.entries.get(frame.0, slot))
    }

    /// Changes an entry of a pinned page and returns the old one. `entry` is the number of the change's journal entry,
    /// which is durable; entries come in ascending order, from any number on after a save.
    #[inline]
    pub fn set(&mut self, frame: Frame, slot: usize, new: Mapping, entry: u64) -> Mapping {
        debug_assert!(self.frames.info(frame.0).pins > 0, "a page is changed by those who have pinned it");
        let old = Mapping::from_raw(self.frames.entries.replace(frame.0, slot, new.to_raw()));
        let more = i16::from(!new.is_unmapped()) - i16::from(!old.is_unmapped());
        if more != 0 {
            self.frames.add_mapped(frame.0, more);
            self.mapped += i64::from(more);
        }
        self.mark_dirty(frame.0, entry);
        old
    }

    #[inline]
    fn mark_dirty(&mut self, frame: u32, entry: u64) {
        let in_order = entry >= self.latest || self.is_clean();
        assert!(in_order, "entry {entry} is committed after {}, which pages still need", self.latest);
        self.latest = entry;
        self.frames.mark_dirty(frame, entry);
    }

    /// Number of mapped entries of a pinned page.
    #[cfg(test)]
    fn mapped_in(&self, frame: Frame) -> u16 {
        self.frames.info(frame.0).mapped
    }

    /// Unpins a page.
    ///
    /// # Panics
    /// If the page is not pinned.
    #[inline]
    pub fn unpin(&mut self, frame: Frame) {
        self.let_go(frame.0);
    }

    /// Does all work that is possible now. Returns whether there was any.
    pub fn advance<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>, era: EraInput) -> bool {
        let mut progress = self.frames.trim();
        progress |= self.feed_starved();
        progress |= self.start_loads(env, io);
        progress | self.write_back(env, io, era)
    }

    /// Takes the result of a transfer or flush that was started for [`crate::io::MetadataOwner::Map`] with this tag.
    pub fn io_done<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        tag: u32,
        result: Result<(), RequestError>,
    ) {
        if let Some(batch) = Batch::flushed_by(tag) {
            return self.flush_done(batch, result);
        }
        let (was, buf) = self.buffers.give_back(tag);
        match was {
            buffers::Use::Read(frame) => self.load_done(env.block(buf), frame, result),
            buffers::Use::Write { frame, batch } => self.write_done(env, io, (frame, batch), result),
            buffers::Use::Free => unreachable!("given back only once"),
        }
    }

    /// Takes the next event for the user.
    pub fn pop_event(&mut self) -> Option<MapEvent> {
        self.events.pop_front()
    }

    /// Changes the size of the cache while it is in use. It grows at once, and shrinks as pages become clean and
    /// unused. Allocates.
    ///
    /// # Panics
    /// If `pages` is less than [`BlockMap::minimum_pages`].
    pub fn set_capacity(&mut self, pages: usize) {
        let minimum = BlockMap::<Buf>::minimum_pages(self.users);
        assert!(pages >= minimum, "a cache of {pages} pages: {} users need {minimum}", self.users);
        self.pages = pages;
        let reserve = if self.read_only { minimum } else { 0 };
        self.frames.set_limit(pages + reserve);
        self.holes.reserve(pages.saturating_sub(self.holes.len()));
    }

    /// The mapping of a block whose page is in memory; for inspecting an idle volume.
    #[must_use]
    pub fn cached(&self, lbn: Lbn) -> Option<Mapping> {
        let frame = self.frames.find_resident(PageId::leaf_of(lbn))?;
        Some(self.get(Frame(frame), lbn.slot()))
    }

    /// The volume has grown to a new geometry.
    pub fn set_geometry(&mut self, geometry: &Geometry) {
        self.geometry = *geometry;
    }

    /// Starts no more writes; pages that are not in the cache can still be read. Dirty pages stay in the cache for
    /// good, so it grows by as many frames as its users can need beside them. Allocates. Does nothing when called
    /// again.
    pub fn read_only(&mut self) {
        if !self.read_only {
            self.read_only = true;
            self.holes.clear();
            self.set_capacity(self.pages);
        }
    }

    /// The map has failed and becomes read-only.
    fn fail(&mut self, reason: ReadOnlyReason) {
        if !self.read_only {
            self.events.push_back(MapEvent::ReadOnly(reason));
            self.read_only();
        }
    }

    /// Mapped logical blocks: the number at load plus all changes since.
    #[must_use]
    pub const fn mapped(&self) -> i64 {
        self.mapped
    }

    /// Map pages in slabs: the number at load plus the pages created since, less those released.
    #[must_use]
    pub const fn map_pages(&self) -> i64 {
        self.map_pages
    }

    /// True when nothing is in flight or requested: no transfer, no waiting request, no allocation. There may be dirty
    /// and pinned pages.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.requests.in_use() == 0
            && self.allocations.in_use() == 0
            && !self.is_releasing()
            && self.buffers.all_free()
            && self.batches.iter().all(Batch::is_free)
            && self.events.is_empty()
    }
}
