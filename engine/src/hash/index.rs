// SPDX-License-Identifier: BSD-3-Clause

//! The level-1 index: where a block's content was stored before, as advice (architecture.md section 4, "index").
//!
//! One shard's part of it, wholly in memory, 8 bytes a record, allocated when it is made or resized and never else. It
//! differs from the UDS index of vdo.md section 7, which costs two reads per hit: here advice costs two cache lines.
//!
//! What it promises:
//! * **Advice only.** A record holds 16 bits of its key and no fingerprint, so a lookup may answer with the location of
//!   other content: 1.2 to 2.4 times in 10000 when the index is full (8 candidates on average, each of which agrees by
//!   chance once in 65536, or in 32768 when the number of buckets is just below a power of two). Whoever asks must
//!   compare the content before sharing it (vdo.md 2.5). For the same reason an update may take over a record of other
//!   content; the price of either is a duplicate not found or a read in vain.
//! * **The least recently used go.** See the module `table` for how recency is kept.
//! * **The latest update wins**: after `update(f, x)` a lookup of `f` answers `x`, nothing, or, where a later update was
//!   given another fingerprint with the same key, what that one recorded. Never an earlier location of `f`.
//!
//! **Resizing** is online and in small steps, taken by each update and by [`Index::migrate`]: first the memory of the
//! new table is cleared, then the buckets of the old one are emptied in order, while lookups ask both. Until that is
//! done both tables are in memory. A record is in one of them, never in both. What is lost on the way:
//! * shrinking: the least recently used records that no longer fit, and of those whose keys become equal (one in some
//!   thousands) all but one;
//! * growing by up to 16 times (after rounding to powers of two): nothing but a record that finds its buckets full. The larger table keeps the smaller one's key,
//!   so wrong advice is up to 16 times more frequent until the index is made anew;
//! * growing by more: every record not asked for before its bucket's turn comes.

mod record;
mod table;

use crate::hash::Fingerprint;
use crate::logical::Mapped;
use table::{Inserted, Spread, Table, SLOTS};

/// Buckets of a new table that are cleared in one step of a resize: one page of memory.
const CLEARED_PER_STEP: usize = 64;

/// Steps of a resize that each update takes.
const STEPS_PER_UPDATE: usize = 2;

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// A record was added to an empty slot.
    Added,
    /// The fingerprint had a record, which now names the given location (if it did not before).
    Changed,
    /// A record was added in the place of another's, which named this location.
    Replaced(Mapped),
}

/// The index of one shard.
#[derive(Debug)]
pub struct Index {
    table: Table,
    resize: Resize,
    /// Buckets that the next resize shall give.
    wanted: Option<usize>,
    discarded: u64,
}

/// How far a resize is.
#[derive(Debug)]
enum Resize {
    /// None under way.
    Idle,
    /// The new table is being cleared; nothing is in it.
    Clearing(Table),
    /// The new table is in use, and the old one's buckets below `next` have been emptied.
    Draining { old: Table, next: usize },
}

impl Index {
    /// An index in at most `bytes` bytes of memory, rounded down to whole buckets of 64 bytes, but of two at least.
    #[must_use]
    pub fn new(bytes: usize) -> Index {
        Index { table: Table::new(buckets_in(bytes)), resize: Resize::Idle, wanted: None, discarded: 0 }
    }

    /// Records that fit.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        (self.table.count() * SLOTS) as u64
    }

    /// Records held; while a smaller table is being filled that can be more than fit.
    #[must_use]
    pub fn len(&self) -> u64 {
        let draining = match &self.resize {
            Resize::Draining { old, .. } => old.len(),
            Resize::Idle | Resize::Clearing(_) => 0,
        };
        self.table.len() + draining
    }

    /// True when no record is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records pushed out by others since the index was made, those lost by resizing included, removed ones not.
    #[must_use]
    pub const fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Brings the cache lines of a fingerprint near: touch a batch of fingerprints first, then look them up, and their
    /// cache misses overlap.
    ///
    /// The result means nothing, but the reads happen only if it is used: combine those of a batch, for instance with
    /// `^`, and give that to [`core::hint::black_box`].
    #[must_use]
    #[inline]
    pub fn touch(&self, fingerprint: Fingerprint) -> u64 {
        self.table.touch(self.table.place(Spread::of(fingerprint.0)))
    }

    /// Where the content with this fingerprint may be stored. Counts as a use of the record.
    #[inline]
    pub fn lookup(&mut self, fingerprint: Fingerprint) -> Option<Mapped> {
        let spread = Spread::of(fingerprint.0);
        match self.table.find(self.table.place(spread)) {
            Some(at) => {
                self.table.refresh(at);
                Some(self.table.location(at))
            }
            None => self.lookup_draining(spread),
        }
    }

    /// Records that the content with this fingerprint is stored at `location`. Takes some steps of a resize.
    ///
    /// # Panics
    /// If the location is the zero block, or beyond 36 bits: no content is stored there.
    pub fn update(&mut self, fingerprint: Fingerprint, location: Mapped) -> Update {
        self.migrate(STEPS_PER_UPDATE);
        let spread = Spread::of(fingerprint.0);
        let place = self.table.place(spread);
        if let Some(at) = self.table.find(place) {
            self.table.change(at, location);
            return Update::Changed;
        }
        let moved = self.take_draining(spread).is_some();
        match self.table.insert(place, location, 0) {
            _ if moved => Update::Changed,
            Inserted::Evicted(record) => {
                self.discarded += 1;
                Update::Replaced(record.location())
            }
            Inserted::Added | Inserted::Refused => Update::Added,
        }
    }

    /// Forgets the record of a fingerprint if it still names `location`; says whether it did.
    pub fn remove(&mut self, fingerprint: Fingerprint, location: Mapped) -> bool {
        let spread = Spread::of(fingerprint.0);
        let holders = match &mut self.resize {
            Resize::Draining { old, .. } => [Some(&mut self.table), Some(old)],
            Resize::Idle | Resize::Clearing(_) => [Some(&mut self.table), None],
        };
        for table in holders.into_iter().flatten() {
            if let Some(at) = table.find(table.place(spread)) {
                if table.location(at) == location {
                    table.clear(at);
                    return true;
                }
            }
        }
        false
    }

    /// Asks for another size, rounded as by [`Index::new`]. Reserves memory at once, but does the work by and by. A
    /// resize under way is completed first; of several that wait for it, the last counts.
    pub fn resize(&mut self, bytes: usize) {
        self.wanted = Some(buckets_in(bytes));
        self.migrate(0);
    }

    /// Takes up to `steps` steps of a resize, each a few microseconds or less; says whether there are more to take.
    ///
    /// A shard with nothing else to do may call it to finish sooner. The last step returns the old table's memory.
    pub fn migrate(&mut self, steps: usize) -> bool {
        self.start_resize();
        for _ in 0..steps {
            if matches!(self.resize, Resize::Idle) {
                return false;
            }
            self.resize_step();
        }
        !matches!(self.resize, Resize::Idle)
    }

    /// Starts the resize that is wanted, if none is under way.
    fn start_resize(&mut self) {
        if let (Resize::Idle, Some(count)) = (&self.resize, self.wanted) {
            self.wanted = None;
            if count != self.table.count() {
                self.resize = Resize::Clearing(Table::reserve_for(&self.table, count));
            }
        }
    }

    #[cold]
    fn resize_step(&mut self) {
        self.resize = match core::mem::replace(&mut self.resize, Resize::Idle) {
            Resize::Clearing(mut new) => {
                if new.grow(CLEARED_PER_STEP) {
                    Resize::Draining { old: core::mem::replace(&mut self.table, new), next: 0 }
                } else {
                    Resize::Clearing(new)
                }
            }
            Resize::Draining { mut old, next } => {
                self.empty_bucket(&mut old, next);
                if next + 1 < old.count() {
                    Resize::Draining { old, next: next + 1 }
                } else {
                    debug_assert_eq!(old.len(), 0, "every bucket has been emptied");
                    Resize::Idle
                }
            }
            Resize::Idle => Resize::Idle,
        };
        self.start_resize();
    }

    /// Moves the records of an old bucket to where they belong now.
    fn empty_bucket(&mut self, old: &mut Table, bucket: usize) {
        let known = old.key_bits() >= self.table.key_bits();
        for (spread, location, age) in old.take(bucket).into_iter().flatten() {
            let place = self.table.place(spread);
            // The record that is there already was used since the resize began; keys can have become equal.
            if !known || self.table.find(place).is_some() {
                self.discarded += 1;
                continue;
            }
            match self.table.insert(place, location, age + self.table.generation()) {
                Inserted::Added => {}
                Inserted::Evicted(_) | Inserted::Refused => self.discarded += 1,
            }
        }
    }

    /// Looks up a fingerprint in the table that is being emptied. A hit moves to the new one.
    fn lookup_draining(&mut self, spread: Spread) -> Option<Mapped> {
        let location = self.take_draining(spread)?;
        if let Inserted::Evicted(_) = self.table.insert(self.table.place(spread), location, 0) {
            self.discarded += 1;
        }
        Some(location)
    }

    /// Takes the record of a fingerprint from the table that is being emptied.
    #[inline]
    fn take_draining(&mut self, spread: Spread) -> Option<Mapped> {
        let Resize::Draining { old, next } = &mut self.resize else { return None };
        let place = old.place(spread);
        if Table::is_below(place, *next) {
            return None;
        }
        let at = old.find(place)?;
        let location = old.location(at);
        old.clear(at);
        Some(location)
    }
}

/// Buckets that fit `bytes`.
const fn buckets_in(bytes: usize) -> usize {
    let buckets = bytes / size_of::<table::Bucket>();
    if buckets < 2 {
        2
    } else {
        buckets
    }
}

#[cfg(test)]
mod tests;
