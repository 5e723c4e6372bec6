// SPDX-License-Identifier: BSD-3-Clause

//! The block map of one shard: a cache of pages, the trees that lead to them, pages made when they are first needed,
//! and write-back.
//!
//! A synchronous state machine. Its user asks for the page of a block with [`BlockMap::fetch`] and gets it pinned, at
//! once or by an event; it reads and changes entries, and unpins the page. [`BlockMap::advance`] starts transfers,
//! [`BlockMap::io_done`] takes their outcomes, [`BlockMap::pop_event`] says what has come of it.
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
//! * Only what the recovery journal has made durable gets into a page: changes and new pages come with the number of
//!   their committed entry. So a page can be written at any time.
//! * A page needs the journal from the first entry that no durable image of it contains; [`BlockMap::oldest_need`] is
//!   the smallest of these. A new page, and the page above it, need the entry of its allocation.
//! * A page that is dirty, being written or pinned stays in the cache, unless it is a hole and goes for good.
//! * A page of the trees is loaded, or allocated, once at a time; all who want it wait for that.
//! * Nothing is allocated after construction, except by [`BlockMap::set_capacity`] and [`BlockMap::read_only`].
//!
//! Why no one waits for ever in the smallest cache ([`BlockMap::minimum_pages`]): a user holds one pinned page, or
//! waits. One that waits is behind one incoming page, or behind an allocation, which holds its page and the one above;
//! allocations are limited in number. All other frames hold pages that can go at once, or once they are written, which
//! waits for nothing but the device. When the volume goes read-only nothing is written any more, and the cache grows by
//! as many frames as its users can need, so that reads go on.
//!
//! Differs from dm-vdo: pages above the leaves are in the same cache as leaves instead of in memory of their own, so a
//! volume of any size can be served by a cache of any size; a page that has become a hole gives its block back; a new
//! page is written once, not twice, as each of its sectors has a check code and the journal has its entries until then;
//! there are no generations of tree pages, as a page's write never waits for the journal, and one flush after a batch
//! ends the need of all its pages.

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

/// Allocations of pages that can be under way together.
pub const MAX_ALLOCATIONS: usize = 32;

/// Pages that can be on their way out together.
const MAX_RELEASES: usize = 32;

/// Frames beyond those that users can hold: for the pages on the way down a tree, and some to choose from.
const SPARE_PAGES: usize = 16;

/// The block map of one shard.
#[derive(Debug)]
pub struct BlockMap<Buf> {
    geometry: Geometry,
    nonce: u64,
    users: usize,
    frames: Frames,
    requests: Arena<Request>,
    starved: Starved,
    /// Frames whose load has not been started.
    to_load: VecDeque<u32>,
    allocations: Arena<Allocation>,
    /// Pages that may have become holes.
    holes: VecDeque<PageId>,
    /// A request of the map's own is under way, for one of them or the page above it.
    fetches_own: bool,
    releases: Arena<Release>,
    buffers: Buffers<Buf>,
    batches: [Batch; MAX_BATCHES],
    events: VecDeque<MapEvent>,
    /// Size of the cache that was asked for.
    pages: usize,
    saving: bool,
    read_only: bool,
    /// The latest entry that a page has a change of.
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
    /// If the cache is smaller than [`BlockMap::minimum_pages`], or there are not two blocks or not one user.
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
            // One for the map itself.
            requests: Arena::new(users + 1, Request::NONE),
            starved: Starved::new(),
            to_load: VecDeque::with_capacity(users),
            allocations: Arena::new(allocations, Allocation::NONE),
            holes: VecDeque::with_capacity(pages),
            fetches_own: false,
            releases: Arena::new(MAX_RELEASES, Release::NONE),
            buffers,
            batches: std::array::from_fn(|_| Batch::new(batch)),
            // Each user is told once, each allocation asks for one thing at a time, and read-only is told once.
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

    /// The leaf page of a block. With [`Fetch::Wait`] an event tells `waiter` the outcome.
    ///
    /// # Panics
    /// If more users wait than was said to be possible.
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

    /// A block's raw entry if its page is in the cache, else 0: for its cache lines alone. Calls for the blocks of a
    /// batch overlap their cache misses, as long as no call needs the result of another; the caller gives all results to
    /// `black_box`.
    #[inline]
    #[must_use]
    pub fn touch(&self, lbn: Lbn) -> u64 {
        match self.frames.find_resident(PageId::leaf_of(lbn)) {
            Some(frame) => self.frames.entries.get(frame, lbn.slot()),
            None => 0,
        }
    }

    /// An entry of a pinned page.
    #[inline]
    #[must_use]
    pub fn get(&self, frame: Frame, slot: usize) -> Mapping {
        Mapping::from_raw(self.frames.entries.get(frame.0, slot))
    }

    /// Changes an entry of a pinned page and returns what it was. `entry` is the journal entry of the change, which is
    /// durable; entries come in ascending order, from any number on after a save.
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

    /// Entries of a pinned page that are not unmapped.
    #[cfg(test)]
    fn mapped_in(&self, frame: Frame) -> u16 {
        self.frames.info(frame.0).mapped
    }

    /// Gives a page back.
    ///
    /// # Panics
    /// If it is not pinned.
    #[inline]
    pub fn unpin(&mut self, frame: Frame) {
        self.let_go(frame.0);
    }

    /// Does what can be done now. Returns whether anything was.
    pub fn advance<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>, era: EraInput) -> bool {
        let mut progress = self.frames.trim();
        progress |= self.feed_starved();
        progress |= self.start_loads(env, io);
        progress | self.write_back(env, io, era)
    }

    /// Takes the outcome of a transfer or flush that was started for [`crate::io::MetadataOwner::Map`] with this tag.
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

    /// What its user has not been told yet.
    pub fn pop_event(&mut self) -> Option<MapEvent> {
        self.events.pop_front()
    }

    /// Changes the size of the cache while it is in use. More is there at once; less as pages become clean and unused.
    /// Allocates.
    ///
    /// # Panics
    /// If that is less than [`BlockMap::minimum_pages`].
    pub fn set_capacity(&mut self, pages: usize) {
        let minimum = BlockMap::<Buf>::minimum_pages(self.users);
        assert!(pages >= minimum, "a cache of {pages} pages: {} users need {minimum}", self.users);
        self.pages = pages;
        let reserve = if self.read_only { minimum } else { 0 };
        self.frames.set_limit(pages + reserve);
        self.holes.reserve(pages.saturating_sub(self.holes.len()));
    }

    /// The mapping of a block whose page is in memory; for those who look at a volume at rest.
    #[must_use]
    pub fn cached(&self, lbn: Lbn) -> Option<Mapping> {
        let frame = self.frames.find_resident(PageId::leaf_of(lbn))?;
        Some(self.get(Frame(frame), lbn.slot()))
    }

    /// The volume has grown.
    pub fn set_geometry(&mut self, geometry: &Geometry) {
        self.geometry = *geometry;
    }

    /// No more writes are started; pages that are not in the cache are read on. Dirty pages stay there for good, so the
    /// cache grows by what its users can need beside them. Allocates. Does nothing when called again.
    pub fn read_only(&mut self) {
        if !self.read_only {
            self.read_only = true;
            self.holes.clear();
            self.set_capacity(self.pages);
        }
    }

    /// The map cannot be kept any more.
    fn fail(&mut self, reason: ReadOnlyReason) {
        if !self.read_only {
            self.events.push_back(MapEvent::ReadOnly(reason));
            self.read_only();
        }
    }

    /// Logical blocks in use: the number at the load and every change since.
    #[must_use]
    pub const fn mapped(&self) -> i64 {
        self.mapped
    }

    /// Map pages in slabs: the number at the load, every one made since, less those that are gone.
    #[must_use]
    pub const fn map_pages(&self) -> i64 {
        self.map_pages
    }

    /// True when nothing is under way or wanted: no transfer, no request that waits, no allocation. Dirty pages and
    /// pinned ones there may be.
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
