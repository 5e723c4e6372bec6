// SPDX-License-Identifier: BSD-3-Clause

//! The level-1 index: advises where a block's content was stored before.
//!
//! This is one shard's part, wholly in memory, 8 bytes per record. Memory comes as the index is used (`memory`), so an
//! index of any size is created at once. Differs from the UDS index of dm-vdo, which costs two reads per hit: here
//! advice costs two cache lines.
//!
//! What the index promises:
//! * **Advice only.** A record has 16 bits of its key and no fingerprint, so a lookup may return the location of other
//!   content: 1.2 to 2.4 times in 10000 when the index is full (8 candidates on average, each of which matches by
//!   chance once in 65536, or in 32768 when the number of buckets is just below a power of two). The caller must
//!   compare the content before sharing it. For the same reason an update may take over a record of other content; the
//!   price of either is a duplicate not found or a useless read.
//! * **The least recently used records are evicted.** The module `table` describes how recency is kept.
//! * **The latest update wins**: after `update(f, x)` a lookup of `f` returns `x`, nothing, or, if a later update had
//!   another fingerprint with the same key, what that one recorded. Never an earlier location of `f`.
//!
//! **Resizing** is online and in small steps, taken by some updates and by [`Index::migrate`]: the groups of the old
//! table are emptied into the new one in the order of their keys, so that every key is in exactly one table, and it is
//! known in which. Memory of the new table is allocated as it is reached, memory of the old one is freed as it is left,
//! both by segments. What is lost by resizing:
//! * shrinking: the least recently used records that no longer fit, and of those whose keys become equal (one in some
//!   thousands) all but one;
//! * growing by up to 16 times (after rounding to powers of two): only records whose buckets are full. The larger table
//!   keeps the smaller one's key, so wrong advice is up to 16 times more frequent until the index is created again;
//! * growing by more: every record. They are at most one in 16 of those that will fit.

mod history;
mod hooks;
mod memory;
mod record;
mod sections;
pub mod state;
mod table;

use core::hint::black_box;

use crate::fingerprint::ShortFingerprint;
use crate::format::Mapped;
use record::{Bucket, SLOTS};
use table::{Inserted, Place, Spread, Table, GROUP};

/// Updates per step of a resize. A step moves up to 512 records, which takes about ten microseconds, or adds a segment of
/// memory, which takes 250.
const UPDATES_PER_STEP: u32 = 8;

/// Updates per segment of memory that a new index adds.
const UPDATES_PER_SEGMENT: u32 = 32;

/// Fingerprints whose places are computed before the first of them is read.
const TOUCH_BATCH: usize = 32;

/// Assumed age, in generations, of a record that was restored because its neighbours are in use. It must survive until
/// it is used, and with several streams each has to wait for its turn.
const YOUNG: u64 = 2;

/// Age in generations from which a record may be evicted for a restored young one. So records that are used again
/// before six sixteenths of the index have been renewed stay, however much is restored in vain.
const YIELDS_TO_YOUNG: u64 = 6;

/// Assumed age, in generations, of a record that only fills unused memory: as old as those that are evicted next.
const OLD: u64 = 16;

/// Assumed age of a record restored from a chapter, and which records it may evict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It is likely to be used soon: it may evict records that have not been used for a good while.
    Young,
    /// It only fills free memory.
    Old,
}

/// Result of restoring a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// The record went into a free slot.
    Added,
    /// The record replaced one with this location.
    Replaced(Mapped),
    /// The fingerprint already has a record with this location, which is newer or was used since.
    Known(Mapped),
    /// There was no room for a record of this age.
    Refused,
}

/// Gauges of an index, and counts since it was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexStatistics {
    /// Records that fit.
    pub capacity: u64,
    /// Records currently held.
    pub entries: u64,
    /// Number of lookups.
    pub lookups: u64,
    /// Lookups that returned a location.
    pub hits: u64,
    /// Records evicted by others, or lost by resizing.
    pub evictions: u64,
    /// Records restored from chapters.
    pub restored: u64,
}

/// Result of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// The record went into an empty slot.
    Added,
    /// The fingerprint had a record, which now has the given location.
    Changed,
    /// The record replaced another one, which had this location.
    Replaced(Mapped),
    /// The record was dropped: it belongs to memory that a new index does not have yet.
    Dropped,
}

/// The level-1 index of one shard.
#[derive(Debug)]
pub struct Index {
    table: Table,
    /// The table that is being emptied into `table`.
    old: Option<Table>,
    /// Number of buckets for the next resize.
    wanted: Option<usize>,
    updates_to_step: u32,
    discarded: u64,
    lookups: u64,
    hits: u64,
    restored: u64,
}

impl Index {
    /// An index in at most `bytes` bytes of memory, rounded down: to pages of 4096 bytes, or below one page to a power
    /// of two of 64-byte buckets, of which it has at least two.
    #[must_use]
    pub fn new(bytes: usize) -> Index {
        Index {
            table: Table::new(buckets_in(bytes)),
            old: None,
            wanted: None,
            updates_to_step: 1,
            discarded: 0,
            lookups: 0,
            hits: 0,
            restored: 0,
        }
    }

    /// Number of records that fit.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        (self.table.count() * SLOTS) as u64
    }

    /// Number of records held; during a shrink this can be more than fit.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.table.len() + self.old.as_ref().map_or(0, Table::len)
    }

    /// True when no record is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of records evicted since the index was created, including those lost by resizing, not those removed.
    #[must_use]
    pub const fn discarded(&self) -> u64 {
        self.discarded
    }

    /// The current gauges and counts.
    #[must_use]
    pub fn statistics(&self) -> IndexStatistics {
        IndexStatistics {
            capacity: self.capacity(),
            entries: self.len(),
            lookups: self.lookups,
            hits: self.hits,
            evictions: self.discarded,
            restored: self.restored,
        }
    }

    /// Prefetches the cache lines of a fingerprint: touch a batch of fingerprints first, then look them up, and their
    /// cache misses overlap.
    ///
    /// The result has no meaning, but the reads happen only if it is used: combine the results of a batch, for instance
    /// with `^`, and pass that to [`black_box`]. Better, use [`Index::touch_all`].
    #[must_use]
    #[inline]
    pub fn touch(&self, fingerprint: impl Into<ShortFingerprint>) -> u64 {
        let spread = Spread::of(fingerprint.into());
        if let Some(old) = &self.old {
            let place = old.place(spread);
            if !old.is_taken(place) {
                return old.touch(place);
            }
        }
        self.table.touch(self.table.place(spread))
    }

    /// Prefetches the cache lines of many fingerprints, like [`Index::touch`] but with more reads in flight: a
    /// processor looks only some hundred instructions ahead, so all addresses are computed before the first read.
    pub fn touch_all(&self, fingerprints: impl IntoIterator<Item = impl Into<ShortFingerprint>>) {
        let mut fingerprints = fingerprints.into_iter();
        if self.old.is_some() {
            black_box(fingerprints.fold(0, |sum, fingerprint| sum ^ self.touch(fingerprint)));
            return;
        }
        loop {
            let mut places = [Place::default(); TOUCH_BATCH];
            let mut count = 0;
            for (place, fingerprint) in places.iter_mut().zip(&mut fingerprints) {
                *place = self.table.place(Spread::of(fingerprint.into()));
                count += 1;
            }
            black_box(places[..count].iter().fold(0, |sum, &place| sum ^ self.table.touch(place)));
            if count < TOUCH_BATCH {
                return;
            }
        }
    }

    /// The location where content with this fingerprint may be stored. Counts as a use of the record.
    #[inline]
    pub fn lookup(&mut self, fingerprint: impl Into<ShortFingerprint>) -> Option<Mapped> {
        self.lookups += 1;
        let (table, place) = self.table_of(fingerprint.into());
        let at = table.find(place)?;
        table.refresh(at);
        let location = table.location(at);
        self.hits += 1;
        Some(location)
    }

    /// Records that content with this fingerprint is stored at `location`. May take a step of a resize, or add memory.
    ///
    /// # Panics
    /// If no content can be stored at the location: the zero block, unmapped, or beyond 36 bits.
    pub fn update(&mut self, fingerprint: impl Into<ShortFingerprint>, location: Mapped) -> Update {
        if self.old.is_some() || self.table.extent() < self.table.count() {
            self.pace();
        }
        let (table, place) = self.table_of(fingerprint.into());
        if let Some(at) = table.find(place) {
            table.change(at, location);
            return Update::Changed;
        }
        match table.insert(place, location, 0) {
            Inserted::Added => Update::Added,
            Inserted::Evicted(record) => {
                self.discarded += 1;
                Update::Replaced(record.location())
            }
            Inserted::Refused => Update::Dropped,
        }
    }

    /// Restores a record from a chapter, unless the fingerprint already has one, which is newer or as good.
    ///
    /// # Panics
    /// As [`Index::update`].
    pub fn restore(&mut self, fingerprint: impl Into<ShortFingerprint>, location: Mapped, age: Age) -> Restored {
        let (table, place) = self.table_of(fingerprint.into());
        if let Some(at) = table.find(place) {
            return Restored::Known(table.location(at));
        }
        let inserted = match age {
            Age::Young => table.suppose(place, location, YOUNG, YIELDS_TO_YOUNG),
            Age::Old => table.suppose(place, location, OLD, u64::MAX),
        };
        self.restored += u64::from(inserted != Inserted::Refused);
        match inserted {
            Inserted::Added => Restored::Added,
            Inserted::Refused => Restored::Refused,
            Inserted::Evicted(record) => {
                self.discarded += 1;
                Restored::Replaced(record.location())
            }
        }
    }

    /// True while enough memory is free for most records to find a free slot.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.len() < self.capacity() - self.capacity() / 16
    }

    /// Removes the record of a fingerprint if it still has this location; returns whether it did.
    pub fn remove(&mut self, fingerprint: impl Into<ShortFingerprint>, location: Mapped) -> bool {
        let (table, place) = self.table_of(fingerprint.into());
        match table.find(place) {
            Some(at) if table.location(at) == location => {
                table.remove(at);
                true
            }
            _ => false,
        }
    }

    /// Requests another size, rounded as in [`Index::new`]; the work is done step by step. A resize in progress is
    /// completed first; of several requests that wait for it, the last one counts.
    pub fn resize(&mut self, bytes: usize) {
        self.wanted = Some(buckets_in(bytes));
        self.start_resize();
    }

    /// Takes up to `steps` steps of a resize, each about ten microseconds; returns whether steps remain.
    ///
    /// An idle shard may call this to finish sooner.
    pub fn migrate(&mut self, steps: usize) -> bool {
        for _ in 0..steps {
            let Some(mut old) = self.old.take() else { return false };
            self.step(&mut old);
            if old.taken() < old.count() {
                self.old = Some(old);
            } else {
                debug_assert_eq!(old.len(), 0, "every record has been taken");
                self.start_resize();
            }
        }
        self.old.is_some()
    }

    /// Adds a segment of memory if part of a new index has none; returns whether there is still such a part. A host calls
    /// this before it restores records; updates do it by themselves. A resize adds memory where it moves records to.
    pub fn extend(&mut self) -> bool {
        self.old.is_none() && self.table.extend()
    }

    /// The table that a fingerprint's record would be in, and its place there.
    #[inline]
    fn table_of(&mut self, fingerprint: ShortFingerprint) -> (&mut Table, Place) {
        let spread = Spread::of(fingerprint);
        if let Some(old) = &mut self.old {
            let place = old.place(spread);
            if !old.is_taken(place) {
                return (old, place);
            }
        }
        let place = self.table.place(spread);
        (&mut self.table, place)
    }

    /// Starts the requested resize, unless one is in progress.
    fn start_resize(&mut self) {
        if self.old.is_some() {
            return;
        }
        if let Some(count) = self.wanted.take().filter(|&count| count != self.table.count()) {
            let new = Table::reserve_for(&self.table, count);
            self.old = Some(core::mem::replace(&mut self.table, new));
            self.updates_to_step = UPDATES_PER_STEP;
        }
    }

    /// Counts updates, and takes a step of a resize or adds memory when that is due.
    #[cold]
    fn pace(&mut self) {
        self.updates_to_step -= 1;
        if self.updates_to_step > 0 {
            return;
        }
        if self.old.is_some() {
            self.updates_to_step = UPDATES_PER_STEP;
            self.migrate(1);
        } else {
            self.updates_to_step = UPDATES_PER_SEGMENT;
            self.extend();
        }
    }

    /// Adds memory for the next group of the old table or, when there is enough, moves the group's records.
    fn step(&mut self, old: &mut Table) {
        if self.table.extent() < self.table.reach(old, old.taken() + GROUP) {
            self.table.extend();
            return;
        }
        let known = old.key_bits() >= self.table.key_bits();
        old.take_group(|spread, location, age| {
            let place = self.table.place(spread);
            // Different keys of the old table can be equal in the new one.
            let kept =
                known && self.table.find(place).is_none() && self.table.insert(place, location, age) == Inserted::Added;
            // If not kept, this record was dropped, or it evicted another one.
            self.discarded += u64::from(!kept);
        });
    }
}

/// Number of buckets for `bytes`: whole groups, or a power of two.
const fn buckets_in(bytes: usize) -> usize {
    let buckets = bytes / size_of::<Bucket>();
    if buckets >= GROUP {
        buckets / GROUP * GROUP
    } else if buckets > 2 {
        1 << buckets.ilog2()
    } else {
        2
    }
}

pub use crate::format::index_section::SectionAt;
pub use history::{History, HistoryConfig, HistoryStatistics};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
