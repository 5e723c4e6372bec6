// SPDX-License-Identifier: BSD-3-Clause

//! The recovery journal of one shard: changes of the block map and the slabs are recorded here first.
//!
//! ```text
//!   append --> staged --advance--> record in a log --write, flush--> committed --pop_committed--> applied
//!              (batch)             (one flush set)                   (in order)                   by the owner
//! ```
//! The journal is a ring of logs of the pool, its segments. A batch of entries is one record of the log, and one flush
//! set. A segment whose entries are no longer needed is erased and reused: an entry is needed until the block-map pages
//! that it changed are written ([`Journal::set_map_head`]), and until every physical zone has confirmed that its slab
//! journals hold the changes ([`Journal::slabs_committed`]).
//!
//! Invariants:
//! * An entry is committed when the entry, all entries before it, and the data written before it was appended are
//!   durable. Without a volatile cache this is the case when its write and all writes before it have ended. With a
//!   volatile cache it takes flush, write, flush; the second flush of a batch is the first of the next batch, which is
//!   everything appended until then.
//! * Entries are committed and reported in the order of their numbers: 0, 1, 2.. in each load generation.
//! * An appended entry has its place in the ring reserved.
//! * After a failed write, flush or erasure nothing is committed, written or erased any more.
//!
//! Why the ring cannot stay full: everything appended is written and so committed; then the oldest segment is full and
//! all its entries can be applied; [`Journal::era`] names its pages, and [`Journal::wanted_commit`] requests its
//! commits; when both are done, the segment is erased, and has room for the reserve and the longest entry
//! ([`JournalConfig::min_segment_bytes`]).
//!
//! Differs from dm-vdo: one journal per shard; no block is written twice, since a batch that is not full takes only the
//! sectors that it needs; no locks per journal block, since entries have numbers and their users report the oldest one
//! that they need; the batch shares one flush of the data, where dm-vdo sets a flag on each write.

mod config;
mod dump;
mod eras;
mod ring;
mod sets;
mod slab_commits;
mod staging;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::block_map::EraInput;
use crate::env::{Env, ReadOnlyReason};
use crate::error::RequestError;
use crate::fingerprint::CHECK_BITS;
use crate::format::journal_record::{Entry, Point};
use crate::io::{MetadataIo, MetadataOwner};
use crate::units::ShardId;
use ring::Ring;
use sets::{Batch, FlushSets, Settled};
use slab_commits::SlabCommits;
use staging::{Heads, Staging};

pub use config::{Counters, JournalConfig, Waiter, JOURNAL_BLOCKS, MAX_SETS, MIN_SEGMENTS, SET_BYTES};
pub use statistics::{CommitCounts, JournalStatistics};

/// The tag of the journal's flush; tags of its writes are smaller.
const FLUSH: u32 = u32::MAX;

/// Name of this journal in errors.
const NAME: &str = "recovery journal";

/// A flush in flight, and what is durable when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Barrier {
    /// Number of sets that become durable.
    sets: usize,
    /// Number of staged records whose data becomes durable.
    records: usize,
}

/// The staged entries, the ring and the heads of one shard's recovery journal.
#[derive(Debug)]
pub struct Journal<Buf> {
    staging: Staging,
    ring: Ring,
    sets: FlushSets<Buf>,
    barrier: Option<Barrier>,
    /// Number of staged records that may be written: a flush has ended since they were closed.
    stable_records: usize,
    /// The waiters of the entries from `applied` on.
    waiters: VecDeque<Waiter>,
    /// The first entry that [`Journal::pop_committed`] has not returned.
    applied: u64,
    /// The first entry that is not committed.
    committed: u64,
    map_head: u64,
    slabs: SlabCommits,
    page_reserve: u64,
    volatile_cache: bool,
    /// Whether there was no room at the last check.
    full: bool,
    failed: Option<ReadOnlyReason>,
    statistics: JournalStatistics,
}

impl<Buf: Copy> Journal<Buf> {
    /// An empty journal.
    ///
    /// # Panics
    /// If there are fewer segments, smaller segments or less memory than [`JournalConfig`] demands.
    #[must_use]
    pub fn new(config: &JournalConfig<Buf>) -> Journal<Buf> {
        let JournalConfig { segments, page_reserve, .. } = config;
        assert!(segments.len() >= MIN_SEGMENTS, "{} segments are too few for a journal", segments.len());
        for segment in segments {
            let least = JournalConfig::<Buf>::min_segment_bytes(segment.sector_bytes, *page_reserve);
            assert!(segment.capacity_bytes >= least, "{segment:?} is too small, {least} bytes are needed");
        }
        let ring = Ring::new(segments);
        Journal {
            staging: Staging::new(config, ring.sizes()),
            ring,
            sets: FlushSets::new(&config.bufs),
            barrier: None,
            stable_records: 0,
            waiters: VecDeque::new(),
            applied: 0,
            committed: 0,
            map_head: 0,
            slabs: SlabCommits::new(config.shards),
            page_reserve: *page_reserve as u64,
            volatile_cache: config.volatile_cache,
            full: false,
            failed: None,
            statistics: JournalStatistics::default(),
        }
    }

    /// Free sectors, less those of staged entries.
    fn free_sectors(&self) -> u64 {
        self.ring.free_sectors().saturating_sub(self.staging.sectors())
    }

    /// Number of 24-byte entries that can be appended now, even if each goes into a record of its own. Page entries
    /// have [`JournalConfig::page_reserve`] more.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.failed.is_some() {
            return 0;
        }
        self.free_sectors().saturating_sub(self.page_reserve) as usize
    }

    /// Whether the entry can be appended now.
    #[must_use]
    pub fn fits(&self, entry: &Entry<'_>) -> bool {
        let reserve = if matches!(entry, Entry::Page { .. }) { 0 } else { self.page_reserve };
        self.failed.is_none() && self.free_sectors() >= reserve + self.staging.sectors_alone(entry)
    }

    /// Appends an entry; all data that it refers to must be written already. Returns the entry's number.
    ///
    /// # Panics
    /// If the entry does not fit ([`Journal::fits`]), or the journal has failed.
    pub fn append(&mut self, entry: &Entry<'_>, waiter: Waiter) -> u64 {
        assert!(self.failed.is_none(), "an entry is appended to a journal that has failed");
        assert!(self.fits(entry), "an entry is appended to a full journal");
        let number = self.next_entry();
        if self.staging.push(entry, self.heads()) {
            self.statistics.blocks.started += 1;
        }
        self.waiters.push_back(waiter);
        self.statistics.entries.started += 1;
        self.watch_room();
        number
    }

    fn heads(&self) -> Heads {
        Heads { committed: self.committed, map_head: self.map_head }
    }

    /// The number of the next entry.
    #[must_use]
    pub fn next_entry(&self) -> u64 {
        self.applied + self.waiters.len() as u64
    }

    /// Life number for the page that the next entry creates: 24 bits that differ from those of any earlier entry,
    /// except by chance.
    #[must_use]
    pub fn next_life(&self) -> u32 {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = self.staging.generation().wrapping_mul(MULTIPLIER) ^ self.next_entry();
        (mixed.wrapping_mul(MULTIPLIER) >> (u64::BITS - CHECK_BITS)) as u32
    }

    /// Counts each time that the journal becomes full.
    fn watch_room(&mut self) {
        let full = self.failed.is_none() && self.room() == 0;
        self.statistics.disk_full += u64::from(full && !self.full);
        self.full = full;
    }

    /// Sets the counters to be recorded after the last entry of each record from now on. A record is closed when an
    /// entry does not fit any more, so the record is exact if the counters are set after each entry that changes them.
    pub fn set_counters(&mut self, counters: Counters) {
        self.staging.counters = counters;
    }

    /// Starts the writes and flushes that can start. To be called once per poll of the shard. Returns whether any
    /// started.
    pub fn advance<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>) -> bool {
        if self.failed.is_some() || self.barrier.is_some() {
            return false;
        }
        if !self.volatile_cache {
            return self.write(env, io, usize::MAX) > 0;
        }
        let written = self.write(env, io, self.stable_records);
        self.stable_records -= written;
        let writes_more = self.stable_records > 0 && self.sets.has_room();
        let idle = self.sets.len() == 0 && self.staging.is_empty();
        if self.sets.writing() > 0 || writes_more || idle {
            return written > 0;
        }
        self.staging.close(self.heads());
        self.barrier = Some(Barrier { sets: self.sets.len(), records: self.staging.closed() });
        self.statistics.flushes += 1;
        io.flush(env, MetadataOwner::Journal(FLUSH));
        true
    }

    /// Writes up to `most` staged records. Returns how many.
    fn write<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>, most: usize) -> usize {
        let mut written = 0;
        while written < most && self.sets.has_room() && io.room() > 0 {
            if self.staging.closed() == 0 {
                self.staging.close(self.heads());
            }
            let Some(mut record) = self.staging.pop() else { break };
            let entries = record.entries();
            let (segment, set) = self.ring.put(record.finish(), entries.start, entries.end);
            self.statistics.bytes_written += set.range.len() as u64;
            self.sets.write((env, io), self.ring.number(segment), set, Batch { segment, entries });
            self.staging.recycle(record);
            written += 1;
        }
        self.watch_room();
        written
    }

    /// Takes the result of a write or flush. The next [`Journal::advance`] starts what follows from it.
    ///
    /// # Panics
    /// If no transfer with that tag is in flight.
    pub fn io_done(&mut self, tag: u32, result: Result<(), RequestError>) {
        let ok = result.is_ok();
        if tag == FLUSH {
            let barrier = self.barrier.take().expect("a flush of the journal that ends is under way");
            if ok && self.failed.is_none() {
                self.stable_records = barrier.records;
                self.commit(barrier.sets);
            }
        } else {
            let batch = self.sets.ended(tag, ok);
            if ok {
                self.statistics.blocks.written += 1;
                self.statistics.entries.written += batch.entries.end - batch.entries.start;
            }
            if ok && !self.volatile_cache && self.failed.is_none() {
                self.commit(MAX_SETS);
            }
        }
        if !ok {
            self.fail(ReadOnlyReason::WriteFailed(NAME));
        }
    }

    /// The oldest written sets, up to `most`, are durable.
    fn commit(&mut self, most: usize) {
        for _ in 0..most {
            let Some(Settled { batch, id, memory }) = self.sets.settle() else { break };
            self.ring.settled(batch.segment, id, memory);
            assert_eq!(batch.entries.start, self.committed, "entries are committed in order");
            self.committed = batch.entries.end;
            self.statistics.blocks.committed += 1;
            self.statistics.entries.committed += batch.entries.end - batch.entries.start;
        }
    }

    /// Stops all appends and commits; entries that are not committed fail. Only the first reason is kept.
    pub fn fail(&mut self, reason: ReadOnlyReason) {
        self.failed.get_or_insert(reason);
    }

    /// Why nothing can be appended or committed any more.
    #[must_use]
    pub fn failed(&self) -> Option<ReadOnlyReason> {
        self.failed
    }

    /// Takes the next committed entry: its number and its waiter.
    ///
    /// The owner applies the entry at once: it changes the block map, and sends the changes to the slabs before
    /// anything that it sends for [`Journal::wanted_commit`].
    pub fn pop_committed(&mut self) -> Option<(u64, Waiter)> {
        if self.applied == self.committed {
            return None;
        }
        self.pop()
    }

    /// Takes the next entry that will never be committed, once the journal has failed and [`Journal::pop_committed`]
    /// has no more.
    pub fn pop_failed(&mut self) -> Option<(u64, Waiter)> {
        if self.failed.is_none() || self.applied < self.committed {
            return None;
        }
        self.pop()
    }

    fn pop(&mut self) -> Option<(u64, Waiter)> {
        let waiter = self.waiters.pop_front()?;
        self.applied += 1;
        Some((self.applied - 1, waiter))
    }

    /// The first entry that [`Journal::pop_committed`] has not returned: the map's head when no page needs any entry.
    #[must_use]
    pub fn next_to_apply(&self) -> u64 {
        self.applied
    }

    /// No page of the block map needs an entry before `head` any more; this is durable.
    ///
    /// # Panics
    /// If the head goes back, or beyond the applied entries.
    pub fn set_map_head(&mut self, head: u64) {
        assert!(self.map_head <= head && head <= self.applied, "the map's head goes from {} to {head}", self.map_head);
        self.map_head = head;
    }

    /// Limit of the age of changes in cached block-map pages.
    #[must_use]
    pub fn era(&self) -> EraInput {
        EraInput { write_before: self.ring.write_before() }
    }

    /// Returns a point if the zones are to be asked to commit the slab journals that hold changes before it; these
    /// changes have all been sent. Returns none again until every zone has answered.
    pub fn wanted_commit(&mut self) -> Option<Point> {
        if self.failed.is_some() || !self.slabs.is_answered() {
            return None;
        }
        let entry = self.ring.wanted_commit(self.slabs.head(), self.applied)?;
        self.statistics.slab_journal_commits_requested += 1;
        Some(self.slabs.ask(entry))
    }

    /// A zone has committed all changes before `up_to`, durably.
    pub fn slabs_committed(&mut self, zone: ShardId, up_to: Point) {
        self.slabs.confirm(zone, up_to);
    }

    /// Takes a segment that is to be erased now.
    pub fn take_erasure(&mut self) -> Option<u32> {
        if self.failed.is_some() {
            return None;
        }
        self.ring.take_erasure(self.map_head.min(self.slabs.head()), self.applied)
    }

    /// The erasure of a segment has ended: the segment has this generation now, or the erasure failed. Allocates.
    ///
    /// # Panics
    /// If that segment is not being erased.
    pub fn segment_erased(&mut self, number: u32, result: Result<u64, ()>) {
        self.ring.erased(number, result.ok());
        if result.is_err() {
            self.fail(ReadOnlyReason::EraseFailed);
        }
        self.watch_room();
    }

    /// Whether a segment is being erased.
    #[must_use]
    pub fn is_erasing(&self) -> bool {
        self.ring.is_erasing()
    }

    /// True when no write or flush is in flight and no entry has a waiter. A segment may be being erased.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiters.is_empty() && self.sets.writing() == 0 && self.barrier.is_none()
    }

    /// The counts since the start.
    #[must_use]
    pub fn statistics(&self) -> JournalStatistics {
        self.statistics
    }
}
